"""A simulated exo, operations upon it, and deployments that are kept."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from exo_graphql.cluster.upstream import Upstream
from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.deployment import DeploymentState
from exo_graphql.deployments.service import Deployments
from exo_graphql.deployments.validation import Declaration
from exo_graphql.operations import OperationRules, Operations
from exo_graphql.simulator import Scenario, tiny_scenario
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.polled_cluster import loop_moment
from tests.support.simulated_cluster import SimulatedCluster, world


@dataclass
class Deployed:
    """`deployments` are entered, and reconcile."""

    w: SimulatedCluster
    deployments: Deployments

    async def applied(self, name: str, model: str, **more: object) -> Assessment:
        """Declares one."""
        outcome = await self.deployments.apply(Declaration(name, model, **more))  # type: ignore[arg-type]
        assert outcome.error is None, outcome.error
        assert outcome.assessment is not None
        return outcome.assessment

    def state(self, name: str) -> DeploymentState:
        """As last assessed."""
        return self.assessment(name).state

    def assessment(self, name: str) -> Assessment:
        """As last assessed."""
        found = self.deployments.get(name)
        assert found is not None, name
        return found

    async def until(self, holds: Callable[[], bool], seconds: float = 600.0) -> float:
        """Waits until it holds after a change of a deployment; returns the seconds that passed."""
        loop = asyncio.get_running_loop()
        began, changed = loop.time(), asyncio.Event()
        stop = self.deployments.listen(changed.set)
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            shown = [(a.deployment.name, a.state.value, a.reason) for a in self.deployments.all()]
            raise AssertionError(f"not within {seconds:g} s: {shown}") from None
        finally:
            stop()
        return loop.time() - began

    async def until_state(self, name: str, state: str, seconds: float = 600.0) -> float:
        """Waits for a state."""
        return await self.until(lambda: self.state(name).value == state, seconds)

    @property
    def creations(self) -> int:
        """Instances that exo was asked for, however often."""
        return self.commands["POST", "/instance"]

    @property
    def commands(self) -> Counter[tuple[str, str]]:
        """What exo received, by method and route."""
        return self.w.sim.control.requests


@asynccontextmanager
async def deployments(upstream: Upstream, ops: Operations, path: Path | None = None) -> AsyncIterator[Deployments]:
    """Deployments over a store of their own, whose clocks are the loop's."""
    store = SQLiteStore(path)
    await store.open()
    try:
        async with Deployments(upstream, ops, store, now=loop_moment) as kept:
            yield kept
    finally:
        await store.close()


@asynccontextmanager
async def deployed(
    scenario: Scenario | None = None,
    journal: Path | None = None,
    store: Path | None = None,
    rules: OperationRules | None = None,
    seed: int = 1,
) -> AsyncIterator[Deployed]:
    """Everything started."""
    async with (
        world(scenario or tiny_scenario(), journal, rules, seed) as w,
        deployments(w.poller, w.ops, store) as kept,
    ):
        yield Deployed(w, kept)
