"""The stored operations: those that have ended, and which idempotency key belongs to which."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from exo_graphql.operations.operation import Operation, OperationKind, OperationState
from exo_graphql.operations.records import Record, Unreadable, decode, encode
from exo_graphql.operations.rules import OperationRules
from exo_graphql.operations.unclaimed import Unclaimed
from exo_graphql.storage import Collection, Key, Store, StoreError, is_shared

log = logging.getLogger(__name__)

# A client that draws a new key for each request must not fill the disk: at 200 bytes each, 2 MB.
MAX_KEYS = 10_000


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

    @property
    def is_shared(self) -> bool:
        """Whether other servers read the store, and one of them may lead next."""
        return is_shared(self._store.leadership)

    async def load(self) -> list[Record]:
        """Reads the store, once; returns what was under way, oldest first. Raises `StoreError`."""
        if self._under_way is None:
            self._under_way = await self._read()
        return self._under_way

    async def _read(self) -> list[Record]:
        entries = await self._store.entries(Collection.OPERATIONS)
        self._keys = {key.key: key for key in await self._store.keys()}
        # Those that cannot be read count too: no sequence number is used twice.
        self._sequence = entries[-1].sequence if entries else 0
        under_way: list[Record] = []
        for entry in entries:
            record = decode(entry)
            if isinstance(record, Unreadable):
                self._unreadable[record.operation_id] = (record.sequence, self._parked(record))
            elif record is not None and record.operation.active:
                under_way.append(record)
            elif record is not None:
                self.unclaimed.note(record)
                self._finished[record.operation.id] = (record.sequence, record.operation)
        await self.prune()
        return under_way

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

    async def admit(self, record: Record, key: Key | None) -> None:
        """Writes a new operation and its key. Raises `StoreError`; then neither is stored, now or later."""
        try:
            await self._store.admit(Collection.OPERATIONS, encode(record), key)
        except StoreError as error:
            log.error("Operation %s: %s", record.operation.id, error)  # noqa: TRY400  # the message says it all
            raise

    async def add_key(self, key: Key) -> None:
        """Lets one more key lead to an operation. Raises `StoreError`."""
        await self._store.add_key(key)
        self.remember(key)

    async def save(self, record: Record) -> None:
        """Writes an operation. Raises `StoreError`.

        One that has ended is then written by `catch_up`; not in a shared store, where another server may go on with it.
        """
        try:
            await self._store.save(Collection.OPERATIONS, encode(record))
        except StoreError as error:
            if self.is_shared:
                raise
            log.error("Operation %s: %s", record.operation.id, error)  # noqa: TRY400  # the message says it all
            if not record.operation.active:
                self._unwritten[record.operation.id] = record
            raise

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
