"""Masters and nodes come and go: what is held, what is lost, and what is said of it."""

from exo_graphql.cluster.contact import Contact
from exo_graphql.cluster.history import LOST_WITH_MASTER
from exo_graphql.cluster.readiness import Failure, Phase
from exo_graphql.cluster.rules import Rules
from exo_graphql.cluster.snapshot import Source
from tests.support.documents import (
    MODEL,
    Json,
    Story,
    completed,
    document,
    instance,
    runner,
)
from tests.support.recordings import EXO, at

READY = runner("Ready", prefillServerPort=None)
IDLE = runner("Idle")
GONE = document(["n1"])


def state(report: Json, *, index: int = 100) -> Json:
    """One node, one instance."""
    return document(["n1"], [instance("i1", {"n1": "r1"})], {"r1": report}, {"n1": [completed()]}, index=index)


def two(*, silence: float = 0.0, nodes: tuple[str, ...] = ("n1", "n2")) -> Json:
    runners = {"r1": READY, "r2": READY}
    return document(nodes, [instance("i1", {"n1": "r1", "n2": "r2"})], runners, unseen={"n2": silence})


def test_an_instance_that_goes_with_its_node_says_so() -> None:
    story = Story()
    story.see(0.0, two())
    assert story.see(11.0, two(silence=11.0)).status(MODEL).failure is None
    status = story.see(45.0, GONE).status(MODEL)
    expected = Failure(at(45), "The cluster lost a node that held a shard, and exo removed the instance.", "n2")
    assert (status.phase, status.failure, status.final) == (Phase.NOT_LOADED, expected, True)
    assert status.message == f"Not loaded. {expected.message}"


def test_an_instance_that_this_server_removed_was_lost_with_nothing() -> None:
    for last in (GONE, document([], index=-1), document(["n2"], index=3)):
        story = Story()
        story.see(0.0, two(silence=20.0), unloading={"i1": MODEL})
        story.see(1.0, last, unloading={"i1": MODEL})
        assert story.see(2.0, GONE, unloading={"i1": MODEL}).status(MODEL).failure is None


def test_an_instance_removed_while_there_was_no_recent_state_was_lost_with_no_node() -> None:
    story = Story()
    story.see(0.0, state(READY))
    assert story.see(20.0, None, contact=Contact(silent_since=1.0)).status(MODEL).phase is Phase.UNREACHABLE
    assert story.see(21.0, GONE).status(MODEL).failure is None


def test_an_election_keeps_the_last_snapshot_as_stale_and_then_shows_what_was_lost() -> None:
    story = Story()
    story.see(0.0, two())
    held = story.see(1.0, document([], index=-1))
    assert (held.stale, held.node_count, held.status(MODEL).phase, held.status(MODEL).stale) == (
        True,
        2,
        Phase.READY,
        True,
    )
    assert held.observed_at == at(0)
    after = story.see(2.0, document(["n2"], index=12))
    status = after.status(MODEL)
    assert (after.stale, after.node_count, after.observed_at) == (False, 1, at(2))
    assert (status.phase, status.failure) == (Phase.NOT_LOADED, Failure(at(2), LOST_WITH_MASTER))
    assert (status.final, status.message) == (True, f"Not loaded. {LOST_WITH_MASTER}")


def test_what_was_still_loading_when_the_master_was_lost_is_given_up() -> None:
    story = Story()
    story.see(0.0, state(IDLE))
    story.see(1.0, document([], index=-1))
    assert story.see(2.0, GONE).status(MODEL).final


def test_an_election_between_two_reads_shows_in_a_lower_index_and_a_missing_member() -> None:
    story = Story()
    story.see(0.0, two())
    status = story.see(5.0, document(["n1"], index=12)).status(MODEL)
    assert status.failure == Failure(at(5), LOST_WITH_MASTER)


def test_a_lower_index_alone_marks_nothing() -> None:
    story = Story()
    story.see(0.0, state(IDLE, index=100))
    # Another node of the same cluster answers, a few events behind: the instance is not gone, it is not there yet.
    status = story.see(1.0, document(["n1"], index=98)).status(MODEL)
    assert (status.failure, status.final) == (None, False)
    assert story.see(2.0, state(IDLE, index=104)).status(MODEL).phase is Phase.WAITING


def test_a_node_that_replays_the_past_is_not_believed() -> None:
    """One that joined shows an instance as ready that was deleted long ago: seen on a live cluster, for 30 s."""
    story = Story()
    assert story.see(0.0, state(READY, index=3000)).status(MODEL).ready
    story.see(1.0, document(["n1"], index=3200))
    for t, index in ((2.0, 900), (10.0, 1900), (30.0, 3100)):
        history = story.see(t, state(READY, index=index))
        assert history.stale
        assert history.instances_of(MODEL) == ()
        assert not history.healthy
        assert any("lacks the newest events" in reason for reason in history.unhealthy_reasons)
    caught_up = story.see(31.0, document(["n1"], index=3200))
    assert (caught_up.stale, caught_up.instances_of(MODEL)) == (False, ())
    # Another lag later begins a grace of its own.
    assert story.see(200.0, state(READY, index=1000)).stale


def test_a_history_that_is_lower_for_good_is_the_truth_after_its_grace() -> None:
    story = Story(Rules(behind_grace=60.0))
    story.see(0.0, state(READY, index=3000))
    assert story.see(1.0, document(["n1"], index=10)).stale
    assert story.see(60.9, document(["n1"], index=70)).status(MODEL).stale
    status = story.see(61.0, document(["n1"], index=71)).status(MODEL)
    assert (status.stale, status.ready, status.final) == (False, False, True)
    assert status.failure == Failure(at(61), LOST_WITH_MASTER)
    assert not story.see(62.0, document(["n1"], index=72)).stale


def test_the_grace_of_an_empty_state_ends_and_then_it_is_the_truth() -> None:
    story = Story(Rules(empty_grace=60.0))
    story.see(0.0, two())
    # Sixty seconds of empty states: the time before, in which nothing was read, does not count.
    assert story.see(100.0, document([], index=5)).stale
    assert story.see(159.9, document([], index=5)).stale
    empty = story.see(160.0, document([], index=5))
    assert (empty.stale, empty.node_count, empty.status(MODEL).phase) == (False, 0, Phase.NOT_LOADED)
    assert empty.status(MODEL).failure == Failure(at(160), LOST_WITH_MASTER)
    assert not empty.healthy


def test_a_held_snapshot_is_not_shown_as_the_present_by_time_alone() -> None:
    story = Story()
    story.see(0.0, two())
    story.see(59.0, document([], index=5))
    assert story.see(61.0, None).stale


def test_a_snapshot_that_exo_cannot_renew_is_stale_but_not_held() -> None:
    story = Story()
    story.see(0.0, two())
    silent = story.see(3.0, None, source=Source(EXO.exo_url, EXO.api_node_id, connected=False))
    assert (silent.stale, silent.held, silent.connected, silent.observed_at) == (True, False, False, at(0))


def test_a_state_without_nodes_before_any_other_is_shown_as_it_is() -> None:
    snapshot = Story().see(0.0, document([]))
    assert (snapshot.stale, snapshot.node_count, snapshot.unhealthy_reasons) == (
        False,
        0,
        ("The cluster has no nodes.",),
    )
