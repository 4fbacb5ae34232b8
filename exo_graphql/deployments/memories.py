"""What is remembered of deployments beside what is declared: since when a state lasts, when the next request may come.

It is stored, so that a restart forgets nothing and all servers that share the store say the same.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import orjson
from pydantic import TypeAdapter, ValidationError

from exo_graphql.deployments.deployment import DeploymentState
from exo_graphql.storage import Collection, Entry, Store, StoreError

log = logging.getLogger(__name__)

WRITE_EVERY = 1.0
"""Seconds between two writes. The first change of several is written at once."""
RETRY_AFTER = 10.0
"""Seconds after a write that failed."""
_FILE = "file"
"""The id of the entry that says why the deployments file was refused; the others have the uid of a deployment."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of one deployment. Times are UTC."""

    state: DeploymentState
    changed_at: datetime
    """When its state last changed."""
    fetch_at: datetime | None = None
    """When its weights may be requested again."""
    not_before: datetime | None = None
    """When it may request an operation again, after one was refused or did not unload."""
    fetches: int = 0
    refusals: int = 0
    """How often its weights were requested, and an operation refused, in a row: each time it waits longer."""


class Memories:
    """`run` writes what the leader notes, until it is cancelled."""

    def __init__(self, store: Store) -> None:
        self.by_uid: Mapping[str, Memory] = {}
        """As it is stored, or was noted since."""
        self.refused: str | None = None
        """Why the deployments file was refused; None while it is valid, or there is none."""
        self._store = store
        self._entries: dict[str, Entry] = {}
        """What the store holds, by id."""
        self._unreadable: frozenset[str] = frozenset()
        """The ids of those that this version cannot read."""
        self._changed = asyncio.Event()

    async def read(self) -> None:
        """Reads all of them. Raises `StoreError`."""
        self._entries = {entry.id: entry for entry in await self._store.entries(Collection.MEMORIES)}
        self._decode()

    async def reread(self, ids: Iterable[str] | None) -> None:
        """Reads these again, which another server has written; None: all. Raises `StoreError`."""
        if ids is None:
            await self.read()
            return
        wanted = frozenset(ids)
        found = await self._store.some(Collection.MEMORIES, wanted)
        self._entries = {id_: entry for id_, entry in self._entries.items() if id_ not in wanted}
        self._entries |= {entry.id: entry for entry in found}
        self._decode()

    def _decode(self) -> None:
        known: dict[str, Memory] = {}
        unreadable: set[str] = set()
        self.refused = None
        for entry in self._entries.values():
            try:
                if entry.id == _FILE:
                    self.refused = _REASON.validate_json(entry.record)
                else:
                    known[entry.id] = _MEMORY.validate_json(entry.record)
            except ValidationError:
                unreadable.add(entry.id)
                if entry.id not in self._unreadable:
                    log.warning(
                        "What is remembered of %s cannot be read: another version has written it. It begins anew.",
                        "the deployments file" if entry.id == _FILE else f"deployment {entry.id}",
                    )
        self.by_uid = known
        self._unreadable = frozenset(unreadable)

    def note(self, memories: Mapping[str, Memory]) -> None:
        """This is what is remembered now, by uid; nothing of others is."""
        if memories != self.by_uid:
            self.by_uid = memories
            self._changed.set()

    def note_refused(self, reason: str | None) -> None:
        """Why the file was refused; None: it is valid."""
        if reason != self.refused:
            self.refused = reason
            self._changed.set()

    async def run(self) -> None:
        """Writes what has been noted."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._write()
                await asyncio.sleep(WRITE_EVERY)
            except StoreError as error:
                log.warning("What is remembered of deployments cannot be written: %s", error)
                await asyncio.sleep(RETRY_AFTER)
                self._changed.set()

    async def flush(self) -> None:
        """Writes what is left, if it can be written."""
        with suppress(StoreError):
            await self._write()

    async def _write(self) -> None:
        records = {uid: orjson.dumps(_MEMORY.dump_python(each, mode="json")) for uid, each in self.by_uid.items()}
        if self.refused is not None:
            records[_FILE] = orjson.dumps(self.refused)
        last = max((entry.sequence for entry in self._entries.values()), default=0)
        for id_, record in records.items():
            known = self._entries.get(id_)
            if known is not None and known.record == record:
                continue
            last += known is None
            entry = Entry(last if known is None else known.sequence, id_, active=False, record=record)
            await self._store.save(Collection.MEMORIES, entry)
            self._entries[id_] = entry
        gone = [id_ for id_ in self._entries if id_ not in records]
        if gone:
            await self._store.forget(Collection.MEMORIES, gone)
            for id_ in gone:
                self._entries.pop(id_, None)


_MEMORY = TypeAdapter(Memory)
_REASON = TypeAdapter(str)
