"""When each event is sent, against receivers that fail in every way."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exo_graphql.webhooks import schedule as module
from exo_graphql.webhooks.schedule import LONGEST_PAUSE, LONGEST_REQUESTED, NEW_EVENT_AFTER, Schedule


def _schedule(count: int = 0) -> Schedule:
    made = Schedule(0, jitter=lambda: 0.0)
    for sequence in range(1, count + 1):
        made.take(sequence, 0.0, wanted=True)
    return made


def _run(it: Schedule, takes: Callable[[int, float], bool], until: float, now: float = 0.0) -> list[tuple[float, int]]:
    """Attempts, until that time, of a receiver that answers at once."""
    made = []
    while now <= until:
        sequence = it.next(now)
        if sequence is None:
            wait = it.wait(now)
            if wait is None:
                break
            assert wait > 0
            now += wait
            continue
        made.append((now, sequence))
        if takes(sequence, now):
            it.succeeded(sequence, now)
        else:
            it.failed(sequence, now)
    return made


def test_events_are_sent_in_their_order() -> None:
    assert _run(_schedule(3), lambda *_: True, 0.0) == [(0.0, 1), (0.0, 2), (0.0, 3)]


def test_an_event_that_the_receiver_cannot_take_holds_up_no_other() -> None:
    made = _run(_schedule(4), lambda sequence, _: sequence != 2, 200.0)
    assert made[:5] == [(0.0, 1), (0.0, 2), (0.0, 3), (0.0, 4), (5.0, 2)]
    assert [at for at, sequence in made if sequence == 2] == [0.0, 5.0, 15.0, 35.0, 75.0, 155.0]


def test_events_that_the_receiver_cannot_take_hold_up_the_others_for_seconds() -> None:
    made = _run(_schedule(9), lambda sequence, _: sequence not in (2, 3, 5), 30.0)
    assert [sequence for _, sequence in made][:9] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert made[8] == (5.0, 9)


def test_a_receiver_that_is_down_is_asked_less_and_less_often_however_many_events_wait() -> None:
    day = _run(_schedule(1000), lambda *_: False, 86_400.0)
    assert [round(at) for at, _ in day[:8]] == [0, 0, 5, 15, 35, 75, 155, 315]
    assert len(day) < 120
    gaps = [after - before for (before, _), (after, _) in pairwise(day)]
    assert max(gaps) <= LONGEST_PAUSE


def test_once_the_receiver_is_back_all_arrives_at_once() -> None:
    it = _schedule(50)
    made = _run(it, lambda _, now: now >= 7200.0, 86_400.0)
    back = min(at for at, _ in made if at >= 7200.0)
    assert back <= 7200.0 + LONGEST_PAUSE
    assert [at for at, _ in made if at >= 7200.0] == [back] * 50
    assert not it.pending


def test_a_new_event_is_tried_soon_although_the_receiver_was_down_for_long() -> None:
    it = _schedule(1)
    *_, (last, _) = _run(it, lambda *_: False, 7200.0)
    it.take(2, last + 100.0, wanted=True)
    assert it.next(last + 100.0) == 2
    it.failed(2, last + 100.0)
    it.take(3, last + 101.0, wanted=True)
    assert it.next(last + 101.0) is None
    assert it.wait(last + 101.0) == NEW_EVENT_AFTER - 1.0


@pytest.mark.parametrize(("requested", "left_alone"), [(7.0, 7.0), (1e6, LONGEST_REQUESTED)])
def test_a_receiver_is_left_alone_as_long_as_it_asks_within_bounds(requested: float, left_alone: float) -> None:
    it = _schedule(2)
    it.failed(1, 0.0, requested)
    it.take(3, 1.0, wanted=True)
    assert it.wait(0.0) == left_alone
    assert it.next(left_alone - 0.1) is None
    assert it.next(left_alone) is not None


def test_what_is_not_wanted_is_done() -> None:
    it = _schedule()
    it.take(1, 0.0, wanted=False)
    assert (it.cursor, it.wait(0.0)) == (1, None)


def test_no_more_are_taken_up_than_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 3)
    it = _schedule(2)
    assert it.room == 1


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.booleans()), min_size=1, max_size=20),
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 3000)), max_size=5),
    st.sets(st.integers(1, 20)),
)
def test_every_event_arrives_once_the_receiver_works(
    arrivals: list[tuple[int, bool]], down: list[tuple[int, int]], poisoned: set[int]
) -> None:
    """Whatever the receiver was down for, and whichever events it refused on top of that until time 40,000."""
    it = _schedule()
    taken: dict[int, int] = {}

    def takes(sequence: int, now: float) -> bool:
        fails = any(begin <= now < begin + length for begin, length in down)
        if fails or (sequence in poisoned and now < 40_000):
            return False
        taken[sequence] = taken.get(sequence, 0) + 1
        return True

    now = 0.0
    for sequence, (pause, wanted) in enumerate(arrivals, 1):
        _run(it, takes, now + pause, now)
        now += pause
        it.take(sequence, now, wanted=wanted)
    _run(it, takes, 200_000.0, now)
    assert taken == {sequence: 1 for sequence, (_, wanted) in enumerate(arrivals, 1) if wanted}
