"""A master that hangs: exo answers every read, and its state does not change."""

import asyncio

import pytest

from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.exo.poller import Poller
from exo_graphql.simulator import parse_fault
from tests.support.simulated_cluster import A, world
from tests.support.threaded_time import ThreadedTimeLoop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Virtual time, beside the thread of the journal."""
    return "asyncio", {"loop_factory": ThreadedTimeLoop}


def clock() -> float:
    return asyncio.get_running_loop().time()


async def until(poller: Poller, phase: Phase) -> Snapshot:
    snapshot = poller.snapshot
    while snapshot is None or snapshot.status(A).phase is not phase:
        snapshot = await poller.changed(snapshot)
    return snapshot


@pytest.mark.parametrize("watched", [True, False])
async def test_it_is_noticed_by_reading_and_forgotten_once_exo_works_again(watched: bool) -> None:
    async with world() as w:
        await w.given(A)
        await asyncio.sleep(30)
        assert (await w.snapshot()).status(A).ready
        began = clock()
        w.fault("master-hangs")
        if watched:
            with w.poller.subscriber():
                hung = await until(w.poller, Phase.UNREACHABLE)
        else:
            hung = await until(w.poller, Phase.UNREACHABLE)
        # At the normal pace it is read each second, else every five: fifteen seconds, and one read.
        assert 15.0 <= clock() - began <= (17.0 if watched else 21.0)
        assert (hung.connected, hung.stale, hung.healthy) == (True, True, False)
        assert "seems to hang" in hung.status(A).message
        await asyncio.sleep(120)
        assert w.poller.snapshot is not None
        assert w.poller.snapshot.status(A).phase is Phase.UNREACHABLE
        w.sim.control.clear("master-hangs")
        with w.poller.subscriber():
            back = await until(w.poller, Phase.READY)
        assert (back.stale, back.healthy) == (False, True)


async def test_an_idle_cluster_never_counts_as_hung() -> None:
    async with world() as w:
        await w.given(A)
        seen: list[bool] = []
        with w.poller.listen(lambda snapshot: seen.append(snapshot.stale)):
            await asyncio.sleep(300)
            with w.poller.subscriber():
                await asyncio.sleep(300)
        assert len(seen) >= 300
        assert not any(seen)


async def test_a_short_hang_changes_nothing() -> None:
    async with world() as w:
        await w.given(A)
        w.sim.control.inject(parse_fault(f"master-hangs@{w.sim.control.now}+12"))
        seen: list[bool] = []
        with w.poller.subscriber(), w.poller.listen(lambda snapshot: seen.append(snapshot.stale)):
            await asyncio.sleep(60)
        assert len(seen) >= 50
        assert not any(seen)
