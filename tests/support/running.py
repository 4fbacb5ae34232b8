"""The whole server on a socket, in the test's own event loop, over a simulated exo or any other."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from exo_graphql.app import Components, build
from exo_graphql.serve import Server, server_config
from exo_graphql.settings import Settings
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.support.tuning import configured

SUBPROTOCOL = Subprotocol("graphql-transport-ws")
A, B = "test/tiny-a", "test/tiny-b"
PATIENCE = 60.0
"""Seconds that a test waits for what must come from another process or thread: they may get no core for a while."""
PHASE = f'subscription {{ modelStatus(model: "{A}") {{ phase }} }}'


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers at `port` of 127.0.0.1."""

    components: Components
    server: Server
    port: int
    serving: "asyncio.Task[None]"

    @property
    def url(self) -> str:
        """Where it answers over HTTP."""
        return f"http://127.0.0.1:{self.port}/graphql"

    @property
    def websocket_url(self) -> str:
        """Where it answers over a websocket."""
        return f"ws://127.0.0.1:{self.port}/graphql"

    @property
    def exo(self) -> SimulatedExo:
        """The simulated exo behind it."""
        assert self.components.demo is not None
        return self.components.demo

    async def stop(self) -> None:
        """What a signal does."""
        self.server.should_exit = True
        await self.serving

    @asynccontextmanager
    async def socket(self, payload: Mapping[str, object] | None = None, **options: Any) -> AsyncIterator["Socket"]:
        """A websocket that is initialised."""
        async with self.bare(**options) as connection:
            socket = Socket(connection)
            await socket.send(type="connection_init", **({} if payload is None else {"payload": payload}))
            assert await socket.receive() == {"type": "connection_ack"}
            yield socket

    def bare(self, **options: Any) -> connect:
        """A websocket that is not."""
        return connect(self.websocket_url, **{"subprotocols": [SUBPROTOCOL], "proxy": None, **options})


class PromptServer(Server):
    """Looks a hundred times a second whether it is to stop, where uvicorn looks ten times: many tests stop one."""

    async def main_loop(self) -> None:
        """Until it is to stop. Every tenth look is one of uvicorn's, which also sets the date of the answers."""
        for look in count():
            if self.should_exit or (look % 10 == 0 and await self.on_tick(look // 10)):
                return
            await asyncio.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Socket:
    """The client's end, spoken by hand."""

    connection: ClientConnection
    ids: "count[int]" = field(default_factory=lambda: count(1))

    async def send(self, **message: object) -> None:
        """Sends one message."""
        await self.connection.send(orjson.dumps(message).decode())

    async def receive(self, seconds: float = 20.0) -> dict[str, Any]:
        """The next message."""
        async with asyncio.timeout(seconds):
            message: dict[str, Any] = orjson.loads(await self.connection.recv())
            return message

    async def subscribe(self, query: str, **variables: object) -> str:
        """Starts an operation; its id."""
        id_ = str(next(self.ids))
        await self.send(id=id_, type="subscribe", payload={"query": query, "variables": variables})
        return id_

    async def data(self, id_: str, seconds: float = 20.0) -> Any:
        """The data of the next message, which must be a result of this operation without errors."""
        message = await self.receive(seconds)
        assert (message["id"], message["type"]) == (id_, "next"), message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]

    async def closed(self, seconds: float = 5.0) -> tuple[int | None, str | None]:
        """Waits until the server has closed; the code and the reason."""
        async with asyncio.timeout(seconds):
            await self.connection.wait_closed()
        return self.connection.close_code, self.connection.close_reason


@asynccontextmanager
async def running(exo: SimulatedExo | None = None, *, demo: bool = True, **given: Any) -> AsyncIterator[Running]:
    """A server with its first snapshot; over `exo`, or with `demo=False` over what the settings name."""
    if demo and exo is None:
        exo = SimulatedExo(tiny_scenario(), seed=1)
    with TemporaryDirectory() as folder:
        chosen, tuning = configured(**{"port": 0, "state_dir": folder, **given})
        components = build(chosen, exo, tuning)
        config = server_config(components.asgi, "127.0.0.1", chosen.port, chosen, tuning.transport)
        server = PromptServer(config, "at {port}", components.shut_down)
        # Not `serve`, which takes the signals of the whole process for itself.
        serving = asyncio.create_task(server._serve(), name="server")
        try:
            await until(lambda: server.started or serving.done())
            if demo:
                await components.poller.fresh()
            yield Running(components, server, server.servers[0].sockets[0].getsockname()[1], serving)
        finally:
            server.should_exit = True
            await serving


def settings(**given: Any) -> Settings:
    """The defaults, but for what is given."""
    return Settings(**given)


async def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Waits for something that nothing announces: what a server does after a client has gone."""
    async with asyncio.timeout(seconds):
        while not await _soon(holds):
            pass


async def _soon(holds: Callable[[], object]) -> bool:
    await asyncio.sleep(0.005)
    return bool(holds())
