"""Unambiguous names: models of one short name show their owner, nodes of one name their id."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# All node ids begin alike; their ends differ.
_ID_END = 6


def with_unique_names(data: Any) -> Any:
    """The same JSON value, in which equal names of different things differ.

    A model gets its owner, `other/llama-3b`; a node the end of its id, `Mac Studio (0000a1)`.
    """
    ids = defaultdict[tuple[str, str], set[str]](set)
    for thing in _mappings(data):
        for key in _named(thing):
            ids[key, thing[key].lower()].add(thing["id"])
    equal = {named for named, bearers in ids.items() if len(bearers) > 1}
    return _renamed(data, equal) if equal else data


def _named(thing: Mapping[str, Any]) -> list[str]:
    return [key for key in ("name", "friendlyName") if isinstance(thing.get(key), str) and "id" in thing]


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        for item in value.values():
            yield from _mappings(item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _mappings(item)


def _renamed(value: Any, equal: set[tuple[str, str]]) -> Any:
    if isinstance(value, Mapping):
        renamed = {key: _renamed(item, equal) for key, item in value.items()}
        for key in _named(value):
            if (key, value[key].lower()) in equal:
                end = value["id"][-_ID_END:]
                renamed[key] = value["id"] if key == "name" else f"{value[key]} ({end})"
        return renamed
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_renamed(item, equal) for item in value]
    return value
