"""A ring against a dictionary, and windows against counting."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exo_graphql.series.quantities import MISSING, QUANTITIES, mean
from exo_graphql.series.ring import Ring
from exo_graphql.series.track import FINE, RESOLUTIONS
from exo_graphql.series.window import MAX_MINUTES, MAX_POINTS, Window

CELLS = st.lists(st.integers(0, 9), min_size=len(QUANTITIES), max_size=len(QUANTITIES))


@given(st.lists(st.tuples(st.integers(-40, 40), CELLS, st.booleans())), st.integers(-50, 50), st.integers(0, 60))
def test_a_ring_holds_what_was_put_last_of_its_newest_intervals(
    puts: list[tuple[int, list[int], bool]], first: int, length: int
) -> None:
    ring, kept = Ring(5, 12, "H"), dict[int, list[int]]()
    for interval, cells, fill in puts:
        newest = max(kept, default=interval)
        if interval <= newest - ring.size:
            continue_with: Any = ring.fill if fill else ring.put
            continue_with(interval, cells)
            continue
        if fill:
            ring.fill(interval, cells)
            if interval > newest or not any(kept.get(interval, [])):
                kept[interval] = cells
        else:
            ring.put(interval, cells)
            kept[interval] = cells
        oldest = max(kept) - ring.size
        kept = {each: its for each, its in kept.items() if each > oldest}
    for column in range(len(QUANTITIES)):
        expected = [kept[each][column] if each in kept else MISSING for each in range(first, first + length)]
        assert ring.span(column, first, first + length).tolist() == expected


@given(st.lists(st.integers(0, 65535), max_size=30))
def test_a_mean_leaves_out_what_is_missing_and_is_rounded_once(cells: list[int]) -> None:
    known = [cell for cell in cells if cell != MISSING]
    expected = int(sum(known) / len(known) + 0.5) if known else MISSING
    assert mean(cells) == expected
    (quantity,) = QUANTITIES[:1]
    assert quantity.means(cells, [(0, len(cells))]) == [quantity.value(expected)]


@given(st.sampled_from(QUANTITIES), st.floats(0, 500))
def test_a_value_comes_back_to_the_digits_that_are_kept(quantity: Any, value: float) -> None:
    back = quantity.value(quantity.cell(value, 65535))
    assert abs(back - value) <= 0.5 / quantity.per_one + 1e-9
    assert len(str(back).partition(".")[2]) <= 2


def test_values_beyond_the_range_become_its_end_and_numbers_that_are_none_are_missing() -> None:
    ram, _, temperature, *_ = QUANTITIES
    assert ram.value(ram.cell(1e9, 65535)) == 6553.4
    assert temperature.value(temperature.cell(-300.0, 65535)) == -100.0
    assert temperature.value(temperature.cell(-17.3, 65535)) == -17.3
    assert [ram.cell(value, 65535) for value in (None, float("nan"), float("inf"))] == [MISSING] * 3


@given(st.integers(1, MAX_MINUTES), st.integers(1, MAX_POINTS), st.integers(0, 10**9))
def test_a_window_has_as_many_spans_as_requested_that_leave_nothing_out(minutes: int, points: int, newest: int) -> None:
    window = Window(minutes, points, newest)
    step, size = RESOLUTIONS[window.resolution]
    assert size * step >= 60 * minutes
    assert len(window.bounds) == points
    assert all(begin < end for begin, end in window.bounds)
    following = [begin for begin, _ in window.bounds[1:]]
    # Two neighbours share at most the interval that lies on their border.
    assert all(end - 1 <= begin <= end for (_, end), begin in zip(window.bounds, following, strict=False))
    sample = newest * RESOLUTIONS[FINE][0]
    ends_at = (window.first + window.bounds[-1][1]) * step
    assert sample < ends_at <= sample + RESOLUTIONS[FINE][0] + 60 * minutes / points + step
    assert window.first == window.last - size + 1 or window.first > window.last - size - 60 * minutes // points - 2
