"""What is remembered of operations: the finished ones, and which idempotency key led to which."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from exo_graphql.operations.journal import MAX_KEYS, Journal, JournalError, Key, Record, Unreadable
from exo_graphql.operations.operation import Operation, OperationKind, OperationState
from exo_graphql.operations.rules import OperationRules

log = logging.getLogger(__name__)


class Archive:
    """The journal with its memory. A finished operation is kept while it is among the last, or its key is alive."""

    def __init__(self, path: Path | None, rules: OperationRules, now: Callable[[], datetime]) -> None:
        self._journal = Journal(path)
        self._rules = rules
        self._now = now
        self._finished: dict[str, tuple[int, Operation]] = {}
        self._keys: dict[str, Key] = {}
        self._sequence = 0
        self._unwritten: dict[str, Record] = {}
        self._unreadable: dict[str, tuple[int, Operation]] = {}
        self._opened: list[Record] | None = None

    async def open(self) -> list[Record]:
        """Reads the journal, once; returns what was under way, oldest first. Raises `JournalError`."""
        if self._opened is None:
            self._opened = await self._read()
        return self._opened

    async def _read(self) -> list[Record]:
        contents = await self._journal.open()
        records = contents.records
        self._keys = {key.key: key for key in contents.keys}
        self._sequence = contents.last_sequence
        for entry in contents.unreadable:
            self._unreadable[entry.operation_id] = (entry.sequence, self._parked(entry))
        under_way = [record for record in records if record.operation.active]
        for record in records:
            if not record.operation.active:
                self._finished[record.operation.id] = (record.sequence, record.operation)
        await self.prune()
        return under_way

    def _parked(self, entry: Unreadable) -> Operation:
        message = "The journal's entry of this operation cannot be read, so it does not go on. Cancel it to discard it."
        now = self._now()
        known = entry.operation or Operation(
            entry.operation_id, OperationKind.SWAP, OperationState.PARKED, message, (), now
        )
        return replace(known, state=OperationState.PARKED, message=message, progress_percent=None)

    def is_unreadable(self, operation_id: str) -> bool:
        """Whether it is an entry that was under way and cannot be read."""
        return operation_id in self._unreadable

    def unreadable(self) -> list[tuple[int, Operation]]:
        """These, as parked operations, with their order."""
        return list(self._unreadable.values())

    async def discard(self, operation_id: str) -> Operation | None:
        """Gives up an entry that cannot be read; None if there is none of this id. Raises `JournalError`."""
        found = self._unreadable.get(operation_id)
        if found is None:
            return None
        await self._journal.forget([operation_id], [])
        del self._unreadable[operation_id]
        message = "Discarded: the journal's entry could not be read. Nothing was undone."
        return replace(found[1], state=OperationState.CANCELLED, message=message, finished_at=self._now())

    async def close(self) -> None:
        """Closes the journal."""
        await self.catch_up()
        await self._journal.close()

    def next_sequence(self) -> int:
        """Orders operations by when they were asked for, whatever clocks do."""
        self._sequence += 1
        return self._sequence

    async def admit(self, record: Record, key: Key | None) -> None:
        """Writes a new operation and its key. Raises `JournalError`; then neither is there, now or later."""
        try:
            await self._journal.admit(record, key)
        except JournalError as error:
            log.error("Operation %s: %s", record.operation.id, error)  # noqa: TRY400  # the message says it all
            raise

    async def add_key(self, key: Key) -> None:
        """Lets one more key lead to an operation. Raises `JournalError`."""
        await self._journal.add_key(key)
        self.remember(key)

    async def save(self, record: Record) -> None:
        """Writes an operation. Raises `JournalError`; one that has ended is then written by `catch_up`."""
        try:
            await self._journal.save(record)
        except JournalError as error:
            log.error("Operation %s: %s", record.operation.id, error)  # noqa: TRY400  # the message says it all
            if not record.operation.active:
                self._unwritten[record.operation.id] = record
            raise

    async def catch_up(self) -> bool:
        """Writes what has ended while the journal could not be written; returns whether all is written."""
        for operation_id, record in tuple(self._unwritten.items()):
            try:
                await self._journal.save(record)
            except JournalError:
                return False
            self._unwritten.pop(operation_id, None)
        return True

    def keep(self, record: Record) -> None:
        """Keeps an operation that has ended (and has been saved so)."""
        self._finished[record.operation.id] = (record.sequence, record.operation)

    def operation(self, operation_id: str) -> Operation | None:
        """A finished operation, or one that cannot be read."""
        found = self._finished.get(operation_id) or self._unreadable.get(operation_id)
        return found[1] if found is not None else None

    def finished(self) -> list[tuple[int, Operation]]:
        """The last ones that ended, with their order."""
        return sorted(self._finished.values(), key=lambda pair: pair[0])[-self._rules.kept_finished :]

    def key(self, key: str | None) -> Key | None:
        """The key, while it is alive. One from the future (the clock was set back) is alive."""
        found = self._keys.get(key) if key is not None else None
        return found if found is not None and self._is_alive(found) else None

    def remember(self, key: Key) -> None:
        """Before it is written: two requests with one key may come in one moment."""
        self._keys[key.key] = key

    def forget_key(self, key: Key | None) -> None:
        """The operation of the key was not begun after all."""
        if key is not None:
            self._keys.pop(key.key, None)

    def _is_alive(self, key: Key) -> bool:
        return self._now().timestamp() - key.created_at < self._rules.key_seconds

    async def prune(self) -> None:
        """Forgets what need not be kept any longer."""
        by_age = sorted(self._keys.values(), key=lambda key: key.created_at)
        dead = [key for key in by_age if not self._is_alive(key)] or by_age[:-MAX_KEYS]
        for key in dead:
            del self._keys[key.key]
        kept = {operation.id for _, operation in self.finished()}
        kept |= {key.operation_id for key in self._keys.values()}
        old = [id_ for id_ in self._finished if id_ not in kept]
        for id_ in old:
            del self._finished[id_]
        if dead or old:
            try:
                await self._journal.forget(old, [key.key for key in dead])
            except JournalError as error:
                # Tried again with the next that ends.
                log.error("%s", error)  # noqa: TRY400  # the message says it all
