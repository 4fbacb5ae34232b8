"""The cells of the newest intervals of time; each new interval takes the place of the oldest one."""

from array import array
from collections.abc import Sequence

from exo_graphql.series.quantities import MISSING, QUANTITIES, mean

# The newest interval of a ring that has never held any: older than every interval that is read.
_NEVER = -(1 << 60)


class Ring:
    """`size` intervals of `step` seconds. Interval n begins at n * step, by the clock of `Series`.

    Intervals may be skipped: a server that slept for hours finds them missing, not as they were before.
    """

    __slots__ = ("_columns", "newest", "size", "step")

    def __init__(self, step: int, size: int, typecode: str) -> None:
        """`typecode`: the cells' size as `array` names it."""
        self.step = step
        self.size = size
        self.newest = _NEVER
        """The newest interval that has cells."""
        self._columns = [array(typecode, [MISSING]) * size for _ in QUANTITIES]

    @property
    def largest(self) -> int:
        """The largest number that fits into a cell."""
        return (1 << 8 * self._columns[0].itemsize) - 1

    def mean_of(self, first: int, end: int) -> list[int]:
        """The mean of each quantity's cells from the interval `first` up to and without `end`."""
        return [mean(self.span(column, first, end)) for column in range(len(QUANTITIES))]

    @property
    def byte_count(self) -> int:
        """Bytes of all cells."""
        return sum(column.itemsize * len(column) for column in self._columns)

    def holds(self, interval: int) -> bool:
        """Whether the interval is not older than those that are kept."""
        return interval > self.newest - self.size

    def put(self, interval: int, cells: Sequence[int]) -> None:
        """Sets the cells of an interval, one for each quantity. One that is too old is ignored."""
        if not self.holds(interval):
            return
        if interval > self.newest:
            self._skip_to(interval)
        place = interval % self.size
        for column, cell in zip(self._columns, cells, strict=True):
            column[place] = cell

    def fill(self, interval: int, cells: Sequence[int]) -> None:
        """The same for an interval of which nothing is known; one that has cells keeps them."""
        if interval > self.newest or not any(column[interval % self.size] for column in self._columns):
            self.put(interval, cells)

    def span(self, column: int, first: int, end: int) -> "array[int]":
        """The cells of one quantity from the interval `first` up to and without `end`."""
        cells = self._columns[column]
        low = max(first, self.newest - self.size + 1)
        high = min(end, self.newest + 1)
        nothing = cells[:0]
        nothing.append(MISSING)
        if low >= high:
            return nothing * (end - first)
        begin, stop = low % self.size, (high - 1) % self.size + 1
        kept = cells[begin:stop] if begin < stop else cells[begin:] + cells[:stop]
        if low == first and high == end:
            return kept
        return nothing * (low - first) + kept + nothing * (end - high)

    def _skip_to(self, interval: int) -> None:
        """Makes the interval the newest, and those that were skipped missing."""
        skipped = min(self.size, interval - self.newest)
        begin, stop = (interval - skipped + 1) % self.size, interval % self.size + 1
        for column in self._columns:
            missing = column[:0]
            missing.append(MISSING)
            if begin < stop:
                column[begin:stop] = missing * (stop - begin)
            else:
                column[begin:] = missing * (self.size - begin)
                column[:stop] = missing * stop
        self.newest = interval
