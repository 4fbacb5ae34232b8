"""From "the last `minutes` in `points` entries" to intervals of a ring, and the entries themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise

from exo_graphql.series.quantities import MISSING, QUANTITIES
from exo_graphql.series.track import FINE, RESOLUTIONS, Track

MAX_MINUTES = 30 * 24 * 60
"""As long as anything is kept."""
MAX_POINTS = 1440
"""A minute of a day each: more than a screen has columns for a chart."""


class Window:
    """Equal spans of time, oldest first. The last one holds the newest sample, and is not over as a rule.

    Spans begin at multiples of their length, so that a chart that is drawn again a little later moves by whole entries.
    """

    def __init__(self, minutes: int, points: int, newest: int, drift: int = 0) -> None:
        """`newest`: the newest fine interval. `drift`: seconds from the clock of `Series` to the wall clock."""
        seconds = 60 * minutes
        steps = [step for step, size in RESOLUTIONS]
        covers = [step * size >= seconds for step, size in RESOLUTIONS]
        self.resolution = covers.index(True) if any(covers) else len(RESOLUTIONS) - 1
        # Whole numbers: time is counted in parts of a second, `points` of them in each.
        self._points = points
        self._length = seconds
        self._end = -(-(newest + 1) * steps[FINE] * points // seconds) * seconds
        self._step = steps[self.resolution] * points
        self._drift = drift
        self.first = (self._end - points * seconds) // self._step
        """The first interval of the ring that counts."""
        self.last = newest * steps[FINE] // steps[self.resolution]
        """The last one: of a sample that comes while an answer is made, all of it shows nothing."""

    def __len__(self) -> int:
        return self._points

    @cached_property
    def bounds(self) -> Sequence[tuple[int, int]]:
        """The intervals of each entry, counted from `first`; the second number is no longer part of it."""
        first, step = self.first, self._step
        return [(begin // step - first, -(-end // step) - first) for begin, end in pairwise(self._edges)]

    @property
    def _edges(self) -> range:
        return range(self._end - self._points * self._length, self._end + 1, self._length)

    @cached_property
    def at(self) -> Sequence[datetime]:
        """The beginning of each span, by the wall clock (UTC)."""
        return [datetime.fromtimestamp(edge / self._points + self._drift, UTC) for edge in self._edges[:-1]]


@dataclass(frozen=True, slots=True)
class History:
    """What was reported in each span of a window: the mean, or None where nothing was."""

    window: Window
    track: Track | None
    """None for a node of which nothing is known yet."""

    @property
    def ram_used_gb(self) -> list[float | None]:
        """GiB, one decimal."""
        return self._entries(0)

    @property
    def gpu_usage_percent(self) -> list[float | None]:
        """0-100, one decimal."""
        return self._entries(1)

    @property
    def temperature_c(self) -> list[float | None]:
        """°C, one decimal."""
        return self._entries(2)

    @property
    def power_watts(self) -> list[float | None]:
        """Watts, one decimal."""
        return self._entries(3)

    @property
    def active_tasks(self) -> list[float | None]:
        """Mean number, two decimals."""
        return self._entries(4)

    def _entries(self, column: int) -> list[float | None]:
        window = self.window
        if self.track is None:
            return [None] * len(window)
        end = window.first + window.bounds[-1][1]
        known = min(end, window.last + 1)
        cells = self.track.rings[window.resolution].span(column, window.first, known).tolist()
        cells.extend([MISSING] * (end - known))
        return QUANTITIES[column].means(cells, window.bounds)
