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

    __slots__ = ("_identities", "_make", "keys", "read")

    def __init__(self, selected: Sequence[tuple[str, Hashable]], read: Callable[[Any, Any], Any]) -> None:
        """`selected`: the key and the column of each field. `read` takes what has the list, and the `info` of a run."""
        self.keys = tuple(key for key, _ in selected)
        self._identities = tuple(column for _, column in selected)
        self._make = _maker(len(selected))
        self.read = read

    def joined(self, columns: Mapping[Hashable, Column]) -> list[dict[str, Any]] | None:
        """The list, if all of its columns are known."""
        found = []
        for identity in self._identities:
            column = columns.get(identity)
            if column is None:
                return None
            found.append(column)
        return self._make(self.keys, found)

    def columns(self, parts: Any) -> Columns:
        """The columns of the list that was read; none of null, and of objects that are encoded already."""
        if not isinstance(parts, list) or not all(part.__class__ is dict for part in parts):
            return {}
        return {
            identity: [part[key] for part in parts] for key, identity in zip(self.keys, self._identities, strict=True)
        }


@lru_cache(maxsize=MAX_COLUMNS)
def _maker(count: int) -> Callable[[Sequence[str], Sequence[Column]], list[dict[str, Any]]]:
    """A function that makes objects of `count` fields, generated: a loop over the fields would take twice as long.

    For 2: `lambda keys, columns: (lambda k0, k1: [{k0: v0, k1: v1} for v0, v1 in zip(*columns)])(*keys)`
    """
    keys, values = ([f"{letter}{number}" for number in range(count)] for letter in "kv")
    entries = ", ".join(map("{}: {}".format, keys, values))
    inner = f"lambda {', '.join(keys)}: [{{{entries}}} for {', '.join(values)}, in zip(*columns)]"
    make: Callable[[Sequence[str], Sequence[Column]], list[dict[str, Any]]]
    make = eval(f"lambda keys, columns: ({inner})(*keys)")  # noqa: S307  # of numbered names
    return make
