"""The deployments of this server: in memory, and never newer there than in the store."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance
from exo_graphql.deployments.deployment import Deployment
from exo_graphql.deployments.records import decode, encode
from exo_graphql.storage import Collection, Entry, Store

log = logging.getLogger(__name__)


class Registry:
    """Changes are made one after the other, and written before they become visible."""

    def __init__(self, store: Store) -> None:
        self.version = 0
        """Increases at every change."""
        self._store = store
        self._by_uid: dict[str, Deployment] = {}
        self._sequences: dict[str, int] = {}
        """By uid: the order in which they were added."""
        self._last = 0
        """The highest sequence in the store, including entries that this version cannot read."""
        self._writing = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._opened = False

    async def open(self) -> None:
        """Reads the store, which is open, once. Raises `StoreError`."""
        if not self._opened:
            await self.read()

    async def read(self) -> None:
        """Reads the store again. Raises `StoreError`."""
        async with self._writing:
            entries = await self._store.entries(Collection.DEPLOYMENTS)
            known, self._by_uid = self._by_uid, {}
            self._take(entries)
            self._opened = True
            if known != self._by_uid:
                self._notify()

    async def reread(self, ids: Iterable[str] | None) -> None:
        """Reads these again, which another server has written; None: all. Raises `StoreError`."""
        if ids is None:
            await self.read()
            return
        wanted = frozenset(ids)
        async with self._writing:
            entries = await self._store.some(Collection.DEPLOYMENTS, wanted)
            known = self._by_uid
            self._by_uid = {uid: each for uid, each in known.items() if uid not in wanted}
            self._take(entries)
            if known != self._by_uid:
                self._notify()

    def _take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._last = max(self._last, entry.sequence)
            deployment = decode(entry)
            if deployment is not None:
                self._by_uid[deployment.uid] = deployment
                self._sequences[deployment.uid] = entry.sequence

    def all(self) -> tuple[Deployment, ...]:
        """Every deployment by name, the deleted ones that are still loaded included."""
        return tuple(sorted(self._by_uid.values(), key=lambda deployment: deployment.name))

    def get(self, name: str) -> Deployment | None:
        """The one of this name that is not deleted."""
        return next((d for d in self._by_uid.values() if d.name == name and not d.deleted), None)

    def of(self, uid: str) -> Deployment | None:
        """The one of this uid, deleted or not."""
        return self._by_uid.get(uid)

    def keeps(self, instance: Instance, snapshot: Snapshot) -> bool:
        """Whether a deployment owns the instance, or has no copy of its model that is ready; True before `open`."""
        return not self._opened or any(
            instance.id in deployment.owned
            or (
                deployment.spec.model_id == instance.model_id
                and not deployment.deleted
                and _lacks(deployment, snapshot)
            )
            for deployment in self._by_uid.values()
        )

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back at every change, synchronously; returns how to stop it."""
        self._listeners.append(callback)

        def stop() -> None:
            with suppress(ValueError):
                self._listeners.remove(callback)

        return stop

    async def add(self, deployment: Deployment) -> None:
        """Adds a new one. Raises `StoreError`; then it was not added."""
        async with self._writing:
            await self._store.admit(Collection.DEPLOYMENTS, encode(self._last + 1, deployment))
            self._last += 1
            self._sequences[deployment.uid] = self._last
            self._by_uid[deployment.uid] = deployment
            self._notify()

    async def update(self, uid: str, change: Callable[[Deployment], Deployment]) -> Deployment | None:
        """Changes the newest version of one; returns it, or None if it is gone. Raises `StoreError`."""
        async with self._writing:
            known = self._by_uid.get(uid)
            if known is None:
                return None
            changed = change(known)
            if changed != known:
                await self._store.save(Collection.DEPLOYMENTS, encode(self._sequences[uid], changed))
                self._by_uid[uid] = changed
                self._notify()
            return changed

    async def change_all(
        self,
        changes: Mapping[str, Callable[[Deployment], Deployment]],
        added: Sequence[Deployment],
        forgotten: Sequence[str],
    ) -> None:
        """Changes several (by uid), adds and removes some; all become visible at once, so no model has two deployments.

        Raises `StoreError`; then some of the changes may have been made.
        """
        async with self._writing:
            written: dict[str, Deployment] = {}
            try:
                for uid, change in changes.items():
                    known = self._by_uid.get(uid)
                    changed = known if known is None else change(known)
                    if changed is not None and changed != known:
                        await self._store.save(Collection.DEPLOYMENTS, encode(self._sequences[uid], changed))
                        written[uid] = changed
                for deployment in added:
                    await self._store.admit(Collection.DEPLOYMENTS, encode(self._last + 1, deployment))
                    self._last += 1
                    self._sequences[deployment.uid] = self._last
                    written[deployment.uid] = deployment
                if forgotten:
                    await self._store.forget(Collection.DEPLOYMENTS, forgotten)
            finally:
                for uid in forgotten:
                    self._by_uid.pop(uid, None)
                self._by_uid.update(written)
                if written or forgotten:
                    self._notify()

    async def forget(self, uid: str) -> None:
        """Removes one. Raises `StoreError`."""
        async with self._writing:
            await self._store.forget(Collection.DEPLOYMENTS, [uid])
            self._by_uid.pop(uid, None)
            self._notify()

    def _notify(self) -> None:
        self.version += 1
        for listener in tuple(self._listeners):
            listener()


def _lacks(deployment: Deployment, snapshot: Snapshot) -> bool:
    listed = snapshot.state.instances
    return not any(id_ in listed and snapshot.instance_status(id_).ready for id_ in deployment.owned)
