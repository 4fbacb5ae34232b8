"""A simulated exo, the poller that reads it, and operations upon it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import httpx

from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Upstream
from exo_graphql.exo.gate import Gate
from exo_graphql.exo.poller import Poller
from exo_graphql.operations import Operation, OperationError, OperationRules, Operations
from exo_graphql.simulator import Scenario, SimulatedExo, parse_fault, tiny_scenario
from exo_graphql.simulator import clock as demo_clock
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.polled_cluster import loop_moment, loop_now

A, B, C = "test/tiny-a", "test/tiny-b", "test/tiny-c"
# Seconds for each node: three take 38.7 ms (`exo/API.md`). A faster exo is read more often than a real one ever is.
LATENCY = 0.013
HALF, OTHER_HALF, ABSENT, HUGE = "test/half", "test/other-half", "test/absent", "test/huge"


@dataclass
class SimulatedCluster:
    """`ops` are entered; `sim.control` injects faults and acts as another client of exo."""

    sim: SimulatedExo
    poller: Poller
    ops: Operations

    def fault(self, spelling: str) -> None:
        """Orders a fault of the simulated exo."""
        self.sim.control.inject(parse_fault(spelling))

    async def snapshot(self) -> Snapshot:
        """A fresh one."""
        return await self.poller.fresh(0.0)

    async def until(self, holds: Callable[[Snapshot], bool], seconds: float = 300.0) -> Snapshot:
        """The first snapshot for which it holds."""
        with self.poller.operation():
            return await self._until(holds, seconds)

    async def _until(self, holds: Callable[[Snapshot], bool], seconds: float) -> Snapshot:
        async with asyncio.timeout(seconds):
            snapshot = await self.snapshot()
            while not holds(snapshot):
                snapshot = await self.poller.changed(snapshot)
            return snapshot

    async def serving(self) -> list[str]:
        """The model of each instance that is ready."""
        snapshot = await self.snapshot()
        return sorted(
            instance.model_id
            for instance in snapshot.state.instances.values()
            if snapshot.instance_status(instance.id).ready
        )

    async def listed(self) -> list[str]:
        """The model of each instance, in any phase."""
        return sorted(instance.model_id for instance in (await self.snapshot()).state.instances.values())

    async def given(self, *models: str) -> None:
        """Another client has loaded these."""
        for model in models:
            assert self.sim.control.place(model) is not None
            await self.until(partial(_is_ready, model))

    async def end(self, operation: Operation | OperationError, ops: Operations | None = None) -> Operation:
        """The operation once it has ended."""
        return await self.when(operation, lambda now: not now.active, ops)

    async def when(
        self,
        operation: Operation | OperationError,
        holds: Callable[[Operation], bool],
        ops: Operations | None = None,
        seconds: float = 3600.0,
    ) -> Operation:
        """The operation as soon as it holds."""
        assert isinstance(operation, Operation), operation
        ops = ops or self.ops
        changed = asyncio.Event()
        stop = ops.listen(changed.set)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    changed.clear()
                    now = ops.get(operation.id)
                    assert now is not None
                    if holds(now):
                        return now
                    await changed.wait()
        finally:
            stop()

    async def loaded(self, model: str) -> Operation:
        """Loads a model to the end."""
        operation = await self.end(await self.ops.load(model))
        assert operation.state.value == "SUCCEEDED", operation
        return operation


def _is_ready(model: str, snapshot: Snapshot) -> bool:
    return snapshot.status(model).ready


def begun(answer: Operation | OperationError) -> Operation:
    """The operation that a request started."""
    assert isinstance(answer, Operation), answer
    return answer


def phase_of(snapshot: Snapshot, model: str) -> Phase:
    """Where the model stands."""
    return snapshot.status(model).phase


@asynccontextmanager
async def operations(
    upstream: Upstream, path: Path | None = None, rules: OperationRules | None = None
) -> AsyncIterator[Operations]:
    """Operations over a store of their own, whose clocks are the loop's."""
    store = SQLiteStore(path)
    await store.open()
    try:
        async with Operations(
            upstream,
            store,
            rules or OperationRules(),
            clock=lambda: asyncio.get_running_loop().time(),
            now=loop_now,
        ) as ops:
            yield ops
    finally:
        await store.close()


@asynccontextmanager
async def world(
    scenario: Scenario | None = None,
    journal: Path | None = None,
    rules: OperationRules | None = None,
    seed: int = 1,
    gate: Gate | None = None,
) -> AsyncIterator[SimulatedCluster]:
    """Everything started, the first snapshot read. The ids that exo draws follow from `seed`; `gate`: see `Poller`."""
    # The simulation lives by the loop's time too, so that all clocks are one.
    loop_time = SimpleNamespace(monotonic=asyncio.get_running_loop().time)
    with patch.object(demo_clock, "time", loop_time):
        scenario = scenario or tiny_scenario()
        sim = SimulatedExo(scenario, seed=seed)
        sim.control.latency = LATENCY * len(scenario.machines)
        poller = Poller(["http://exo"], transport=httpx.ASGITransport(sim.app), now=loop_moment, gate=gate)
        async with sim, poller, operations(poller, journal, rules) as ops:
            await poller.fresh(0.0)
            yield SimulatedCluster(sim, poller, ops)


def steps(operation: Operation) -> dict[str, str]:
    """Names and states of the steps."""
    return {step.name: step.state.value for step in operation.steps}
