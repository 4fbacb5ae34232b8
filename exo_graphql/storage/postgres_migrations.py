"""The versions of the PostgreSQL schema: the files `sql/NNN_*.sql`, each leading from the one before it.

None is ever changed. The table `exo_graphql_schema` holds the version. Of several servers that start at once, one
migrates and the others wait for it.
"""

from importlib.resources import files
from typing import Any

from psycopg import AsyncConnection

from exo_graphql.storage.migrations import NewerSchema

# Any number that nothing else in the database uses for a lock of its own.
_LOCK = 5_241_652_416


def migrations() -> list[str]:
    """The SQL of each version, in order."""
    directory = files("exo_graphql.storage").joinpath("sql")
    named = {each.name: each for each in directory.iterdir() if each.name.endswith(".sql")}
    return [named[name].read_text() for name in sorted(named)]


async def migrate(connection: AsyncConnection[Any]) -> None:
    """Brings the database to the newest version, in one transaction. Raises `NewerSchema` and leaves it as it is."""
    known = migrations()
    async with connection.transaction():
        # Released with the transaction: a lock of the session would be lost by poolers.
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        await connection.execute("CREATE TABLE IF NOT EXISTS exo_graphql_schema (version integer NOT NULL)")
        row = await (await connection.execute("SELECT max(version) FROM exo_graphql_schema")).fetchone()
        version: int = 0 if row is None or row[0] is None else row[0]
        if version > len(known):
            raise NewerSchema(f"schema {version}, where this version knows {len(known)}")
        for number, statements in enumerate(known[version:], version + 1):
            await connection.execute(statements.encode())
            await connection.execute("INSERT INTO exo_graphql_schema VALUES (%s)", (number,))
