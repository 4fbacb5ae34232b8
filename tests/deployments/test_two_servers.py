"""Two servers that know nothing of each other and keep one exo: both notice it and say so, and back off."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest

from exo_graphql.deployments.schedule import Window
from exo_graphql.exo.poller import Poller
from tests.support.deployed_cluster import Deployed, deployed, deployments
from tests.support.polled_cluster import loop_moment
from tests.support.simulated_cluster import A, SimulatedCluster, operations

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def _second(d: Deployed) -> AsyncIterator[Deployed]:
    """Another server: its own reader, operations and store; the same exo."""
    poller = Poller(["http://exo"], transport=httpx.ASGITransport(d.w.sim.app), now=loop_moment)
    async with poller, operations(poller) as ops:
        await poller.fresh(0.0)
        async with deployments(poller, ops) as kept:
            yield Deployed(SimulatedCluster(d.w.sim, poller, ops), kept)


def _windows(*crons: tuple[str, int]) -> list[Window]:
    return [Window(cron, minutes, "UTC") for cron, minutes in crons]


def _noticed(d: Deployed) -> bool:
    return "another server may control the same exo" in d.assessment("a").reason


def _backed_off(d: Deployed) -> bool:
    return "Nothing is done for it until" in d.assessment("a").reason


async def test_of_two_servers_that_undo_each_others_loads_both_report_it_and_one_backs_off() -> None:
    """Every six minutes each loads what the other adopts, and unloads since its own window closes first."""
    async with deployed() as one, _second(one) as other:
        await one.applied("a", A, schedule=_windows(("0-54/6 * * * *", 3), ("4-58/6 * * * *", 1)))
        await other.applied("a", A, schedule=_windows(("3-57/6 * * * *", 3), ("1-55/6 * * * *", 1)))
        await asyncio.gather(*(each.until(partial(_noticed, each), 1800) for each in (one, other)))
        await asyncio.wait(
            [asyncio.create_task(each.until(partial(_backed_off, each), 3600)) for each in (one, other)],
            return_when=asyncio.FIRST_COMPLETED,
        )
        (stopped,) = [each for each in (one, other) if _backed_off(each)]
        before = [operation.id for operation in stopped.w.ops.all()]
        await asyncio.sleep(500)
        assert [operation.id for operation in stopped.w.ops.all()] == before
        assert _backed_off(stopped)
        # Unless a person wants it.
        await stopped.deployments.resume("a")
        assert not _backed_off(stopped)


async def test_what_both_loaded_after_a_loss_is_reported() -> None:
    async with deployed() as one, _second(one) as other:
        await one.applied("a", A)
        await one.until_state("a", "READY", 60)
        await other.applied("a", A)
        await other.until_state("a", "READY", 60)
        (instance,) = (await one.w.snapshot()).state.instances
        assert one.creations == 1
        assert one.assessment("a").deployment.owned == (instance,)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(one.w.sim.app), base_url="http://exo") as exo:
            placed = await exo.post("/place_instance", json={"model_id": A})
            assert placed.status_code == 200
        await one.until(lambda: "Somebody else has loaded 1 more of it." in one.assessment("a").reason, 60)
        assert one.state("a").value == "READY"
