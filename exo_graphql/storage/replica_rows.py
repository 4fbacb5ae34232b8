"""The rows by which the servers of a namespace find and believe each other."""

import secrets
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from psycopg import AsyncConnection

from exo_graphql.storage.leadership import Replica


@dataclass(frozen=True, slots=True)
class ReplicaRows:
    """The rows of one namespace."""

    namespace: str

    async def secret(self, connection: AsyncConnection[Any]) -> str:
        """What these servers share; made by the first of them."""
        query = "SELECT secret FROM exo_graphql_secrets WHERE namespace = %s"
        while (row := await (await connection.execute(query, (self.namespace,))).fetchone()) is None:
            await connection.execute(
                "INSERT INTO exo_graphql_secrets VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (self.namespace, secrets.token_urlsafe(32)),
            )
        return str(row[0])

    async def succeed(self, connection: AsyncConnection[Any], own: Replica) -> None:
        """Removes the server that was there before under this one's name and URL: it has ended."""
        await connection.execute(
            "DELETE FROM exo_graphql_replicas WHERE namespace = %s AND holder <> %s AND name = %s "
            "AND url IS NOT DISTINCT FROM %s",
            (self.namespace, own.id, own.name, own.url),
        )

    async def show(self, connection: AsyncConnection[Any], own: Replica) -> None:
        """Says that this server is there."""
        await connection.execute(
            "INSERT INTO exo_graphql_replicas (namespace, holder, name, url, since, barred, reads_exo, seen_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, clock_timestamp()) ON CONFLICT (namespace, holder) DO UPDATE SET "
            "name = excluded.name, url = excluded.url, since = excluded.since, barred = excluded.barred, "
            "reads_exo = excluded.reads_exo, seen_at = excluded.seen_at",
            (self.namespace, own.id, own.name, own.url, own.since, own.barred, own.reads_exo),
        )

    async def others(self, connection: AsyncConnection[Any], own: Replica, seconds: float) -> list[Replica]:
        """Those that were there in the last `seconds`, none of them as the leader."""
        # Rows of the future are left over from before the clock of the database was set back.
        found = await connection.execute(
            "SELECT holder, name, url, since, barred, reads_exo FROM exo_graphql_replicas "
            "WHERE namespace = %s AND holder <> %s AND abs(extract(epoch FROM clock_timestamp() - seen_at)) <= %s",
            (self.namespace, own.id, seconds),
        )
        return [
            Replica(holder, name, url, since.astimezone(UTC), leads=False, barred=barred, reads_exo=reads_exo)
            for holder, name, url, since, barred, reads_exo in await found.fetchall()
        ]

    async def forget(self, connection: AsyncConnection[Any], seconds: float) -> None:
        """Removes those that were not there in the last `seconds`."""
        await connection.execute(
            "DELETE FROM exo_graphql_replicas WHERE namespace = %s "
            "AND abs(extract(epoch FROM clock_timestamp() - seen_at)) > %s",
            (self.namespace, seconds),
        )

    async def leave(self, connection: AsyncConnection[Any], own: Replica) -> None:
        """Says that this server is not there any more."""
        await connection.execute(
            "DELETE FROM exo_graphql_replicas WHERE namespace = %s AND holder = %s", (self.namespace, own.id)
        )

    async def versions(self, connection: AsyncConnection[Any]) -> dict[str, int]:
        """How often each collection was written."""
        found = await connection.execute(
            "SELECT collection, version FROM exo_graphql_changes WHERE namespace = %s", (self.namespace,)
        )
        return dict(await found.fetchall())
