"""Reads that cost exo from 10 ms to 5 s: the long pauses between them do not count as silence."""

import asyncio

import pytest

from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.upstream import Unreachable
from exo_graphql.exo.pacing import Mode, PollerRules, pause
from exo_graphql.simulator import parse_fault
from tests.support.polled_cluster import Cluster, slow

pytestmark = pytest.mark.anyio

COSTS = [0.01, 0.26, 0.6, 1.1, 2.0, 5.0]


def load(cluster: Cluster) -> str:
    """A model that is ready."""
    exo = cluster.exos["a"].control
    assert exo.place(exo.cards[0]) is not None
    exo.advance(30)
    return exo.cards[0]


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("mode", ["idle", "normal", "operation", "queries"])
async def test_a_loaded_model_stays_ready_however_long_the_pauses(cost: float, mode: str) -> None:
    async with slow(cost) as cluster:
        model = load(cluster)
        await cluster.poller.read_now()
        seen: list[tuple[Phase, bool, bool]] = []

        async def alive() -> None:
            # Time passes in the simulated cluster, as in a real one.
            while True:
                await asyncio.sleep(1.0)
                cluster.exos["a"].control.advance(1.0)

        living = asyncio.create_task(alive())
        with cluster.poller.listen(lambda s: seen.append((s.status(model).phase, s.connected, s.stale))):
            seconds = 10 * pause(Mode.IDLE, cost, PollerRules())
            if mode == "normal":
                with cluster.poller.subscriber():
                    await asyncio.sleep(seconds)
            elif mode == "operation":
                with cluster.poller.operation():
                    await asyncio.sleep(seconds)
            elif mode == "queries":
                for _ in range(20):
                    snapshot = await cluster.poller.fresh()
                    assert snapshot.status(model).ready
                    await asyncio.sleep(seconds / 20)
            else:
                await asyncio.sleep(seconds)
        living.cancel()
        assert len(seen) >= 5
        assert set(seen) == {(Phase.READY, True, False)}


@pytest.mark.parametrize("cost", COSTS)
async def test_exos_own_silence_is_noticed_at_every_cost(cost: float) -> None:
    async with slow(cost) as cluster:
        model = load(cluster)
        await cluster.poller.read_now()
        cluster.exos["a"].control.inject(parse_fault("hang"))
        broke = cluster.time
        with cluster.poller.operation():
            with pytest.raises(Unreachable):
                await cluster.poller.read_now()
            asked = next(read.started for read in cluster.wire.reads(since=broke))
            snapshot = cluster.poller.snapshot
            while snapshot is None or snapshot.status(model).phase is not Phase.UNREACHABLE:
                snapshot = await cluster.poller.changed(snapshot)
            # Ten seconds after the first request without an answer, not ten after the last pause began.
            assert cluster.time - asked == pytest.approx(10.0, abs=0.51)
            assert not snapshot.connected
            cluster.exos["a"].control.clear()
            while not snapshot.status(model).ready:
                snapshot = await cluster.poller.changed(snapshot)


@pytest.mark.parametrize("cost", [1.1, 5.0])
async def test_a_machine_that_slept_between_two_reads_reads_again_at_once_and_has_lost_nothing(cost: float) -> None:
    async with slow(cost) as cluster:
        model = load(cluster)
        with cluster.poller.subscriber():
            await cluster.poller.read_now()
            await asyncio.sleep(1.0)
            seen: list[Phase] = []
            with cluster.poller.listen(lambda s: seen.append(s.status(model).phase)):
                cluster.sleep(3600.0)
                woke = cluster.time
                await cluster.poller.changed(cluster.poller.snapshot)
                assert cluster.time - woke <= cost + 0.5 + 1e-6
            assert set(seen) == {Phase.READY}


@pytest.mark.parametrize(("cost", "seconds"), [(5.0, 3600.0), (0.26, 2.6)])
async def test_a_sleep_of_the_machine_during_a_read_does_not_count_as_silence(cost: float, seconds: float) -> None:
    """Nor does a time in which other processes have it: two, or three seconds."""
    async with slow(cost) as cluster:
        model = load(cluster)
        with cluster.poller.subscriber():
            await cluster.poller.read_now()
            look = asyncio.create_task(cluster.poller.read_now())
            await cluster.until_reading()
            seen: list[tuple[Phase, bool]] = []
            with cluster.poller.listen(lambda s: seen.append((s.status(model).phase, s.connected))):
                cluster.sleep(seconds)
                await look
            assert set(seen) == {(Phase.READY, True)}


async def test_after_a_sleep_no_query_is_answered_from_before_it() -> None:
    async with slow(0.01) as cluster:
        old = await cluster.poller.fresh()
        cluster.sleep(3600.0)
        assert await cluster.poller.fresh() is not old


async def test_a_sleep_of_the_machine_during_a_read_has_cost_exo_nothing() -> None:
    """Else the next reads would wait for the time to be paid back: a minute long."""
    async with slow(0.04) as cluster:
        with cluster.poller.operation():
            await cluster.until_reading()
            cluster.sleep(30.0)
            await asyncio.sleep(1.0)
            since = cluster.time
            await asyncio.sleep(5.0)
        assert len(cluster.wire.reads(since=since)) >= 4


async def test_what_is_unloaded_is_not_shown_as_ready_by_a_server_that_wakes_up() -> None:
    """It learns at once that the operation has gone on without it, and a moment later what exo's state is."""
    async with slow(5.0) as cluster:
        model = load(cluster)
        with cluster.poller.subscriber():
            snapshot = await cluster.poller.read_now()
            (instance,) = snapshot.instances_of(model)
            cluster.poller.mark_unloading({instance.id: model})
            cluster.exos["a"].control.delete_instance(instance.id)
            look = asyncio.create_task(cluster.poller.read_now())
            await asyncio.sleep(1.0)
            seen: list[Phase] = []
            with cluster.poller.listen(lambda s: seen.append(s.status(model).phase)):
                cluster.sleep(30.0)
                await asyncio.sleep(1.0)
                cluster.poller.mark_unloading({})
                await look
            assert Phase.READY not in seen
            assert seen[-1] is Phase.NOT_LOADED
