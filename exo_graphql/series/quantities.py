"""The quantities of a series, and how a value becomes a small whole number.

A cell is 0 where nothing is known, else one more than the value in the quantity's unit: 12.3 GiB of memory are 124.
Two bytes a cell instead of the 32 of a Python float keep 32 nodes within 3 MB.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

MISSING = 0

Values = Sequence[float | None]
"""One value for each of `QUANTITIES`, in this order; None where nothing was reported."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """`per_one`: cells for one GiB, percent, degree, watt or task. `lowest`: the least value that a cell can hold."""

    name: str
    per_one: int
    lowest: int = 0

    def cell(self, value: float | None, largest: int) -> int:
        """The cell of a value, `MISSING` for None; a value beyond the range becomes its end."""
        if value is None or not isfinite(value):
            return MISSING
        return max(1, min(largest, round((value - self.lowest) * self.per_one) + 1))

    def value(self, cell: int) -> float | None:
        """The value of a cell."""
        return None if cell == MISSING else (cell - 1 + self.lowest * self.per_one) / self.per_one

    def means(self, cells: list[int], bounds: Iterable[tuple[int, int]]) -> list[float | None]:
        """For each begin and end in `bounds` the mean of the cells in between, as `mean` has it, as a value.

        Written out, since a dashboard of 32 nodes reads 19,000 of them.
        """
        per_one, offset = self.per_one, self.lowest * self.per_one - 1
        found: list[float | None] = []
        for begin, end in bounds:
            some = cells[begin:end]
            total = sum(some)
            if not total:
                found.append(None)
                continue
            count = len(some) - some.count(MISSING) if MISSING in some else len(some)
            found.append(((2 * total + count) // (2 * count) + offset) / per_one)
        return found


# Of active tasks a mean below 0.05 must not become 0: a task of 24 s in 10 minutes is 0.04.
QUANTITIES = (
    Quantity("ram_used_gb", 10),
    Quantity("gpu_usage_percent", 10),
    Quantity("temperature_c", 10, lowest=-100),
    Quantity("power_watts", 10),
    Quantity("active_tasks", 100),
)


def values(cells: Sequence[int]) -> list[float | None]:
    """The values of one cell for each quantity."""
    return [quantity.value(cell) for quantity, cell in zip(QUANTITIES, cells, strict=True)]


def mean(cells: Sequence[int]) -> int:
    """The cell of the mean of those that are known; `MISSING` where none is."""
    total = sum(cells)
    if not total:
        return MISSING
    count = len(cells) - cells.count(MISSING) if MISSING in cells else len(cells)
    return (2 * total + count) // (2 * count)
