"""A process that is killed at a chosen moment, as far as exo and its store can see it."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from exo_graphql.cluster.expectations import Expectations
from exo_graphql.cluster.loads import Loads
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance, InstanceType, Sharding
from exo_graphql.cluster.upstream import HubModel, PlacementPreview
from exo_graphql.exo.poller import Poller

T = TypeVar("T")


class Killer:
    """Counts the moments before and after each write and each command, and kills the process at one of them."""

    def __init__(self, fatal: int | None) -> None:
        self.fatal = fatal
        self.moments = 0
        self.killed = asyncio.Event()

    def moment(self) -> None:
        """Passes, or kills the process. A killed process does nothing any more."""
        if self.killed.is_set():
            raise asyncio.CancelledError
        self.moments += 1
        if self.moments == self.fatal:
            self.killed.set()
            raise asyncio.CancelledError

    async def around(self, work: Coroutine[object, object, T]) -> T:
        """The process may be killed before the work begins or after it is done."""
        try:
            self.moment()
        except asyncio.CancelledError:
            work.close()
            raise
        result = await work
        self.moment()
        return result


class KillableUpstream:
    """The poller of a process that may be killed at each command to exo."""

    def __init__(self, poller: Poller, killer: Killer) -> None:
        self._poller = poller
        self._killer = killer

    @property
    def snapshot(self) -> Snapshot | None:
        return self._poller.snapshot

    async def fresh(self, max_age: float = 0.0) -> Snapshot:
        return await self._poller.fresh(max_age)

    async def read_now(self) -> Snapshot:
        return await self._poller.read_now()

    async def changed(self, since: Snapshot | None, *, urgent: bool = False) -> Snapshot:
        return await self._poller.changed(since, urgent=urgent)

    def operation(self) -> AbstractContextManager[None]:
        return self._poller.operation()

    def subscriber(self) -> AbstractContextManager[None]:
        return self._poller.subscriber()

    def listen(self, listener: Callable[[Snapshot], None]) -> AbstractContextManager[None]:
        return self._poller.listen(listener)

    def mark_unloading(self, unloading: Mapping[str, str]) -> None:
        self._poller.mark_unloading(unloading)

    def mark_loads(self, loads: Loads) -> None:
        self._poller.mark_loads(loads)

    def mark_expectations(self, expectations: Expectations) -> None:
        self._poller.mark_expectations(expectations)

    async def preview(
        self, model_id: str, sharding: Sharding, instance_type: InstanceType, min_nodes: int
    ) -> PlacementPreview:
        return await self._poller.preview(model_id, sharding, instance_type, min_nodes)

    async def previews(self, model_id: str, node_ids: Sequence[str] = ()) -> tuple[PlacementPreview, ...]:
        return await self._poller.previews(model_id, node_ids)

    async def search_hub(self, query: str, limit: int) -> tuple[HubModel, ...]:
        return await self._poller.search_hub(query, limit)

    async def add_model(self, model_id: str) -> None:
        await self._poller.add_model(model_id)

    async def remove_model(self, model_id: str) -> None:
        await self._poller.remove_model(model_id)

    def reread_catalogue(self) -> None:
        self._poller.reread_catalogue()

    async def create(self, instance: Instance) -> None:
        await self._killer.around(self._poller.create(instance))

    async def delete(self, instance_id: str) -> bool:
        return await self._killer.around(self._poller.delete(instance_id))

    async def start_download(self, node_id: str, model_id: str) -> None:
        await self._killer.around(self._poller.start_download(node_id, model_id))

    async def cancel_download(self, node_id: str, model_id: str) -> None:
        await self._killer.around(self._poller.cancel_download(node_id, model_id))

    async def delete_download(self, node_id: str, model_id: str) -> None:
        await self._poller.delete_download(node_id, model_id)

    async def cancel_task(self, command_id: str) -> bool:
        return await self._poller.cancel_task(command_id)
