"""The journal: operations on disk, so that a crash leaves nothing half done. SQLite in one thread of its own.

The server may be killed at any moment: whatever is written before a step is taken is what the next start goes by.
"""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from exo_graphql.operations.errors import BY_NAME, OperationError
from exo_graphql.operations.migrations import NewerSchema, migrate
from exo_graphql.operations.operation import Operation
from exo_graphql.operations.requests import OperationRequest
from exo_graphql.operations.saga_state import SagaState

log = logging.getLogger(__name__)
_T = TypeVar("_T")

# A hang of the disk must not hang a wish.
WRITE_SECONDS = 10.0
# Keys alone cannot fill the disk.
MAX_KEYS = 10_000


class JournalError(Exception):
    """The journal could not be read or written; the message is fit for a caller."""


@dataclass(frozen=True, slots=True)
class Record:
    """An operation with all that is needed to go on with it. `sequence` orders them, whatever clocks do."""

    sequence: int
    operation: Operation
    request: OperationRequest
    saga_state: SagaState


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key: of which arguments, and the operation it led to. `created_at` is seconds since 1970."""

    key: str
    fingerprint: str
    operation_id: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry that was under way and that this server cannot read. It is kept as it is."""

    sequence: int
    operation_id: str
    operation: Operation | None
    """What can be read of it."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything that a journal holds, oldest first. `last_sequence` counts what cannot be read, too."""

    records: list[Record]
    keys: list[Key]
    unreadable: list[Unreadable]
    last_sequence: int


class Journal:
    """One file, one writer. `path` None keeps it in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._db: sqlite3.Connection | None = None

    async def open(self) -> Contents:
        """Everything that is remembered. A damaged file is set aside, which the log says; a newer one is refused."""
        return await self._run(lambda _: self._open())

    async def admit(self, record: Record, key: Key | None = None) -> None:
        """Writes an operation that nobody knows of yet. Where this raises, the entry is not there, now or later."""
        body = dump(record)
        await self._run(lambda given_up: self._admit(record, body, key, given_up))

    async def save(self, record: Record) -> None:
        """Writes an operation; durable when it returns."""
        body = dump(record)
        await self._run(lambda _: self._save(record, body, None))

    async def add_key(self, key: Key) -> None:
        """Writes one more key of an operation; durable when it returns."""
        await self._run(lambda _: self._add_key(self._opened(), key))

    async def forget(self, operation_ids: list[str], keys: list[str]) -> None:
        """Removes what is no longer to be kept."""
        await self._run(lambda _: self._forget(operation_ids, keys))

    async def close(self) -> None:
        """Closes the file. Safe to call twice."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[threading.Event], _T]) -> _T:
        """Runs `work` in the journal's thread. It is handed an event that is set once nobody waits for it any more."""
        given_up = threading.Event()
        future = asyncio.get_running_loop().run_in_executor(self._thread, work, given_up)
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                return await asyncio.shield(future)
        except TimeoutError as error:
            given_up.set()
            future.add_done_callback(_retrieve)
            raise JournalError(f"The journal did not answer within {WRITE_SECONDS:g} s.") from error
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise JournalError("The journal is locked: another server is at work on it.") from error
            raise JournalError(f"The journal cannot be used: {error}.") from error

    def _open(self) -> Contents:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._check_log()
            return self._connect()
        except sqlite3.DatabaseError as error:
            self._close()
            # A file that is locked or cannot be opened is not damaged: another server is at work on it.
            if self.path is None or isinstance(error, sqlite3.OperationalError):
                raise
            self._set_aside(error)
            return self._connect()

    def _check_log(self) -> None:
        """SQLite would silently drop the log of a file that has been emptied."""
        if self.path is None or not self.path.is_file() or self.path.stat().st_size > 0:
            return
        written = self.path.with_name(f"{self.path.name}-wal")
        if written.is_file() and written.stat().st_size > 0:
            raise sqlite3.DatabaseError("it is empty, and its log is not")

    def _connect(self) -> Contents:
        db = self._db = sqlite3.connect(
            ":memory:" if self.path is None else self.path, isolation_level=None, check_same_thread=False, timeout=1.0
        )
        # One server alone may act on a journal: a second would go on with the same operations.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        (healthy,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if healthy != "ok":
            raise sqlite3.DatabaseError(healthy)
        try:
            migrate(db)
        except NewerSchema as error:
            self._close()
            raise JournalError(
                f"The journal {self.path} was written by a newer version of exo-graphql ({error}). It is left as it "
                "is: start that version, or name another state directory."
            ) from error
        records: list[Record] = []
        unreadable: list[Unreadable] = []
        rows = db.execute("SELECT sequence, id, active, record FROM operations ORDER BY sequence").fetchall()
        for sequence, id_, active, body in rows:
            record = _load(sequence, body, whole=bool(active))
            if record is not None:
                records.append(record)
            elif active:
                unreadable.append(Unreadable(sequence, id_, _load_operation(body)))
        keys = [Key(*row) for row in db.execute("SELECT key, fingerprint, operation_id, created_at FROM keys")]
        return Contents(records, keys, unreadable, rows[-1][0] if rows else 0)

    def _admit(self, record: Record, body: bytes, key: Key | None, given_up: threading.Event) -> None:
        """Leaves nothing behind once `given_up` is set, since the caller has been refused.

        A disk that hangs, hangs at the first write: that one says nothing. So a commit that is still on its way when
        the server is killed is not that of an operation, and the next start finds none to go on with.
        """
        db = self._opened()
        db.execute("UPDATE probe SET writes = writes + 1")
        if given_up.is_set():
            return
        self._save(record, body, key)
        if given_up.is_set():
            self._forget([record.operation.id], [] if key is None else [key.key])

    def _save(self, record: Record, body: bytes, key: Key | None) -> None:
        db = self._opened()
        operation = record.operation
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute(
                "INSERT INTO operations (sequence, id, active, record) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET active = excluded.active, record = excluded.record",
                (record.sequence, operation.id, operation.active, body),
            )
            if key is not None:
                self._add_key(db, key)
            db.execute("COMMIT")
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    @staticmethod
    def _add_key(db: sqlite3.Connection, key: Key) -> None:
        db.execute(
            "INSERT OR REPLACE INTO keys (key, fingerprint, operation_id, created_at) VALUES (?, ?, ?, ?)",
            (key.key, key.fingerprint, key.operation_id, key.created_at),
        )

    def _forget(self, operation_ids: list[str], keys: list[str]) -> None:
        db = self._opened()
        db.executemany("DELETE FROM operations WHERE id = ?", [(id_,) for id_ in operation_ids])
        db.executemany("DELETE FROM keys WHERE key = ?", [(key,) for key in keys])

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            raise sqlite3.OperationalError("it is not open")
        return self._db

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _set_aside(self, error: Exception) -> None:
        if self.path is None:
            return
        aside = self.path.with_name(f"{self.path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        self.path.rename(aside)
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        log.error(
            "The journal %s is damaged (%s). It was set aside as %s and a new one begun: operations that were under "
            "way are not gone on with, and idempotency keys are forgotten.",
            self.path,
            error,
            aside.name,
        )


def dump(record: Record) -> bytes:
    """A record as JSON. An error is written with its type's name, since its fields alone do not tell it.

    Raises `JournalError` for what cannot be written: exo's own documents are in it, however deep they are nested. One
    that has ended is written without them.
    """
    operation = record.operation
    error = operation.error
    try:
        return orjson.dumps(
            {
                "operation": _OPERATION.dump_python(replace(operation, error=None), mode="json"),
                "error": None if error is None else [type(error).__name__, _dump_error(error)],
                "request": _REQUEST.dump_python(record.request, mode="json"),
                "saga_state": _SAGA_STATE.dump_python(record.saga_state, mode="json"),
            }
        )
    except (TypeError, ValueError, RecursionError) as unwritable:
        if not operation.active and record.saga_state != SagaState():
            return dump(replace(record, saga_state=SagaState()))
        raise JournalError(f"The operation cannot be written to the journal: {unwritable}.") from unwritable


def _load(sequence: int, body: bytes, *, whole: bool) -> Record | None:
    """`whole` where it is to be gone on with: then what is read, written again, must be what was there.

    A field that is unknown here, or missing there, would otherwise silently be left out or empty.
    """
    try:
        raw: dict[str, Any] = orjson.loads(body)
        operation = _read_operation(raw)
        request, saga_state = _REQUEST.validate_python(raw["request"]), _SAGA_STATE.validate_python(raw["saga_state"])
        record = Record(sequence, operation, request, saga_state)
        if whole:
            _hold(raw, record)
    except (orjson.JSONDecodeError, ValidationError, KeyError, TypeError, ValueError, JournalError):
        log.exception("Entry %d of the journal cannot be read; it is kept, and not gone on with.", sequence)
        return None
    return record


def _hold(raw: dict[str, Any], record: Record) -> None:
    again = orjson.loads(dump(record))
    for part in ("operation", "request", "saga_state"):
        if again[part] != raw[part]:
            raise ValueError(f"its {part} has fields that are not known here, or lacks some")


def _load_operation(body: bytes) -> Operation | None:
    try:
        return _read_operation(orjson.loads(body))
    except (orjson.JSONDecodeError, ValidationError, KeyError, TypeError, ValueError):
        return None


def _read_operation(raw: dict[str, Any]) -> Operation:
    operation = _OPERATION.validate_python(raw["operation"])
    if raw["error"] is None:
        return operation
    name, fields = raw["error"]
    return replace(operation, error=TypeAdapter(BY_NAME[name]).validate_python(fields))


def _dump_error(error: OperationError) -> object:
    return TypeAdapter(type(error)).dump_python(error, mode="json")


def _retrieve(future: "asyncio.Future[Any]") -> None:
    """Fetches what a write that came too late had to say, so that nothing is raised into the void."""
    if not future.cancelled():
        future.exception()


_OPERATION = TypeAdapter(Operation)
_SAGA_STATE = TypeAdapter(SagaState)
_REQUEST = TypeAdapter(OperationRequest)
