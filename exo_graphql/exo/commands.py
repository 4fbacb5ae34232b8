"""The commands to exo: previews of placements, and every change to the cluster.

They go to the node that last returned a state. A command is never repeated if it may have arrived: exo would carry it
out twice, and two `POST /instance` make two copies. The next node is tried only if no connection was made, or if the
call changes nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance, InstanceType, Sharding
from exo_graphql.cluster.upstream import HubModel, PlacementPreview, Refused, Unreachable
from exo_graphql.exo.answers import INSTANCE_WORDS, SHARDING_WORDS, read_hub_model, read_preview, whole_model
from exo_graphql.exo.client import Erring, ExoClient, NotSent
from exo_graphql.exo.endpoints import Endpoint, Endpoints
from exo_graphql.exo.parse import read_instance
from exo_graphql.exo.refusals import NotFound

T = TypeVar("T")


class Commands(ABC):
    """The half of `Upstream` that sends requests to exo; it documents each call."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    @property
    @abstractmethod
    def snapshot(self) -> Snapshot | None:
        """The newest snapshot: it holds the model cards that a download request contains."""

    async def preview(
        self, model_id: str, sharding: Sharding, instance_type: InstanceType, min_nodes: int
    ) -> PlacementPreview:
        """What exo's own placement would do now, or its reason not to."""

        async def call(exo: ExoClient) -> PlacementPreview:
            try:
                document = await exo.placement(
                    model_id, SHARDING_WORDS[sharding], INSTANCE_WORDS[instance_type], min_nodes
                )
            except Refused as refusal:
                return PlacementPreview(sharding, instance_type, None, str(refusal))
            instance = read_instance(document)
            if instance is None:
                raise Erring("exo returned a placement that cannot be parsed.")
            return PlacementPreview(sharding, instance_type, instance)

        return await self._call(call, harmless=True)

    async def previews(self, model_id: str, node_ids: Sequence[str] = ()) -> tuple[PlacementPreview, ...]:
        """Every placement that exo finds; each contains all of `node_ids`."""
        previews = await self._call(lambda exo: exo.previews(model_id, node_ids), harmless=True)
        return tuple(preview for preview in map(read_preview, previews) if preview is not None)

    async def search_hub(self, query: str, limit: int) -> tuple[HubModel, ...]:
        """What exo finds on the hub."""
        found = await self._call(lambda exo: exo.search_hub(query, limit), harmless=True)
        return tuple(model for model in map(read_hub_model, found) if model is not None)

    async def add_model(self, model_id: str) -> None:
        """Asks exo to add a model of the hub. Twice is the same as once."""
        await self._call(lambda exo: exo.add_model(model_id))

    async def remove_model(self, model_id: str) -> None:
        """Asks exo to remove a custom model."""
        await self._call(lambda exo: exo.remove_model(model_id))

    async def create(self, instance: Instance) -> None:
        """Requests exactly this instance."""
        document = instance.document
        if document is None:
            raise Refused("The instance has no document of exo's own to send.")
        await self._call(lambda exo: exo.create(document))

    async def delete(self, instance_id: str) -> bool:
        """Asks exo to delete an instance; False if exo has none with that id."""
        try:
            await self._call(lambda exo: exo.delete(instance_id))
        except NotFound:
            return False
        return True

    async def start_download(self, node_id: str, model_id: str) -> None:
        """Asks a node to download all of a model's weights."""
        card = self.snapshot.models.get(model_id) if self.snapshot is not None else None
        shard = whole_model(card) if card is not None else None
        if shard is None:
            raise Refused("exo has not reported enough about the model yet to request its download.")
        await self._call(lambda exo: exo.start_download(node_id, shard))

    async def cancel_download(self, node_id: str, model_id: str) -> None:
        """Asks a node to stop a download; what has arrived stays."""
        await self._call(lambda exo: exo.cancel_download(node_id, model_id))

    async def delete_download(self, node_id: str, model_id: str) -> None:
        """Asks a node to remove the weights."""
        await self._call(lambda exo: exo.delete_download(node_id, model_id))

    async def cancel_task(self, command_id: str) -> bool:
        """Cancels an inference: each node's API knows only the streams it holds, so all nodes that answer are tried."""
        unreachable: Unreachable | None = None
        tried: set[Endpoint] = set()
        while (endpoint := self._endpoints.next(tried)) is not None:
            tried.add(endpoint)
            try:
                await endpoint.client.cancel_task(command_id)
            except NotFound:
                continue
            except Unreachable as error:
                unreachable = error
            else:
                return True
        if not tried:
            raise Unreachable("No exo node answers.")
        if unreachable is not None:
            raise unreachable
        return False

    async def _call(self, call: Callable[[ExoClient], Awaitable[T]], *, harmless: bool = False) -> T:
        """Calls one node. A `harmless` call changes nothing, so the next node is tried after any failure."""
        unreachable = Unreachable("No exo node answers.")
        tried: set[Endpoint] = set()
        while (endpoint := self._endpoints.next(tried)) is not None:
            tried.add(endpoint)
            try:
                return await call(endpoint.client)
            except NotSent as error:
                unreachable = error
            except Unreachable as error:
                if not harmless:
                    raise
                unreachable = error
        raise unreachable
