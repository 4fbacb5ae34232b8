"""The type `Plan`: what a request would do, without doing it."""

from typing import Annotated

import strawberry
from strawberry import Parent, argument

from exo_graphql.cluster import state
from exo_graphql.cluster.units import gib
from exo_graphql.deployments.assess import Assessment
from exo_graphql.operations import Fetched, Proposal
from exo_graphql.operations.requests import requested
from exo_graphql.schema.arguments import (
    DRAIN_SECONDS,
    INSTANCE_TYPE,
    MIN_NODES,
    SHARDING,
    Additional,
    Attempts,
    Drain,
    Engine,
    MinNodes,
    NodeNames,
    OnlyInstance,
    Shards,
    Timeout,
)
from exo_graphql.schema.context import Info
from exo_graphql.schema.deployment import Deployment
from exo_graphql.schema.fields import field
from exo_graphql.schema.instance import Instance
from exo_graphql.schema.model import Model
from exo_graphql.schema.node import Node
from exo_graphql.schema.operation import Operation
from exo_graphql.schema.operation_error import OperationError
from exo_graphql.schema.placement import Placement


def _loads(root: Parent[Proposal], info: Info) -> tuple[state.ModelCard, ...]:
    return info.context.models(root.load_ids)


def _unloads(root: Parent[Proposal], info: Info) -> tuple[state.ModelCard, ...]:
    return info.context.models(tuple(dict.fromkeys(instance.model_id for instance in root.unload)))


def _unload(root: Parent[Proposal]) -> tuple[state.Instance, ...]:
    return root.unload


def _needed(root: Parent[Proposal]) -> float | None:
    return gib(root.needed_bytes)


def _available(root: Parent[Proposal]) -> float | None:
    return gib(root.available_bytes)


def _shortfall(root: Parent[Proposal]) -> float | None:
    return gib(root.shortfall_bytes)


def _size(root: Parent[Fetched]) -> float | None:
    return gib(root.size_bytes)


def _node(root: Parent[Fetched], info: Info) -> state.Node | None:
    return None if info.context.latest is None else info.context.latest.state.nodes.get(root.node_id)


def _nodes(root: Parent[Proposal], info: Info) -> tuple[state.Node, ...]:
    known = info.context.latest.state.nodes if info.context.latest is not None else {}
    return tuple(known[id_] for id_ in root.node_ids if id_ in known)


def _model(root: Parent[Fetched], info: Info) -> state.ModelCard:
    return info.context.models((root.model_id,))[0]


@strawberry.type(description="Weights that would be downloaded to a node.")
class PlanDownload:
    """`operations.Fetched`."""

    node: Node | None = field(resolver=_node, description="The node; null if it has left since.")
    model: Model = field(resolver=_model, description="The model.")
    gib: float | None = field(
        resolver=_size,
        description="Size of the weights in GiB (2^30 bytes), one decimal; null where it is not known.",
    )


def _unload_to_fit(root: Parent[Proposal], info: Info) -> tuple[state.ModelCard, ...]:
    return info.context.models(root.unload_to_fit_ids)


def _pauses(root: Parent[Proposal], info: Info) -> tuple[Assessment, ...]:
    return info.context.deployments.pauses.of(root)


async def resolve_plan(
    info: Info,
    load: Annotated[list[str] | None, argument(description="Models to load. A single name is a list of one.")] = None,
    unload: Annotated[list[str] | None, argument(description="Models to unload. A single name is a list of one.")] = (
        None
    ),
    min_nodes: MinNodes = MIN_NODES,
    sharding: Shards = SHARDING,
    instance_type: Engine = INSTANCE_TYPE,
    nodes: NodeNames = None,
    drain_seconds: Drain = DRAIN_SECONDS,
    additional: Additional = False,  # noqa: FBT002  # a GraphQL argument, always named
    instance: OnlyInstance = None,
    timeout_seconds: Timeout = None,
    attempts: Attempts = None,
    hash: Annotated[  # noqa: A002
        str | None, argument(description="Plan the request of this plan again, in place of the other arguments.")
    ] = None,
) -> Proposal:
    """What the mutation with these arguments would do."""
    if hash is not None:
        again = await info.context.deployments.plan_again(hash)
        return again or await info.context.operations.plan_again(hash, info.context.offload)
    request = requested(
        tuple(load or ()),
        tuple(unload or ()),
        instance=instance,
        min_nodes=MIN_NODES if min_nodes is None else min_nodes,
        sharding=sharding or SHARDING,
        instance_type=instance_type or INSTANCE_TYPE,
        nodes=nodes,
        additional=bool(additional),
        drain_seconds=DRAIN_SECONDS if drain_seconds is None else drain_seconds,
        timeout_seconds=timeout_seconds,
        attempts=attempts,
    )
    return await info.context.operations.propose(request, info.context.offload)


@strawberry.type(description="What a request would do. Nothing is changed.")
class Plan:
    """`operations.Proposal`."""

    loads: list[Model] = field(resolver=_loads, description="Models that would be loaded.")
    unloads: list[Model] = field(resolver=_unloads, description="Models of which instances would be unloaded.")
    unload_instances: list[Instance] = field(resolver=_unload, description="Exactly these instances would be unloaded.")
    adopts: list[Instance] = field(
        description="Instances that are loaded already, and would belong to the deployment from then on."
    )
    fits: bool = field(
        description="Whether it could be done: now, or when the next window opens, with what is loaded now."
    )
    reason: str | None = field(description="Why it could not be done; null where it could.")
    nodes: list[Node] = field(
        resolver=_nodes,
        description="Where it would be placed, as far as is known now; empty where it does not fit.",
    )
    needed_gb: float | None = field(
        resolver=_needed,
        description="Memory that all models to be placed need (of a deployment: one copy), with what has to stay free, "
        "in GiB (2^30 bytes), one decimal; null where nothing is placed or the size is not known.",
    )
    available_gb: float | None = field(
        resolver=_available,
        description="Free on the best candidate nodes, in GiB; null where it fits, or memory is not the reason.",
    )
    shortfall_gb: float | None = field(
        resolver=_shortfall,
        description="Memory that these nodes lack, in GiB; null where it fits, or memory is not the reason.",
    )
    unload_to_fit: list[Model] = field(
        resolver=_unload_to_fit,
        description="The smallest set of models to unload, in addition, so that it fits; empty where it fits, or no "
        "set is enough.",
    )
    placements: list[Placement] = field(
        description="The placements that would be made, one for each model to be placed; then, for a single model, "
        "the other ways to place it, or why they are impossible. Empty for a deployment."
    )
    load_first: bool = field(description="Whether it fits beside what is loaded, so that nothing is unloaded first.")
    downloads: list[PlanDownload] = field(description="Weights that would be downloaded first.")
    steps: list[str] = field(description="What would be done, in order.")
    pauses: list[Deployment] = field(
        resolver=_pauses,
        description="Deployments that applying it would pause, because it unloads their model.",
    )
    error: OperationError | None = field(
        description="Why the request would be rejected, as the mutation would answer it: with the choices that exist. "
        "Null if it would be accepted, and for a deployment."
    )
    applied: Operation | None = field(
        description="The operation that the `hash` which was given to `plan` has begun, and that `applyPlan` would "
        "return again, whatever else this says; null where it has begun none, and without `hash`."
    )
    hash: str = field(
        description="What `applyPlan` takes to do exactly this, once. It holds the request, so that any server of the "
        "cluster can apply it."
    )
