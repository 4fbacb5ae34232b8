"""The protocol of a store: entries in collections, and idempotency keys that lead to entries.

What an entry says is opaque here: its owner encodes and decodes `record`. A store knows only what it needs to keep
and order entries. Another kind of data is another `Collection` and a migration that adds its table.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, unique
from typing import Protocol

from exo_graphql.storage.leadership import Leadership


class StoreError(Exception):
    """The store could not be read or written. The message may be shown to a caller."""


class NotLeader(StoreError):
    """Another server may write now, or this one cannot tell: it must not act on the cluster until it can write."""


@unique
class Collection(Enum):
    """Entries of one kind. The value is the name of their table."""

    OPERATIONS = "operations"
    DEPLOYMENTS = "deployments"
    EVENTS = "events"
    WEBHOOKS = "webhooks"
    HISTORY_MINUTES = "history_minutes"
    HISTORY_TEN_MINUTES = "history_ten_minutes"
    SERVING = "serving"
    PAST = "past"
    MEMORIES = "memories"


@dataclass(frozen=True, slots=True)
class Entry:
    """`sequence` orders the entries of a collection, independently of clocks; both it and `id` are unique in there.

    `active`: its owner still has to do something about it, so that it must not be lost.
    """

    sequence: int
    id: str
    active: bool
    record: bytes


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key, the arguments that it was used with, and the operation it led to.

    `created_at` is seconds since 1970.
    """

    key: str
    fingerprint: str
    operation_id: str
    created_at: float


class Store(Protocol):
    """Every method but `close` raises `StoreError`, and is bounded in time: a disk that hangs does not hang a caller.

    A write is durable when it returns. It is atomic: an entry and its key are both there, or neither is. One that
    failed may have happened all the same, except `admit`.
    """

    @property
    def leadership(self) -> Leadership:
        """Which server may write."""
        ...

    async def connect(self) -> None:
        """The first part of `open`: the store can be read, and this server does not lead yet where others could.

        Raises `StoreError` as `open` does.
        """
        ...

    async def open(self) -> None:
        """Opens the store and brings its schema to this version. Does nothing where it is open.

        Where it is shared, it can be read from then on, and written while `leadership.leads`. Raises `StoreError` where
        it cannot be used, one that is not shared is used by another server, or a newer version has written it; it is
        then left as it is.
        """
        ...

    async def entries(self, collection: Collection) -> list[Entry]:
        """All entries, in the order of `sequence`."""
        ...

    async def some(self, collection: Collection, ids: Iterable[str]) -> list[Entry]:
        """Those of these ids that are there, in the order of `sequence`."""
        ...

    async def newest(self, collection: Collection, count: int, before: int | None = None) -> list[Entry]:
        """The last `count` entries, of those with a `sequence` below `before` where that is given; newest first."""
        ...

    async def keys(self) -> list[Key]:
        """All idempotency keys, in no order."""
        ...

    async def admit(self, collection: Collection, entry: Entry, key: Key | None = None) -> None:
        """Writes a new entry. Where this raises, neither entry nor key is there, now or later.

        The caller was refused, and must not find at the next start that its operation was begun.
        """
        ...

    async def save(self, collection: Collection, entry: Entry) -> None:
        """Writes an entry, over the earlier one of the same id; `sequence` stays what it was."""
        ...

    async def append(self, collection: Collection, entries: Sequence[Entry]) -> None:
        """Writes new entries, all of them or none.

        One that is there already (its id and sequence) is left as it is: a call that failed may have written it, such
        as one that took too long, or whose caller was cancelled.
        """
        ...

    async def forget_until(self, collection: Collection, sequence: int) -> None:
        """Removes the entries up to and with that `sequence`."""
        ...

    async def add_key(self, key: Key) -> None:
        """Writes a key, over the earlier one of the same name."""
        ...

    async def forget(self, collection: Collection, ids: Sequence[str], keys: Sequence[str] = ()) -> None:
        """Removes entries and keys. Those that are not there are ignored."""
        ...

    async def close(self) -> None:
        """Closes the store. Safe to call twice, and without `open`."""
        ...

    def on_change(self, callback: Callable[[Collection, frozenset[str] | None], None]) -> Callable[[], None]:
        """Calls back, synchronously, when another server has written entries of these ids; returns how to stop it.

        Without ids: any entry of the collection may have changed, for example while the database could not be reached.
        """
        ...
