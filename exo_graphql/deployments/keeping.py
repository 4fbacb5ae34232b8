"""The share of the deployments in the roles of this server (see `replicas.Part`): acting for them, or only showing."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping

from exo_graphql.cluster.upstream import Upstream
from exo_graphql.deployments.deployment import ManagedBy
from exo_graphql.deployments.file import FileWatch, Source, withdraw_all
from exo_graphql.deployments.memories import Memories
from exo_graphql.deployments.reconciler import Reconciler
from exo_graphql.deployments.registry import Registry
from exo_graphql.storage import Collection, Store, is_shared

log = logging.getLogger(__name__)


class Keeping:
    """Compares them all the time; while this server leads, it acts for them, and watches the deployments file."""

    def __init__(
        self,
        upstream: Upstream,
        store: Store,
        registry: Registry,
        memories: Memories,
        reconciler: Reconciler,
        *,
        file: Source | None,
        watch: Callable[..., FileWatch],
    ) -> None:
        """`watch` makes what watches the file, from a part of its arguments."""
        self.file = file
        self.file_problem: str | None = None
        """Why the deployments file was refused; None while it is valid, or there is none."""
        self._upstream = upstream
        self._store = store
        self._registry = registry
        self._memories = memories
        self._reconciler = reconciler
        self._watch = watch
        self._tasks: list[asyncio.Task[None]] = []
        self._has_led = False

    async def follow(self) -> None:
        """Shows what the store says, compared with what is loaded. Raises `StoreError`."""
        await self._registry.open()
        await self._memories.read()
        self._take_memories()
        self._begin(self._reconciler.run())

    async def changed(self, changes: Mapping[Collection, frozenset[str] | None]) -> None:
        """Shows what another server has written. Raises `StoreError`."""
        if Collection.DEPLOYMENTS in changes:
            await self._registry.reread(changes[Collection.DEPLOYMENTS])
        if Collection.MEMORIES in changes:
            await self._memories.reread(changes[Collection.MEMORIES])
        if changes.keys() & {Collection.DEPLOYMENTS, Collection.MEMORIES}:
            self._take_memories()

    async def refresh(self) -> None:
        """Shows what was declared last. Raises `StoreError`."""
        await self._registry.read()
        self._reconciler.assess()

    async def lead(self) -> None:
        """Acts for the deployments, and watches the file. Raises `StoreError`."""
        await self._end()
        shared = is_shared(self._store.leadership)
        await (self._registry.read() if shared else self._registry.open())
        await self._memories.read()
        if self.file is None:
            await self._withdraw(others=len(self._store.leadership.replicas) > 1)
        refused = None if self.file is None else self._memories.refused
        self._reconciler.acts = True
        self._reconciler.recall()
        self._refused(refused)
        self._begin(self._reconciler.run(), self._memories.run())
        if self.file is not None:
            watch = self._watch(
                self.file,
                self._registry,
                self._upstream,
                refused=self._refused,
                at_start=not (self._has_led or shared),
                reason=refused,
            )
            self._begin(watch.run())
        self._has_led = True

    async def rest(self) -> None:
        """Compares and shows alone, as the server does that follows."""
        if self._reconciler.acts:
            self._reconciler.acts = False
            await self._end()
        if not self._tasks:
            self._begin(self._reconciler.run())

    async def close(self) -> None:
        """Ends all of it; what is remembered is written, if this server leads."""
        acted, self._reconciler.acts = self._reconciler.acts, False
        await self._end()
        if acted:
            await self._memories.flush()

    def _begin(self, *work: Coroutine[object, object, None]) -> None:
        self._tasks += [asyncio.create_task(each, name="deployments") for each in work]

    async def _end(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _take_memories(self) -> None:
        self._reconciler.recall()
        self._show_refused(self._memories.refused)

    async def _withdraw(self, *, others: bool) -> None:
        """This server has no file: what one declared earlier is paused, unless another server may have it."""
        if not others:
            await withdraw_all(self._registry)
        elif any(each.managed_by is ManagedBy.FILE for each in self._registry.all()):
            log.warning(
                "This server leads without --deployments, which declared some at another one. They stay as they are: "
                "give each server the same file."
            )

    def _refused(self, reason: str | None) -> None:
        self._memories.note_refused(reason)
        self._show_refused(reason)

    def _show_refused(self, reason: str | None) -> None:
        self.file_problem = reason
        self._reconciler.assessments.concern = reason
        self._reconciler.assess()
