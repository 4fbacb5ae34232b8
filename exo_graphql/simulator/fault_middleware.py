"""ASGI middleware in front of the API: counts requests, adds latency, injects transport faults."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httpx
from starlette.responses import HTMLResponse, PlainTextResponse

from exo_graphql.simulator.api import Api
from exo_graphql.simulator.simulation import Simulation

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_POLL_SECONDS = 0.02
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class FaultMiddleware:
    """ASGI middleware around exo's API."""

    def __init__(self, app: Api, simulation: Simulation) -> None:
        self._app = app
        self._simulation = simulation
        self.latency = 0.0
        """Real seconds added to every answer."""
        self.command_latency = 0.0
        """The same for everything but reads."""
        self.drop_connections = False
        """Whether requests fail as if no server listened."""
        self.closed = False
        """Whether the simulation has stopped: hanging requests end."""
        self.served = False
        """Whether a server runs the application, rather than a transport in this process."""
        self.requests: Counter[tuple[str, str]] = Counter()
        """How many came, by method and route."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (lifespan events pass through)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        simulation = self._simulation
        simulation.clock.start()
        simulation.clock.run_due()
        self.requests[scope["method"], await self._route_of(scope)] += 1
        if self.drop_connections or not simulation.cluster.api.alive:
            if not self.served:
                # In process, this is what a client's transport raises when no server listens.
                raise httpx.ConnectError("connection refused (simulated)")
            # A server cannot refuse a connection that it has accepted.
            await PlainTextResponse("connection refused (simulated)", 503)(scope, receive, send)
            return
        delay = self.latency + (0.0 if scope["method"] in _READS else self.command_latency)
        if delay > 0:
            await asyncio.sleep(delay)
        if simulation.faults.is_active("hang"):
            simulation.faults.strikes("hang")
            arrived: list[MutableMapping[str, Any]] = []
            if not await self._hang(receive, arrived):
                return
            receive = _replay(arrived, receive)
        simulation.clock.run_due()
        if simulation.faults.strikes("error"):
            await PlainTextResponse("Internal Server Error", 500)(scope, receive, send)
        elif simulation.faults.strikes("garbage"):
            page = "<!doctype html><html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>"
            await HTMLResponse(page)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _route_of(self, scope: Scope) -> str:
        if (scope["method"], scope["path"]) in self.requests:
            return str(scope["path"])  # counted under itself before, like `/state`: most requests need no search
        return await self._app.route_of(scope)

    async def _hang(self, receive: Receive, arrived: list[MutableMapping[str, Any]]) -> bool:
        """Wait while the fault is on, keeping what arrives; False if the client leaves or the simulation closes."""

        async def listen() -> None:
            while (message := await receive())["type"] != "http.disconnect":
                arrived.append(message)

        listening = asyncio.create_task(listen(), name="hanging request")
        try:
            while self._simulation.faults.is_active("hang"):
                if self.closed or listening.done():
                    return False
                await asyncio.wait([listening], timeout=_POLL_SECONDS)
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
        return True


def _replay(arrived: list[MutableMapping[str, Any]], receive: Receive) -> Receive:
    async def replay() -> MutableMapping[str, Any]:
        return arrived.pop(0) if arrived else await receive()

    return replay
