"""The simulated exo: an ASGI application with a cluster behind it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self

from exo_graphql.simulator.api import Api
from exo_graphql.simulator.control import TestControl
from exo_graphql.simulator.fault_middleware import FaultMiddleware
from exo_graphql.simulator.faults import Fault
from exo_graphql.simulator.scenario import Scenario, default_scenario
from exo_graphql.simulator.simulation import Simulation

_SHORTEST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5


class SimulatedExo:
    """exo's HTTP contract over a simulated cluster.

    `app` is the ASGI application. Time runs from `async with` (or from the first request, or from the start of
    the application's lifespan when a server runs it) at `speed` simulated seconds a second. `seed` makes ids and
    random values repeatable.
    """

    def __init__(
        self,
        scenario: Scenario | None = None,
        speed: float = 1.0,
        faults: Sequence[Fault] = (),
        *,
        seed: int | None = None,
    ) -> None:
        self._simulation = Simulation(default_scenario() if scenario is None else scenario, speed, seed)
        self._middleware = FaultMiddleware(Api(self._simulation, self._lifespan), self._simulation)
        self._task: asyncio.Task[None] | None = None
        self.app = self._middleware
        self.control = TestControl(self._simulation, self._middleware)
        for fault in faults:
            self._simulation.order(fault)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: object) -> AsyncIterator[None]:
        self._middleware.served = True
        if self._task is not None:
            yield
            return
        async with self:
            yield

    async def __aenter__(self) -> Self:
        """Let time run."""
        self._middleware.closed = False
        self._simulation.clock.start()
        self._task = asyncio.create_task(self._tick(), name="simulated exo")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop; hanging requests are released."""
        self._middleware.closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _tick(self) -> None:
        clock = self._simulation.clock
        while True:
            clock.run_due()
            pause = clock.real_seconds_to_next()
            await asyncio.sleep(min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, pause or 0.0)))
