"""The oracle flags what is false, late or kept silent, and passes what is true or cannot be known."""

from dataclasses import replace

import pytest

from tests.trials.claims import read
from tests.trials.evidence import Command, Evidence, Life, Probe, Spell, Strike
from tests.trials.oracle import judge
from tests.trials.scenario import Scenario

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


def life(model: str, owner: str, since: float, until: float | None = None, *, served: bool = True) -> Life:
    """An instance that was ready as long as it was listed."""
    spells = [Spell(since, until)] if served else []
    return Life(
        f"{model}-{owner}-{since}", model, owner, Spell(since, until), spells, [Spell(s.start, s.end) for s in spells]
    )


def evidence(state: str, message: str, *lives: Life, scenario: Scenario = SWAP, ended: float = ENDED) -> Evidence:
    """Read five times a second, nothing struck."""
    reads = [(at / 5, at / 5 + 0.02) for at in range(int(BEGAN * 5), int(ended * 5))]
    return Evidence(scenario, state, message, BEGAN, ended, watched_until=ended + 15.0, lives=list(lives), reads=reads)


def kinds(planted: Evidence) -> list[str]:
    """What the oracle finds."""
    return [finding.kind for finding in judge(planted)]


DONE = f"{NEW} ready. {OLD} unloaded."


def test_a_swap_that_did_what_it_says_is_true() -> None:
    planted = evidence("SUCCEEDED", DONE, life(OLD, "initial", 0.0, 112.0), life(NEW, "ours", 105.0))
    assert kinds(planted) == []


def test_a_target_that_was_lost_while_the_old_one_drained() -> None:
    planted = evidence("SUCCEEDED", DONE, life(OLD, "initial", 0.0, 118.0), life(NEW, "ours", 105.0, 112.0))
    assert "FALSE ready" in kinds(planted)


def test_a_target_that_was_lost_after_the_last_read_cannot_be_known() -> None:
    planted = evidence("SUCCEEDED", DONE, life(OLD, "initial", 0.0, 118.0), life(NEW, "ours", 105.0, 119.9))
    assert kinds(planted) == []


def test_one_of_two_targets_that_is_not_ready() -> None:
    scenario = replace(SWAP, load=(NEW, OTHER))
    lives = life(OLD, "initial", 0.0, 118.0), life(NEW, "ours", 105.0), life(OTHER, "ours", 106.0, served=False)
    assert "FALSE ready" in kinds(evidence("SUCCEEDED", f"{NEW}, {OTHER} ready.", *lives, scenario=scenario))


@pytest.mark.parametrize("owner", ["initial", "somebody"])
def test_a_copy_of_the_old_model_that_survives_under_the_verdict_unloaded(owner: str) -> None:
    planted = evidence("SUCCEEDED", DONE, life(OLD, owner, 90.0), life(NEW, "ours", 105.0))
    assert kinds(planted) == ["FALSE unloaded"]


def test_a_copy_of_the_old_model_that_is_told_of() -> None:
    message = f"{NEW} ready. {OLD} unloaded. Somebody has loaded {OLD} again meanwhile: that copy is left."
    lives = life(OLD, "initial", 0.0, 112.0), life(OLD, "somebody", 114.0), life(NEW, "ours", 105.0)
    assert kinds(evidence("SUCCEEDED", message, *lives)) == []


def test_a_copy_of_the_old_model_that_came_after_the_last_read() -> None:
    lives = life(OLD, "initial", 0.0, 112.0), life(OLD, "somebody", 119.9), life(NEW, "ours", 105.0)
    assert kinds(evidence("SUCCEEDED", DONE, *lives)) == []


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_as_it_was_before_with_the_old_model_gone(state: str) -> None:
    planted = evidence(state, "No. The cluster is as it was before.", life(OLD, "initial", 0.0, 110.0))
    assert "FALSE as before" in kinds(planted)


def test_as_it_was_before_with_somebody_elses_model_gone() -> None:
    lives = life(OLD, "initial", 0.0), life(OTHER, "initial", 0.0, 110.0)
    assert kinds(evidence("FAILED", "The cluster is as it was before.", *lives)) == ["FALSE as before, bystander"]


def test_as_it_was_before_with_the_new_model_left() -> None:
    planted = evidence(
        "FAILED", "The cluster is as it was before.", life(OLD, "initial", 0.0), life(NEW, "ours", 105.0)
    )
    assert kinds(planted) == ["FALSE removed"]


def test_as_it_was_before_and_it_is() -> None:
    lives = life(OLD, "initial", 0.0), life(NEW, "ours", 105.0, 110.0)
    assert kinds(evidence("FAILED", "The cluster is as it was before.", *lives)) == []


@pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
def test_what_had_been_placed_is_removed_and_the_loss_of_the_old_model_is_hidden(state: str) -> None:
    planted = evidence(state, "What had been placed is removed again.", life(OLD, "initial", 0.0, 110.0))
    assert kinds(planted) == ["FALSE silence"]


def test_rolled_back_with_one_of_the_old_set_gone() -> None:
    scenario = replace(SWAP, unload=(OLD, OTHER))
    message = f"Rolled back: {OLD} is ready again. {OTHER} is lost: somebody deleted it."
    lives = life(OLD, "initial", 0.0), life(OTHER, "initial", 0.0, 110.0)
    assert kinds(evidence("ROLLED_BACK", message, *lives, scenario=scenario)) == ["FALSE rolled back"]


def test_rolled_back_and_restored_under_another_id() -> None:
    lives = life(OLD, "initial", 0.0, 110.0), life(OLD, "ours", 115.0)
    assert kinds(evidence("ROLLED_BACK", f"Rolled back: {OLD} is ready again.", *lives)) == []


def test_ready_again_and_is_not() -> None:
    lives = life(OLD, "initial", 0.0, 110.0), life(OLD, "ours", 115.0, served=False)
    assert "FALSE ready" in kinds(evidence("ROLLED_BACK", f"Rolled back: {OLD} is ready again.", *lives))


def test_a_loss_that_is_told_and_was_an_act_of_the_trial() -> None:
    planted = evidence(
        "FAILED", f"{NEW} failed. {OLD} could not be restored: no memory.", life(OLD, "initial", 0.0, 110.0)
    )
    planted.strikes = [Strike("rival", 111.0, 111.0, "memory")]
    assert kinds(planted) == []


def test_a_loss_that_is_told_and_that_no_act_explains() -> None:
    planted = evidence(
        "FAILED", f"{NEW} failed. {OLD} could not be restored: no memory.", life(OLD, "initial", 0.0, 110.0)
    )
    planted.strikes = [Strike("cancel", 111.0, 111.0, "memory")]
    assert kinds(planted) == ["FALSE loss"]


def test_a_failed_swap_whose_new_model_serves_keeps_one_complete_set() -> None:
    lives = life(OLD, "initial", 0.0, 110.0), life(NEW, "ours", 105.0)
    assert kinds(evidence("FAILED", f"{NEW} is ready, and {OLD} is removed.", *lives)) == []


def test_said_to_be_missing_and_is_there() -> None:
    planted = evidence("FAILED", f"{OLD} could not be restored: no memory.", life(OLD, "initial", 0.0))
    assert kinds(planted) == ["FALSE missing"]


def test_the_deletion_of_what_is_not_ours() -> None:
    foreign = life(OTHER, "somebody", 101.0, 110.0)
    planted = evidence("SUCCEEDED", DONE, life(OLD, "initial", 0.0, 112.0), life(NEW, "ours", 105.0), foreign)
    planted.commands = [Command(109.0, "delete", foreign.instance_id, ours=True)]
    assert kinds(planted) == ["FALSE deletion"]
    planted.commands = [Command(109.0, "delete", foreign.instance_id, ours=False)]
    assert kinds(planted) == []


def test_a_target_that_somebody_had_loaded_is_placed_a_second_time() -> None:
    ours = life(NEW, "ours", 108.0)
    planted = evidence("SUCCEEDED", DONE, life(OLD, "initial", 0.0, 112.0), life(NEW, "somebody", 103.0), ours)
    planted.commands = [Command(107.9, "create", ours.instance_id, ours=True)]
    assert kinds(planted) == ["FALSE placed twice"]
    planted.lives[1] = life(NEW, "somebody", 107.85)
    assert kinds(planted) == []


def test_two_of_ours_at_once() -> None:
    lives = life(OLD, "initial", 0.0, 112.0), life(NEW, "ours", 105.0), life(NEW, "ours", 106.0)
    assert kinds(evidence("SUCCEEDED", DONE, *lives)) == ["FALSE placed twice"]


def test_what_is_done_after_the_verdict() -> None:
    lives = life(OLD, "initial", 0.0, 112.0), life(NEW, "ours", 105.0), life(OLD, "ours", 128.0)
    planted = evidence("SUCCEEDED", DONE, *lives)
    planted.commands = [Command(125.0, "create", lives[2].instance_id, ours=True)]
    assert kinds(planted) == ["FALSE end", "FALSE end"]


def test_a_reservation_that_outlives_its_operation() -> None:
    planted = evidence("SUCCEEDED", DONE, life(OLD, "initial", 0.0, 112.0), life(NEW, "ours", 105.0))
    planted.probe = Probe("test/probe-1", admitted=False, answer="InsufficientMemory")
    assert kinds(planted) == ["FALSE reservation"]


def test_a_verdict_that_no_read_was_made_for() -> None:
    planted = evidence("SUCCEEDED", DONE, life(OLD, "initial", 0.0, 112.0), life(NEW, "ours", 105.0))
    planted.reads = [read for read in planted.reads if read[1] < 115.0]
    assert kinds(planted) == ["FALSE unread"]


def test_an_end_long_after_the_last_act() -> None:
    lives = life(OLD, "initial", 0.0, 110.0), life(OLD, "ours", 170.0)
    planted = evidence("ROLLED_BACK", f"Rolled back: {OLD} is ready again.", *lives, ended=180.0)
    planted.strikes = [Strike("delete new", 112.0, 112.0, "load")]
    assert kinds(planted) == ["LATE"]
    # The same end, where the act's effect lasts.
    planted.strikes = [Strike("node dies", 112.0, 162.0, "load")]
    assert kinds(planted) == []


@pytest.mark.parametrize("state", ["STUCK", "FORGOTTEN"])
def test_no_verdict_at_all(state: str) -> None:
    assert kinds(evidence(state, "", life(OLD, "initial", 0.0))) == [state]


def test_a_refusal_that_has_sent_something() -> None:
    planted = evidence("REFUSED", "Not enough memory.", life(OLD, "initial", 0.0))
    assert kinds(planted) == []
    planted.commands = [Command(101.0, "delete", planted.lives[0].instance_id, ours=True)]
    assert "FALSE refusal" in kinds(planted)


@pytest.mark.parametrize(
    ("message", "ready", "gone", "missing"),
    [
        (f"{NEW} ready. {OLD} unloaded.", {NEW}, {OLD}, set()),
        (f"{NEW}, {OTHER} ready. {OLD} was not loaded.", {NEW, OTHER}, set(), set()),
        (f"{NEW} was ready and its instance is gone: somebody removed it.", set(), set(), set()),
        (f"The instance of {NEW} was removed before it was ready, by somebody else.", set(), set(), set()),
        (f"Rolled back: {OLD}, {OTHER} is ready again.", {OLD, OTHER}, set(), set()),
        (f"{OLD} could not be restored: Not enough free memory. {OLD} is not loaded any more.", set(), set(), {OLD}),
    ],
)
def test_what_a_message_claims(message: str, ready: set[str], gone: set[str], missing: set[str]) -> None:
    claims = read(message)
    assert (claims.ready, claims.gone, claims.missing) == (ready, gone, missing)
