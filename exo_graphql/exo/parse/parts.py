"""The maps of a state as they were last read, so that the next read can reuse what has not changed."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from operator import is_
from typing import Any, Generic, TypeVar

import msgspec

from exo_graphql.exo.parse.slices import NotSliceable, is_object, loads, members

V = TypeVar("V")
Steps = Generator[None, None, V]
"""Work that yields every few milliseconds, so that the event loop can run other tasks."""

# Bytes to decode between two pauses: 2 to 5 ms of work.
_STEP = 256 << 10


@dataclass(frozen=True, slots=True, eq=False)
class Part(Generic[V]):
    """A map: the slice and the decoded value of each key.

    `text` is a copy, and the slices are views of it: a view of the body would keep all of the body in memory.
    """

    text: msgspec.Raw = field(default_factory=lambda: msgspec.Raw(b"{}"))
    slices: Mapping[str, msgspec.Raw] = field(default_factory=dict)
    values: Mapping[str, V] = field(default_factory=dict)


_ABSENT: Part[Any] = Part()


class Work:
    """Decodes slices, and pauses from time to time."""

    def __init__(self) -> None:
        self._decoded = 0

    def loads(self, text: msgspec.Raw, depth: int) -> Any:
        """The decoded value of a slice; see `slices.loads`."""
        self._decoded += len(text)
        return loads(text, depth)

    def members(self, text: msgspec.Raw | bytes) -> dict[str, msgspec.Raw]:
        """The value of each key of an object; see `slices.members`."""
        # Finding where values end takes a twentieth of the time of decoding and using them.
        self._decoded += len(text) // 20
        return members(text)

    def pause(self) -> Steps[None]:
        """Pauses if enough has been decoded."""
        if self._decoded >= _STEP:
            self._decoded = 0
            yield

    def part(
        self, last: Part[V], text: msgspec.Raw | None, read: Callable[[str, Any], V], depth: int = 1
    ) -> Steps[Part[V]]:
        """A map at nesting level `depth`; empty if absent or not an object."""
        if text is None:
            return _ABSENT
        if text == last.text:
            return last
        text = text.copy()
        if not is_object(text):
            self.loads(text, depth)
            return Part(text)
        try:
            slices = self.members(text)
        except NotSliceable:
            # For example a key with a quote in it. Then the whole map is read whenever it changes.
            return Part(text, {}, {key: read(key, value) for key, value in self.loads(text, depth).items()})
        values: dict[str, V] = {}
        for key, value in slices.items():
            known = last.slices.get(key)
            if known is not None and known == value:
                values[key] = last.values[key]
            else:
                values[key] = read(key, self.loads(value, depth + 1))
                yield from self.pause()
        return Part(text, slices, values)


def kept(last: Mapping[str, V], new: Mapping[str, V]) -> Mapping[str, V]:
    """The last map if the new one contains the same objects in the same order, else the new one."""
    same = len(last) == len(new) and all(map(is_, last.values(), new.values())) and list(last) == list(new)
    return last if same else new
