"""Running the server: uvicorn, and a shutdown that completes every subscription first."""

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Callable

import uvicorn

from exo_graphql.app import SettingsError, build
from exo_graphql.demo import SimulatedExo, parse_fault
from exo_graphql.settings import Settings

logger = logging.getLogger("exo_graphql")

# What is still open this long after SIGTERM is cut.
GRACE_SECONDS = 3


class Server(uvicorn.Server):
    """uvicorn, which says goodbye before it closes its sockets."""

    def __init__(self, config: uvicorn.Config, greeting: str, goodbye: Callable[[], None]) -> None:
        super().__init__(config)
        self._greeting = greeting
        self._goodbye = goodbye

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen, and says where."""
        await super().startup(sockets)
        if self.started:
            logger.info(self._greeting.format(port=self.servers[0].sockets[0].getsockname()[1]))
        # What start-up made lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Lets subscribers finish, then stops."""
        self._goodbye()
        await asyncio.sleep(0.05)  # what was just completed reaches its sockets
        await super().shutdown(sockets)


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
    return await _serve(Server(server_config(exo.app, host, port), greeting, lambda: None))


async def _serve(server: Server) -> int:
    with contextlib.suppress(SystemExit):
        await server.serve()
    return 0 if server.started else 1
