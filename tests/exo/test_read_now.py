"""The reads of an operation: at once, never older than the call, and bounded in what they cost exo."""

import asyncio
from itertools import pairwise

import pytest

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Unreachable
from exo_graphql.exo.credit import URGENT_READS
from exo_graphql.exo.pacing import WHOLE_EVERY, Mode, PollerRules, pause
from exo_graphql.simulator import parse_fault
from tests.support.polled_cluster import Cluster, running, slow

pytestmark = pytest.mark.anyio

COSTS = [0.01, 0.039, 0.26, 1.1, 2.0, 5.0]


async def read_began_after(cluster: Cluster, asked: float) -> Snapshot:
    """Reads now, and asserts that the snapshot is the answer to a read that began after `asked`."""
    before = cluster.poller.snapshot
    snapshot = await cluster.poller.read_now()
    done = [read for read in cluster.wire.reads(since=asked) if read.ended is not None]
    assert done, "no read began after the call"
    assert snapshot is not before
    return snapshot


@pytest.mark.parametrize("cost", COSTS)
async def test_a_read_begins_at_once_and_never_before_the_call(cost: float) -> None:
    async with slow(cost) as cluster:
        with cluster.poller.operation():
            await asyncio.sleep(cost * 100)
            for _ in range(3):
                await asyncio.sleep(pause(Mode.FAST, cost, PollerRules()) / 2)
                asked = cluster.time
                await read_began_after(cluster, asked)
                # A read under way began too early: it has to end first.
                assert cluster.time - asked <= 2 * cost + 1e-6


@pytest.mark.parametrize("cost", COSTS)
async def test_a_query_gets_no_older_one_either_but_waits_a_second_at_most(cost: float) -> None:
    async with slow(cost) as cluster:
        await asyncio.sleep(cost * 100)
        asked = cluster.time
        snapshot = await cluster.poller.fresh(0.0)
        assert cluster.time - asked <= 1.0
        assert snapshot.connected


async def test_a_read_that_is_under_way_is_too_old() -> None:
    async with slow(1.0) as cluster:
        with cluster.poller.operation():
            await cluster.until_reading()
            await read_began_after(cluster, cluster.time)


async def test_a_read_shows_what_was_done_before_it() -> None:
    async with slow(0.26) as cluster:
        with cluster.poller.operation():
            exo = cluster.exos["a"].control
            for turn in range(3):
                await asyncio.sleep(0.3 * turn)
                instance = exo.place(exo.cards[turn])
                assert instance is not None
                assert instance in (await cluster.poller.read_now()).state.instances


async def test_concurrent_calls_share_a_read() -> None:
    async with slow(0.26) as cluster:
        await asyncio.sleep(10)
        before = len(cluster.wire.reads())
        looks = await asyncio.gather(*(cluster.poller.read_now() for _ in range(100)))
        assert len(cluster.wire.reads()) == before + 1
        assert len({id(look) for look in looks}) == 1


@pytest.mark.parametrize("cost", [0.013, 0.039, 0.26, 1.1])
async def test_an_operation_that_reads_in_a_loop_keeps_to_the_share_in_the_long_run(cost: float) -> None:
    async with slow(cost) as cluster:
        await asyncio.sleep(cost * 200)
        begun = cluster.time
        with cluster.poller.operation():
            while cluster.time - begun < 200 * max(cost, 0.1):
                await cluster.poller.read_now()
        spent = sum(read.ended - read.started for read in cluster.wire.reads(since=begun) if read.ended is not None)
        assert spent <= 0.15 * (cluster.time - begun) + (URGENT_READS + 1) * cost
        # The first ones do not wait; the last ones come at the pace of an operation.
        reads = cluster.wire.reads(since=begun)
        pauses = [b.started - a.ended for a, b in pairwise(reads) if a.ended is not None]
        assert max(pauses[: URGENT_READS - 1]) == pytest.approx(0.0, abs=1e-6)
        assert min(pauses[-3:]) == pytest.approx(pause(Mode.FAST, cost, PollerRules()), rel=0.01)


@pytest.mark.parametrize("cost", [0.013, 0.26])
async def test_what_was_read_early_is_paid_back_by_later_reads(cost: float) -> None:
    async with slow(cost) as cluster:
        await asyncio.sleep(cost * 200)
        begun = cluster.time
        with cluster.poller.operation():
            for _ in range(20):
                for _ in range(4):
                    await cluster.poller.read_now()
                await asyncio.sleep(30 * max(cost, 0.1))
        assert cluster.wire.share(begun, cluster.time) <= 0.15 + URGENT_READS * cost / (cluster.time - begun)
        with cluster.poller.operation():
            await asyncio.sleep(300 * max(cost, 0.1))
        reads = cluster.wire.reads()[-4:-1]
        pauses = [b.started - a.ended for a, b in pairwise(reads) if a.ended is not None]
        usual = pause(Mode.FAST, cost, PollerRules())
        # While cheap reads look for news, whole ones only show progress.
        assert pauses in (
            pytest.approx([usual] * 2),
            pytest.approx([WHOLE_EVERY * usual] * 2),
        ), "all is paid back"


async def test_a_wait_for_a_change_can_be_urgent_too() -> None:
    async with slow(0.26) as cluster:
        with cluster.poller.operation():
            await asyncio.sleep(20)
            last = await cluster.poller.changed(cluster.poller.snapshot)
            asked = cluster.time
            await cluster.poller.changed(last, urgent=True)
            assert cluster.time - asked == pytest.approx(cluster.cost)


@pytest.mark.parametrize("fault", ["refuse", "hang", "error", "garbage"])
@pytest.mark.parametrize("cost", [0.01, 1.1, 5.0])
async def test_a_read_of_an_exo_that_gives_no_state_fails_and_is_not_answered_from_an_old_one(
    fault: str, cost: float
) -> None:
    async with slow(cost) as cluster:
        await asyncio.sleep(cost * 100)
        exo = cluster.exos["a"].control
        if fault == "refuse":
            exo.drop_connections = True
        else:
            exo.inject(parse_fault(fault))
        asked = cluster.time
        with cluster.poller.operation():
            for _ in range(5):
                with pytest.raises(Unreachable):
                    await cluster.poller.read_now()
                await asyncio.sleep(0.5)
        assert cluster.time - asked <= 30 + 10 * cost
        exo.drop_connections = False
        exo.clear()
        async with asyncio.timeout(10 + 20 * cost):
            while True:
                try:
                    await read_began_after(cluster, cluster.time)
                except Unreachable:
                    await asyncio.sleep(0.5)
                else:
                    break


async def test_one_url_that_fails_does_not_fail_a_read_while_another_answers() -> None:
    async with running("ab") as cluster:
        cluster.exos["a"].control.drop_connections = True
        assert (await cluster.poller.read_now()).exo_url == "http://b"


async def test_before_the_first_snapshot_a_read_fails_in_time() -> None:
    cluster = Cluster("a")
    cluster.exos["a"].control.drop_connections = True
    async with cluster.poller:
        with pytest.raises(Unreachable):
            await cluster.poller.read_now()
        with pytest.raises(Unreachable):
            await cluster.poller.read_now()
        assert cluster.time <= 5.1


async def test_a_caller_that_waits_when_reading_ends_is_not_left_waiting() -> None:
    async with slow(5.0) as cluster:
        look = asyncio.create_task(cluster.poller.read_now())
        await asyncio.sleep(1.0)
    with pytest.raises(Unreachable):
        await look
