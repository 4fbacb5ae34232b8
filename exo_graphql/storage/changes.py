"""What other servers have written: learned from notifications, and from numbers that are compared where one was lost.

Each write raises the version of its collection by one, and sends it with the ids. A version that was missed, for
example behind a pooler that passes no notifications on, is noticed when the versions are read the next time.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from psycopg import AsyncConnection

from exo_graphql.storage.store import Collection

log = logging.getLogger(__name__)
Changed = Callable[[Collection, frozenset[str] | None], None]

CHANNEL = "exo_graphql"
# PostgreSQL refuses notifications of 8,000 bytes or more. The rest names namespace and collection.
MAX_IDS_BYTES = 7_000


class Changes:
    """The versions that this server knows of a namespace, and who is called back."""

    def __init__(self, namespace: str, sender: str, *, writes_alone: Callable[[], bool]) -> None:
        """`sender`: the id of this server. While it `writes_alone`, nothing is reported: nothing can have changed."""
        self._namespace = namespace
        self._sender = sender
        self._writes_alone = writes_alone
        self._callbacks: dict[object, Changed] = {}
        self._versions: dict[Collection, int] = {}
        self._missed: dict[Collection, int] = {}
        """The versions that were known when another one was read; its notification may still be on its way."""
        self.is_heard = False
        """Whether notifications arrive, as far as this server knows."""

    def listen(self, callback: Changed) -> Callable[[], None]:
        """See `Store.on_change`."""
        key = object()
        self._callbacks[key] = callback
        return lambda: (self._callbacks.pop(key, None), None)[1]

    # What this server writes

    async def announce(self, connection: AsyncConnection[Any], collection: Collection, ids: Iterable[str]) -> int:
        """Raises the version within the transaction, and sends it when that is committed. Without ids: any entry."""
        named = orjson.dumps(sorted(ids) or None)
        found = await connection.execute(
            "WITH changed AS (INSERT INTO exo_graphql_changes AS change (namespace, collection, version) "
            "VALUES (%(namespace)s, %(collection)s, 1) ON CONFLICT (namespace, collection) "
            "DO UPDATE SET version = change.version + 1 RETURNING version) "
            "SELECT version, pg_notify(%(channel)s, json_build_object('namespace', %(namespace)s::text, 'collection', "
            "%(collection)s::text, 'version', version, 'by', %(by)s::text, 'ids', %(ids)s::json)::text) FROM changed",
            {
                "channel": CHANNEL,
                "namespace": self._namespace,
                "collection": collection.value,
                "by": self._sender,
                "ids": (named if len(named) <= MAX_IDS_BYTES else b"null").decode(),
            },
        )
        row = await found.fetchone()
        return 0 if row is None else int(row[0])

    def wrote(self, collection: Collection, version: int) -> None:
        """This server has written that version itself."""
        # Otherwise another server's notification is on its way, and this server's own comes after it.
        if version == self._versions.get(collection, 0) + 1:
            self._versions[collection] = version

    # What others write

    def hear(self, payload: str) -> None:
        """A notification."""
        try:
            message = orjson.loads(payload)
            if message["namespace"] != self._namespace:
                return
            collection, version = Collection(message["collection"]), int(message["version"])
            ids = None if message["ids"] is None else frozenset(map(str, message["ids"]))
            is_own = message["by"] == self._sender
        except (ValueError, KeyError, TypeError):
            return  # of another version of this program: the versions tell
        known = self._versions.get(collection, 0)
        if version <= known:
            return
        self._versions[collection] = version
        if version != known + 1:
            self._report(collection, None)
        elif not is_own:
            self._report(collection, ids)

    def start_from(self, versions: Mapping[str, int]) -> None:
        """Those that are stored now: what is read from now on is at least as new."""
        self._versions = {each: versions.get(each.value, 0) for each in Collection}

    @property
    def is_waiting(self) -> bool:
        """Whether a version was read whose notification has not come yet."""
        return bool(self._missed)

    def compare(self, versions: Mapping[str, int]) -> None:
        """Reports what has other versions in the store than here, unless its notification may still arrive."""
        for collection in Collection:
            known, stored = self._versions.get(collection, 0), versions.get(collection.value, 0)
            missed = self._missed.pop(collection, None)
            if stored == known:
                continue
            if self.is_heard and missed != known:
                self._missed[collection] = known
                continue
            self._versions[collection] = stored
            self._report(collection, None)

    def report_all(self) -> None:
        """Anything may have changed: notifications were not heard for a while."""
        for collection in Collection:
            self._report(collection, None)

    def _report(self, collection: Collection, ids: frozenset[str] | None) -> None:
        if self._writes_alone():
            return
        for callback in tuple(self._callbacks.values()):
            try:
                callback(collection, ids)
            except Exception:
                # One that fails must not keep others from what has changed, nor this server from its lease.
                log.exception("A change could not be taken over.")
