"""Records the requests to the simulated exo: the reads and commands of the server under test, and of other clients."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import httpx

from exo_graphql.simulator import SimulatedExo
from exo_graphql.simulator.fault_middleware import Receive, Scope, Send
from tests.trials.evidence import Command

OTHER_CLIENT = "x-trial-other-client"
"""The header of a request that does not come from the server under test."""
_INSTANCE = re.compile(r"/instance/(?P<id>[^/]+)")


class Recorder:
    """An ASGI application that passes requests to exo's and records them. `time` is the trial's clock."""

    def __init__(self, sim: SimulatedExo, time: Callable[[], float]) -> None:
        self._sim = sim
        self._time = time
        self.reads: list[tuple[float, float]] = []
        self.commands: list[Command] = []
        self.on_event: Callable[[str], None] = lambda _: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._sim.app(scope, receive, send)
            return
        from_server = all(name.decode() != OTHER_CLIENT for name, _ in scope["headers"])
        began, method, path = self._time(), scope["method"], scope["path"]
        body, status = bytearray(), 0

        async def recording_receive() -> Any:
            message = await receive()
            body.extend(message.get("body", b""))
            if message["type"] == "http.request" and not message.get("more_body"):
                self._command(began, method, path, bytes(body), from_server=from_server)
            return message

        async def recording_send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        if method == "DELETE":
            self._command(began, method, path, b"", from_server=from_server)
        await self._sim.app(scope, recording_receive, recording_send)
        if from_server and method == "GET" and path == "/state" and status == 200:
            self.reads.append((began, self._time()))

    def _command(self, at: float, method: str, path: str, body: bytes, *, from_server: bool) -> None:
        if method == "POST" and path == "/instance":
            document = next(iter(json.loads(body)["instance"].values()))
            command = Command(at, "create", document["instanceId"], from_server)
            what = f"create {command.instance_id[:8]} of {document['shardAssignments']['modelId']}"
        elif method == "DELETE" and (match := _INSTANCE.fullmatch(path)):
            command = Command(at, "delete", match["id"], from_server)
            what = f"delete {match['id'][:8]}"
        else:
            return
        self.commands.append(command)
        self.on_event(f"{'server' if from_server else 'other client'}: {what}")


class ServersTransport(httpx.AsyncBaseTransport):
    """Connects a server in this process to exo; a killed server sends and receives nothing any more."""

    def __init__(self, recorder: Recorder) -> None:
        self._transport = httpx.ASGITransport(recorder)
        self.killed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Passes a request on, unless the server has been killed."""
        if self.killed:
            raise asyncio.CancelledError
        response = await self._transport.handle_async_request(request)
        if self.killed:
            raise asyncio.CancelledError
        return response


def other_client(recorder: Recorder) -> httpx.AsyncClient:
    """A client of exo that is not the server under test."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(recorder), base_url="http://exo", headers={OTHER_CLIENT: "1"}, timeout=30.0
    )
