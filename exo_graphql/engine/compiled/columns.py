"""Lists of objects by column: a list is put together of what other documents have read of it in the same snapshot.

A program that writes values into its texts selects the same list again and again, under other keys or with other
fields. What a field has in the objects of a list, one after the other, is a column. Within one snapshot it is the same
for every document that selects the field with these arguments and selections, under whatever key:

    { downloads { node { id } status } }        reads 480 downloads; the columns `node { id }` and `status` are kept
    { downloads { s: status n: node { id } } }  reads none of them: [{"s": s, "n": n} for s, n in zip(…, …)]
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

# Fields of a list that is joined: beyond, compiling the function that joins takes more than 0.5 ms.
MAX_COLUMNS = 32

Column = list[Any]
Columns = dict[Hashable, Column]
"""By what is equal in every document: the field's name, arguments and selections, without its key."""


class Rows:
    """A list of objects at a place, as one document selects it."""

    __slots__ = ("_keys", "_make", "identities", "kept", "place", "readers", "values")

    def __init__(
        self,
        place: Any,
        kept: Any,
        selected: Sequence[tuple[str, Hashable]],
        values: Callable[[Any, Any], Any],
        readers: Sequence[Callable[[Any, Any], Column]],
    ) -> None:
        """`place` and `kept` are points of `splices`; `selected` is the key and the identity of each column."""
        self.place = place
        """The same for whatever is selected of the list."""
        self.kept = kept
        """Where the bytes of its objects are kept, if they follow from the objects alone; else None."""
        self.identities = tuple(identity for _, identity in selected)
        self.readers = readers
        """Of the columns: each takes the objects, and the `info` of the run."""
        self.values = values
        """Reads the objects off what has the list. None where there is no list."""
        self._keys = tuple(key for key, _ in selected)
        self._make = _maker(len(selected))

    def known(self, columns: Mapping[Hashable, Column]) -> list[Column | None]:
        """Its columns, in order; None for each that is not known."""
        return [columns.get(identity) for identity in self.identities]

    def joined(self, columns: Sequence[Column | None]) -> list[dict[str, Any]]:
        """The list of these columns."""
        return self._make(self._keys, columns)


@lru_cache(maxsize=MAX_COLUMNS)
def _maker(count: int) -> Callable[[Sequence[str], Sequence[Column | None]], list[dict[str, Any]]]:
    """A function that makes objects of `count` fields, generated: a loop over the fields would take twice as long.

    For 2: `lambda keys, columns: (lambda k0, k1: [{k0: v0, k1: v1} for v0, v1 in zip(*columns)])(*keys)`
    """
    keys, values = ([f"{letter}{number}" for number in range(count)] for letter in "kv")
    entries = ", ".join(map("{}: {}".format, keys, values))
    inner = f"lambda {', '.join(keys)}: [{{{entries}}} for {', '.join(values)}, in zip(*columns)]"
    make: Callable[[Sequence[str], Sequence[Column | None]], list[dict[str, Any]]]
    make = eval(f"lambda keys, columns: ({inner})(*keys)")  # noqa: S307  # of numbered names
    return make
