"""The journal: operations on disk, so that a crash leaves nothing half done. SQLite in one thread of its own.

The server may be killed at any moment: whatever is written before a step is taken is what the next start goes by.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from exo_graphql.operations.memo import Memo
from exo_graphql.operations.operation import Operation
from exo_graphql.operations.problems import BY_NAME, Problem
from exo_graphql.operations.wishes import Wish

log = logging.getLogger(__name__)
_T = TypeVar("_T")

# Raised with the shape of a record: a record of another shape cannot be gone on with.
VERSION = 1
# A hang of the disk must not hang a wish.
WRITE_SECONDS = 10.0
# Keys alone cannot fill the disk.
MAX_KEYS = 10_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS operations (
  sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, active INTEGER NOT NULL, record BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS finished ON operations (active, sequence);
CREATE TABLE IF NOT EXISTS keys (
  key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, operation_id TEXT NOT NULL, created_at REAL NOT NULL);
"""


class JournalError(Exception):
    """The journal could not be read or written; the message is fit for a caller."""


@dataclass(frozen=True, slots=True)
class Record:
    """An operation with all that is needed to go on with it. `sequence` orders them, whatever clocks do."""

    sequence: int
    operation: Operation
    wish: Wish
    memo: Memo


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key: of which arguments, and the operation it led to. `created_at` is seconds since 1970."""

    key: str
    fingerprint: str
    operation_id: str
    created_at: float


class Journal:
    """One file, one writer. `path` None keeps it in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._db: sqlite3.Connection | None = None

    async def open(self) -> tuple[list[Record], list[Key]]:
        """Everything that is remembered, oldest first. A damaged file is set aside and told in the log."""
        return await self._run(self._open)

    async def save(self, record: Record, key: Key | None = None) -> None:
        """Writes an operation, with its key when it is new; durable when it returns."""
        body = dump(record)
        await self._run(lambda: self._save(record.sequence, record.operation, body, key))

    async def forget(self, operation_ids: list[str], keys: list[str]) -> None:
        """Removes what is no longer to be kept."""
        await self._run(lambda: self._forget(operation_ids, keys))

    async def close(self) -> None:
        """Closes the file. Safe to call twice."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], _T]) -> _T:
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                return await asyncio.shield(future)
        except TimeoutError as error:
            future.add_done_callback(_retrieve)
            raise JournalError(f"The journal did not answer within {WRITE_SECONDS:g} s.") from error
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise JournalError("The journal is locked: another server is at work on it.") from error
            raise JournalError(f"The journal cannot be used: {error}.") from error

    def _open(self) -> tuple[list[Record], list[Key]]:
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

    def _connect(self) -> tuple[list[Record], list[Key]]:
        db = self._db = sqlite3.connect(
            ":memory:" if self.path is None else self.path, isolation_level=None, check_same_thread=False, timeout=1.0
        )
        # One server alone may act on a journal: a second would go on with the same operations.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        (sound,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
        db.execute("BEGIN EXCLUSIVE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            db.execute("ROLLBACK")
            raise sqlite3.DatabaseError(f"it is of version {version}, this server writes {VERSION}")
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
        rows = db.execute("SELECT sequence, record FROM operations ORDER BY sequence").fetchall()
        records = [record for sequence, body in rows for record in [_load(sequence, body)] if record is not None]
        keys = [Key(*row) for row in db.execute("SELECT key, fingerprint, operation_id, created_at FROM keys")]
        return records, keys

    def _save(self, sequence: int, operation: Operation, body: bytes, key: Key | None) -> None:
        db = self._opened()
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute(
                "INSERT OR REPLACE INTO operations (sequence, id, active, record) VALUES (?, ?, ?, ?)",
                (sequence, operation.id, operation.active, body),
            )
            if key is not None:
                db.execute(
                    "INSERT OR REPLACE INTO keys (key, fingerprint, operation_id, created_at) VALUES (?, ?, ?, ?)",
                    (key.key, key.fingerprint, key.operation_id, key.created_at),
                )
            db.execute("COMMIT")
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

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
    """A record as JSON. A problem is written with its type's name, since its fields alone do not tell it."""
    operation = record.operation
    problem = operation.problem
    return orjson.dumps(
        {
            "operation": _OPERATION.dump_python(replace(operation, problem=None), mode="json"),
            "problem": None if problem is None else [type(problem).__name__, _dump_problem(problem)],
            "wish": _WISH.dump_python(record.wish, mode="json"),
            "memo": _MEMO.dump_python(record.memo, mode="json"),
        }
    )


def _load(sequence: int, body: bytes) -> Record | None:
    try:
        raw: dict[str, Any] = orjson.loads(body)
        operation = _OPERATION.validate_python(raw["operation"])
        if raw["problem"] is not None:
            name, fields = raw["problem"]
            operation = replace(operation, problem=TypeAdapter(BY_NAME[name]).validate_python(fields))
        wish = _WISH.validate_python(raw["wish"])
        return Record(sequence, operation, wish, _MEMO.validate_python(raw["memo"]))
    except (orjson.JSONDecodeError, ValidationError, KeyError, TypeError, ValueError):
        log.exception("Entry %d of the journal cannot be read and is left out.", sequence)
        return None


def _dump_problem(problem: Problem) -> object:
    return TypeAdapter(type(problem)).dump_python(problem, mode="json")


def _retrieve(future: "asyncio.Future[Any]") -> None:
    """Fetches what a write that came too late had to say, so that nothing is raised into the void."""
    if not future.cancelled():
        future.exception()


_OPERATION = TypeAdapter(Operation)
_MEMO = TypeAdapter(Memo)
_WISH = TypeAdapter(Wish)
