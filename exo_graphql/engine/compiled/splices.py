"""Encoded parts of answers that are made once and copied into every answer that contains them.

There are three kinds. All are identified by the selection, so that different documents share them:

- A *place*: a field that is reached from the root without a list or a variable, such as `cluster { nodes }` or
  `downloads(status: [FAILED])`. In one snapshot it has one value. The first answer reads it as any other field,
  the second one keeps the bytes, and later ones copy them: for 130 kB that takes 20 µs instead of 1 ms.
- An *object* of a list whose selected fields depend on its attributes alone. Its bytes are valid as long as it is the
  same object, across snapshots: of 4,000 downloads, a read of exo's state replaces the three that progressed.
- A *column* (`columns`): what a field has in the objects of a list at a place. It is not encoded, and so serves
  documents that select other fields besides, or give them other keys.

Bytes are dropped with their snapshot (an object's: with the first snapshot in which it was not selected). Their sum is
bounded.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import is_dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakValueDictionary

import orjson

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.engine.compiled.columns import Columns, Rows
from exo_graphql.schema.context import Context
from exo_graphql.schema.volatile import VolatileNumber, VolatileText
from exo_graphql.trimmed import trimmed

# Bytes that are kept for one snapshot. A whole overview of 32 nodes takes 1 MB.
MAX_BYTES = 16 << 20
# Bytes that columns may take besides. Nine columns of 4,000 downloads take 3 MB.
MAX_COLUMN_BYTES = 8 << 20
# Places and selections of objects in one snapshot; further ones are read as if nothing were kept.
MAX_POINTS = 4_000

Objects = dict[int, tuple[object, Any, int]]
"""Encoded objects by identity, with their bytes. Each entry holds its object, so that no other one gets the same id."""

Read = Callable[[Any, Any], Any]
"""Takes a value and the `info` of the run, returns a part of the response."""


class Spliced:
    """Encoded bytes for the answer, and for its signature, in which clock fields are null."""

    __slots__ = ("payload", "signed")

    def __init__(self, payload: orjson.Fragment, signed: orjson.Fragment) -> None:
        self.payload = payload
        self.signed = signed


def in_payload(value: object) -> object:
    """orjson's `default` for an answer: how to write a value that orjson does not know."""
    if isinstance(value, Spliced):
        return value.payload
    # orjson writes subclasses of str by itself, but not those of float.
    if isinstance(value, VolatileNumber):
        return float(value)
    raise TypeError(f"{type(value).__name__} in a result")


def in_signature(value: object) -> object:
    """The same for a signature, which orjson must make with `OPT_PASSTHROUGH_SUBCLASS`."""
    if isinstance(value, Spliced):
        return value.signed
    if not isinstance(value, VolatileNumber | VolatileText):
        raise TypeError(f"{type(value).__name__} in a result")
    return None


class Point:
    """The identity of a place or of a selection of objects, shared by all documents that contain it."""

    __slots__ = ("__weakref__", "time_dependent")

    def __init__(self) -> None:
        self.time_dependent = False
        """Whether it has once contained a value that depends on the time, such as an age: then it is never kept."""


class Generation:
    """What is kept of one snapshot, at one version of the operations, deployments, events and samples."""

    def __init__(self, context: Context, before: "Mapping[Point, Objects]") -> None:
        self._snapshot: Snapshot | None = context.latest
        self._version = context.changes, context.sampled
        self._places: dict[Point, Any] = {}
        self._seen: set[Point] = set()
        """Places that were read once."""
        self.objects: dict[Point, Objects] = {}
        """By selection; empty for one that the previous generation did not have, since it may never come again."""
        self._before = before
        self._lists: dict[Point, Columns] = {}
        """What is known of the lists at places, whatever document has read it."""
        self._column_bytes = 0
        self._bytes = 0
        self._full = False
        """Whether something did not fit into `MAX_BYTES`: then nothing more is encoded, since it could not be kept."""

    def is_of(self, context: Context) -> bool:
        """Whether the answers of `context` may hold what is kept here."""
        return self._snapshot is context.latest and self._version == (context.changes, context.sampled)

    def read_place(self, point: Point, read: Read, value: Any, info: Any) -> Any:
        """The part of the response at a place: kept bytes, or what `read` returns."""
        known = self._places.get(point)
        if known is not None:
            return known
        if point.time_dependent or self._full:
            return read(value, info)
        if not self._is_seen(point):
            return read(value, info)
        part, lasts = self._read(point, read, value, info)
        if lasts:
            part, size = _encoded(part)
            if self._takes(size):
                self._places[point] = part
        return part

    def read_list(self, rows: Rows, read: Read, value: Any, info: Any) -> Any:
        """The list at a place: joined of columns, which are read unless they are known. `read` reads its objects.

        Columns are kept from the second time on that something is selected of the list.
        """
        columns = rows.known(self._lists.get(rows.place, {}))
        if None not in columns:
            return rows.joined(columns)
        if rows.kept is not None:
            if rows.kept in self._before:
                return read(value, info)  # the bytes of its objects are known from the last snapshot
            if len(self.objects) < MAX_POINTS:
                self.objects.setdefault(rows.kept, {})
        seen = self._is_seen(rows.place) and self._column_bytes < MAX_COLUMN_BYTES
        values, same = self._read(None, rows.values, value, info)
        if values is None:
            return None
        for number, identity in enumerate(rows.identities):
            if columns[number] is None:
                column, lasts = self._read(None, rows.readers[number], values, info)
                columns[number] = column
                if seen and same and lasts:
                    # Lists and dicts take some four times as much memory as their bytes.
                    self._column_bytes += 4 * len(orjson.dumps(column, default=in_payload))
                    if self._column_bytes <= MAX_COLUMN_BYTES:
                        self._lists.setdefault(rows.place, {})[identity] = column
        return rows.joined(columns)

    def _is_seen(self, point: Point) -> bool:
        """Whether the place was read before in this snapshot. It is now."""
        if point in self._seen:
            return True
        if len(self._seen) < MAX_POINTS:
            self._seen.add(point)
        return False

    def _read(self, point: "Point | None", read: Read, value: Any, info: Any) -> tuple[Any, bool]:
        """What `read` returns, and whether it is the same for every answer of this snapshot."""
        context = info.context
        clock_reads = context.clock_reads
        part = read(value, info)
        if context.clock_reads == clock_reads:
            return part, not context.completed and self.is_of(context)
        if point is not None:
            point.time_dependent = True
        return part, False

    def read_objects(self, point: Point, values: Iterable[Any], read: Read, info: Any) -> list[Any]:
        """The parts of the response for the objects of a list: kept bytes, or what `read` returns for an object."""
        newest = self.objects.get(point)
        if newest is None and len(self.objects) < MAX_POINTS:
            newest = self.objects[point] = {}
        before = self._before.get(point)
        if before is None or newest is None or self._full:
            return [read(value, info) for value in values]
        parts = []
        for value in values:
            known = newest.get(id(value))
            if known is None:
                known = before.get(id(value))
                if known is None:
                    part = read(value, info)
                    if not _is_immutable(value.__class__):
                        parts.append(part)
                        continue
                    known = value, *_encoded(part)
                if self._takes(known[2]):
                    newest[id(value)] = known
            parts.append(known[1])
        return parts

    def _takes(self, size: int) -> bool:
        """Whether `size` bytes fit into `MAX_BYTES`; if so they count as kept."""
        self._full = self._full or self._bytes + size > MAX_BYTES
        if not self._full:
            self._bytes += size
        return not self._full


class Splices:
    """The points of all documents, and what is kept of the newest snapshot."""

    def __init__(self) -> None:
        self._points: WeakValueDictionary[Hashable, Point] = WeakValueDictionary()
        self._newest: Generation | None = None

    def point(self, identity: Hashable) -> Point:
        """The point of that identity; it lives as long as a plan that holds it."""
        point = self._points.get(identity)
        if point is None:
            point = self._points[identity] = Point()
        return point

    def generation(self, context: Context) -> Generation:
        """What is kept for the answers of `context`."""
        if context.event is not None:
            # A message about one event: what it says of that event is true of no other one in the same snapshot.
            return Generation(context, {})
        newest = self._newest
        if newest is None or not newest.is_of(context):
            newest = self._newest = Generation(context, {} if newest is None else newest.objects)
        return newest


def at_place(point: Point, read: Read) -> Read:
    """A function that reads a place by `read`, or knows its bytes."""

    def known_or_read(value: Any, info: Any) -> Any:
        return info.generation.read_place(point, read, value, info)

    return known_or_read


def by_columns(rows: Rows, read: Read) -> Read:
    """A function that reads the list at a place by columns, or by `read`."""

    def joined_or_read(value: Any, info: Any) -> Any:
        return info.generation.read_list(rows, read, value, info)

    return joined_or_read


def _encoded(part: Any) -> tuple[Any, int]:
    """The encoded part, and its size in bytes: of both encodings where a clock field makes them differ."""
    payload = trimmed(orjson.dumps(part, default=in_payload))
    signed = trimmed(orjson.dumps(part, default=in_signature, option=orjson.OPT_PASSTHROUGH_SUBCLASS))
    fragment = orjson.Fragment(payload)
    if payload == signed:
        return fragment, len(payload)
    return Spliced(fragment, orjson.Fragment(signed)), len(payload) + len(signed)


@lru_cache(maxsize=100)
def _is_immutable(class_: type) -> bool:
    """Whether the attributes of its objects never change: it is a frozen dataclass of `cluster/`, which is pure."""
    frozen = is_dataclass(class_) and class_.__dataclass_params__.frozen  # type: ignore[attr-defined]
    return bool(frozen) and class_.__module__.startswith("exo_graphql.cluster.")
