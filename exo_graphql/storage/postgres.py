"""The store in PostgreSQL (extra `exo-graphql[postgres]`): one server writes, and another takes over when it is gone.

All work goes through one connection, in the order of the calls. Every statement may be repeated, so a call whose
connection breaks is made again on a new one until its time is over: whether the first one happened does not matter.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, LiteralString, TypeVar

from psycopg.sql import SQL, Composed, Identifier

from exo_graphql.storage.leadership import Leadership
from exo_graphql.storage.lease import DEFAULT_LEASE_RULES, Lease, LeaseRules
from exo_graphql.storage.migrations import NewerSchema
from exo_graphql.storage.postgres_migrations import migrate
from exo_graphql.storage.postgres_session import Connection, Session, Unknown, Work, within
from exo_graphql.storage.store import Collection, Entry, Key, NotLeader, StoreError

log = logging.getLogger(__name__)
_T = TypeVar("_T")

# As for SQLite: longer than a failover of a managed database that is quick, shorter than a caller waits.
CALL_SECONDS = 10.0


class PostgresStore:
    """A `Store` in the database `url`. Rows of other namespaces are neither read nor written."""

    def __init__(
        self,
        url: str,
        namespace: str = "default",
        *,
        elapsed: Callable[[], float],
        name: str = "this server",
        rules: LeaseRules = DEFAULT_LEASE_RULES,
    ) -> None:
        """`name` is what another server names while this one holds the lease. `elapsed`: see `Lease`."""
        self._url = url
        self._namespace = namespace
        self._lease = Lease(namespace, name, rules, elapsed=elapsed)
        self._session: Session | None = None
        """None until `open`, and after `close`."""
        self._lease_session = Session(url)
        """Of its own, so that the lease is not lost behind a call that takes long."""
        self._refused: dict[str, tuple[Collection, Key | None]] = {}
        """By id: entries whose caller was refused while nobody knew whether they were written."""
        self._renewing: asyncio.Task[None] | None = None
        self._taken_over: Callable[[], None] = lambda: None

    @property
    def leadership(self) -> Leadership:
        """See `Store`."""
        return self._lease

    @property
    def is_writer(self) -> bool:
        """Whether this server holds the lease, by its own clock."""
        return self._lease.is_held

    async def open(self) -> None:
        """See `Store`. Another server's lease is waited for, since it may have been killed a moment ago."""
        if self._session is not None:
            return
        self._session = session = Session(self._url)
        try:
            await within(CALL_SECONDS, session, self._begin)
            await within(self._lease.rules.duration + CALL_SECONDS, self._lease_session, self._take_lease)
        except BaseException:
            self._session = None
            await session.close()
            await self._lease_session.close()
            raise
        self._renewing = asyncio.create_task(self._renew(), name="lease")

    async def entries(self, collection: Collection) -> list[Entry]:
        """See `Store`."""
        query = "SELECT sequence, id, active, record FROM {table} WHERE namespace = %s ORDER BY sequence"
        return [Entry(*row) for row in await self._rows(_of(collection, query), (self._namespace,))]

    async def some(self, collection: Collection, ids: Iterable[str]) -> list[Entry]:
        """See `Store`."""
        query = (
            "SELECT sequence, id, active, record FROM {table} WHERE namespace = %s AND id = ANY(%s) ORDER BY sequence"
        )
        return [Entry(*row) for row in await self._rows(_of(collection, query), (self._namespace, list(ids)))]

    async def newest(self, collection: Collection, count: int, before: int | None = None) -> list[Entry]:
        """See `Store`."""
        query = (
            "SELECT sequence, id, active, record FROM {table} WHERE namespace = %s "
            "AND (%s::bigint IS NULL OR sequence < %s) ORDER BY sequence DESC LIMIT %s"
        )
        values = self._namespace, before, before, count
        return [Entry(*row) for row in await self._rows(_of(collection, query), values)]

    async def keys(self) -> list[Key]:
        """See `Store`."""
        query = SQL("SELECT key, fingerprint, operation_id, created_at FROM exo_graphql_keys WHERE namespace = %s")
        return [Key(*row) for row in await self._rows(query, (self._namespace,))]

    async def admit(self, collection: Collection, entry: Entry, key: Key | None = None) -> None:
        """See `Store`.

        Where the database does not answer, nobody knows whether it was written. It is removed then before anything
        else is done with the next connection; if this server ends before that, the next start may find it.
        """
        try:
            await self._write(lambda connection: self._save(connection, collection, entry, key))
        except StoreError as error:
            if isinstance(error, Unknown) or isinstance(error.__cause__, Unknown):
                self._refused[entry.id] = collection, key
            raise

    async def save(self, collection: Collection, entry: Entry) -> None:
        """See `Store`."""
        await self._write(lambda connection: self._save(connection, collection, entry, None))

    async def append(self, collection: Collection, entries: Sequence[Entry]) -> None:
        """See `Store`."""
        statement = _of(
            collection,
            "INSERT INTO {table} (namespace, sequence, id, active, record) SELECT %s, %s, %s, %s, %s "
            "WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE namespace = %s AND sequence = %s AND id = %s)",
        )
        here = self._namespace
        rows = [(here, e.sequence, e.id, e.active, e.record, here, e.sequence, e.id) for e in entries]

        async def work(connection: Connection) -> None:
            await connection.cursor().executemany(statement, rows)

        await self._write(work)

    async def forget_until(self, collection: Collection, sequence: int) -> None:
        """See `Store`."""
        statement = _of(collection, "DELETE FROM {table} WHERE namespace = %s AND sequence <= %s")

        async def work(connection: Connection) -> None:
            await connection.execute(statement, (self._namespace, sequence))

        await self._write(work)

    async def add_key(self, key: Key) -> None:
        """See `Store`."""
        await self._write(lambda connection: self._add_key(connection, key))

    async def forget(self, collection: Collection, ids: Sequence[str], keys: Sequence[str] = ()) -> None:
        """See `Store`."""
        await self._write(lambda connection: self._forget(connection, collection, ids, keys))

    async def close(self) -> None:
        """See `Store`. Gives the lease up, so that another server need not wait for its end."""
        session, self._session = self._session, None
        if session is None:
            return
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
        with suppress(StoreError):
            await within(self._lease.rules.renew_every, self._lease_session, self._lease.give_up)
        await session.close()
        await self._lease_session.close()

    def on_change(self, callback: Callable[[Collection, frozenset[str] | None], None]) -> Callable[[], None]:  # noqa: ARG002
        """See `Store`."""
        return lambda: None

    def when_taken_over(self, callback: Callable[[], None]) -> None:
        """See `Store`."""
        self._taken_over = callback

    # Calls

    async def _rows(self, query: SQL | Composed, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        async def work(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(query, values)).fetchall()

        return await self._run(work)

    async def _write(self, work: Work[None]) -> None:
        """Everything that is written within happens, or nothing of it, and only while this server holds the lease."""

        idle = round(self._lease.rules.renew_every * 1000)
        refused = dict(self._refused)  # more may be refused while this waits

        async def fenced(connection: Connection) -> None:
            async with connection.transaction():
                # Without this a server that is stopped here would keep the lease's row from the one that takes over.
                await connection.execute(SQL("SET LOCAL idle_in_transaction_session_timeout = {}").format(idle))
                await self._remove_refused(connection, refused)
                await work(connection)
                # Last, since it locks that row: what hangs before must not keep this server from renewing.
                await self._lease.check(connection)

        try:
            await self._run(fenced)
        except Unknown as error:
            if not self._lease.is_held:
                raise NotLeader(f"{error} Another server may have taken over meanwhile.") from error
            raise
        for id_ in refused:
            self._refused.pop(id_, None)

    async def _run(self, work: Work[_T]) -> _T:
        session = self._session
        if session is None:
            raise StoreError("The database is not open.")
        try:
            return await within(CALL_SECONDS, session, work)
        except Unknown:
            if self._session is session:
                # It may hang for minutes on a connection that is cut: the next call takes another one.
                self._session = Session(self._url)
            raise

    # What is done with a connection

    async def _begin(self, connection: Connection) -> None:
        try:
            await migrate(connection)
        except NewerSchema as error:
            raise StoreError(
                f"The database was written by a newer version of exo-graphql ({error}). It is left as it is: start "
                "that version, or name another database."
            ) from error

    async def _take_lease(self, connection: Connection) -> None:
        until = asyncio.get_running_loop().time() + self._lease.rules.duration + self._lease.rules.renew_every
        while (other := await self._lease.renew(connection)) is not None:
            if asyncio.get_running_loop().time() > until:
                raise NotLeader(f"Another server uses it: {other}.")
            await asyncio.sleep(self._lease.rules.renew_every / 4)

    async def _renew(self) -> None:
        """Keeps the lease while this store is open."""
        while True:
            await asyncio.sleep(self._lease.rules.renew_every)
            try:
                other = await within(self._lease.rules.renew_every, self._lease_session, self._lease.renew)
            except StoreError as error:
                self._lease_session = Session(self._url)
                log.warning("The lease could not be renewed: %s", error)
                continue
            if other is not None:
                log.error("%s has taken over. This server ends.", other)
                self._taken_over()
                return

    async def _save(self, connection: Connection, collection: Collection, entry: Entry, key: Key | None) -> None:
        await connection.execute(
            _of(
                collection,
                "INSERT INTO {table} (namespace, sequence, id, active, record) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT (namespace, id) DO UPDATE SET active = excluded.active, record = excluded.record",
            ),
            (self._namespace, entry.sequence, entry.id, entry.active, entry.record),
        )
        if key is not None:
            await self._add_key(connection, key)

    async def _add_key(self, connection: Connection, key: Key) -> None:
        await connection.execute(
            "INSERT INTO exo_graphql_keys (namespace, key, fingerprint, operation_id, created_at) "
            "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (namespace, key) DO UPDATE "
            "SET fingerprint = excluded.fingerprint, operation_id = excluded.operation_id, "
            "created_at = excluded.created_at",
            (self._namespace, key.key, key.fingerprint, key.operation_id, key.created_at),
        )

    async def _forget(
        self, connection: Connection, collection: Collection, ids: Sequence[str], keys: Sequence[str]
    ) -> None:
        await connection.execute(
            _of(collection, "DELETE FROM {table} WHERE namespace = %s AND id = ANY(%s)"),
            (self._namespace, list(ids)),
        )
        await connection.execute(
            "DELETE FROM exo_graphql_keys WHERE namespace = %s AND key = ANY(%s)", (self._namespace, list(keys))
        )

    async def _remove_refused(
        self, connection: Connection, refused: Mapping[str, tuple[Collection, Key | None]]
    ) -> None:
        for id_, (collection, key) in refused.items():
            await self._forget(connection, collection, [id_], ())
            if key is not None:
                await connection.execute(
                    "DELETE FROM exo_graphql_keys WHERE namespace = %s AND key = %s AND operation_id = %s",
                    (self._namespace, key.key, key.operation_id),
                )


def _of(collection: Collection, statement: LiteralString) -> Composed:
    """The statement for the table of that collection."""
    return SQL(statement).format(table=Identifier(f"exo_graphql_{collection.value}"))
