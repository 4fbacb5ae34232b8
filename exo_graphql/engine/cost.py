"""What an operation will cost, estimated before it is executed from the lengths that the lists have now.

The schema is a graph with cycles: `nodes { models { nodes { models …` is short to write, and each level multiplies the
answer. So a list counts as long as the longest of its kind in the snapshot, and what is inside counts as often. With 4
nodes and at most 3 models on one of them, `{ nodes { friendlyName models { id } } }` costs 1 + 4 * (1 + 1 + 3) = 21.
One unit is about one field of one object: 4 µs of graphql-core's time, 0.3 µs of a compiled plan's. Estimates are
rather too high than too low.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exo_graphql.engine.field_sizes import Size
from exo_graphql.engine.list_sizes import ListSizes


@dataclass(slots=True)
class Cost:
    """The estimate for one operation."""

    total: float
    exo_calls: int
    """Fields that call exo: mutations, placements."""
    calendars: int
    """Fields that compute a calendar, on a thread of their own."""
    sizes: tuple[tuple[Size, float], ...] = field(repr=False)
    """What the estimate depends on, with the values it was made from: it holds while these are the same."""
    named: tuple[tuple[str, int], ...] = ()
    """Variables that list names, and how many fields look these up: each lookup costs one."""
    variables: Mapping[str, object] = field(default_factory=dict)
    """Variables that say how many, such as `points` of a history, with the values that the estimate was made for."""

    def with_names(self, variables: Mapping[str, object] | None) -> float:
        """The estimate including the names in these variables."""
        given = ((variables or {}).get(name) for name, _ in self.named)
        lengths = (len(value) if isinstance(value, list) else 1 for value in given)
        return self.total + sum(length * times for length, (_, times) in zip(lengths, self.named, strict=True))

    def holds(self, sizes: ListSizes, variables: Mapping[str, object] | None) -> bool:
        """Whether a new estimate would be the same."""
        given = variables or {}
        return all(size(sizes) == value for size, value in self.sizes) and all(
            given.get(name) == value for name, value in self.variables.items()
        )
