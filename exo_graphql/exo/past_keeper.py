"""Keeps in the store what is known of the cluster, so that a restart forgets nothing and all servers say the same."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress

from exo_graphql.cluster.history import ModelHistory
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.exo import past_records
from exo_graphql.exo.poller import Poller
from exo_graphql.storage import Collection, Entry, Store, StoreError

log = logging.getLogger(__name__)

# Seconds between two writes. The first change of several is written at once, so that SIGKILL loses none that is alone.
_WRITE_EVERY = 1.0
# Seconds after a write that failed.
_RETRY_AFTER = 10.0


class PastKeeper:
    """Gives the poller the past before its first snapshot, and writes while this server leads.

    The methods are those of a part of the server that leads or follows (`replicas`). The store is open.
    """

    def __init__(self, poller: Poller, store: Store, *, now: Callable[[], Moment]) -> None:
        self._poller = poller
        self._store = store
        self._now = now
        self._stored: dict[str, Entry] = {}
        """What the store holds, by id."""
        self._given = False
        """Whether the past has been given."""
        self._version = -1
        """Of the last snapshot that was looked at."""
        self._content: object = None
        """What of it is stored."""
        self._changed = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        """While this server leads."""
        self._active = ExitStack()

    async def members(self) -> Mapping[str, str | None]:
        """The members that were seen last, by any server: name by id. Raises `StoreError`."""
        return past_records.decode_members(await self._store.some(Collection.PAST, [past_records.CLUSTER]))

    async def follow(self) -> None:
        """Reads what is known. Raises `StoreError`."""
        self._read(await self._store.entries(Collection.PAST), newer=False)

    async def changed(self, changes: Mapping[Collection, frozenset[str] | None]) -> None:
        """Reads what another server has written. Raises `StoreError`."""
        if Collection.PAST not in changes:
            return
        ids = changes[Collection.PAST]
        if ids is None:
            await self.follow()
        elif ids:
            entries = await self._store.some(Collection.PAST, ids)
            self._stored = {id_: entry for id_, entry in self._stored.items() if id_ not in ids}
            self._know(entries)

    async def refresh(self) -> None:
        """Nothing: what has changed is pushed, and no mutation depends on it."""

    async def lead(self) -> None:
        """Writes from now on. Raises `StoreError`."""
        # The last leader may have been gone for a while: what was seen here since then is newer.
        self._read(await self._store.entries(Collection.PAST), newer=True)
        self._active.enter_context(self._poller.listen(self._look))
        self._changed.set()
        self._writer = asyncio.create_task(self._write(), name="past")

    async def rest(self) -> None:
        """Another server writes, or none."""
        self._active.close()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def close(self) -> None:
        """The same at the end of this server, which writes what is left."""
        wrote = self._writer is not None
        await self.rest()
        if wrote:
            with suppress(StoreError):
                await self._write_changes()

    def _read(self, entries: list[Entry], *, newer: bool) -> None:
        if self._given:
            self._stored = {}
            self._know(entries, newer=newer)
            return
        self._given = True
        self._stored = {entry.id: entry for entry in entries}
        self._poller.members_are(past_records.decode_members(entries))
        self._poller.recall(past_records.decode(entries, self._now()))

    def _know(self, entries: list[Entry], *, newer: bool = False) -> None:
        """Takes over what another server has written. `newer`: only what is newer than what is known here."""
        self._stored |= {entry.id: entry for entry in entries}
        members = past_records.decode_members(entries)
        if members:
            self._poller.members_are(members)
        models = past_records.decode_models(entries)
        if newer:
            models = {id_: model for id_, model in models.items() if self._is_newer(id_, model)}
        self._poller.is_known(models)

    def _is_newer(self, model_id: str, model: ModelHistory) -> bool:
        snapshot = self._poller.snapshot
        own = None if snapshot is None else snapshot.history.models.get(model_id)
        if own is None or own.changed_at is None:
            return True
        return model.changed_at is not None and model.changed_at >= own.changed_at

    # Writing

    def _look(self, snapshot: Snapshot) -> None:
        if snapshot.version == self._version:
            return
        self._version = snapshot.version
        content = past_records.content(snapshot)
        if content != self._content:
            self._content = content
            self._changed.set()

    async def _write(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                if await self._write_changes():
                    await asyncio.sleep(_WRITE_EVERY)
            except StoreError as error:
                log.warning("What is known of the cluster cannot be written (%s); it is kept in memory.", error)
                await asyncio.sleep(_RETRY_AFTER)
                self._changed.set()

    async def _write_changes(self) -> bool:
        """Writes what differs from what is stored; whether anything does."""
        snapshot = self._poller.snapshot
        # A state of which it is not clear yet what it says of the past must not replace it.
        if snapshot is None or self._poller.past_is_open or snapshot.held or self._poller.has_a_copy:
            self._content, self._version = None, -1  # the next one is looked at again
            return False
        stored = self._stored
        records = past_records.encode(snapshot)
        changed = {id_: record for id_, record in records.items() if id_ not in stored or stored[id_].record != record}
        if changed.keys() <= {past_records.CLUSTER} and not self._members_differ(stored, records):
            changed = {}
        number = max((entry.sequence for entry in stored.values()), default=0)
        for id_, record in changed.items():
            known = stored.get(id_)
            number += known is None
            entry = Entry(number if known is None else known.sequence, id_, active=False, record=record)
            await self._store.save(Collection.PAST, entry)
            stored[id_] = entry
        gone = [id_ for id_ in stored if id_ not in records]
        if gone:
            await self._store.forget(Collection.PAST, gone)
            for id_ in gone:
                del stored[id_]
        return bool(changed or gone)

    @staticmethod
    def _members_differ(stored: Mapping[str, Entry], records: Mapping[str, bytes]) -> bool:
        """Whether the entry of the cluster differs by more than the index of the state, which grows each second."""
        known = stored.get(past_records.CLUSTER)
        return known is None or not past_records.same_members(known.record, records[past_records.CLUSTER])
