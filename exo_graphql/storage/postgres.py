"""The store in PostgreSQL (extra `exo-graphql[postgres]`): all servers read, one writes, and another can take over.

All work goes through one connection, in the order of the calls. Every statement may be repeated, so a call whose
connection breaks is made again on a new one until its time is over: whether the first one happened does not matter.

The lease (`shared_leadership.py`) and the notifications (`listener.py`) have connections of their own.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from psycopg.sql import SQL, Composed

from exo_graphql.storage.journal_import import IMPORT_SECONDS, is_empty, read_journal
from exo_graphql.storage.leadership import Leadership
from exo_graphql.storage.lease_rules import DEFAULT_LEASE_RULES, LeaseRules
from exo_graphql.storage.listener import Listener
from exo_graphql.storage.migrations import NewerSchema
from exo_graphql.storage.postgres_migrations import migrate
from exo_graphql.storage.postgres_session import Connection, Session, Unknown, Work, within
from exo_graphql.storage.postgres_statements import Refused, Statements, of
from exo_graphql.storage.shared_leadership import SharedLeadership
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
        address: str | None = None,
        rules: LeaseRules = DEFAULT_LEASE_RULES,
        journal: Path | None = None,
    ) -> None:
        """`name` and `address` are what other servers see as this one's name and URL. `elapsed`: see `Lease`.

        `journal`: an SQLite store that is brought into the database where that is empty.
        """
        self._url = url
        self._elapsed = elapsed
        self._statements = Statements(namespace)
        self._journal = journal
        self._namespace = namespace
        self._leadership = SharedLeadership(url, namespace, name, address, rules, elapsed)
        self._changes = self._leadership.changes
        self._lease = self._leadership.lease
        self._listener = Listener(url, self._changes)
        self._session: Session | None = None
        """None until `connect`, and after `close`."""
        self._is_open = False
        self._refused: dict[str, Refused] = {}
        """By id: entries whose caller was refused while nobody knew whether they were written."""

    @property
    def leadership(self) -> Leadership:
        """See `Store`."""
        return self._leadership

    async def connect(self) -> None:
        """See `Store`."""
        if self._session is not None:
            return
        self._session = session = Session(self._url)
        try:
            await within(CALL_SECONDS, session, self._begin)
        except BaseException:
            await self.close()
            raise

    async def open(self) -> None:
        """See `Store`. The lease is taken if it is free, and not waited for: this server can read without it."""
        if self._is_open:
            return
        await self.connect()
        self._is_open = True
        try:
            # Before anything is read: whatever is written after that is heard.
            await self._listener.open()
            await self._leadership.open()
            if self._journal is not None and self._journal.exists():
                await self._import(self._journal)
        except BaseException:
            await self.close()
            raise

    async def entries(self, collection: Collection) -> list[Entry]:
        """See `Store`."""
        query = "SELECT sequence, id, active, record FROM {table} WHERE namespace = %s ORDER BY sequence"
        return [Entry(*row) for row in await self._rows(of(collection, query), (self._namespace,))]

    async def some(self, collection: Collection, ids: Iterable[str]) -> list[Entry]:
        """See `Store`."""
        query = (
            "SELECT sequence, id, active, record FROM {table} WHERE namespace = %s AND id = ANY(%s) ORDER BY sequence"
        )
        return [Entry(*row) for row in await self._rows(of(collection, query), (self._namespace, list(ids)))]

    async def newest(self, collection: Collection, count: int, before: int | None = None) -> list[Entry]:
        """See `Store`."""
        query = (
            "SELECT sequence, id, active, record FROM {table} WHERE namespace = %s "
            "AND (%s::bigint IS NULL OR sequence < %s) ORDER BY sequence DESC LIMIT %s"
        )
        values = self._namespace, before, before, count
        return [Entry(*row) for row in await self._rows(of(collection, query), values)]

    async def keys(self) -> list[Key]:
        """See `Store`."""
        query = SQL("SELECT key, fingerprint, operation_id, created_at FROM exo_graphql_keys WHERE namespace = %s")
        return [Key(*row) for row in await self._rows(query, (self._namespace,))]

    async def admit(self, collection: Collection, entry: Entry, key: Key | None = None) -> None:
        """See `Store`.

        Where the database does not answer, nobody knows whether it was written. It is removed then before anything
        else is done while this server leads without a break; after that, the next leader may find it.
        """
        term = self._term()
        try:
            await self._write(
                collection, [entry.id], lambda connection: self._statements.save(connection, collection, entry, key)
            )
        except StoreError as error:
            if isinstance(error, Unknown) or isinstance(error.__cause__, Unknown):
                self._refused[entry.id] = Refused(collection, key, term)
            raise

    async def save(self, collection: Collection, entry: Entry) -> None:
        """See `Store`."""
        await self._write(
            collection, [entry.id], lambda connection: self._statements.save(connection, collection, entry, None)
        )

    async def append(self, collection: Collection, entries: Sequence[Entry]) -> None:
        """See `Store`."""
        statement = of(
            collection,
            "INSERT INTO {table} (namespace, sequence, id, active, record) SELECT %s, %s, %s, %s, %s "
            "WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE namespace = %s AND sequence = %s AND id = %s)",
        )
        here = self._namespace
        rows = [(here, e.sequence, e.id, e.active, e.record, here, e.sequence, e.id) for e in entries]

        async def work(connection: Connection) -> None:
            await connection.cursor().executemany(statement, rows)

        await self._write(collection, [entry.id for entry in entries], work)

    async def forget_until(self, collection: Collection, sequence: int) -> None:
        """See `Store`."""
        statement = of(collection, "DELETE FROM {table} WHERE namespace = %s AND sequence <= %s RETURNING id")
        removed: list[str] = []

        async def work(connection: Connection) -> None:
            found = await connection.execute(statement, (self._namespace, sequence))
            removed[:] = [row[0] for row in await found.fetchall()]

        await self._write(collection, removed, work)

    async def add_key(self, key: Key) -> None:
        """See `Store`."""
        await self._write(None, (), lambda connection: self._statements.add_key(connection, key))

    async def forget(self, collection: Collection, ids: Sequence[str], keys: Sequence[str] = ()) -> None:
        """See `Store`."""
        await self._write(
            collection, ids, lambda connection: self._statements.forget(connection, collection, ids, keys)
        )

    async def close(self) -> None:
        """See `Store`. Gives the lease up, so that another server need not wait for its end."""
        session, self._session = self._session, None
        if session is None:
            return
        self._is_open = False
        await session.close(self._lease.rules.renew_every)  # what is under way is written while the lease is held
        await self._leadership.close()
        await self._listener.close()

    def on_change(self, callback: Callable[[Collection, frozenset[str] | None], None]) -> Callable[[], None]:
        """See `Store`."""
        return self._changes.listen(callback)

    # Calls

    async def _rows(self, query: SQL | Composed, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        async def work(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(query, values)).fetchall()

        if self._refused and self._leadership.leads:
            await self._write(None, (), _nothing)  # removes them: nobody may find them
        return await self._run(work)

    async def _write(self, collection: Collection | None, ids: Sequence[str], work: Work[None]) -> None:
        """Everything that is written within happens, or nothing of it, and only while this server leads.

        `ids`, of that collection, are what other servers hear; they are read after `work`.
        """
        term = self._term()
        idle = round(self._lease.rules.idle_after * 1000)
        # Another server that has led meanwhile may have gone on with older ones: they stay.
        self._refused = {id_: each for id_, each in self._refused.items() if each.term >= self._lease.first_term}
        refused = dict(self._refused)  # more may be refused while this waits

        async def fenced(connection: Connection) -> list[tuple[Collection, int]]:
            async with connection.transaction():
                # Without this a server that is stopped here would keep the lease's row from the one that takes over.
                await connection.execute(SQL("SET LOCAL idle_in_transaction_session_timeout = {}").format(idle))
                await self._statements.remove(connection, refused)
                await work(connection)
                written: dict[Collection, list[str]] = {}
                for id_, each in refused.items():
                    written.setdefault(each.collection, []).append(id_)
                if collection is not None and ids:
                    written.setdefault(collection, []).extend(ids)
                announced = [(each, await self._changes.announce(connection, each, written[each])) for each in written]
                # Last, since it locks that row: what hangs before must not keep this server from renewing.
                await self._lease.check(connection, term)
            return announced

        try:
            announced = await self._run(fenced)
        except Unknown as error:
            if not self._leadership.leads:
                raise NotLeader(f"{error} Another server may have taken over meanwhile.") from error
            raise
        for changed, version in announced:
            self._changes.wrote(changed, version)
        for id_ in refused:
            self._refused.pop(id_, None)

    def _term(self) -> int:
        """That of what is written now: it is refused if this server loses the lease meanwhile."""
        if self._session is None:
            raise StoreError("The database is not open.")
        return self._leadership.term()

    async def _run(self, work: Work[_T], seconds: float | None = None) -> _T:
        session = self._session
        if session is None:
            raise StoreError("The database is not open.")
        try:
            return await within(seconds or CALL_SECONDS, session, work)
        except Unknown:
            if self._session is session:
                # It may hang for minutes on a connection that is cut: the next call takes another one.
                self._session = Session(self._url)
            raise

    async def _import(self, path: Path) -> None:
        """Reads the journal that this server kept before it had a database, unless that has been written to already."""
        if not await self._is_mine():
            log.warning("%s is not read: the database holds a journal already. Move it away, or keep both apart.", path)
            return
        journal = await read_journal(path)
        term, changed = self._term(), self._changes

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await journal.write(connection, self._namespace)
                for collection in Collection:
                    changed.wrote(collection, await changed.announce(connection, collection, ()))
                await self._lease.check(connection, term)

        await self._run(work, IMPORT_SECONDS)
        journal.set_aside()

    async def _is_mine(self) -> bool:
        """Whether the database is empty, once this server leads. Raises `StoreError` where another one goes on leading.

        The lease of a server that was killed lasts on: it may be this one, in the middle of the same.
        """
        rules = self._lease.rules
        until = self._elapsed() + 2 * rules.duration
        while await self._run(lambda link: is_empty(link, self._namespace)):
            if self._leadership.leads:
                return True
            leader = self._leadership.leader
            if self._elapsed() > until:
                who = "no server leads" if leader is None else f"{leader.name} leads"
                raise StoreError(
                    f"{self._journal} is to be brought into the database, which is empty, and {who}. Start this server "
                    "before any other one, or move the file away to begin without it."
                )
            await asyncio.sleep(rules.look_every)
        return False

    # What is done with a connection

    async def _begin(self, connection: Connection) -> None:
        try:
            await migrate(connection)
        except NewerSchema as error:
            raise StoreError(
                f"The database was written by a newer version of exo-graphql ({error}). It is left as it is: start "
                "that version, or name another database."
            ) from error


async def _nothing(_: Connection) -> None:
    """Writes nothing more."""
