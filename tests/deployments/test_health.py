"""What deployments mean for the health of the cluster and for the status of their models."""

import pytest

from exo_graphql.simulator import Fault, tiny_scenario
from tests.support.deployed_cluster import Deployed, deployed
from tests.support.simulated_cluster import HUGE, A

pytestmark = pytest.mark.anyio


async def _later(d: Deployed, seconds: float) -> None:
    until = d.w.sim.control.now + seconds
    await d.w.until(lambda _: d.w.sim.control.now >= until, seconds + 60)


async def test_what_is_wanted_and_not_ready_for_a_minute_is_unhealthy_with_its_reason() -> None:
    async with deployed() as d:
        await d.applied("huge", HUGE)
        await d.until_state("huge", "UNSATISFIABLE", 10)
        await _later(d, 50)
        assert (await d.w.snapshot()).healthy
        await _later(d, 20)
        (reason,) = (await d.w.snapshot()).unhealthy_reasons
        assert reason.startswith("Deployment huge is UNSATISFIABLE: test/huge needs")
        await d.deployments.pause("huge")
        assert (await d.w.snapshot()).healthy


async def test_further_attempts_do_not_make_it_healthy_in_between_and_its_absence_is_not_final() -> None:
    async with deployed() as d:
        d.w.fault(f"load-fails:{A}")
        await d.applied("a", A)
        await d.until_state("a", "RETRYING", 300)
        await _later(d, 70)
        while d.state("a").value != "PROGRESSING":
            await _later(d, 1)
        snapshot = await d.w.snapshot()
        assert any(reason.startswith("Deployment a is") for reason in snapshot.unhealthy_reasons)
        await d.until_state("a", "RETRYING", 300)
        assert not (await d.w.snapshot()).status(A).final
        await d.deployments.pause("a")
        assert (await d.w.snapshot()).status(A).final


async def test_a_load_that_follows_on_a_long_absence_is_not_called_slow() -> None:
    async with deployed(tiny_scenario(3)) as d:
        await d.applied("a", A, nodes=["node-2"])
        await d.until_state("a", "READY", 60)
        d.w.sim.control.inject(Fault("node-dies", "node-2", at=d.w.sim.control.now, duration=150.0))
        await d.until_state("a", "UNSATISFIABLE", 120)
        await d.until_state("a", "PROGRESSING", 200)
        reasons = (await d.w.snapshot()).unhealthy_reasons
        assert "Deployment a is PROGRESSING: it is loaded again, and not ready yet." in reasons
