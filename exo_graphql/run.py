"""Running the server: uvicorn, and a shutdown that completes every subscription first."""

import contextlib
import gc
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator

import uvicorn

from exo_graphql.app import SettingsError, build
from exo_graphql.demo import SimulatedExo, parse_fault
from exo_graphql.settings import Settings

logger = logging.getLogger("exo_graphql")

# What is still open this long after everybody was told is cut.
GRACE_SECONDS = 2
# A connection on which nothing that was sent has been received for as long is cut: its client has gone without a
# word, or does not read.
UNREAD_SECONDS = 60


class Server(uvicorn.Server):
    """uvicorn, which says goodbye before it closes its sockets."""

    def __init__(self, config: uvicorn.Config, greeting: str, goodbye: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._greeting = greeting
        self._goodbye = goodbye

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen, and says where."""
        await super().startup(sockets)
        if self.started:
            listeners = [listener for server in self.servers for listener in server.sockets]
            _give_up_on_the_dead(listeners)
            logger.info(self._greeting.format(port=listeners[0].getsockname()[1]))
        # What start-up made lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts nobody any more, lets subscribers finish, then stops."""
        for server in self.servers:
            server.close()
        await self._goodbye()
        await super().shutdown(sockets)


def _give_up_on_the_dead(listeners: Iterable[socket.socket]) -> None:
    """Lets the kernel cut what is not received. Linux alone can be told; connections inherit it from the listener."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        for listener in listeners:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)


def server_config(app: object, host: str, port: int) -> uvicorn.Config:
    """uvicorn as it is run everywhere, tests and benchmarks included."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # a plain ASGI application
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        # Compressing each message for each of a thousand subscribers costs more than it saves on a local network.
        ws_per_message_deflate=False,
    )


async def run(settings: Settings) -> int:
    """Serves until a signal ends it; returns the exit code."""
    try:
        house = build(settings)
    except SettingsError as error:
        logger.error("%s", error)  # noqa: TRY400  # what to do, not where we were
        return 2
    config = server_config(house.application, settings.host, settings.port)
    greeting = f"GraphQL at http://{settings.host}:{{port}}/graphql"
    return await _serve(Server(config, greeting, house.shut_down))


async def run_simulation(host: str, port: int, speed: float, faults: list[str]) -> int:
    """Serves a simulated exo until a signal ends it."""
    exo = SimulatedExo(speed=speed, faults=[parse_fault(text) for text in faults])
    greeting = f"exo, simulated, at http://{host}:{{port}}"
    return await _serve(Server(server_config(exo.app, host, port), greeting, _no_goodbye))


async def _no_goodbye() -> None:
    return


async def _serve(server: Server) -> int:
    with contextlib.suppress(SystemExit), _signals_only_end_it():
        await server.serve()
    return 0 if server.started else 1


@contextlib.contextmanager
def _signals_only_end_it() -> Iterator[None]:
    """uvicorn sends itself the signal that it has obeyed; that must not end the process before all is put away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
