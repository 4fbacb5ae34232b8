"""A store that several servers of one process share: one SQLite database in memory, with a leader that the test names.

It keeps what `Store` promises, as PostgreSQL does: only the leader writes, and the others are notified of the ids.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from exo_graphql.storage import Collection, Entry, Key, NotLeader, Replica, StoreError
from exo_graphql.storage.leadership import Leaderless
from exo_graphql.storage.sqlite import SQLiteStore

OnChange = Callable[[Collection, frozenset[str] | None], None]


class SharedState:
    """What the stores share. `lead` names the server that may write."""

    def __init__(self) -> None:
        self.sqlite = SQLiteStore(None)
        self.stores: list[SharedStore] = []
        self.leader: SharedStore | None = None
        self.answers = True
        """Whether the database can be used."""
        self.hangs = False
        """Whether it does not answer, which is waited for as PostgreSQL is."""
        self.writes: list[tuple[str, Collection]] = []
        """Name of the server and collection of each write so far."""

    def store(self, name: str) -> "SharedStore":
        """The store of another server."""
        store = SharedStore(self, name)
        self.stores.append(store)
        return store

    def lead(self, leader: "SharedStore | None") -> None:
        """From now on this server leads; None: nobody does."""
        self.leader = leader
        for store in self.stores:
            store.leadership.changed()


class SharedLeadership:
    """The `Leadership` of one of them."""

    def __init__(self, state: SharedState, name: str) -> None:
        self._state = state
        self._id = f"id-of-{name}"
        self._name = name
        self._since = datetime.now(UTC)
        self.url: str | None = None
        """Where the other servers reach it, once the test has set it."""
        self.secret: str | None = "a shared secret"
        self._callbacks: list[Callable[[], None]] = []
        self.begins: Callable[[], bool] = lambda: True

    @property
    def own(self) -> Replica:
        return Replica(self._id, self._name, self.url, self._since, self.leads)

    @property
    def leads(self) -> bool:
        return self._state.leader is not None and self._state.leader.leadership is self

    @property
    def seconds_left(self) -> float:
        return 6.0 if self.leads else 0.0

    @property
    def leader(self) -> Replica | None:
        return None if self._state.leader is None else self._state.leader.leadership.own

    @property
    def leaderless(self) -> Leaderless | None:
        """See `Leadership`."""
        return None if self.leader is not None else Leaderless("No server leads now.")

    @property
    def replicas(self) -> tuple[Replica, ...]:
        return tuple(store.leadership.own for store in self._state.stores)

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def begin_only_while(self, rests: Callable[[], bool]) -> None:
        """The test says when it begins; `begins` says whether it would."""
        self.begins = rests

    def describe(self, *, barred: str | None, reads_exo: bool | None) -> None:
        """See `Leadership`."""

    def resign(self) -> None:
        """Nobody leads until the test names a leader."""
        if self.leads:
            self._state.lead(None)

    def changed(self) -> None:
        for callback in tuple(self._callbacks):
            callback()


class SharedStore:
    """The `Store` of one of them."""

    def __init__(self, state: SharedState, name: str) -> None:
        self.name = name
        self.leadership = SharedLeadership(state, name)
        self._state = state
        self._callbacks: list[OnChange] = []

    async def connect(self) -> None:
        await self._state.sqlite.open()

    async def open(self) -> None:
        await self._state.sqlite.open()

    async def close(self) -> None:
        """The database goes on; `SharedState.sqlite` is closed by the test."""
        self._callbacks.clear()

    def on_change(self, callback: OnChange) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    # Reading

    async def entries(self, collection: Collection) -> list[Entry]:
        await self._check()
        return await self._state.sqlite.entries(collection)

    async def some(self, collection: Collection, ids: Iterable[str]) -> list[Entry]:
        await self._check()
        return await self._state.sqlite.some(collection, ids)

    async def newest(self, collection: Collection, count: int, before: int | None = None) -> list[Entry]:
        await self._check()
        return await self._state.sqlite.newest(collection, count, before)

    async def keys(self) -> list[Key]:
        await self._check()
        return await self._state.sqlite.keys()

    # Writing

    async def admit(self, collection: Collection, entry: Entry, key: Key | None = None) -> None:
        await self._write(collection, [entry.id], self._state.sqlite.admit, collection, entry, key)

    async def save(self, collection: Collection, entry: Entry) -> None:
        await self._write(collection, [entry.id], self._state.sqlite.save, collection, entry)

    async def append(self, collection: Collection, entries: Sequence[Entry]) -> None:
        await self._write(collection, [each.id for each in entries], self._state.sqlite.append, collection, entries)

    async def forget_until(self, collection: Collection, sequence: int) -> None:
        await self._write(collection, None, self._state.sqlite.forget_until, collection, sequence)

    async def add_key(self, key: Key) -> None:
        await self._write(Collection.OPERATIONS, [], self._state.sqlite.add_key, key)

    async def forget(self, collection: Collection, ids: Sequence[str], keys: Sequence[str] = ()) -> None:
        await self._write(collection, ids, self._state.sqlite.forget, collection, ids, keys)

    async def _write(self, collection: Collection, ids: Iterable[str] | None, write: Any, *arguments: Any) -> None:
        await self._check()
        if not self.leadership.leads:
            raise NotLeader("Another server leads.")
        await write(*arguments)
        self._state.writes.append((self.name, collection))
        written = None if ids is None else frozenset(ids)
        loop = asyncio.get_running_loop()
        for store in self._state.stores:
            if store is not self and written != frozenset():
                for callback in tuple(store._callbacks):  # of the same class
                    loop.call_soon(callback, collection, written)

    async def _check(self) -> None:
        if self._state.hangs:
            await asyncio.sleep(10)
            raise StoreError("The database did not answer within 10 s.")
        if not self._state.answers:
            raise StoreError("The database does not answer.")
