"""Cheap reads: what is news, how soon it is known, what that costs exo, and exos that have no cheap reads."""

import asyncio
import random
from dataclasses import replace
from itertools import pairwise
from statistics import median
from types import SimpleNamespace

import orjson
import pytest

from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.state import Runner, RunnerStatus
from exo_graphql.exo.notice import News, NotRunners, RecentCost, find_news, read_runners
from exo_graphql.exo.pacing import Mode, PollerRules, notice_pause, pause
from exo_graphql.simulator import clock, parse_fault
from exo_graphql.simulator.inference import text_params
from tests.support.polled_cluster import Cluster, slow

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _simulated_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated exo runs by the loop's clock, as the poller does."""
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time()))


COSTS = [0.01, 0.039, 0.1, 0.2, 0.5]
READY, RUNNING = Runner(RunnerStatus.READY), Runner(RunnerStatus.RUNNING)
LOADING = Runner(RunnerStatus.LOADING, 3, 8)


@pytest.mark.parametrize(
    ("runners", "known", "news"),
    [
        ({}, {}, News.NONE),
        ({"r": {"RunnerReady": {"prefillServerPort": None}}}, {"r": READY}, News.NONE),
        ({"r": {"RunnerRunning": {}}}, {"r": READY}, News.STATUS),
        ({"r": {"RunnerLoading": {"layersLoaded": 7, "totalLayers": 8}}}, {"r": LOADING}, News.PROGRESS),
        ({"r": {"RunnerLoading": {"layersLoaded": 3, "totalLayers": 8}}}, {"r": LOADING}, News.NONE),
        ({"r": {"RunnerLoaded": {}}}, {"r": LOADING}, News.STEP),
        ({"r": {"RunnerReady": {}}}, {"r": RUNNING}, News.STEP),
        ({"r": {"RunnerReady": {}}}, {"r": LOADING}, News.STATUS),
        ({"r": {"RunnerFailed": {}}}, {"r": LOADING}, News.STATUS),
        ({"r": {"RunnerReady": {}}, "s": {"RunnerRunning": {}}}, {"r": RUNNING, "s": READY}, News.STATUS),
        ({}, {"r": READY}, News.STATUS),
        ({"r": {"RunnerReady": {}}, "s": {"RunnerIdle": {}}}, {"r": READY}, News.STATUS),
        ({"s": {"RunnerReady": {}}}, {"r": READY}, News.STATUS),
        ({"r": {"RunnerOfTomorrow": {}}}, {"r": Runner(RunnerStatus.UNKNOWN)}, News.NONE),
        ({"r": {}}, {"r": READY}, News.STATUS),
    ],
)
def test_news_is_a_runner_that_came_went_or_changed_its_status(
    runners: object, known: dict[str, Runner], news: News
) -> None:
    assert find_news(read_runners(orjson.dumps(runners)), known) is news


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'"r"', b'{"data": []}', b'{"r": null}', b"\xff"])
def test_what_is_no_answer_about_runners_is_refused(body: bytes) -> None:
    with pytest.raises(NotRunners):
        read_runners(body)


def test_the_cost_of_a_minute_forgets_what_is_older() -> None:
    recent = RecentCost()
    recent.add(0.0, 2.0)
    recent.add(30.0, 1.0)
    assert recent.total(59.0) == 3.0
    assert recent.total(60.0) == 1.0
    assert recent.total(90.0) == 0.0


def test_small_clusters_need_no_cheap_reads_at_rest() -> None:
    assert notice_pause(Mode.NORMAL, 0.013, 0.003, 0.0, PollerRules()) is None
    assert notice_pause(Mode.IDLE, 0.5, 0.1, 0.0, PollerRules()) is None
    for mode, cost in ((Mode.NORMAL, 0.5), (Mode.FAST, 0.5), (Mode.FAST, 0.013)):
        assert notice_pause(mode, cost, cost / 5, 0.0, PollerRules()) is not None


async def _ready_again_and_again(
    cluster: Cluster, loads: int, pause_between: float, look_every: float = 0.002
) -> list[float]:
    """Seconds from when exo's runner became ready until a snapshot said so, for one load after another."""
    exo = cluster.exos["a"]
    rng = random.Random(7)
    delays = []
    for _ in range(loads):
        card = exo.control.cards[0]
        await _known(cluster, card, ready=False)
        instance = exo.control.place(card)
        assert instance is not None
        became: float | None = None
        known = asyncio.create_task(_known(cluster, card))
        for _ in range(100_000):
            exo._simulation.clock.run_due()
            runners = exo._simulation.cluster.state.runners
            ids = {runner.id for runner in exo._simulation.instances.all[instance].runners}
            if became is None and all("RunnerReady" in runners.get(id_, {}) for id_ in ids):
                became = cluster.time
            if known.done():
                break
            await asyncio.sleep(look_every)
        assert became is not None
        delays.append(await known - became)
        exo.control.delete_instance(instance)
        await asyncio.sleep(pause_between + rng.random())
    return delays


async def _known(cluster: Cluster, model: str, *, ready: bool = True) -> float:
    snapshot = cluster.poller.snapshot
    while snapshot is None or snapshot.status(model).ready is not ready:
        snapshot = await cluster.poller.changed(snapshot)
    return cluster.time


@pytest.mark.parametrize(("cost", "soon"), [(0.013, 0.06), (0.039, 0.10), (0.2, 0.40)])
async def test_a_model_that_is_ready_is_known_soon_whatever_a_state_costs(cost: float, soon: float) -> None:
    async with slow(cost) as cluster:
        with cluster.poller.subscriber():
            delays = await _ready_again_and_again(cluster, 15, 25)
    assert median(delays) <= soon, delays


@pytest.mark.parametrize("cost", COSTS)
async def test_both_kinds_of_read_together_keep_to_the_share_of_each_minute(cost: float) -> None:
    async with slow(cost) as cluster:
        await asyncio.sleep(60)
        begun = cluster.time
        with cluster.poller.subscriber():
            await _ready_again_and_again(cluster, 20, 5)
        for since in range(int(begun), int(cluster.time) - 60, 5):
            # What is read at the normal pace does not wait for it.
            assert cluster.wire.share(since, since + 60) <= 0.15 + cost / 60, since - begun


@pytest.mark.parametrize(("cost", "soon"), [(0.039, 0.10), (0.2, 0.40)])
async def test_the_end_of_a_long_load_is_known_as_soon(cost: float, soon: float) -> None:
    async with slow(cost) as cluster:
        _load_for(cluster, 90.0)
        with cluster.poller.subscriber():
            delays = await _ready_again_and_again(cluster, 3, 25, look_every=0.01)
    assert median(delays) <= soon, delays
    assert all(cluster.wire.share(since, since + 60) <= 0.15 for since in range(0, int(cluster.time) - 60, 5))


def _load_for(cluster: Cluster, seconds: float) -> None:
    """The first model takes so long to load."""
    simulated = cluster.exos["a"]._simulation.cluster
    card = simulated.cards[cluster.exos["a"].control.cards[0]]
    for node in simulated.nodes.values():
        node.machine = replace(node.machine, load_rate=card.resident_bytes / seconds)


@pytest.mark.parametrize("cost", COSTS)
async def test_a_chat_of_two_and_a_half_seconds_is_always_seen_by_a_subscriber(cost: float) -> None:
    async with slow(cost) as cluster:
        exo = cluster.exos["a"]
        card = exo.control.cards[0]
        assert exo.control.place(card) is not None
        with cluster.poller.subscriber():
            await _known(cluster, card)
            await asyncio.sleep(60)  # what the load has taken of the minute's share is over
            rng = random.Random(3)
            begun = cluster.time
            for turn in range(20):
                assert cluster.poller.snapshot is not None
                seen = {cluster.poller.snapshot.status(card).phase}
                # The end of the one before has been seen as well, where that is not too dear.
                assert Phase.RUNNING not in seen or cost > 0.2
                with cluster.poller.listen(lambda snapshot, seen=seen: seen.add(snapshot.status(card).phase)):  # type: ignore[misc]
                    exo._simulation.inference.submit(text_params(card, [], max_tokens=9), 2.5, lambda _: None)
                    await asyncio.sleep(2.5)
                assert Phase.RUNNING in seen, turn
                await asyncio.sleep(3 + 4 * rng.random())
        for since in range(int(begun), int(cluster.time) - 60, 5):
            assert cluster.wire.share(since, since + 60) <= 0.15, since - begun


async def test_an_operation_that_waits_for_what_runners_do_not_show_sees_it_at_the_usual_pace() -> None:
    async with slow(0.2) as cluster:
        with cluster.poller.operation():  # nothing is loaded: it waits for memory, say
            await asyncio.sleep(30)
        assert cluster.wire.notices() == []
        reads = cluster.wire.reads()[-4:]
        pauses = [b.started - (a.ended or 0.0) for a, b in pairwise(reads)]
        assert max(pauses) == pytest.approx(pause(Mode.FAST, 0.2, PollerRules()), rel=0.01)


async def test_one_cheap_read_that_exo_is_slow_to_answer_does_not_end_them() -> None:
    async with slow(0.039) as cluster:
        with cluster.poller.subscriber():
            cluster.wire.delays = [0.2]  # once, exo has something else to do
            delays = await _ready_again_and_again(cluster, 8, 10)
    assert len(cluster.wire.notices()) >= 150
    assert median(delays) <= 0.10, delays


async def test_an_exo_without_cheap_reads_gets_one_request_for_them() -> None:
    async with slow(0.2) as cluster:
        cluster.wire.has_paths = False
        before = len(cluster.wire.notices())
        with cluster.poller.subscriber():
            await asyncio.sleep(30)
        assert len(cluster.wire.notices()) == before + 1
        pauses = cluster.wire.reads()[-2:]
        assert pauses[1].started - (pauses[0].ended or 0.0) == pytest.approx(pause(Mode.NORMAL, 0.2, PollerRules()))


@pytest.mark.parametrize("fault", ["hang", "error", "garbage"])
async def test_an_exo_that_fails_during_a_cheap_read_counts_as_lost_no_later(fault: str) -> None:
    async with slow(0.2) as cluster:
        with cluster.poller.operation():
            await asyncio.sleep(10)
            cluster.exos["a"].control.inject(parse_fault(fault))
            failed = cluster.time
            async with asyncio.timeout(3.5):
                snapshot = cluster.poller.snapshot
                while snapshot is None or snapshot.connected:
                    snapshot = await cluster.poller.changed(snapshot)
            assert cluster.time - failed <= 3.2
