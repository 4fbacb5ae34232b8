"""The stored operations: those that have ended, and which idempotency key belongs to which."""

import logging
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Collection as Several
from dataclasses import dataclass, replace
from datetime import datetime

from exo_graphql.operations.operation import Operation, OperationKind, OperationState
from exo_graphql.operations.records import Record, Unreadable, decode, encode
from exo_graphql.operations.rules import OperationRules
from exo_graphql.operations.unclaimed import Unclaimed
from exo_graphql.storage import Collection, Entry, Key, Store, StoreError, is_shared

log = logging.getLogger(__name__)

# A client that draws a new key for each request must not fill the disk: at 200 bytes each, 2 MB.
MAX_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Reread:
    """Operations that were read again: `gone` are the ids of those that are not under way (any more)."""

    under_way: tuple[Record, ...] = ()
    ended: tuple[Operation, ...] = ()
    """Those that have ended since they were read before."""
    gone: frozenset[str] = frozenset()

    @property
    def any(self) -> bool:
        """Whether anything may have changed."""
        return bool(self.under_way or self.ended or self.gone)


class OperationRepository:
    """The store's operations, and a copy in memory of what queries need.

    An operation that has ended is kept while it is among the last `kept_finished`, or its key has not expired.
    """

    def __init__(self, store: Store, rules: OperationRules, now: Callable[[], datetime]) -> None:
        self._store = store
        self._rules = rules
        self._now = now
        self._finished: dict[str, tuple[int, Operation]] = {}
        """By id, with their sequence."""
        self._keys: dict[str, Key] = {}
        """By key: of operations under way and of ended ones, expired keys included until `prune`."""
        self._sequence = 0
        """The highest sequence number in use."""
        self.unclaimed = Unclaimed(rules, now)
        """What exo may still create, though nothing wants it any more."""
        self._unwritten: dict[str, Record] = {}
        """By id: operations that have ended while the store could not be written."""
        self._unreadable: dict[str, tuple[int, Operation]] = {}
        """By id, with their sequence: shown as parked, never resumed."""
        self._under_way: list[Record] | None = None
        """The operations that had not ended when the store was read; None until then."""

    async def load(self, *, again: bool = False) -> list[Record]:
        """Reads the store, if it was not read before or `again`; returns what was under way, oldest first.

        Raises `StoreError`.
        """
        if self._under_way is None or again:
            self._under_way = await self._read()
        return self._under_way

    async def _read(self) -> list[Record]:
        entries = await self._store.entries(Collection.OPERATIONS)
        keys = {key.key: key for key in await self._store.keys()}
        # Those that cannot be read count too: no sequence number is used twice.
        self._sequence = entries[-1].sequence if entries else 0
        self._keys = keys
        self._unwritten.clear()
        self._unreadable.clear()
        ids = {entry.id for entry in entries}
        self._finished = {id_: known for id_, known in self._finished.items() if id_ in ids}
        return list(self._take(entries).under_way)

    async def reread(self, ids: Iterable[str]) -> Reread:
        """Reads these again, which another server has written. Raises `StoreError`."""
        wanted = frozenset(ids)
        entries = await self._store.some(Collection.OPERATIONS, wanted)
        gone = wanted.difference(entry.id for entry in entries)
        for id_ in gone:
            self._finished.pop(id_, None)
            self._unreadable.pop(id_, None)
        if gone:
            self._keys = {name: key for name, key in self._keys.items() if key.operation_id not in gone}
        return self._take(entries, wanted)

    async def newest(self, count: int, also: Several[str]) -> Reread:
        """Reads the newest ones again, and these. Raises `StoreError`."""
        entries = await self._store.newest(Collection.OPERATIONS, count)
        missing = frozenset(also).difference(entry.id for entry in entries)
        if missing:
            entries += await self._store.some(Collection.OPERATIONS, missing)
        return self._take(sorted(entries, key=lambda entry: entry.sequence), frozenset(also))

    def _take(self, entries: Sequence[Entry], asked: frozenset[str] | None = None) -> Reread:
        """Notes the entries, in the order of their sequence. An operation that has ended never changes again.

        With those that are read one by one come their keys, which the store notifies nobody of.
        """
        under_way: list[Record] = []
        ended: list[Operation] = []
        for entry in entries:
            self._sequence = max(self._sequence, entry.sequence)
            if not entry.active and entry.id in self._finished:
                continue
            self._unreadable.pop(entry.id, None)
            record = decode(entry)
            if isinstance(record, Unreadable):
                self._unreadable[record.operation_id] = (record.sequence, self._parked(record))
            elif record is not None:
                if asked is not None and (key := _key_of(record)) is not None:
                    self._keys.setdefault(key.key, key)
                if record.operation.active:
                    under_way.append(record)
                else:
                    self.unclaimed.note(record)
                    self._finished[entry.id] = (record.sequence, record.operation)
                    ended.append(record.operation)
        gone = (asked or frozenset()).difference(record.operation.id for record in under_way)
        return Reread(tuple(under_way), tuple(ended), gone)

    def _parked(self, entry: Unreadable) -> Operation:
        message = "The journal's entry of this operation cannot be read, so it is not resumed. Cancel it to discard it."
        known = entry.operation or Operation(
            entry.operation_id, OperationKind.SWAP, OperationState.PARKED, message, (), self._now()
        )
        return replace(known, state=OperationState.PARKED, message=message, progress_percent=None)

    def is_unreadable(self, operation_id: str) -> bool:
        """Whether it has not ended and cannot be read."""
        return operation_id in self._unreadable

    def unreadable(self) -> list[tuple[int, Operation]]:
        """The operations that cannot be read, as parked ones, with their sequence."""
        return list(self._unreadable.values())

    async def discard(self, operation_id: str) -> Operation | None:
        """Deletes an entry that cannot be read; None if there is none of this id. Raises `StoreError`."""
        found = self._unreadable.get(operation_id)
        if found is None:
            return None
        await self._store.forget(Collection.OPERATIONS, [operation_id])
        del self._unreadable[operation_id]
        message = "Discarded: the journal's entry could not be read. Nothing was undone."
        return replace(found[1], state=OperationState.CANCELLED, message=message, finished_at=self._now())

    def next_sequence(self) -> int:
        """Orders operations by when they were requested, independently of any clock."""
        self._sequence += 1
        return self._sequence

    async def admit(self, record: Record, key: Key | None) -> Entry:
        """Writes a new operation and its key. Raises `StoreError`; then neither is stored, now or later."""
        try:
            entry = encode(record)
            await self._store.admit(Collection.OPERATIONS, entry, key)
        except StoreError as error:
            log.error("Operation %s: %s", record.operation.id, error)  # noqa: TRY400  # the message says it all
            raise
        return entry

    async def add_key(self, key: Key) -> None:
        """Lets one more key lead to an operation. Raises `StoreError`."""
        await self._store.add_key(key)
        self.remember(key)

    async def save(self, record: Record) -> Entry:
        """Writes an operation. Raises `StoreError`.

        One that has ended is then written by `catch_up`; not in a shared store, where another server may go on with it.
        """
        try:
            entry = encode(record)
            await self._store.save(Collection.OPERATIONS, entry)
        except StoreError as error:
            if is_shared(self._store.leadership):
                raise
            log.error("Operation %s: %s", record.operation.id, error)  # noqa: TRY400  # the message says it all
            if not record.operation.active:
                self._unwritten[record.operation.id] = record
            raise
        return entry

    async def write(self, entry: Entry) -> None:
        """Writes an entry that `save` has returned, with another version of its operation. Raises `StoreError`."""
        await self._store.save(Collection.OPERATIONS, entry)

    async def catch_up(self) -> bool:
        """Writes what has ended while the store could not be written; returns whether all is written."""
        for operation_id, record in tuple(self._unwritten.items()):
            try:
                await self._store.save(Collection.OPERATIONS, encode(record))
            except StoreError:
                return False
            self._unwritten.pop(operation_id, None)
        return True

    def keep(self, record: Record) -> None:
        """Keeps an operation that has ended, for queries."""
        self.unclaimed.note(record)
        self._finished[record.operation.id] = (record.sequence, record.operation)

    def operation(self, operation_id: str) -> Operation | None:
        """An operation that has ended, or one that cannot be read."""
        found = self._finished.get(operation_id) or self._unreadable.get(operation_id)
        return found[1] if found is not None else None

    def finished(self) -> list[tuple[int, Operation]]:
        """The last ones that ended, with their sequence."""
        return sorted(self._finished.values(), key=lambda pair: pair[0])[-self._rules.kept_finished :]

    def key(self, key: str | None) -> Key | None:
        """The key, unless it has expired. One from the future (the clock was set back) has not."""
        found = self._keys.get(key) if key is not None else None
        return found if found is not None and self._is_valid(found) else None

    def remember(self, key: Key) -> None:
        """Before it is written: two requests with one key may arrive in the same millisecond."""
        self._keys[key.key] = key

    def forget_key(self, key: Key | None) -> None:
        """The operation of the key was not begun after all."""
        if key is not None:
            self._keys.pop(key.key, None)

    def _is_valid(self, key: Key) -> bool:
        return self._now().timestamp() - key.created_at < self._rules.key_seconds

    async def prune(self) -> None:
        """Forgets keys that have expired, and ended operations that need not be kept."""
        by_age = sorted(self._keys.values(), key=lambda key: key.created_at)
        expired = [key for key in by_age if not self._is_valid(key)] or by_age[:-MAX_KEYS]
        for key in expired:
            del self._keys[key.key]
        kept = {operation.id for _, operation in self.finished()}
        kept |= {key.operation_id for key in self._keys.values()}
        old = [id_ for id_ in self._finished if id_ not in kept]
        for id_ in old:
            del self._finished[id_]
        if expired or old:
            try:
                await self._store.forget(Collection.OPERATIONS, old, [key.key for key in expired])
            except StoreError as error:
                # Tried again when the next operation ends.
                log.error("%s", error)  # noqa: TRY400  # the message says it all


def _key_of(record: Record) -> Key | None:
    """The key that was stored with the operation."""
    key = record.operation.idempotency_key
    started = record.operation.started_at.timestamp()
    return None if key is None else Key(key, record.request.fingerprint, record.operation.id, started)
