"""Deployments on disk: what each is, and how far its attempts have come. SQLite in one thread of its own.

Written before each operation is requested, so that a server that is killed goes on where it was: a number that was
stored is never used again, whether or not the operation of that number was begun.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from exo_graphql.deployments.deployment import Deployment
from exo_graphql.storage import StoreError

log = logging.getLogger(__name__)
_T = TypeVar("_T")

WRITE_SECONDS = 10.0
"""A hang of the disk must not hang the reconciler."""
_VERSION = 1


class DeploymentStore:
    """One file, one writer. `path` None keeps it in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="deployments")
        self._db: sqlite3.Connection | None = None

    async def open(self) -> list[Deployment]:
        """Every deployment, by name. One that cannot be read is kept, and left out. Raises `StoreError`."""
        return await self._run(self._open)

    async def save(self, deployment: Deployment) -> None:
        """Writes one; durable when it returns. Raises `StoreError`."""
        body = orjson.dumps(_DEPLOYMENT.dump_python(deployment, mode="json"))

        def write() -> None:
            self._opened().execute(
                "INSERT INTO deployments VALUES (?, ?, ?) ON CONFLICT (uid) DO UPDATE SET name = excluded.name, "
                "record = excluded.record",
                (deployment.uid, deployment.name, body),
            )

        await self._run(write)

    async def delete(self, uid: str) -> None:
        """Forgets one. Raises `StoreError`."""
        await self._run(lambda: self._opened().execute("DELETE FROM deployments WHERE uid = ?", (uid,)))

    async def close(self) -> None:
        """Closes the file. Safe to call twice."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], _T]) -> _T:
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                return await future
        except TimeoutError as error:
            raise StoreError(f"The store of deployments did not answer within {WRITE_SECONDS:g} s.") from error
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"The store of deployments cannot be used: {error}.") from error

    def _open(self) -> list[Deployment]:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        db = self._db = sqlite3.connect(
            ":memory:" if self.path is None else self.path, isolation_level=None, check_same_thread=False, timeout=1.0
        )
        # One server alone may act on them: a second would place everything a second time.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise sqlite3.DatabaseError(f"{self.path} was written by a newer version of exo-graphql")
        db.execute(
            "CREATE TABLE IF NOT EXISTS deployments (uid TEXT PRIMARY KEY, name TEXT NOT NULL, record BLOB NOT NULL)"
        )
        db.execute(f"PRAGMA user_version = {_VERSION}")
        found = []
        for uid, body in db.execute("SELECT uid, record FROM deployments ORDER BY name").fetchall():
            try:
                found.append(_DEPLOYMENT.validate_json(body))
            except ValidationError:
                log.exception("Deployment %s cannot be read; it is kept, and not acted on.", uid)
        return found

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            raise sqlite3.OperationalError("it is not open")
        return self._db

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


_DEPLOYMENT = TypeAdapter(Deployment)
