"""One poller for all clients: how often it reads, what it publishes, what it leaves behind."""

import asyncio
from contextlib import ExitStack
from itertools import pairwise

import pytest

from exo_graphql.app import build
from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Unreachable, Upstream
from exo_graphql.exo.pacing import Mode, PollerRules
from exo_graphql.settings import Settings
from exo_graphql.simulator import parse_fault
from tests.support.polled_cluster import Cluster, running, slow

pytestmark = pytest.mark.anyio


def mode(cluster: Cluster) -> Mode:
    return cluster.poller.mode


async def follow(cluster: Cluster, seen: list[Snapshot]) -> None:
    """A client that waits for each snapshot."""
    snapshot = cluster.poller.snapshot
    while True:
        snapshot = await cluster.poller.changed(snapshot)
        seen.append(snapshot)


@pytest.mark.parametrize("clients", [1, 500])
async def test_exo_sees_the_same_requests_for_any_number_of_clients(clients: int) -> None:
    async with running() as cluster, asyncio.TaskGroup() as tasks:
        await asyncio.sleep(0.5)  # the catalogue has come: a snapshot without a read
        begun = cluster.time
        with ExitStack() as looking:
            seen: list[Snapshot] = []
            followers = []
            for _ in range(clients):
                looking.enter_context(cluster.poller.subscriber())
                followers.append(tasks.create_task(follow(cluster, seen)))
            await asyncio.sleep(30)
        for follower in followers:
            follower.cancel()
        # One each 1.039 s.
        reads = cluster.wire.reads(since=begun)
        assert len(reads) == 29
        assert len(seen) == clients * len(reads)
        assert len(cluster.wire.requests) - len(reads) == 3, "the first snapshot, the node's id and the catalogue"


async def test_at_the_normal_pace_it_reads_once_a_second_and_takes_less_than_a_twentieth_of_exos_time() -> None:
    async with running(cost=0.039) as cluster:
        begun = cluster.time
        with cluster.poller.subscriber():
            await asyncio.sleep(60)
        starts = [read.started for read in cluster.wire.reads(since=begun)]
        assert min(b - a for a, b in pairwise(starts)) >= 1.0
        assert 0.03 < cluster.wire.share(begun, cluster.time) <= 0.05


async def test_an_expensive_state_is_read_less_often_so_that_the_share_stays() -> None:
    async with slow(0.26) as cluster:
        begun = cluster.time
        with cluster.poller.subscriber():
            await asyncio.sleep(120)
        whole = sum(r.ended - r.started for r in cluster.wire.reads(since=begun) if r.ended is not None)
        assert 0.045 < whole / 120 <= 0.051
        assert cluster.wire.share(begun, cluster.time) <= 0.081, "cheap reads take three more of a hundred"


@pytest.mark.parametrize("cost", [0.013, 0.039, 0.26])
async def test_an_operation_is_read_at_the_fast_pace_within_its_share(cost: float) -> None:
    async with running(cost=cost) as cluster:
        begun = cluster.time
        with cluster.poller.operation():
            assert mode(cluster) is Mode.FAST
            await asyncio.sleep(60)
        reads = cluster.wire.reads(since=begun)
        pauses = [b.started - a.ended for a, b in pairwise(reads) if a.ended is not None]
        assert min(pauses) >= 0.1 - 1e-9
        assert 0.1 < cluster.wire.share(begun, cluster.time) <= 0.151
        assert mode(cluster) is Mode.IDLE


async def test_a_model_in_transition_is_read_at_the_fast_pace_while_there_is_a_subscriber() -> None:
    async with running() as cluster:
        model = cluster.exos["a"].control.cards[0]
        assert cluster.exos["a"].control.place(model) is not None
        cluster.exos["a"].control.advance(0.05)
        await cluster.poller.fresh(0.0)
        assert mode(cluster) is Mode.IDLE, "no demand"
        with cluster.poller.subscriber():
            assert mode(cluster) is Mode.FAST
            exo = cluster.exos["a"].control
            phases: list[Phase] = []
            for _ in range(400):
                exo.advance(0.1)
                status = (await cluster.poller.fresh(0.0)).status(model)
                if status.phase not in phases[-1:]:
                    phases.append(status.phase)
                if status.ready:
                    break
            assert phases[-1] is Phase.READY
            assert Phase.LOADING in phases
            assert mode(cluster) is Mode.NORMAL, "it has arrived"


async def side_by_side(cluster: Cluster, seconds: float) -> None:
    """Lets as much time pass in the simulated cluster as here."""
    for _ in range(round(seconds / 0.1)):
        cluster.exos["a"].control.advance(0.1)
        await asyncio.sleep(0.1)


async def test_a_model_that_failed_is_read_at_the_fast_pace_since_exo_tries_it_again() -> None:
    async with running() as cluster:
        exo = cluster.exos["a"].control
        model = exo.cards[0]
        exo.inject(parse_fault(f"load-fails:{model}"))
        assert exo.place(model) is not None
        with cluster.poller.subscriber():
            seen: dict[Phase, set[Mode]] = {}
            with cluster.poller.listen(lambda s: seen.setdefault(s.status(model).phase, set()).add(mode(cluster))):
                await side_by_side(cluster, 20.0)
            assert seen[Phase.FAILED] == {Mode.FAST}


async def test_a_model_that_was_given_up_is_not_read_at_the_fast_pace_for_ever() -> None:
    async with running() as cluster:
        exo = cluster.exos["a"].control
        model = exo.cards[0]
        for node in (await cluster.poller.fresh()).nodes:
            await cluster.poller.delete_download(node.id, model)
        exo.inject(parse_fault(f"download-fails:{model}"))
        exo.advance(1.0)
        assert exo.place(model) is not None
        with cluster.poller.subscriber():
            await side_by_side(cluster, 5.0)
            assert mode(cluster) is Mode.FAST
            await side_by_side(cluster, 35.0)
            status = (await cluster.poller.fresh()).status(model)
            assert (status.final, mode(cluster)) == (True, Mode.NORMAL)


async def test_without_demand_it_reads_seldom() -> None:
    async with running() as cluster:
        begun = cluster.time
        await asyncio.sleep(60)
        assert len(cluster.wire.reads(since=begun)) == 11


async def test_the_first_subscriber_does_not_wait_for_the_idle_pause() -> None:
    async with running() as cluster:
        await asyncio.sleep(4.0)
        before = cluster.time
        with cluster.poller.subscriber():
            await cluster.poller.changed(cluster.poller.snapshot)
        assert cluster.time - before == pytest.approx(cluster.cost)


async def test_a_query_refreshes_an_old_snapshot_once_for_all_who_wait() -> None:
    async with running() as cluster:
        await asyncio.sleep(3.0)
        before = len(cluster.wire.reads())
        snapshots = await asyncio.gather(*(cluster.poller.fresh() for _ in range(200)))
        assert len(cluster.wire.reads()) == before + 1
        assert len({id(snapshot) for snapshot in snapshots}) == 1


async def test_a_query_that_joins_a_read_under_way_requests_no_other() -> None:
    async with running() as cluster:
        await asyncio.sleep(3.0)
        first = asyncio.create_task(cluster.poller.fresh())
        await asyncio.sleep(0.01)
        begun = cluster.time
        assert await cluster.poller.fresh() is await first
        await asyncio.sleep(3.0)
        assert cluster.wire.reads(since=begun) == []


async def test_a_query_is_answered_at_once_from_a_young_snapshot() -> None:
    async with running() as cluster:
        await asyncio.sleep(0.9)
        before = cluster.time, len(cluster.wire.requests)
        await cluster.poller.fresh()
        assert (cluster.time, len(cluster.wire.requests)) == before


async def test_read_now_returns_a_read_that_began_after_the_call() -> None:
    async with running() as cluster:
        with cluster.poller.operation():
            await cluster.until_reading()
            asked = cluster.time
            await cluster.poller.fresh(0.0)
            assert [read for read in cluster.wire.reads(since=asked) if read.ended is not None]


async def test_queries_in_a_row_do_not_cause_more_reads_than_they_need() -> None:
    async with running() as cluster:
        begun = cluster.time
        while cluster.time - begun < 30:
            await cluster.poller.fresh()
            await asyncio.sleep(0.05)
        assert 25 <= len(cluster.wire.reads(since=begun)) <= 30


async def test_a_query_waits_a_second_at_most_for_an_exo_that_hangs() -> None:
    async with running() as cluster:
        await asyncio.sleep(3.0)
        old = cluster.poller.snapshot
        cluster.exos["a"].control.inject(parse_fault("hang"))
        before = cluster.time
        assert await cluster.poller.fresh() is old
        assert cluster.time - before == pytest.approx(1.0)


async def test_before_the_first_snapshot_a_query_waits_five_seconds_and_then_says_so() -> None:
    cluster = Cluster("a")
    cluster.exos["a"].control.drop_connections = True
    async with cluster.poller:
        with pytest.raises(Unreachable, match="No exo node has reported the state"):
            await cluster.poller.fresh()
        assert cluster.time == pytest.approx(5.0)
        assert cluster.poller.snapshot is None


async def test_before_the_first_snapshot_a_subscriber_waits_for_it() -> None:
    cluster = Cluster("a")
    cluster.exos["a"].control.drop_connections = True
    async with cluster.poller, asyncio.timeout(60):
        waiting = asyncio.create_task(cluster.poller.changed(None))
        await asyncio.sleep(20)
        assert not waiting.done()
        cluster.exos["a"].control.drop_connections = False
        assert (await waiting).node_count == 2
        assert cluster.time <= 20 + 1.2


async def test_every_snapshot_reaches_listeners_and_waiters_alike() -> None:
    async with running() as cluster:
        received: list[Snapshot] = []

        def fails(_: Snapshot) -> None:
            raise RuntimeError("a fault of the listener's own")

        with cluster.poller.listen(fails), cluster.poller.listen(received.append), cluster.poller.subscriber():
            first = await cluster.poller.changed(cluster.poller.snapshot)
            second = await cluster.poller.changed(first)
        assert received == [first, second]
        await cluster.poller.changed(second)
        assert received == [first, second], "no call after it left"


async def test_a_snapshot_in_which_only_clocks_moved_keeps_its_version_and_is_still_published() -> None:
    async with running() as cluster:
        await asyncio.sleep(0.5)  # the catalogue has come
        with cluster.poller.subscriber():
            first = await cluster.poller.changed(cluster.poller.snapshot)
            second = await cluster.poller.changed(first)
        assert second.observed_at > first.observed_at
        assert second.same_as(first) == (second.version == first.version)


async def test_a_body_that_is_the_same_again_is_not_parsed_again() -> None:
    async with running(cost=0.01) as cluster, asyncio.TaskGroup() as tasks:
        seen: list[Snapshot] = []
        with cluster.poller.operation():
            follower = tasks.create_task(follow(cluster, seen))
            await asyncio.sleep(3)
            cluster.exos["a"].control.place("test/tiny-a")
            await asyncio.sleep(3)
            follower.cancel()
        bodies = {snapshot.state.index for snapshot in seen}
        assert len(seen) > 5 * len(bodies) > 5
        assert len({id(snapshot.state) for snapshot in seen}) == len(bodies)
        assert seen[-1].state.instances
        assert all(later.observed_at > earlier.observed_at for earlier, later in pairwise(seen))


async def test_an_instance_marked_as_unloading_is_shown_so_at_once() -> None:
    async with running() as cluster:
        exo = cluster.exos["a"].control
        model = exo.cards[0]
        instance = exo.place(model)
        assert instance is not None
        exo.advance(30)
        assert (await cluster.poller.fresh(0.0)).status(model).ready
        cluster.poller.mark_unloading({instance: model})
        assert cluster.poller.snapshot is not None
        assert cluster.poller.snapshot.status(model).phase is Phase.UNLOADING
        cluster.poller.mark_unloading({})
        assert cluster.poller.snapshot.status(model).ready


async def test_the_catalogue_is_read_at_the_start_and_each_minute_while_there_is_demand() -> None:
    def asked() -> int:
        return sum(request.path == "/models" for request in cluster.wire.requests)

    async with running() as cluster:
        await asyncio.sleep(1.0)
        assert asked() == 1
        assert cluster.poller.snapshot is not None
        assert set(cluster.poller.snapshot.catalogue) == set(cluster.exos["a"].control.cards)
        await asyncio.sleep(180)
        assert asked() == 1, "no demand"
        with cluster.poller.subscriber():
            await asyncio.sleep(179)
        assert asked() == 1 + 3


async def test_a_catalogue_that_cannot_be_read_harms_nothing_and_is_tried_again_later() -> None:
    cluster = Cluster("a")
    cluster.wire.missing.add("/models")
    async with cluster.poller:
        await cluster.poller.fresh()
        with cluster.poller.subscriber():
            await asyncio.sleep(20.0)
        snapshot = cluster.poller.snapshot
        assert snapshot is not None
        assert (snapshot.connected, snapshot.catalogue) == (True, {})
        assert 4 <= sum(request.path == "/models" for request in cluster.wire.requests) <= 5


async def test_reads_are_counted_and_costed() -> None:
    async with running(cost=0.05) as cluster:
        await cluster.poller.fresh(0.0)
        stats = cluster.poller.stats
        assert (stats.reads, stats.failures) == (2, 0)
        assert stats.cost == pytest.approx(0.05)


async def test_nothing_is_left_behind() -> None:
    before = asyncio.all_tasks()
    async with running("ab") as cluster:
        cluster.exos["a"].control.inject(parse_fault("hang"))
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before


async def test_leaving_is_quick_even_while_exo_hangs() -> None:
    async with running() as cluster:
        cluster.exos["a"].control.inject(parse_fault("hang"))
        await asyncio.sleep(7.0)
        before = cluster.time
    assert cluster.time - before < 0.1


async def test_it_is_an_upstream() -> None:
    cluster = Cluster("a", PollerRules())
    upstream: Upstream = cluster.poller
    assert upstream.snapshot is None
    await asyncio.sleep(0)


@pytest.mark.parametrize(("speed", "seconds"), [(0.5, float("inf")), (1.0, 15.0), (10.0, 15.0)])
def test_a_demo_that_runs_slowly_does_not_seem_to_fall_behind(speed: float, seconds: float) -> None:
    settings = Settings.model_validate({"demo": True, "demo_speed": speed})
    assert build(settings).poller._readiness.lag_after == seconds
