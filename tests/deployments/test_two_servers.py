"""Two servers that know nothing of each other and keep one exo: both notice it and say so, and back off."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance
from exo_graphql.deployments.schedule import Window
from exo_graphql.exo.poller import Poller
from exo_graphql.simulator import Fault, tiny_scenario
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


async def test_two_servers_that_undo_each_others_loads_both_report_it_and_back_off() -> None:
    """Every six minutes each loads what the other adopts, and unloads since its own window closes first."""
    async with deployed() as one, _second(one) as other:
        await one.applied("a", A, schedule=_windows(("0-54/6 * * * *", 3), ("4-58/6 * * * *", 1)))
        await other.applied("a", A, schedule=_windows(("3-57/6 * * * *", 3), ("1-55/6 * * * *", 1)))
        await asyncio.gather(*(each.until(partial(_noticed, each), 1800) for each in (one, other)))
        await asyncio.gather(*(each.until(partial(_backed_off, each), 3600) for each in (one, other)))
        await asyncio.sleep(60)
        before = [operation.id for each in (one, other) for operation in each.w.ops.all()]
        await asyncio.sleep(400)
        assert [operation.id for each in (one, other) for operation in each.w.ops.all()] == before
        assert _backed_off(one)
        assert _backed_off(other)
        # Unless a person wants it.
        await one.deployments.resume("a")
        assert not _backed_off(one)


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


async def test_what_both_place_after_one_loss_is_removed_again_by_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    both, create = asyncio.Barrier(2), Poller.create

    async def created(poller: Poller, instance: Instance) -> None:
        await both.wait()  # neither shows in exo's state before the other one is placed as well
        await create(poller, instance)

    monkeypatch.setattr(Poller, "create", created)
    async with deployed(tiny_scenario(3)) as one, _second(one) as other:
        servers = (one, other)
        one.w.sim.control.place(A, ["node-2"])
        for each in servers:
            await each.w.until(lambda snapshot: snapshot.status(A).ready, 60)
            await each.applied("a", A)
            await each.until_state("a", "READY", 60)
        most, ready = 0, []

        def count(snapshot: Snapshot) -> None:
            nonlocal most
            most = max(most, len(snapshot.instances_of(A)))
            if most == 2:
                ready.append(any(snapshot.instance_status(i.id).ready for i in snapshot.instances_of(A)))

        one.w.sim.control.inject(Fault("node-dies", "node-2", at=one.w.sim.control.now, duration=3600.0))
        with one.w.poller.listen(count), one.w.poller.operation(), other.w.poller.operation():
            for each in servers:
                await each.until(lambda each=each: each.state("a").value != "READY", 60)  # type: ignore[misc]
            await asyncio.gather(*(each.until(partial(_noticed, each), 120) for each in servers))
            assert most == 2
            await one.w.until(lambda snapshot: len(snapshot.instances_of(A)) == 1, 60)
            # From the first copy that was ready on, one was.
            assert ready[ready.index(True) :] == [True] * (len(ready) - ready.index(True))
        await asyncio.sleep(300)
        assert [each.state("a").value for each in servers] == ["READY", "READY"]
        assert len((await one.w.snapshot()).instances_of(A)) == 1
