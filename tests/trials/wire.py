"""Stands before the simulated exo and notes what passes: the reads and commands of the server, and of other people."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import httpx

from exo_graphql.simulator import SimulatedExo
from exo_graphql.simulator.fault_middleware import Receive, Scope, Send
from tests.trials.evidence import Command

SOMEBODY = "x-trial-somebody"
"""The header of a request that does not come from the server under test."""
_INSTANCE = re.compile(r"/instance/(?P<id>[^/]+)")


class Wire:
    """An ASGI application: the exo's, with a record. `time` is the trial's clock."""

    def __init__(self, sim: SimulatedExo, time: Callable[[], float]) -> None:
        self._sim = sim
        self._time = time
        self.reads: list[tuple[float, float]] = []
        self.commands: list[Command] = []
        self.news: Callable[[str], None] = lambda _: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._sim.app(scope, receive, send)
            return
        ours = all(name.decode() != SOMEBODY for name, _ in scope["headers"])
        began, method, path = self._time(), scope["method"], scope["path"]
        body, status = bytearray(), 0

        async def hear() -> Any:
            message = await receive()
            body.extend(message.get("body", b""))
            if message["type"] == "http.request" and not message.get("more_body"):
                self._command(began, method, path, bytes(body), ours=ours)
            return message

        async def answer(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        if method == "DELETE":
            self._command(began, method, path, b"", ours=ours)
        await self._sim.app(scope, hear, answer)
        if ours and method == "GET" and path == "/state" and status == 200:
            self.reads.append((began, self._time()))

    def _command(self, at: float, method: str, path: str, body: bytes, *, ours: bool) -> None:
        if method == "POST" and path == "/instance":
            document = next(iter(json.loads(body)["instance"].values()))
            command = Command(at, "create", document["instanceId"], ours)
            what = f"create {command.instance_id[:8]} of {document['shardAssignments']['modelId']}"
        elif method == "DELETE" and (match := _INSTANCE.fullmatch(path)):
            command = Command(at, "delete", match["id"], ours)
            what = f"delete {match['id'][:8]}"
        else:
            return
        self.commands.append(command)
        self.news(f"{'server' if ours else 'somebody'}: {what}")


class ServersTransport(httpx.AsyncBaseTransport):
    """The way from a server in this process to exo; a server that was killed sends and hears nothing any more."""

    def __init__(self, wire: Wire) -> None:
        self._way = httpx.ASGITransport(wire)
        self.dead = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As the network would."""
        if self.dead:
            raise asyncio.CancelledError
        response = await self._way.handle_async_request(request)
        if self.dead:
            raise asyncio.CancelledError
        return response


def somebody(wire: Wire) -> httpx.AsyncClient:
    """A client of exo that is not the server under test."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(wire), base_url="http://exo", headers={SOMEBODY: "1"}, timeout=30.0
    )
