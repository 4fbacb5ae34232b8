"""The oracle reports results that are false, late or incomplete, and accepts those that are true or cannot be known."""

from dataclasses import replace

import pytest

from tests.trials.evidence import Command, Evidence, InstanceRecord, Interval, PerformedAct, Probe
from tests.trials.oracle import judge
from tests.trials.scenario import Scenario
from tests.trials.statements import read

OLD, NEW, OTHER = "test/old", "test/new", "test/other"
BEGAN, ENDED = 100.0, 120.0

SWAP = Scenario(
    seed=0,
    shape="planted",
    way="side by side",
    nodes=2,
    given=(OLD,),
    unload=(OLD,),
    load=(NEW,),
    min_nodes=1,
    busy=0.0,
    drain_seconds=2,
    acts=(),
)


def record(model: str, owner: str, since: float, until: float | None = None, *, served: bool = True) -> InstanceRecord:
    """An instance that was ready as long as it was listed."""
    intervals = [Interval(since, until)] if served else []
    return InstanceRecord(
        f"{model}-{owner}-{since}",
        model,
        owner,
        Interval(since, until),
        intervals,
        [Interval(s.start, s.end) for s in intervals],
    )


def evidence(
    state: str, message: str, *records: InstanceRecord, scenario: Scenario = SWAP, ended: float = ENDED
) -> Evidence:
    """Read five times a second, without acts."""
    reads = [(at / 5, at / 5 + 0.02) for at in range(int(BEGAN * 5), int(ended * 5))]
    return Evidence(
        scenario, state, message, BEGAN, ended, watched_until=ended + 15.0, records=list(records), reads=reads
    )


def kinds(planted: Evidence) -> list[str]:
    """What the oracle finds."""
    return [finding.kind for finding in judge(planted)]


DONE = f"{NEW} ready. {OLD} unloaded."


def test_a_swap_that_did_what_it_reports_is_true() -> None:
    planted = evidence("SUCCEEDED", DONE, record(OLD, "initial", 0.0, 112.0), record(NEW, "server", 105.0))
    assert kinds(planted) == []


def test_a_target_that_was_lost_while_the_old_one_drained() -> None:
    planted = evidence("SUCCEEDED", DONE, record(OLD, "initial", 0.0, 118.0), record(NEW, "server", 105.0, 112.0))
    assert "FALSE ready" in kinds(planted)


def test_a_target_that_was_lost_after_the_last_read_cannot_be_known() -> None:
    planted = evidence("SUCCEEDED", DONE, record(OLD, "initial", 0.0, 118.0), record(NEW, "server", 105.0, 119.9))
    assert kinds(planted) == []


def test_one_of_two_targets_that_is_not_ready() -> None:
    scenario = replace(SWAP, load=(NEW, OTHER))
    records = (
        record(OLD, "initial", 0.0, 118.0),
        record(NEW, "server", 105.0),
        record(OTHER, "server", 106.0, served=False),
    )
    assert "FALSE ready" in kinds(evidence("SUCCEEDED", f"{NEW}, {OTHER} ready.", *records, scenario=scenario))


@pytest.mark.parametrize("owner", ["initial", "other"])
def test_a_copy_of_the_old_model_that_is_left_is_not_unloaded(owner: str) -> None:
    planted = evidence("SUCCEEDED", DONE, record(OLD, owner, 90.0), record(NEW, "server", 105.0))
    assert kinds(planted) == ["FALSE unloaded"]


def test_a_copy_of_the_old_model_that_is_mentioned() -> None:
    message = f"{NEW} ready. {OLD} unloaded. Another client has loaded {OLD} again meanwhile: that copy is left."
    records = record(OLD, "initial", 0.0, 112.0), record(OLD, "other", 114.0), record(NEW, "server", 105.0)
    assert kinds(evidence("SUCCEEDED", message, *records)) == []


def test_a_copy_of_the_old_model_that_came_after_the_last_read() -> None:
    records = record(OLD, "initial", 0.0, 112.0), record(OLD, "other", 119.9), record(NEW, "server", 105.0)
    assert kinds(evidence("SUCCEEDED", DONE, *records)) == []


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_as_it_was_before_with_the_old_model_gone(state: str) -> None:
    planted = evidence(state, "No. The cluster is as it was before.", record(OLD, "initial", 0.0, 110.0))
    assert "FALSE as before" in kinds(planted)


def test_as_it_was_before_with_another_clients_model_gone() -> None:
    records = record(OLD, "initial", 0.0), record(OTHER, "initial", 0.0, 110.0)
    assert kinds(evidence("FAILED", "The cluster is as it was before.", *records)) == ["FALSE as before, bystander"]


def test_as_it_was_before_with_the_new_model_left() -> None:
    planted = evidence(
        "FAILED", "The cluster is as it was before.", record(OLD, "initial", 0.0), record(NEW, "server", 105.0)
    )
    assert kinds(planted) == ["FALSE removed"]


def test_as_it_was_before_and_it_is() -> None:
    records = record(OLD, "initial", 0.0), record(NEW, "server", 105.0, 110.0)
    assert kinds(evidence("FAILED", "The cluster is as it was before.", *records)) == []


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_what_had_been_placed_is_removed_and_the_loss_of_the_old_model_is_not_mentioned(state: str) -> None:
    planted = evidence(state, "What had been placed is removed again.", record(OLD, "initial", 0.0, 110.0))
    assert kinds(planted) == ["FALSE silence"]


def test_rolled_back_with_one_of_the_old_set_gone() -> None:
    scenario = replace(SWAP, unload=(OLD, OTHER))
    message = f"Rolled back: {OLD} is ready again. {OTHER} is lost: another client deleted it."
    records = record(OLD, "initial", 0.0), record(OTHER, "initial", 0.0, 110.0)
    assert kinds(evidence("ROLLED_BACK", message, *records, scenario=scenario)) == ["FALSE rolled back"]


def test_rolled_back_and_restored_under_another_id() -> None:
    records = record(OLD, "initial", 0.0, 110.0), record(OLD, "server", 115.0)
    assert kinds(evidence("ROLLED_BACK", f"Rolled back: {OLD} is ready again.", *records)) == []


def test_ready_again_and_is_not() -> None:
    records = record(OLD, "initial", 0.0, 110.0), record(OLD, "server", 115.0, served=False)
    assert "FALSE ready" in kinds(evidence("ROLLED_BACK", f"Rolled back: {OLD} is ready again.", *records))


def test_a_loss_that_is_mentioned_and_caused_by_an_act() -> None:
    planted = evidence(
        "FAILED", f"{NEW} failed. {OLD} could not be restored: no memory.", record(OLD, "initial", 0.0, 110.0)
    )
    planted.performed = [PerformedAct("rival", 111.0, 111.0, "memory")]
    assert kinds(planted) == []


def test_a_loss_that_is_mentioned_and_that_no_act_explains() -> None:
    planted = evidence(
        "FAILED", f"{NEW} failed. {OLD} could not be restored: no memory.", record(OLD, "initial", 0.0, 110.0)
    )
    planted.performed = [PerformedAct("cancel", 111.0, 111.0, "memory")]
    assert kinds(planted) == ["FALSE loss"]


def test_a_failed_swap_whose_new_model_serves_keeps_one_complete_set() -> None:
    records = record(OLD, "initial", 0.0, 110.0), record(NEW, "server", 105.0)
    assert kinds(evidence("FAILED", f"{NEW} is ready, and {OLD} is removed.", *records)) == []


def test_reported_as_missing_and_is_loaded() -> None:
    planted = evidence("FAILED", f"{OLD} could not be restored: no memory.", record(OLD, "initial", 0.0))
    assert kinds(planted) == ["FALSE missing"]


def test_the_deletion_of_another_clients_instance() -> None:
    foreign = record(OTHER, "other", 101.0, 110.0)
    planted = evidence("SUCCEEDED", DONE, record(OLD, "initial", 0.0, 112.0), record(NEW, "server", 105.0), foreign)
    planted.commands = [Command(109.0, "delete", foreign.instance_id, from_server=True)]
    assert kinds(planted) == ["FALSE deletion"]
    planted.commands = [Command(109.0, "delete", foreign.instance_id, from_server=False)]
    assert kinds(planted) == []


def test_a_target_that_another_client_had_loaded_is_placed_a_second_time() -> None:
    from_server = record(NEW, "server", 108.0)
    planted = evidence("SUCCEEDED", DONE, record(OLD, "initial", 0.0, 112.0), record(NEW, "other", 103.0), from_server)
    planted.commands = [Command(107.9, "create", from_server.instance_id, from_server=True)]
    assert kinds(planted) == ["FALSE placed twice"]
    planted.records[1] = record(NEW, "other", 107.85)
    assert kinds(planted) == []


def test_two_instances_of_the_server_at_once() -> None:
    records = record(OLD, "initial", 0.0, 112.0), record(NEW, "server", 105.0), record(NEW, "server", 106.0)
    assert kinds(evidence("SUCCEEDED", DONE, *records)) == ["FALSE placed twice"]


def test_commands_after_the_end() -> None:
    records = record(OLD, "initial", 0.0, 112.0), record(NEW, "server", 105.0), record(OLD, "server", 128.0)
    planted = evidence("SUCCEEDED", DONE, *records)
    planted.commands = [Command(125.0, "create", records[2].instance_id, from_server=True)]
    assert kinds(planted) == ["FALSE end", "FALSE end"]


def test_a_reservation_that_remains_after_its_operation() -> None:
    planted = evidence("SUCCEEDED", DONE, record(OLD, "initial", 0.0, 112.0), record(NEW, "server", 105.0))
    planted.probe = Probe("test/probe-1", admitted=False, answer="InsufficientMemory")
    assert kinds(planted) == ["FALSE reservation"]


def test_a_result_without_a_recent_read() -> None:
    planted = evidence("SUCCEEDED", DONE, record(OLD, "initial", 0.0, 112.0), record(NEW, "server", 105.0))
    planted.reads = [read for read in planted.reads if read[1] < 115.0]
    assert kinds(planted) == ["FALSE unread"]


def test_an_end_long_after_the_last_act() -> None:
    records = record(OLD, "initial", 0.0, 110.0), record(OLD, "server", 170.0)
    planted = evidence("ROLLED_BACK", f"Rolled back: {OLD} is ready again.", *records, ended=180.0)
    planted.performed = [PerformedAct("delete new", 112.0, 112.0, "load")]
    assert kinds(planted) == ["LATE"]
    # The same end, where the act's effect lasts.
    planted.performed = [PerformedAct("node dies", 112.0, 162.0, "load")]
    assert kinds(planted) == []


@pytest.mark.parametrize("state", ["STUCK", "FORGOTTEN"])
def test_no_result(state: str) -> None:
    assert kinds(evidence(state, "", record(OLD, "initial", 0.0))) == [state]


def test_a_rejection_after_a_command() -> None:
    planted = evidence("REFUSED", "Not enough memory.", record(OLD, "initial", 0.0))
    assert kinds(planted) == []
    planted.commands = [Command(101.0, "delete", planted.records[0].instance_id, from_server=True)]
    assert "FALSE refusal" in kinds(planted)


@pytest.mark.parametrize(
    ("message", "ready", "gone", "missing"),
    [
        (f"{NEW} ready. {OLD} unloaded.", {NEW}, {OLD}, set()),
        (f"{NEW}, {OTHER} ready. {OLD} was not loaded.", {NEW, OTHER}, set(), set()),
        (f"{NEW} was ready and its instance is gone: another client or exo removed it.", set(), set(), set()),
        (f"The instance of {NEW} was removed before it was ready, by another client or by exo.", set(), set(), set()),
        (f"Rolled back: {OLD}, {OTHER} is ready again.", {OLD, OTHER}, set(), set()),
        (f"{OLD} could not be restored: Not enough free memory. {OLD} is not loaded any more.", set(), set(), {OLD}),
    ],
)
def test_the_statements_of_a_message(message: str, ready: set[str], gone: set[str], missing: set[str]) -> None:
    statements = read(message)
    assert (statements.ready, statements.gone, statements.missing) == (ready, gone, missing)
