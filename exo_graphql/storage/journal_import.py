"""Brings the journal of a server that used SQLite into an empty namespace of a database, whole or not at all."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier

from exo_graphql.storage.sqlite import SQLiteStore
from exo_graphql.storage.store import Collection, Entry, Key, StoreError

log = logging.getLogger(__name__)

# 100,000 events and a month of history take some 5 s.
IMPORT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Journal:
    """All that a journal holds."""

    path: Path
    entries: dict[Collection, list[Entry]]
    keys: list[Key]

    async def write(self, connection: AsyncConnection[Any], namespace: str) -> None:
        """Writes it to a namespace that is empty."""
        for collection, entries in self.entries.items():
            table = Identifier(f"exo_graphql_{collection.value}")
            copy = SQL("COPY {} (namespace, sequence, id, active, record) FROM STDIN").format(table)
            async with connection.cursor() as cursor, cursor.copy(copy) as rows:
                for entry in entries:
                    await rows.write_row((namespace, entry.sequence, entry.id, entry.active, entry.record))
        copy_keys = SQL("COPY exo_graphql_keys (namespace, key, fingerprint, operation_id, created_at) FROM STDIN")
        async with connection.cursor() as cursor, cursor.copy(copy_keys) as rows:
            for key in self.keys:
                await rows.write_row((namespace, key.key, key.fingerprint, key.operation_id, key.created_at))

    def set_aside(self) -> None:
        """Renames the file, so that nobody goes on with what is in the database now."""
        aside = self.path.with_name(f"{self.path.name}.imported")
        try:
            self.path.rename(aside)
        except OSError as error:
            log.warning("%s is in the database now, and cannot be renamed: %s.", self.path, error)
        else:
            log.info("%s is in the database now. It was renamed to %s.", self.path, aside.name)


async def read_journal(path: Path) -> Journal:
    """The journal, which no other server may be using. Raises `StoreError`; the file is then as it was."""
    store = SQLiteStore(path, replaces_damaged=False)
    try:
        await store.open()
        entries = {collection: await store.entries(collection) for collection in Collection}
        return Journal(path, entries, await store.keys())
    except StoreError as error:
        raise StoreError(
            f"{path} is to be brought into the database, and cannot be read: {error} To begin without it, move it away."
        ) from error
    finally:
        await store.close()


async def is_empty(connection: AsyncConnection[Any], namespace: str) -> bool:
    """Whether nothing was ever written to that namespace."""
    for table in (*(collection.value for collection in Collection), "keys", "changes"):
        query = SQL("SELECT 1 FROM {} WHERE namespace = %s LIMIT 1").format(Identifier(f"exo_graphql_{table}"))
        if await (await connection.execute(query, (namespace,))).fetchone() is not None:
            return False
    return True
