"""Queries on a snapshot, as the server executes them: the real executor and operations over one recorded snapshot."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from inspect import isawaitable
from typing import Any

import orjson
from graphql import DocumentNode, parse, validate

from exo_graphql.cluster.expectations import Expectations
from exo_graphql.cluster.loads import Loads
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance, InstanceType, Sharding
from exo_graphql.cluster.upstream import HubModel, PlacementPreview, Unreachable
from exo_graphql.deployments.service import Deployments
from exo_graphql.engine.execution import Answer, Executor
from exo_graphql.operations import Operations
from exo_graphql.schema.build import build_schema
from exo_graphql.schema.context import Context
from exo_graphql.schema.schema_index import SchemaIndex
from exo_graphql.storage.sqlite import SQLiteStore

SCHEMA = build_schema()
EXECUTOR = Executor(SCHEMA)
INDEX = SchemaIndex(SCHEMA)


class Recorded:
    """An `Upstream` that has one snapshot and previews what is placed in it already."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self.snapshot = snapshot

    async def fresh(self, max_age: float = 0.0) -> Snapshot:
        del max_age  # a recording has one age
        if self.snapshot is None:
            raise Unreachable("Nothing has been recorded.")
        return self.snapshot

    async def read_now(self) -> Snapshot:
        return await self.fresh()

    async def previews(self, model_id: str, node_ids: Sequence[str] = ()) -> tuple[PlacementPreview, ...]:
        snapshot = await self.fresh()
        return tuple(
            PlacementPreview(instance.sharding, instance.instance_type, instance)
            for instance in snapshot.instances_of(model_id)
            if instance.sharding is not None
            and instance.instance_type is not None
            and {shard.node_id for shard in instance.shards} >= set(node_ids)
        )

    async def preview(
        self, model_id: str, sharding: Sharding, instance_type: InstanceType, min_nodes: int
    ) -> PlacementPreview:
        for preview in await self.previews(model_id):
            if (preview.sharding, preview.instance_type) == (sharding, instance_type):
                return preview
        return PlacementPreview(sharding, instance_type, None, f"No cycles found with at least {min_nodes} nodes.")

    # No query asks for any of these.

    async def changed(self, since: Snapshot | None, *, urgent: bool = False) -> Snapshot:
        raise NotImplementedError

    def listen(self, listener: Callable[[Snapshot], None]) -> AbstractContextManager[None]:
        raise NotImplementedError

    def subscriber(self) -> AbstractContextManager[None]:
        raise NotImplementedError

    def operation(self) -> AbstractContextManager[None]:
        raise NotImplementedError

    def mark_unloading(self, unloading: Mapping[str, str]) -> None:
        raise NotImplementedError

    def mark_expectations(self, expectations: Expectations) -> None:
        raise NotImplementedError

    def mark_loads(self, loads: Loads) -> None:
        raise NotImplementedError

    async def search_hub(self, query: str, limit: int) -> tuple[HubModel, ...]:
        return (HubModel(f"mlx-community/{query}", "mlx-community", 1, 1, "2026-05-04", ("mlx",)),)[:limit]

    async def add_model(self, model_id: str) -> None:
        raise NotImplementedError

    async def remove_model(self, model_id: str) -> None:
        raise NotImplementedError

    def reread_catalogue(self) -> None:
        raise NotImplementedError

    async def create(self, instance: Instance) -> None:
        raise NotImplementedError

    async def delete(self, instance_id: str) -> bool:
        raise NotImplementedError

    async def start_download(self, node_id: str, model_id: str) -> None:
        raise NotImplementedError

    async def cancel_download(self, node_id: str, model_id: str) -> None:
        raise NotImplementedError

    async def delete_download(self, node_id: str, model_id: str) -> None:
        raise NotImplementedError

    async def cancel_task(self, command_id: str) -> bool:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class DecodedAnswer:
    """A decoded answer."""

    data: Any
    errors: list[dict[str, Any]]
    context: Context

    @property
    def codes(self) -> list[str]:
        """The code of each error."""
        return [error["extensions"]["code"] for error in self.errors]


def ask(
    snapshot: Snapshot | None,
    query: str | DocumentNode,
    variables: Mapping[str, Any] | None = None,
    *,
    elapsed: float = 0.0,
) -> DecodedAnswer:
    """The answer to a valid query about a snapshot."""
    document = query if isinstance(query, DocumentNode) else _valid(query)
    upstream = Recorded(snapshot)
    store = SQLiteStore(None)
    operations = Operations(upstream, store)
    deployments = Deployments(upstream, operations, store)
    context = Context(snapshot, operations, deployments, lambda: elapsed, schema_index=INDEX)
    answer = EXECUTOR.execute(document, context, variables, None)
    if isawaitable(answer):
        answer = asyncio.run(_later(answer))
    body = orjson.loads(answer.payload)
    return DecodedAnswer(body["data"], body.get("errors", []), context)


@lru_cache
def _valid(query: str) -> DocumentNode:
    document = parse(query)
    assert validate(SCHEMA, document) == []
    return document


async def _later(answer: Awaitable[Answer]) -> Answer:
    return await answer


def data(snapshot: Snapshot | None, query: str, variables: Mapping[str, Any] | None = None) -> Any:
    """The data of an answer that has no errors."""
    answer = ask(snapshot, query, variables)
    assert answer.errors == []
    return answer.data
