"""What outlives one state: failures that exo forgot, attempts, what is final, times of changes."""

import pytest

from exo_graphql.cluster.contact import Contact
from exo_graphql.cluster.history import KEPT_MODELS, ModelHistory
from exo_graphql.cluster.readiness import Failure, Phase
from exo_graphql.cluster.rules import Rules
from tests.support.documents import (
    MODEL,
    Json,
    Story,
    completed,
    document,
    failed_download,
    instance,
    ongoing,
    pending,
    runner,
    task,
)
from tests.support.recordings import at

READY = runner("Ready", prefillServerPort=None)
IDLE = runner("Idle")
GONE = document(["n1"])


def boom(message: str = "boom") -> Json:
    return runner("Failed", errorMessage=message)


def state(report: Json, *downloads: Json, shutdowns: int = 0, id_: str = "i1", index: int = 100) -> Json:
    """One node, one instance; `shutdowns` attempts have left their task behind."""
    return document(
        ["n1"],
        [instance(id_, {"n1": "r1"})],
        {"r1": report},
        {"n1": downloads or [completed()]},
        {f"t{n}": task("Shutdown", id_, "Pending", runnerId="r1") for n in range(shutdowns)},
        index=index,
    )


# When a phase changed


def test_nothing_is_known_to_have_changed_in_the_first_state() -> None:
    assert Story().see(0.0, state(READY)).status(MODEL).changed_at is None


def test_a_change_is_stamped_once_and_stays_until_the_next() -> None:
    story = Story()
    story.see(0.0, GONE)
    statuses = [story.see(t, document_).status(MODEL) for t, document_ in ((1, state(IDLE)), (2, state(IDLE)))]
    statuses += [story.see(t, document_).status(MODEL) for t, document_ in ((3, state(READY)), (4, GONE), (5, GONE))]
    assert [(s.phase, s.changed_at) for s in statuses] == [
        (Phase.WAITING, at(1)),
        (Phase.WAITING, at(1)),
        (Phase.READY, at(3)),
        (Phase.NOT_LOADED, at(4)),
        (Phase.NOT_LOADED, at(4)),
    ]


def test_time_alone_changes_a_phase_when_it_makes_it_unreachable() -> None:
    story = Story()
    story.see(0.0, state(READY))
    silent = Contact(silent_since=0.0)
    assert story.see(10.0, None, contact=silent).status(MODEL).changed_at == at(10)


# A runner that fails, and is tried again


def test_each_attempt_is_counted_and_its_failure_stays_while_the_next_one_loads() -> None:
    story = Story()
    story.see(0.0, state(IDLE))
    first = story.see(1.0, state(boom("one"))).status(MODEL)
    assert (first.phase, first.failure) == (Phase.FAILED, Failure(at(1), "one", "n1", 1))
    assert story.see(1.1, state(boom("one"), shutdowns=1)).status(MODEL).failure == first.failure
    retry = story.see(2.0, state(runner("Loading", layersLoaded=0, totalLayers=8), shutdowns=1)).status(MODEL)
    assert (retry.phase, retry.failure) == (Phase.LOADING, first.failure)
    second = story.see(3.0, state(boom("one"), shutdowns=1)).status(MODEL)
    assert second.failure == Failure(at(3), "one", "n1", 2)


def test_an_attempt_that_fell_between_two_reads_is_counted_by_the_task_it_left_behind() -> None:
    story = Story()
    story.see(0.0, state(boom(), shutdowns=0))
    failure = story.see(5.0, state(boom(), shutdowns=3)).status(MODEL).failure
    assert failure is not None
    assert failure.attempt == 3


def test_a_last_attempt_that_failed_between_two_reads_is_reported_once_the_instance_is_gone() -> None:
    for seen, shutdowns in ((boom("one"), 4), (runner("Loading", layersLoaded=0, totalLayers=8), 4)):
        story = Story()
        story.see(0.0, state(seen, shutdowns=shutdowns))
        gone = state(boom("last"), shutdowns=5)
        status = story.see(1.0, {**gone, "instances": {}}).status(MODEL)
        assert (status.final, status.failure) == (True, Failure(at(1), "last", "n1", 5))


def test_a_removal_between_two_attempts_is_no_attempt() -> None:
    story = Story()
    story.see(0.0, state(boom("one"), shutdowns=1))
    gone = {**state(boom("one"), shutdowns=1), "instances": {}}
    assert story.see(1.0, gone).status(MODEL).failure == Failure(at(0), "one", "n1", 1)


def test_attempts_before_this_server_started_count() -> None:
    story = Story()
    story.see(0.0, state(IDLE, shutdowns=2))
    failure = story.see(1.0, state(boom(), shutdowns=2)).status(MODEL).failure
    assert failure is not None
    assert failure.attempt == 3


def test_a_shutdown_of_another_instance_counts_no_attempt() -> None:
    document_ = state(boom())
    document_["tasks"] = {"t": task("Shutdown", "another", runnerId="r1"), "u": task("Shutdown", "i1", runnerId="rx")}
    failure = Story().see(0.0, document_).status(MODEL).failure
    assert failure is not None
    assert failure.attempt == 1


def test_each_failure_is_reported_with_its_own_node() -> None:
    both = document(["n1", "n2"], [instance("i1", {"n1": "r1", "n2": "r2"})], {"r1": READY, "r2": boom("left")})
    failure = Story().see(0.0, both).status(MODEL).failure
    assert failure == Failure(at(0), "left", "n2", 1)


def test_a_failure_stays_readable_after_the_model_became_ready_after_all() -> None:
    story = Story()
    story.see(0.0, state(boom()))
    status = story.see(1.0, state(READY, shutdowns=1)).status(MODEL)
    assert (status.phase, status.final, status.failure) == (Phase.READY, False, Failure(at(0), "boom", "n1", 1))


# Final: exo has given up


@pytest.mark.parametrize("report", [IDLE, runner("Loading"), runner("WarmingUp"), boom()])
def test_an_instance_that_is_gone_without_having_become_ready_is_final(report: Json) -> None:
    story = Story()
    assert not story.see(0.0, state(report)).status(MODEL).final
    status = story.see(1.0, GONE).status(MODEL)
    assert (status.phase, status.final, status.ready) == (Phase.NOT_LOADED, True, False)


def test_an_instance_that_was_ready_may_go_without_being_final() -> None:
    story = Story()
    story.see(0.0, state(READY))
    assert not story.see(1.0, GONE).status(MODEL).final


def test_one_that_was_ready_failed_and_never_came_back_is_given_up() -> None:
    story = Story()
    story.see(0.0, state(READY))
    story.see(1.0, state(boom()))
    story.see(2.0, state(IDLE, shutdowns=1))
    status = story.see(3.0, GONE).status(MODEL)
    assert (status.final, status.failure) == (True, Failure(at(1), "boom", "n1", 1))


def test_one_that_was_ready_behind_a_deletion_was_ready() -> None:
    story = Story()
    assert not story.see(0.0, state(READY), unloading={"i1": MODEL}).status(MODEL).ready
    status = story.see(1.0, GONE).status(MODEL)
    assert (status.final, status.failure) == (False, None)


def test_a_new_instance_clears_final() -> None:
    story = Story()
    story.see(0.0, state(IDLE))
    assert story.see(1.0, GONE).status(MODEL).final
    assert not story.see(2.0, state(IDLE, id_="i2")).status(MODEL).final


def test_nothing_is_final_while_another_instance_of_the_model_loads() -> None:
    story = Story()
    both = document(["n1"], [instance("i1", {"n1": "r1"}), instance("i2", {"n1": "r2"})], {"r1": IDLE, "r2": IDLE})
    story.see(0.0, both)
    assert not story.see(1.0, state(IDLE)).status(MODEL).final
    assert story.see(2.0, GONE).status(MODEL).final


# A download that fails


def test_a_failed_download_is_final_after_30_seconds_without_a_byte() -> None:
    story = Story()
    story.see(0.0, state(IDLE, ongoing(downloaded=100)))
    failed = story.see(5.0, state(IDLE, failed_download("disk full"))).status(MODEL)
    assert (failed.phase, failed.final, failed.failure) == (Phase.FAILED, False, Failure(at(5), "disk full", "n1"))
    assert not story.see(34.9, None).status(MODEL).final
    version = story.see(34.9, None).version
    late = story.see(35.0, None)
    assert late.status(MODEL).final
    assert late.version == version + 1


def test_the_patience_with_a_failed_download_is_a_rule() -> None:
    story = Story(Rules(give_up_after=2.0))
    story.see(0.0, state(IDLE, failed_download()))
    assert story.see(2.0, None).status(MODEL).final


def test_a_failed_download_that_exo_calls_pending_again_is_remembered() -> None:
    story = Story()
    story.see(0.0, state(IDLE, failed_download("disk full")))
    status = story.see(20.0, state(IDLE, pending())).status(MODEL)
    assert (status.phase, status.failure) == (Phase.WAITING, Failure(at(0), "disk full", "n1"))
    assert story.see(30.0, state(IDLE, pending())).status(MODEL).final


def test_a_late_report_of_0_percent_is_no_byte() -> None:
    story = Story()
    story.see(0.0, state(IDLE, failed_download()))
    story.see(0.05, state(IDLE, ongoing(downloaded=0)))
    status = story.see(30.0, state(IDLE, ongoing(downloaded=0))).status(MODEL)
    assert (status.phase, status.final) == (Phase.DOWNLOADING, True)


def test_a_byte_renews_the_patience() -> None:
    story = Story()
    story.see(0.0, state(IDLE, failed_download()))
    story.see(20.0, state(IDLE, ongoing(downloaded=0)))
    story.see(21.0, state(IDLE, ongoing(downloaded=1)))
    assert not story.see(50.9, None).status(MODEL).final
    assert story.see(51.0, None).status(MODEL).final


def test_a_start_from_nothing_brings_bytes_though_more_had_been_there() -> None:
    story = Story()
    story.see(0.0, state(IDLE, ongoing(downloaded=1000)))
    story.see(1.0, state(IDLE, failed_download()))
    for t in range(2, 60):
        assert not story.see(float(t), state(IDLE, ongoing(downloaded=t))).status(MODEL).final


def test_a_partial_that_is_found_again_is_no_byte() -> None:
    story = Story()
    story.see(0.0, state(IDLE, ongoing(downloaded=1000)))
    story.see(1.0, state(IDLE, failed_download()))
    story.see(25.0, state(IDLE, pending(downloaded=0)))
    story.see(26.0, state(IDLE, ongoing(downloaded=1000)))
    assert story.see(31.0, state(IDLE, ongoing(downloaded=1000))).status(MODEL).final


def test_a_download_that_recovers_clears_final() -> None:
    story = Story()
    story.see(0.0, state(IDLE, failed_download()))
    assert story.see(30.0, None).status(MODEL).final
    assert not story.see(31.0, state(IDLE, completed())).status(MODEL).final


def test_a_failed_download_that_nobody_waits_for_is_nobodys_failure() -> None:
    story = Story()
    story.see(0.0, document(["n1"], downloads={"n1": [failed_download()]}))
    status = story.see(40.0, document(["n1"], downloads={"n1": [failed_download()]})).status(MODEL)
    assert (status.phase, status.failure, status.final) == (Phase.NOT_LOADED, None, False)


def test_a_given_up_instance_beside_one_that_loads_does_not_make_the_model_final() -> None:
    both = document(
        ["n1", "n2"],
        [instance("i1", {"n1": "r1"}), instance("i2", {"n2": "r2"})],
        {"r1": IDLE, "r2": runner("Loading", layersLoaded=1, totalLayers=8)},
        {"n1": [failed_download()], "n2": [completed()]},
    )
    story = Story()
    story.see(0.0, both)
    snapshot = story.see(31.0, both)
    assert snapshot.given_up == {"i1"}
    assert not snapshot.status(MODEL).final


def test_a_copy_that_is_given_up_leaves_nothing_to_wait_for_though_another_serves() -> None:
    both = document(
        ["n1"],
        [instance("i1", {"n1": "r1"}), instance("i2", {"n1": "r2"})],
        {"r1": READY, "r2": IDLE},
        {"n1": [failed_download()]},
    )
    story = Story()
    story.see(0.0, both)
    status = story.see(31.0, both).status(MODEL)
    # It serves, but some requests go to the copy that will never be ready, so waiting is useless.
    assert (status.phase, status.ready, status.final, status.ready_instances) == (Phase.READY, False, True, 1)


# Memory


def test_the_history_of_the_most_recent_models_alone_is_kept() -> None:
    story = Story()
    many = [instance(f"i{n}", {"n1": f"r{n}"}, f"test/{n}") for n in range(KEPT_MODELS + 5)]
    story.see(0.0, document(["n1"], many))
    snapshot = story.see(1.0, document(["n1"], [*many[:3], instance("x", {"n1": "rx"}, "test/late")]))
    assert len(snapshot.history.models) == KEPT_MODELS
    assert {"test/0", "test/1", "test/2", "test/late"} <= set(snapshot.history.models)
    assert snapshot.history.models["test/late"] == ModelHistory(Phase.WAITING, at(1))
