"""The series of one node, or of the cluster, at three resolutions."""

from collections.abc import Sequence
from itertools import pairwise

from exo_graphql.series.quantities import QUANTITIES, Values, values
from exo_graphql.series.ring import Ring

# Step in seconds and number of the intervals: an hour, a day, 30 days. Each step is a multiple of the one before.
RESOLUTIONS = ((5, 720), (60, 1440), (600, 4320))
FINE, MINUTES, TEN_MINUTES = range(3)


class Track:
    """`node_id` and `name`: those that the node has, or had last; both empty for the cluster."""

    __slots__ = ("name", "node_id", "rings")

    def __init__(self, node_id: str = "", name: str | None = None, typecode: str = "H") -> None:
        self.node_id = node_id
        self.name = name
        self.rings = tuple(Ring(step, size, typecode) for step, size in RESOLUTIONS)

    @property
    def byte_count(self) -> int:
        """Bytes of all cells."""
        return sum(ring.byte_count for ring in self.rings)

    def record(self, interval: int, sample: Values) -> None:
        """Sets the newest fine interval, and the means of the coarser ones that it lies in."""
        self.rings[FINE].put(interval, self._cells(sample))
        for finer, ring in pairwise(self.rings):
            parts = ring.step // finer.step
            coarse = interval * self.rings[FINE].step // ring.step
            first = coarse * parts
            ring.put(coarse, finer.mean_of(first, first + parts))

    def restore(self, resolution: int, interval: int, sample: Values, *, before: int) -> None:
        """Sets a stored interval where nothing is known of it; of a minute also its fine ones before `before`.

        So the last hour is whole after a restart.
        """
        cells = self._cells(sample)
        self.rings[resolution].fill(interval, cells)
        if resolution == MINUTES:
            fine = self.rings[FINE]
            parts = self.rings[MINUTES].step // fine.step
            first = interval * parts
            for each in range(max(first, before - fine.size), min(first + parts, before)):
                fine.fill(each, cells)

    def means(self, resolution: int, interval: int) -> list[float | None]:
        """The values of one interval, as they are stored."""
        return values(self.rings[resolution].mean_of(interval, interval + 1))

    def _cells(self, sample: Values) -> Sequence[int]:
        largest = self.rings[FINE].largest
        return [quantity.cell(value, largest) for quantity, value in zip(QUANTITIES, sample, strict=True)]
