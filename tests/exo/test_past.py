"""What survives the restart of this server: what exo itself forgets, or never shows."""

from itertools import pairwise

from exo_graphql.cluster.contact import Contact
from exo_graphql.cluster.history import GONE_MEANWHILE, LOST_WITH_MASTER, REMOVED_UNREADY, ModelHistory
from exo_graphql.cluster.readiness import Failure, Phase
from exo_graphql.exo import past_records
from exo_graphql.storage import Entry
from tests.support.documents import (
    MODEL,
    Json,
    Story,
    completed,
    document,
    failed_download,
    instance,
    ongoing,
    runner,
    task,
)
from tests.support.recordings import at, moment

READY = runner("Ready", prefillServerPort=None)
IDLE = runner("Idle")
LOADING = runner("Loading", layersLoaded=0, totalLayers=8)
FAILED = runner("Failed", errorMessage="out of memory")
ENDED = runner("Failed", errorMessage="Terminated (signal=9 (Killed))")


def state(
    report: Json, *downloads: Json, shutdowns: int = 0, index: int = 100, nodes: tuple[str, ...] = ("n1",)
) -> Json:
    """One instance on the first node; `shutdowns` attempts have left their task behind."""
    return document(
        list(nodes),
        [instance("i1", {nodes[0]: "r1"})],
        {"r1": report},
        {nodes[0]: downloads or [completed()]},
        {f"t{n}": task("Shutdown", "i1", "Pending", runnerId="r1") for n in range(shutdowns)},
        index=index,
    )


def without_instance(*nodes: str, index: int = 100) -> Json:
    return document(list(nodes) or ["n1"], index=index)


def renamed(state: Json, **names: str) -> Json:
    for id_, name in names.items():
        state["nodeIdentities"][id_]["friendlyName"] = name
    return state


def restarted(story: Story, t: float) -> Story:
    """Another process of the same server: it knows what the store says."""
    assert story.snapshot is not None
    records = past_records.encode(story.snapshot)
    entries = [Entry(n, id_, active=False, record=record) for n, (id_, record) in enumerate(records.items())]
    return Story(past=past_records.decode(entries, moment(t)))


def seen(*steps: tuple[float, Json]) -> Story:
    story = Story()
    for t, document_ in steps:
        story.see(t, document_)
    return story


def test_since_when_a_phase_lasts_and_what_failed_before_outlive_a_restart() -> None:
    story = seen((0, without_instance()), (1, state(FAILED)), (2, state(LOADING, shutdowns=1)), (3, state(READY)))
    before = story.see(4, state(READY, shutdowns=1, index=101)).status(MODEL)
    assert (before.changed_at, before.failure) == (at(3), Failure(at(1), "out of memory", "n1", 1))
    again = restarted(story, 60)
    after = again.see(60, state(READY, shutdowns=1, index=160)).status(MODEL)
    assert (after.phase, after.changed_at, after.failure) == (Phase.READY, at(3), before.failure)
    assert again.transitions.phases == {}
    # And it stays so.
    assert again.see(61, state(READY, shutdowns=1, index=161)).status(MODEL) == after


def test_a_phase_that_changed_while_no_server_ran_has_changed_just_now() -> None:
    again = restarted(seen((0, without_instance()), (1, state(LOADING))), 60)
    assert again.see(60, state(READY, index=160)).status(MODEL).changed_at == at(60)
    # That nobody saw is no transition: what is new since the start alone is reported.
    assert again.transitions.phases == {}


def test_a_model_that_was_loaded_while_no_server_ran_has_changed_just_now() -> None:
    again = restarted(seen((0, without_instance())), 60)
    assert again.see(60, state(READY, index=160)).status(MODEL).changed_at == at(60)


def test_the_first_start_of_all_knows_no_time() -> None:
    assert Story(past=past_records.decode([], moment(0))).see(0, state(READY)).status(MODEL).changed_at is None


def test_attempts_are_counted_on() -> None:
    again = restarted(seen((0, state(FAILED)), (1, state(ENDED, shutdowns=2))), 60)
    loading = again.see(60, state(LOADING, shutdowns=3, index=160)).status(MODEL)
    assert loading.attempt == 4
    failed = again.see(61, state(ENDED, shutdowns=3, index=161)).status(MODEL).failure
    assert failed is not None
    # exo's last message names no cause: an earlier one did, before the restart.
    assert (failed.attempt, failed.cause) == (4, "out of memory")


def test_a_failure_is_not_a_new_one_after_a_restart() -> None:
    again = restarted(seen((0, without_instance()), (1, state(FAILED, shutdowns=1))), 60)
    status = again.see(60, state(FAILED, shutdowns=1, index=160)).status(MODEL)
    assert (status.changed_at, status.failure) == (at(1), Failure(at(1), "out of memory", "n1", 1))


def test_why_a_model_is_gone_for_good_outlives_a_restart() -> None:
    story = seen((0, state(LOADING)), (1, without_instance()))
    before = story.see(1.5, without_instance(index=101)).status(MODEL)
    assert (before.final, before.failure) == (True, Failure(at(1), REMOVED_UNREADY))
    after = restarted(story, 60).see(60, without_instance(index=160)).status(MODEL)
    assert (after.final, after.changed_at, after.failure, after.message) == (
        True,
        at(1),
        before.failure,
        before.message,
    )


def test_an_exo_that_lost_its_master_meanwhile_has_lost_the_model() -> None:
    again = restarted(seen((0, without_instance("n1", "n2")), (1, state(READY, nodes=("n1", "n2"), index=500))), 60)
    new = renamed(without_instance("x1", "x2", index=5), x1="mac-n1", x2="mac-n2")
    status = again.see(60, new).status(MODEL)
    assert (status.phase, status.changed_at, status.failure) == (
        Phase.NOT_LOADED,
        at(60),
        Failure(at(60), LOST_WITH_MASTER),
    )


def test_nobody_knows_whether_an_instance_that_is_gone_was_ever_ready() -> None:
    again = restarted(seen((0, without_instance()), (1, state(LOADING))), 60)
    status = again.see(60, without_instance(index=160)).status(MODEL)
    assert (status.phase, status.changed_at, status.failure) == (
        Phase.NOT_LOADED,
        at(60),
        Failure(at(60), GONE_MEANWHILE),
    )
    # One that was ready has been unloaded by somebody: that is no failure.
    again = restarted(seen((0, without_instance()), (1, state(READY))), 60)
    assert again.see(60, without_instance(index=160)).status(MODEL).failure is None


def test_another_cluster_has_none_of_it() -> None:
    again = restarted(seen((0, without_instance()), (1, state(READY))), 60)
    status = again.see(60, renamed(state(READY, nodes=("y1",), index=5), y1="other")).status(MODEL)
    assert (status.changed_at, status.failure) == (None, None)
    assert not again.recalled.is_open


def test_a_state_that_lacks_nodes_or_events_says_nothing_of_the_past() -> None:
    ready = seen((0, without_instance()), (1, state(READY, index=500)))
    for unclear in (document([], index=-1), without_instance(index=30)):
        again = restarted(ready, 60)
        again.see(60, unclear)
        assert again.recalled.is_open
        status = again.see(64, state(READY, index=560)).status(MODEL)
        assert (status.changed_at, status.failure) == (at(1), None)
        assert not again.recalled.is_open


def test_an_exo_that_never_gets_as_far_as_before_is_believed_in_the_end() -> None:
    again = restarted(seen((0, state(READY, index=500))), 60)
    for t in (60, 90, 119.9):
        again.see(t, without_instance(index=int(t) - 50))
        assert again.recalled.is_open
    again.see(120, without_instance(index=70))
    assert not again.recalled.is_open


def test_a_download_that_had_failed_for_good_is_final_at_once() -> None:
    story = seen((0, state(IDLE, failed_download())), (31, state(IDLE, failed_download(), index=131)))
    before = story.see(32, state(IDLE, failed_download(), index=132)).status(MODEL)
    after = restarted(story, 60).see(60, state(IDLE, failed_download(), index=160)).status(MODEL)
    assert (before.final, after.final, after.failure) == (True, True, before.failure)


def test_what_is_stored_does_not_change_with_each_byte_of_a_download() -> None:
    story = seen((0, state(IDLE, failed_download())))
    records = []
    for second in range(1, 11):
        snapshot = story.see(second, state(IDLE, ongoing(downloaded=second << 20), index=100 + second))
        records.append({id_: record for id_, record in past_records.encode(snapshot).items() if "model" in id_})
    assert sum(one != other for one, other in pairwise(records)) <= 1


def test_what_this_server_has_seen_itself_is_newer_than_the_past() -> None:
    again = restarted(seen((0, without_instance()), (1, state(READY, index=500))), 60)
    again.see(60, state(LOADING, index=30))
    again.see(61, state(FAILED, index=31))
    status = again.see(70, state(FAILED, index=560)).status(MODEL)
    assert (status.changed_at, status.failure) == (at(61), Failure(at(61), "out of memory", "n1", 1))


def test_what_another_server_knows_counts_where_both_show_the_same_phase() -> None:
    story = seen((0, without_instance()), (1.4, state(FAILED)))
    known = ModelHistory(Phase.FAILED, at(1), Failure(at(1), "out of memory", "n1", 1))
    story.recalled.know({MODEL: known}, 2.0)
    status = story.see(2, None).status(MODEL)
    assert (status.changed_at, status.failure) == (at(1), known.failure)
    # What is not seen here yet waits for the state that shows it, for some seconds.
    for seconds, changed_at in ((1.0, at(3)), (9.0, at(12))):
        story = seen((0, without_instance()), (1.4, state(LOADING)))
        story.recalled.know({MODEL: ModelHistory(Phase.READY, at(3))}, 3.0)
        assert story.see(3, None).status(MODEL).changed_at == at(1.4)
        assert story.see(3 + seconds, state(READY), contact=Contact()).status(MODEL).changed_at == changed_at


def test_what_another_server_knows_of_a_model_that_was_never_seen_here() -> None:
    story = seen((0, without_instance()))
    failure = Failure(at(1), "out of memory", "n1", 5)
    story.recalled.know({MODEL: ModelHistory(Phase.NOT_LOADED, at(1), failure, gave_up=True)}, 2.0)
    status = story.see(2, None).status(MODEL)
    assert (status.final, status.changed_at, status.failure) == (True, at(1), failure)


def test_a_record_that_cannot_be_read_is_left_out() -> None:
    story = seen((0, without_instance()), (1, state(READY)))
    assert story.snapshot is not None
    records = past_records.encode(story.snapshot)
    entries = [Entry(n, id_, active=False, record=record) for n, (id_, record) in enumerate(records.items())]
    broken = [Entry(9, "model:other", active=False, record=b"{}"), *entries]
    past = past_records.decode(broken, moment(2))
    assert past is not None
    assert past.models.keys() == {MODEL}
