"""The embedded store: one SQLite file, used in one thread of its own by one server.

SQLite blocks, so nothing of it runs on the event loop. All work goes through one thread, in the order of the calls.
"""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from exo_graphql.storage.leadership import Alone, Replica
from exo_graphql.storage.migrations import NewerSchema, migrate
from exo_graphql.storage.store import Collection, Entry, Key, StoreError

log = logging.getLogger(__name__)
_T = TypeVar("_T")

# Longer than a disk that spins up or a busy one takes (2 to 5 s), shorter than a caller waits for an answer.
WRITE_SECONDS = 10.0


class SQLiteStore:
    """A `Store` in the file `path`, or in memory where that is None."""

    def __init__(self, path: Path | None, name: str = "this server", *, replaces_damaged: bool = True) -> None:
        """`name` is what this server calls itself. `replaces_damaged`: a damaged file is set aside, not refused."""
        self.path = path
        self._replaces_damaged = replaces_damaged
        self.leadership = Alone(Replica(uuid4().hex, name, None, datetime.now(UTC), leads=True))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._db: sqlite3.Connection | None = None
        """Used by `_thread` alone; None until `open`."""
        self._closed = False

    async def connect(self) -> None:
        """See `Store`."""
        await self.open()

    async def open(self) -> None:
        """See `Store`. A damaged file is renamed and a new one begun, with an error in the log; or it is refused."""
        await self._run(lambda _: self._open())

    async def entries(self, collection: Collection) -> list[Entry]:
        """See `Store`."""
        return await self._run(lambda _: self._entries(collection))

    async def some(self, collection: Collection, ids: Iterable[str]) -> list[Entry]:
        """See `Store`."""
        wanted = frozenset(ids)
        return [entry for entry in await self.entries(collection) if entry.id in wanted]

    async def newest(self, collection: Collection, count: int, before: int | None = None) -> list[Entry]:
        """See `Store`."""
        return await self._run(lambda _: self._newest(collection, count, before))

    async def keys(self) -> list[Key]:
        """See `Store`."""
        return await self._run(lambda _: self._keys())

    async def admit(self, collection: Collection, entry: Entry, key: Key | None = None) -> None:
        """See `Store`."""
        await self._run(lambda given_up: self._admit(collection, entry, key, given_up))

    async def save(self, collection: Collection, entry: Entry) -> None:
        """See `Store`."""
        await self._run(lambda _: self._save(collection, entry, None))

    async def append(self, collection: Collection, entries: Sequence[Entry]) -> None:
        """See `Store`."""
        await self._run(lambda _: self._append(collection, entries))

    async def forget_until(self, collection: Collection, sequence: int) -> None:
        """See `Store`."""
        statement = f"DELETE FROM {collection.value} WHERE sequence <= ?"  # noqa: S608  # of an enum
        await self._run(lambda _: self._opened().execute(statement, (sequence,)))

    async def add_key(self, key: Key) -> None:
        """See `Store`."""
        await self._run(lambda _: self._add_key(self._opened(), key))

    async def forget(self, collection: Collection, ids: Sequence[str], keys: Sequence[str] = ()) -> None:
        """See `Store`."""
        await self._run(lambda _: self._forget(collection, ids, keys))

    async def close(self) -> None:
        """See `Store`."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
            self._thread.shutdown(wait=False)

    def on_change(self, callback: Callable[[Collection, frozenset[str] | None], None]) -> Callable[[], None]:  # noqa: ARG002
        """See `Store`: no other server writes."""
        return lambda: None

    async def _run(self, work: Callable[[threading.Event], _T]) -> _T:
        """Runs `work` in the thread. Its argument is an event that is set once the caller has stopped waiting."""
        given_up = threading.Event()
        future = asyncio.get_running_loop().run_in_executor(self._thread, work, given_up)
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                return await asyncio.shield(future)
        except TimeoutError as error:
            given_up.set()
            future.add_done_callback(_retrieve)
            raise StoreError(f"The database did not answer within {WRITE_SECONDS:g} s.") from error
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise StoreError("The database is locked: another server uses it.") from error
            raise StoreError(f"The database cannot be used: {error}.") from error

    # In the thread

    def _open(self) -> None:
        if self._db is not None:
            return
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._check_log()
            self._connect()
        except sqlite3.DatabaseError as error:
            self._close()
            # A file that is locked or cannot be opened is not damaged: another server uses it.
            if self.path is None or isinstance(error, sqlite3.OperationalError) or not self._replaces_damaged:
                raise
            self._set_aside(self.path, error)
            self._connect()

    def _check_log(self) -> None:
        """SQLite would silently drop the log of a file that has been emptied."""
        if self.path is None or not self.path.is_file() or self.path.stat().st_size > 0:
            return
        written = self.path.with_name(f"{self.path.name}-wal")
        if written.is_file() and written.stat().st_size > 0:
            raise sqlite3.DatabaseError("it is empty, and its log is not")

    def _connect(self) -> None:
        db = self._db = sqlite3.connect(
            ":memory:" if self.path is None else self.path, isolation_level=None, check_same_thread=False, timeout=1.0
        )
        # One server alone may use a file: a second one would resume the same operations.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        # With WAL, NORMAL would lose the last commits in a power failure: an intent must be there before its act.
        db.execute("PRAGMA synchronous = FULL")
        (healthy,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if healthy != "ok":
            raise sqlite3.DatabaseError(healthy)
        try:
            migrate(db)
        except NewerSchema as error:
            self._close()
            raise StoreError(
                f"The database {self.path} was written by a newer version of exo-graphql ({error}). It is left as it "
                "is: start that version, or name another state directory."
            ) from error

    def _entries(self, collection: Collection) -> list[Entry]:
        query = f"SELECT sequence, id, active, record FROM {collection.value} ORDER BY sequence"  # noqa: S608  # of an enum
        return [_entry(*row) for row in self._opened().execute(query)]

    def _newest(self, collection: Collection, count: int, before: int | None) -> list[Entry]:
        query = (
            f"SELECT sequence, id, active, record FROM {collection.value} "  # noqa: S608  # of an enum
            "WHERE ? IS NULL OR sequence < ? ORDER BY sequence DESC LIMIT ?"
        )
        return [_entry(*row) for row in self._opened().execute(query, (before, before, count))]

    def _append(self, collection: Collection, entries: Sequence[Entry]) -> None:
        with _transaction(self._opened()) as db:
            db.executemany(
                f"INSERT INTO {collection.value} (sequence, id, active, record) SELECT ?, ?, ?, ? "  # noqa: S608  # of an enum
                f"WHERE NOT EXISTS (SELECT 1 FROM {collection.value} WHERE sequence = ? AND id = ?)",
                [(each.sequence, each.id, each.active, each.record, each.sequence, each.id) for each in entries],
            )

    def _keys(self) -> list[Key]:
        rows = self._opened().execute("SELECT key, fingerprint, operation_id, created_at FROM keys")
        return [Key(*row) for row in rows]

    def _admit(self, collection: Collection, entry: Entry, key: Key | None, given_up: threading.Event) -> None:
        """Leaves nothing behind once `given_up` is set, since the caller has been refused.

        A disk that hangs does so at the first write, so the first write says nothing: a counter in `probe`. If the
        server is killed while the disk hangs, that commit may still arrive, and the next start finds no entry.
        """
        db = self._opened()
        db.execute("UPDATE probe SET writes = writes + 1")
        if given_up.is_set():
            return
        self._save(collection, entry, key)
        if given_up.is_set():
            self._forget(collection, [entry.id], [] if key is None else [key.key])

    def _save(self, collection: Collection, entry: Entry, key: Key | None) -> None:
        with _transaction(self._opened()) as db:
            db.execute(
                f"INSERT INTO {collection.value} (sequence, id, active, record) VALUES (?, ?, ?, ?) "  # noqa: S608  # of an enum
                "ON CONFLICT (id) DO UPDATE SET active = excluded.active, record = excluded.record",
                (entry.sequence, entry.id, entry.active, entry.record),
            )
            if key is not None:
                self._add_key(db, key)

    @staticmethod
    def _add_key(db: sqlite3.Connection, key: Key) -> None:
        db.execute(
            "INSERT OR REPLACE INTO keys (key, fingerprint, operation_id, created_at) VALUES (?, ?, ?, ?)",
            (key.key, key.fingerprint, key.operation_id, key.created_at),
        )

    def _forget(self, collection: Collection, ids: Sequence[str], keys: Sequence[str]) -> None:
        db = self._opened()
        db.executemany(f"DELETE FROM {collection.value} WHERE id = ?", [(id_,) for id_ in ids])  # noqa: S608  # of an enum
        db.executemany("DELETE FROM keys WHERE key = ?", [(key,) for key in keys])

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            raise sqlite3.OperationalError("it is not open")
        return self._db

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    @staticmethod
    def _set_aside(path: Path, error: Exception) -> None:
        aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        log.error(
            "The database %s is damaged (%s). It was renamed to %s and a new one begun: operations that were under "
            "way are not resumed, and idempotency keys are forgotten.",
            path,
            error,
            aside.name,
        )


def _retrieve(future: "asyncio.Future[Any]") -> None:
    """Takes the result of a call that came too late, so that asyncio logs no exception as never retrieved."""
    if not future.cancelled():
        future.exception()


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Everything that is written within happens, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _entry(sequence: int, id_: str, active: int, body: bytes | str) -> Entry:
    # A record that somebody edited by hand may be text.
    return Entry(sequence, id_, bool(active), body.encode() if isinstance(body, str) else body)
