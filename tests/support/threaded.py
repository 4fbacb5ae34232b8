"""A server in a thread, over a simulated exo, behind a relay whose connections can be cut: the commands that are tested
have an event loop of their own.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, TypeVar

from exo_graphql.simulator import SimulatedExo
from tests.support.own_time import OwnTimeLoop
from tests.support.running import PATIENCE, Running, running, until

T = TypeVar("T")

# Every question sees what has just been done, and nothing waits for the pace of a real exo: its clock runs ten times
# as fast, and so memory that is to come back is given a tenth of the time.
_EAGER = {
    "memory_seconds": 2.0,
    "max_age": 0.0,
    "normal_pause": 0.1,
    "idle_pause": 0.2,
    "fast_pause": 0.02,
    "normal_share": 0.5,
}


class Relay:
    """Passes bytes on to a port."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.connections = 0
        self.mute = False
        """Whether what the server says is thrown away."""

    async def listen(self) -> None:
        """Listens, on the same port each time."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listens no more, and cuts what is open."""
        if self._server is not None:
            self._server.close()
        self.cut()

    def cut(self) -> None:
        """Cuts what is open, as a cable would."""
        for writer in self._open:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        ends = {writer, far_writer}
        self._open |= ends
        try:
            await asyncio.wait(
                [
                    asyncio.ensure_future(_pass(reader, far_writer, lambda: False)),
                    asyncio.ensure_future(_pass(far_reader, writer, lambda: self.mute)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mute: Callable[[], bool]) -> None:
    try:
        while data := await reader.read(65536):
            if not mute():
                writer.write(data)
                await writer.drain()
    except ConnectionError:
        return


class Served:
    """What runs in the thread. Everything that touches it has to be done there: see `do` and `call`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server: Running, relay: Relay) -> None:
        self._loop = loop
        self.server = server
        self.relay = relay

    @property
    def url(self) -> str:
        """Where it answers, through the relay."""
        return f"http://127.0.0.1:{self.relay.port}/graphql"

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Awaits something in the thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def call(self, function: Callable[[], T]) -> T:
        """Calls something in the thread."""

        async def work() -> T:
            return function()

        return self.do(work())

    def until(self, holds: Callable[[], object]) -> None:
        """Waits until something holds that nothing announces."""
        self.do(until(holds))


@contextmanager
def served(exo: SimulatedExo | None, **settings: Any) -> Iterator[Served]:
    """A server in a thread of its own, until the block ends."""
    begun: list[Served] = []
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(running(exo, **{**_EAGER, **settings}))
            relay = Relay(server.port)
            await relay.listen()
            stack.push_async_callback(relay.close)
            begun.append(Served(asyncio.get_running_loop(), server, relay))
            ready.set()
            await asyncio.to_thread(done.wait)

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=OwnTimeLoop) as runner:
                runner.run(serve())
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="server")
    thread.start()
    ready.wait(PATIENCE)
    try:
        assert begun, "the server did not start"
        yield begun[0]
    finally:
        done.set()
        thread.join(PATIENCE)
