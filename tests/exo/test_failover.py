"""Upstreams fail: which URL is read next, when that is noticed, and what is published meanwhile."""

import asyncio
import logging
from datetime import datetime, timedelta
from itertools import pairwise

import orjson
import pytest
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exo_graphql.cluster.readiness import Phase
from exo_graphql.exo.pacing import PollerRules
from exo_graphql.simulator import Fault, SimulatedExo, parse_fault, tiny_scenario
from tests.support.polled_cluster import Cluster, running

pytestmark = pytest.mark.anyio

# `refuse` is a node that is down; the others are faults of the simulated exo.
FAULTS = ["refuse", "hang", "error", "garbage"]


def breaks(cluster: Cluster, host: str, fault: str) -> None:
    control = cluster.exos[host].control
    if fault == "refuse":
        control.drop_connections = True
    else:
        control.inject(parse_fault(fault))


def mends(cluster: Cluster, host: str) -> None:
    control = cluster.exos[host].control
    control.drop_connections = False
    control.clear()


def url(cluster: Cluster) -> str:
    assert cluster.poller.snapshot is not None
    return cluster.poller.snapshot.exo_url


def connected(cluster: Cluster) -> bool:
    assert cluster.poller.snapshot is not None
    return cluster.poller.snapshot.connected


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_failing_url_gives_way_to_the_next(fault: str) -> None:
    async with running("ab") as cluster:
        with cluster.poller.subscriber():
            assert url(cluster) == "http://a"
            breaks(cluster, "a", fault)
            broke = cluster.time
            versions = [True]
            while url(cluster) != "http://b":
                await cluster.poller.changed(cluster.poller.snapshot)
                versions.append(connected(cluster))
        # A pause, and the read that times out where it does not fail at once.
        assert cluster.time - broke < 1.1 + (1.5 if fault == "hang" else 0.0)
        assert all(versions), "the cluster was never lost"
        snapshot = cluster.poller.snapshot
        assert snapshot is not None
        assert snapshot.api_node_id == await cluster.poller._endpoints.current.client.node_id(1.0)


async def test_while_none_answers_what_each_url_said_is_given() -> None:
    async with running("ab") as cluster:
        with cluster.poller.subscriber():
            breaks(cluster, "a", "refuse")
            breaks(cluster, "b", "hang")
            while connected(cluster) or "so far" in str(_reasons(cluster)):
                await cluster.poller.changed(cluster.poller.snapshot)
            none, first, second = _reasons(cluster)[:3]
            assert (none, first) == ("No exo node answers.", "http://a: exo cannot be reached.")
            assert second.startswith("http://b: exo did not answer within")
            mends(cluster, "a")
            while not connected(cluster):
                await cluster.poller.changed(cluster.poller.snapshot)
            assert _reasons(cluster) == ()


def _reasons(cluster: Cluster) -> tuple[str, ...]:
    assert cluster.poller.snapshot is not None
    return cluster.poller.snapshot.unhealthy_reasons


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_cluster_without_a_working_url_is_lost_in_time_and_found_again(fault: str) -> None:
    async with running("a") as cluster:
        with cluster.poller.subscriber():
            last = await cluster.poller.changed(cluster.poller.snapshot)
            last_answer = cluster.time
            breaks(cluster, "a", fault)
            while connected(cluster):
                await cluster.poller.changed(cluster.poller.snapshot)
            assert cluster.time - last_answer == pytest.approx(2.5, abs=0.05)
            lost = cluster.poller.snapshot
            assert lost is not None
            assert (lost.stale, lost.state, lost.observed_at) == (True, last.state, last.observed_at)
            before = cluster.time
            assert await cluster.poller.fresh() is lost
            assert cluster.time == before, "answered at once from what there is"
            await asyncio.sleep(30)
            mends(cluster, "a")
            mended = cluster.time
            while not connected(cluster):
                await cluster.poller.changed(cluster.poller.snapshot)
            assert cluster.time - mended <= 2.0


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_short_failure_is_never_published(fault: str) -> None:
    async with running("a") as cluster:
        with cluster.poller.subscriber():
            await cluster.poller.changed(cluster.poller.snapshot)
            breaks(cluster, "a", fault)
            await asyncio.sleep(1.2)
            mends(cluster, "a")
            for _ in range(5):
                await cluster.poller.changed(cluster.poller.snapshot)
                assert connected(cluster)


async def test_one_read_that_breaks_is_made_again_at_once() -> None:
    async with running("a") as cluster:
        with cluster.poller.subscriber():
            await cluster.poller.changed(cluster.poller.snapshot)
            cluster.exos["a"].control.inject(Fault("error", count=1))
            before = cluster.time
            while cluster.poller.stats.failures == 0:
                await cluster.poller.changed(cluster.poller.snapshot)
            assert cluster.time - before < 1.0 + 4 * cluster.cost


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_url_is_tried_again_at_least_every_two_seconds(fault: str) -> None:
    async with running("abc") as cluster:
        with cluster.poller.subscriber():
            breaks(cluster, "a", fault)
            await asyncio.sleep(3.0)
            begun = cluster.time
            await asyncio.sleep(20.0)
            for host in "abc":
                starts = [begun, *(r.started for r in cluster.wire.tries(host, begun)), cluster.time]
                assert max(b - a for a, b in pairwise(starts)) <= 2.0, host
        reads = cluster.wire.reads(since=begun)
        assert {read.host for read in reads} == {"b"}, "trying the others harms no read"
        assert max(b.started - a.started for a, b in pairwise(reads)) < 1.05


@pytest.mark.parametrize("fault", FAULTS)
async def test_all_urls_fail_and_the_first_to_come_back_is_read(fault: str) -> None:
    async with running("abc") as cluster:
        with cluster.poller.subscriber():
            for host in "abc":
                breaks(cluster, host, fault)
            await asyncio.sleep(10.0)
            assert not connected(cluster)
            mends(cluster, "c")
            mended = cluster.time
            while not connected(cluster):
                await cluster.poller.changed(cluster.poller.snapshot)
            assert url(cluster) == "http://c"
            assert cluster.time - mended <= 2.0


async def test_a_standby_that_is_known_to_hang_is_not_waited_for() -> None:
    async with running("abc") as cluster:
        with cluster.poller.subscriber():
            breaks(cluster, "b", "hang")
            await asyncio.sleep(3.0)
            breaks(cluster, "a", "refuse")
            broke = cluster.time
            while url(cluster) != "http://c":
                await cluster.poller.changed(cluster.poller.snapshot)
            assert cluster.time - broke < 1.1
            assert cluster.wire.reads("b") == []


async def test_the_second_url_stays_in_use_when_the_preferred_one_is_back() -> None:
    async with running("ab") as cluster:
        with cluster.poller.subscriber():
            breaks(cluster, "a", "refuse")
            await asyncio.sleep(3.0)
            mends(cluster, "a")
            await asyncio.sleep(10.0)
            assert url(cluster) == "http://b"
            breaks(cluster, "b", "refuse")
            await asyncio.sleep(1.1)
            assert url(cluster) == "http://a"


@pytest.mark.parametrize("fault", FAULTS)
async def test_there_are_never_two_reads_at_once(fault: str) -> None:
    async with running("ab") as cluster:
        with cluster.poller.subscriber(), cluster.poller.operation():
            for host in "ab":
                breaks(cluster, host, fault)
                await asyncio.sleep(3.0)
            mends(cluster, "b")
            for _ in range(50):
                await asyncio.gather(*(cluster.poller.fresh(0.0) for _ in range(20)))
    assert cluster.wire.most_at_once == 1


async def test_what_is_no_state_is_one_logged_error_an_episode(caplog: pytest.LogCaptureFixture) -> None:
    async with running("a") as cluster:
        with cluster.poller.subscriber(), caplog.at_level(logging.WARNING, "exo_graphql.exo"):
            for _ in range(2):
                breaks(cluster, "a", "garbage")
                await asyncio.sleep(20.0)
                mends(cluster, "a")
                await asyncio.sleep(5.0)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.message[:40] for record in errors] == ["No state of exo from http://a: not JSON:"] * 2
    assert cluster.poller.stats.failures > 20


async def test_a_url_that_answers_404_to_everything_is_no_exo() -> None:
    cluster = Cluster("ab")
    # What listens on `a` is another service: it has no such routes.
    cluster.wire.lead("a", FastAPI())
    async with cluster.poller:
        assert (await cluster.poller.fresh()).exo_url == "http://b"


async def test_without_demand_silence_begins_with_the_first_read_that_fails() -> None:
    async with running("a", PollerRules(idle_pause=8.0)) as cluster:
        await asyncio.sleep(1.0)
        breaks(cluster, "a", "hang")
        await asyncio.sleep(6.9)
        assert connected(cluster), "no request yet"
        await asyncio.sleep(0.5)
        assert connected(cluster), "silent for less than a second"
        await asyncio.sleep(1.5)
        assert not connected(cluster)


async def test_a_client_learns_in_time_that_exo_is_lost() -> None:
    async with running("a") as cluster:
        await asyncio.sleep(3.0)
        breaks(cluster, "a", "refuse")
        broke = cluster.time
        for step in range(20):
            await asyncio.sleep(broke + 0.25 * step - cluster.time)
            if not (await cluster.poller.fresh()).connected:
                break
        assert cluster.time - broke < 3.0


@pytest.mark.parametrize(
    ("fault", "message", "suggestion"),
    [
        ("refuse", "exo cannot be reached.", "Check that exo runs on that machine"),
        ("hang", "exo did not answer within", "Check that the machine is on and not overloaded"),
        ("error", "exo failed inside (status 500).", "Check the port of the URL"),
        ("garbage", "not JSON", "Check that exo's API listens at this URL"),
    ],
)
async def test_each_url_says_why_it_does_not_answer_and_what_to_check(
    fault: str, message: str, suggestion: str
) -> None:
    async with running("ab") as cluster:
        with cluster.poller.subscriber():
            for host in "ab":
                breaks(cluster, host, fault)
            await asyncio.sleep(10.0)
            assert cluster.poller.snapshot is not None
            refusals = cluster.poller.snapshot.source.refusals
        assert all(message in refusal.message for refusal in refusals), refusals
        assert [each.url for each in refusals] == ["http://a", "http://b"]
        for refusal in refusals:
            assert (refusal.suggestion or "").startswith(suggestion)


@pytest.mark.parametrize("fault", ["error", "garbage"])
async def test_why_no_state_comes_is_said_also_while_something_answers_at_the_url(fault: str) -> None:
    async with running("a") as cluster:
        said: set[str] = set()
        with (
            cluster.poller.subscriber(),
            cluster.poller.listen(lambda snapshot: said.update(each.message for each in snapshot.source.refusals)),
        ):
            cluster.exos["a"].control.latency = 0.4
            breaks(cluster, "a", fault)
            await asyncio.sleep(30.0)
    assert len(said) == 1, said
    assert "no answer so far." not in said


async def test_an_exo_that_answered_before_is_not_said_never_to_have_answered() -> None:
    async with running("a") as cluster:
        said: list[str] = []
        with (
            cluster.poller.subscriber(),
            cluster.poller.listen(lambda snapshot: said.extend(each.message for each in snapshot.source.refusals)),
        ):
            breaks(cluster, "a", "hang")
            await asyncio.sleep(30.0)
    assert said
    assert said[0] == "it answered before, but has not answered the last request yet."
    assert "no answer so far." not in said
    assert said[-1] == "exo did not answer within 1.5 s."


async def test_time_alone_makes_a_lost_cluster_unreachable() -> None:
    async with running("a") as cluster:
        exo = cluster.exos["a"].control
        model = exo.cards[0]
        assert exo.place(model) is not None
        exo.advance(30)
        assert (await cluster.poller.fresh(0.0)).status(model).ready
        with cluster.poller.subscriber():
            await cluster.poller.changed(cluster.poller.snapshot)
            last_answer = cluster.time
            breaks(cluster, "a", "hang")
            snapshot = cluster.poller.snapshot
            while snapshot is None or snapshot.status(model).phase is not Phase.UNREACHABLE:
                snapshot = await cluster.poller.changed(snapshot)
            # A pause without a request, then a request without an answer for 10 s.
            assert cluster.time - last_answer == pytest.approx(11.0, abs=0.51)
            mends(cluster, "a")
            while not snapshot.status(model).ready:
                snapshot = await cluster.poller.changed(snapshot)


async def test_a_slow_cluster_is_reached_all_the_same() -> None:
    # 120 nodes: the very first read takes longer than a read may while its usual cost is unknown.
    cluster = Cluster("a", cost=2.0)
    cluster.exos["a"].control.latency = 0.0
    async with cluster.poller:
        cluster.poller._endpoints.current.identified = True
        cluster.exos["a"].control.latency = 2.0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.6):
                await cluster.poller.changed(None)
        cluster.exos["a"].control.latency = 1.4
        assert (await cluster.poller.changed(None)).connected


async def test_an_exo_started_again_is_recognised_by_its_new_id() -> None:
    async with running("a") as cluster:
        with cluster.poller.subscriber():
            exo = cluster.exos["a"].control
            first = await cluster.poller.changed(cluster.poller.snapshot)
            api = next(node for node in first.nodes if node.id == first.api_node_id)
            assert api.friendly_name is not None
            exo.kill_node(api.friendly_name)
            await asyncio.sleep(1.0)
            revived = exo.revive_node(api.friendly_name)
            exo.advance(60)
            await asyncio.sleep(5.0)
            snapshot = cluster.poller.snapshot
            assert snapshot is not None
            assert snapshot.api_node_id == revived != first.api_node_id


async def test_an_exo_that_was_started_again_between_two_reads_is_recognised_by_its_new_id() -> None:
    async with running("a") as cluster:
        exo = cluster.exos["a"].control
        first = await cluster.poller.fresh()
        api = next(node for node in first.nodes if node.id == first.api_node_id)
        assert api.friendly_name is not None
        exo.kill_node(api.friendly_name)
        revived = exo.revive_node(api.friendly_name)
        exo.advance(60)
        await cluster.poller.fresh(0.0)
        assert (await cluster.poller.fresh(0.0)).api_node_id == revived
        assert cluster.poller.stats.failures == 0


async def test_an_exo_whose_id_is_no_member_is_not_asked_for_it_before_each_read() -> None:
    async with running("a") as cluster:
        cluster.poller._endpoints.current.node_id = "of a node that has left"
        begun = cluster.time
        for _ in range(10):
            await cluster.poller.fresh(0.0)
        assert len(cluster.wire.reads(since=begun)) == 10
        assert [r.path for r in cluster.wire.tries("a", since=begun) if r.path == "/node_id"] == []


class Unstuck:
    """Another node of the same exo, whose state goes on moving while that of the first one is frozen.

    It is `behind` by so many events, and `old` by so many seconds.
    """

    def __init__(self, exo: SimulatedExo, *, behind: int = 0, old: float = 0.0) -> None:
        self._exo = exo
        self._behind = behind
        self._old = old

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/state":
            await self._exo.app(scope, receive, send)
            return
        state = orjson.loads(self._exo._simulation.cluster.state.encode())
        passed = asyncio.get_running_loop().time()
        state["lastEventAppliedIdx"] += int(passed) - self._behind
        # The clock of the simulated exo does not move with the loop's.
        state["lastSeen"] = {
            node: (datetime.fromisoformat(seen) + timedelta(seconds=passed - self._old)).isoformat()
            for node, seen in state["lastSeen"].items()
        }
        await Response(orjson.dumps(state), media_type="application/json")(scope, receive, send)


async def test_a_node_that_is_stuck_is_left_for_one_that_moves() -> None:
    async with running("ab", still_after=15.0) as cluster:
        cluster.wire.lead("b", Unstuck(cluster.exos["a"]))
        with cluster.poller.subscriber():
            breaks(cluster, "a", "master-hangs")
            broke = cluster.time
            while url(cluster) != "http://b":
                await cluster.poller.changed(cluster.poller.snapshot)
            assert 15 <= cluster.time - broke <= 18
            assert cluster.poller.snapshot is not None
            assert cluster.poller.snapshot.healthy
            await asyncio.sleep(60)
            assert url(cluster) == "http://b"
            assert cluster.poller.snapshot.healthy


async def test_a_node_that_is_stuck_is_kept_where_no_other_has_newer_events() -> None:
    async with running("ab", still_after=15.0) as cluster:
        cluster.wire.lead("b", Unstuck(cluster.exos["a"], behind=1_000_000))
        with cluster.poller.subscriber():
            breaks(cluster, "a", "master-hangs")
            await asyncio.sleep(20)
            began = cluster.time
            await asyncio.sleep(120)
            assert url(cluster) == "http://a"
            assert cluster.poller.snapshot is not None
            assert "seems to hang" in str(cluster.poller.snapshot.unhealthy_reasons)
            # Every fifteen seconds, and not at each read.
            assert len(cluster.wire.reads("b", since=began)) <= 9


async def test_a_node_that_shows_the_past_is_left_for_one_that_shows_the_present() -> None:
    """`a` was started again: it answers at once, and replays a log in which other nodes were members."""
    async with running("ab") as cluster:
        cluster.wire.lead("b", Unstuck(cluster.exos["a"]))
        earlier = SimulatedExo(tiny_scenario(), seed=7)
        past = Unstuck(earlier, behind=earlier._simulation.cluster.state.index - 1_000, old=600.0)
        with cluster.poller.subscriber():
            await cluster.poller.changed(cluster.poller.snapshot)
            assert cluster.poller.snapshot is not None
            members = {node.id for node in cluster.poller.snapshot.nodes}
            cluster.wire.lead("a", past)
            broke = cluster.time
            shown = []
            async with asyncio.timeout(10):
                while url(cluster) != "http://b":
                    shown.append(await cluster.poller.changed(cluster.poller.snapshot))
            assert cluster.time - broke <= 3
            assert {node.id for snapshot in shown for node in snapshot.nodes} == members
            await asyncio.sleep(30)
            assert (url(cluster), cluster.poller.snapshot.stale) == ("http://b", False)


async def test_where_every_node_shows_the_past_others_are_read_now_and_then() -> None:
    async with running("ab") as cluster:
        for host, old in (("a", 600.0), ("b", 598.0)):
            cluster.wire.lead(host, Unstuck(cluster.exos["a"], behind=10_000 - int(600 - old), old=old))
        with cluster.poller.subscriber():
            await asyncio.sleep(5)
            assert cluster.poller.snapshot is not None
            assert cluster.poller.snapshot.stale
            began = cluster.time
            await asyncio.sleep(20)
            assert len(cluster.wire.reads("b", since=began)) <= 11
            assert url(cluster) == "http://a"


async def test_a_node_that_was_started_again_and_has_not_joined_yet_is_not_taken_for_the_cluster() -> None:
    async with running("ab") as cluster:
        cluster.wire.lead("b", Unstuck(cluster.exos["a"]))
        with cluster.poller.subscriber():
            await cluster.poller.changed(cluster.poller.snapshot)
            assert cluster.poller.snapshot is not None
            members = {node.id for node in cluster.poller.snapshot.nodes}
            cluster.wire.lead("a", SimulatedExo(tiny_scenario(1), seed=7).app)
            shown = [await cluster.poller.changed(cluster.poller.snapshot) for _ in range(5)]
            assert {node.id for snapshot in shown for node in snapshot.nodes} == members
            assert url(cluster) == "http://b"
            # Both were started again: that is the truth.
            alone = SimulatedExo(tiny_scenario(1), seed=7).app
            cluster.wire.lead("a", alone)
            cluster.wire.lead("b", alone)
            async with asyncio.timeout(100):
                while {node.id for node in cluster.poller.snapshot.nodes} == members:
                    await cluster.poller.changed(cluster.poller.snapshot)
