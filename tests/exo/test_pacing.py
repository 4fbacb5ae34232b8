"""The pause between two reads, in numbers."""

import pytest

from exo_graphql.exo.pacing import Mode, PollerRules, longest_gap, lost_after, pause, read_timeout, usual_cost

RULES = PollerRules()


@pytest.mark.parametrize(
    ("mode", "cost", "expected"),
    [
        # One, three and twenty nodes at 13 ms each.
        (Mode.NORMAL, 0.013, 1.0),
        (Mode.NORMAL, 0.039, 1.0),
        (Mode.NORMAL, 0.260, 4.94),
        (Mode.FAST, 0.013, 0.1),
        (Mode.FAST, 0.039, 0.221),
        (Mode.FAST, 0.260, 1.473),
        (Mode.IDLE, 0.039, 5.0),
        (Mode.IDLE, 0.500, 9.5),
        (Mode.FAST, 0.0, 0.1),
    ],
)
def test_the_pause_follows_the_cost_of_a_read(mode: Mode, cost: float, expected: float) -> None:
    assert pause(mode, cost, RULES) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("cost", [0.001, 0.013, 0.04, 0.26, 1.4])
@pytest.mark.parametrize(("mode", "share"), [(Mode.IDLE, 0.05), (Mode.NORMAL, 0.05), (Mode.FAST, 0.15)])
def test_no_cost_takes_more_than_the_share(mode: Mode, share: float, cost: float) -> None:
    assert cost / (cost + pause(mode, cost, RULES)) <= share + 1e-9


def test_shares_and_pauses_are_those_of_the_rules() -> None:
    rules = PollerRules(normal_share=0.5, normal_pause=0.2, fast_share=0.5, fast_pause=0.01, idle_pause=3.0)
    assert pause(Mode.NORMAL, 0.4, rules) == pytest.approx(0.4)
    assert pause(Mode.NORMAL, 0.1, rules) == pytest.approx(0.2)
    assert pause(Mode.FAST, 0.02, rules) == pytest.approx(0.02)
    assert pause(Mode.IDLE, 0.1, rules) == pytest.approx(3.0)


def test_the_usual_cost_forgets_the_first_read_and_follows_the_others_slowly() -> None:
    first = usual_cost(None, 0.9, 0, RULES)
    second = usual_cost(first, 0.04, 1, RULES)
    assert (first, second) == (0.9, 0.04)
    assert usual_cost(second, 0.08, 2, RULES) == pytest.approx(0.05)


def test_costs_that_vary_keep_to_the_share_in_the_long_run() -> None:
    # A mean weighs each read once, so the pauses that follow from it add up to what the costs allow.
    costs = [0.02, 0.02, 0.5, 0.02, 1.2, 0.02, 0.3] * 50
    usual = None
    spent = passed = 0.0
    for reads, cost in enumerate(costs):
        usual = usual_cost(usual, cost, reads, RULES)
        spent += cost
        passed += cost + pause(Mode.FAST, usual, RULES)
    assert spent / passed == pytest.approx(0.15, abs=0.01)


@pytest.mark.parametrize(
    ("cost", "failures", "expected"),
    [(None, 0, 1.5), (0.039, 0, 1.5), (0.4, 0, 2.0), (0.039, 1, 3.0), (None, 2, 6.0), (None, 9, 6.0)],
)
def test_a_read_times_out_by_its_usual_cost(cost: float | None, failures: int, expected: float) -> None:
    assert read_timeout(cost, RULES, failures) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("mode", "cost", "expected"),
    [
        # Two and a half seconds after the last good read, where there was one a usual pause before.
        (Mode.NORMAL, 0.039, 1.5),
        (Mode.FAST, 0.039, 2.279),
        (Mode.IDLE, 0.039, 1.5),
        (Mode.NORMAL, None, 1.5),
        # The long pause after an expensive read does not count as silence, and a slow read may take its time.
        (Mode.NORMAL, 0.26, 1.5),
        (Mode.NORMAL, 1.1, 5.5),
        (Mode.FAST, 1.1, 5.5),
        (Mode.NORMAL, 5.0, 10.0),
    ],
)
def test_exo_is_lost_so_long_after_a_request_without_an_answer(mode: Mode, cost: float | None, expected: float) -> None:
    assert lost_after(mode, cost, RULES, 10.0) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("cost", [None, 0.01, 0.26, 1.1, 5.0])
def test_the_pace_itself_never_looks_like_a_gap(cost: float | None) -> None:
    for mode in Mode:
        assert pause(mode, cost or 0.0, RULES) + 2 * (cost or 0.0) < longest_gap(cost, RULES)
