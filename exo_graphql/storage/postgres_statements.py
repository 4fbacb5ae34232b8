"""The statements that change entries and keys in PostgreSQL. Each may be repeated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg.sql import SQL, Composed, Identifier

from exo_graphql.storage.postgres_session import Connection
from exo_graphql.storage.store import Collection, Entry, Key


@dataclass(frozen=True, slots=True)
class Refused:
    """What may have been written in that term, though its caller was refused."""

    collection: Collection
    key: Key | None
    term: int


@dataclass(frozen=True, slots=True)
class Statements:
    """Those for the rows of one namespace, within the transaction of the caller."""

    namespace: str

    async def save(self, connection: Connection, collection: Collection, entry: Entry, key: Key | None) -> None:
        """Writes an entry over the earlier one of its id, with a key that leads to it."""
        await connection.execute(
            of(
                collection,
                "INSERT INTO {table} (namespace, sequence, id, active, record) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT (namespace, id) DO UPDATE SET active = excluded.active, record = excluded.record",
            ),
            (self.namespace, entry.sequence, entry.id, entry.active, entry.record),
        )
        if key is not None:
            await self.add_key(connection, key)

    async def add_key(self, connection: Connection, key: Key) -> None:
        """Writes a key over the earlier one of its name."""
        await connection.execute(
            "INSERT INTO exo_graphql_keys (namespace, key, fingerprint, operation_id, created_at) "
            "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (namespace, key) DO UPDATE "
            "SET fingerprint = excluded.fingerprint, operation_id = excluded.operation_id, "
            "created_at = excluded.created_at",
            (self.namespace, key.key, key.fingerprint, key.operation_id, key.created_at),
        )

    async def forget(
        self, connection: Connection, collection: Collection, ids: Sequence[str], keys: Sequence[str]
    ) -> None:
        """Removes entries and keys."""
        await connection.execute(
            of(collection, "DELETE FROM {table} WHERE namespace = %s AND id = ANY(%s)"),
            (self.namespace, list(ids)),
        )
        await connection.execute(
            "DELETE FROM exo_graphql_keys WHERE namespace = %s AND key = ANY(%s)", (self.namespace, list(keys))
        )

    async def remove(self, connection: Connection, refused: Mapping[str, Refused]) -> None:
        """Removes what may have been written, and nothing that another call has written since."""
        for id_, each in refused.items():
            await self.forget(connection, each.collection, [id_], ())
            if each.key is not None:
                await connection.execute(
                    "DELETE FROM exo_graphql_keys WHERE namespace = %s AND key = %s AND operation_id = %s",
                    (self.namespace, each.key.key, each.key.operation_id),
                )


def of(collection: Collection, statement: LiteralString) -> Composed:
    """The statement for the table of that collection."""
    return SQL(statement).format(table=Identifier(f"exo_graphql_{collection.value}"))
