"""`final`: the status will not change by itself, and the failure says why, until the model is requested again."""

import pytest

from exo_graphql.cluster.history import LOST_WITH_MASTER, LOST_WITH_NODE, REMOVED_UNREADY, UNLOADED_UNREADY
from exo_graphql.cluster.loads import NO_LOADS, FailedLoad, Loads
from exo_graphql.cluster.readiness import Failure, Phase
from exo_graphql.cluster.status import ModelStatus
from tests.support.documents import MODEL, Json, Story, document, failed_download, instance, ongoing, runner
from tests.support.recordings import at

READY = runner("Ready", prefillServerPort=None)
IDLE = runner("Idle")
BOTH = ("n1", "n2")
GONE = document(["n1"])
FAILED = Loads(failed={MODEL: FailedLoad("op-1", "exo never made the instance.", at(4))})
REQUESTED = Loads(under_way=frozenset({MODEL}))


def one(report: Json = READY, *downloads: Json, id_: str = "i1", index: int = 100) -> Json:
    return document(["n1"], [instance(id_, {"n1": "r1"})], {"r1": report}, {"n1": downloads}, index=index)


def spread(report: Json = READY, nodes: tuple[str, ...] = BOTH) -> Json:
    return document(nodes, [instance("i1", {"n1": "r1", "n2": "r2"})], {"r1": report, "r2": report})


def verdict(status: ModelStatus) -> tuple[bool, bool, str | None]:
    return status.final, status.ready, status.failure.message if status.failure is not None else None


# Each row: what is seen first, what is seen then, and the verdict with its reason.
LOSSES = {
    "a ready model whose node died between two reads": (spread(), document(["n1"]), LOST_WITH_NODE),
    "a loading model whose node died between two reads": (spread(IDLE), document(["n1"]), LOST_WITH_NODE),
    "a ready model, exo's state started again with a node missing": (
        spread(),
        document(["n2"], index=3),
        LOST_WITH_MASTER,
    ),
    "a ready model, exo restarted: every node id is another": (one(), document(["x1"], index=3), LOST_WITH_MASTER),
    "the same, though the new session has come further": (one(), document(["x1"], index=900), LOST_WITH_MASTER),
    "a loading model that somebody removed": (one(IDLE), GONE, REMOVED_UNREADY),
}


@pytest.mark.parametrize("name", LOSSES)
def test_what_was_lost_is_final_and_says_why(name: str) -> None:
    first, then, reason = LOSSES[name]
    story = Story()
    assert not story.see(0.0, first).status(MODEL).final
    status = story.see(1.0, then).status(MODEL)
    assert (status.phase, verdict(status)) == (Phase.NOT_LOADED, (True, False, reason))
    assert status.message == f"Not loaded. {reason}"
    # It stays so while nothing happens, until the model is requested again.
    assert story.see(600.0, then).status(MODEL).final
    again = {**then, "instances": {"i9": instance("i9", {"n1": "r9"})}}
    assert not story.see(601.0, again).status(MODEL).final


def test_a_ready_model_that_somebody_removed_is_not_final() -> None:
    story = Story()
    story.see(0.0, one())
    assert verdict(story.see(1.0, GONE).status(MODEL)) == (False, False, None)


def test_a_loading_model_that_this_server_removed_says_so() -> None:
    story = Story()
    story.see(0.0, one(IDLE), unloading={"i1": MODEL})
    assert verdict(story.see(1.0, GONE).status(MODEL)) == (True, False, UNLOADED_UNREADY)


def test_a_reason_of_exos_is_not_replaced_by_a_vaguer_one() -> None:
    story = Story()
    story.see(0.0, one(runner("Failed", errorMessage="no memory")))
    story.see(1.0, one(IDLE))
    status = story.see(2.0, GONE).status(MODEL)
    assert status.failure == Failure(at(0), "no memory", "n1", 1)
    assert status.message == "Not loaded. Attempt 1 failed: no memory"
    story = Story()
    story.see(0.0, one(IDLE, failed_download("disk full")))
    assert verdict(story.see(1.0, GONE).status(MODEL)) == (True, False, "disk full")


def test_a_lost_copy_does_not_make_a_model_final_that_another_copy_serves() -> None:
    story = Story()
    both = document(BOTH, [instance("i1", {"n1": "r1"}), instance("i2", {"n2": "r2"})], {"r1": READY, "r2": READY})
    story.see(0.0, both)
    assert verdict(story.see(1.0, one()).status(MODEL)) == (False, True, LOST_WITH_NODE)


# Operations of this server


def test_an_operation_that_failed_without_any_instance_is_final() -> None:
    story = Story()
    story.see(0.0, GONE, loads=REQUESTED)
    status = story.see(5.0, GONE, loads=FAILED).status(MODEL)
    assert verdict(status) == (True, False, "exo never made the instance.")
    assert status.failure == Failure(at(4), "exo never made the instance.")
    assert (status.found, status.phase) == (True, Phase.NOT_LOADED)


def test_the_end_of_an_operation_changes_the_version_by_itself() -> None:
    story = Story()
    before = story.see(0.0, GONE, loads=REQUESTED)
    after = story.see(5.0, None, loads=FAILED)
    assert after.version == before.version + 1
    assert after.status(MODEL).final


def test_the_failure_of_a_runner_is_kept_over_that_of_the_operation() -> None:
    story = Story()
    story.see(0.0, one(runner("Failed", errorMessage="no memory")), loads=REQUESTED)
    assert not story.see(1.0, GONE, loads=REQUESTED).status(MODEL).final
    assert verdict(story.see(2.0, GONE, loads=FAILED).status(MODEL)) == (True, False, "no memory")


def test_a_failed_operation_does_not_make_a_loaded_model_final() -> None:
    story = Story()
    story.see(0.0, one(), loads=REQUESTED)
    assert verdict(story.see(1.0, one(), loads=FAILED).status(MODEL)) == (False, True, None)
    # Nor later, when somebody removes that instance.
    assert not story.see(2.0, GONE, loads=FAILED).status(MODEL).final


def test_a_load_by_another_client_clears_final() -> None:
    story = Story()
    story.see(0.0, GONE, loads=FAILED)
    assert not story.see(1.0, one(), loads=FAILED).status(MODEL).final
    assert not story.see(2.0, GONE, loads=FAILED).status(MODEL).final


def test_the_next_operation_clears_final_until_it_fails_too() -> None:
    story = Story()
    assert story.see(0.0, GONE, loads=FAILED).status(MODEL).final
    both = Loads(REQUESTED.under_way, FAILED.failed)
    requested = story.see(1.0, None, loads=both)
    assert not requested.status(MODEL).final
    second = Loads(failed={MODEL: FailedLoad("op-2", "No node had the memory.", at(2))})
    assert verdict(story.see(2.0, None, loads=second).status(MODEL)) == (True, False, "No node had the memory.")


def test_an_operation_that_succeeds_clears_the_failure_of_the_one_before() -> None:
    story = Story()
    story.see(0.0, GONE, loads=FAILED)
    story.see(1.0, GONE, loads=REQUESTED)
    story.see(2.0, one(), loads=NO_LOADS)
    assert not story.see(3.0, GONE, loads=NO_LOADS).status(MODEL).final


def test_an_instance_on_its_way_is_not_final_whatever_failed_before() -> None:
    story = Story()
    story.see(0.0, GONE, loads=FAILED)
    assert not story.see(1.0, one(IDLE, ongoing()), loads=FAILED).status(MODEL).final


def test_an_earlier_failure_does_not_count_for_an_operation_resumed_after_a_restart_of_this_server() -> None:
    story = Story()
    both = Loads(REQUESTED.under_way, FAILED.failed)
    assert verdict(story.see(0.0, GONE, loads=both).status(MODEL)) == (False, False, None)
    assert verdict(story.see(1.0, GONE, loads=NO_LOADS).status(MODEL)) == (False, False, None)


def test_an_operation_that_stops_loading_the_model_changes_the_version_by_itself() -> None:
    story = Story()
    story.see(0.0, one(IDLE), loads=REQUESTED)
    waiting = story.see(1.0, GONE, loads=REQUESTED)
    after = story.see(2.0, None, loads=NO_LOADS)
    assert [waiting.status(MODEL).final, after.status(MODEL).final] == [False, True]
    assert after.version == waiting.version + 1
