"""The type `Plan`: what a request would do, without doing it."""

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.cluster.units import gib
from exo_graphql.deployments.proposal import Fetched, Proposal
from exo_graphql.schema.context import Info
from exo_graphql.schema.fields import field
from exo_graphql.schema.instance import Instance
from exo_graphql.schema.model import Model
from exo_graphql.schema.node import Node


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
    """`deployments.proposal.Fetched`."""

    node: Node | None = field(resolver=_node, description="The node; null if it has left since.")
    model: Model = field(resolver=_model, description="The model.")
    gib: float | None = field(
        resolver=_size,
        description="Size of the weights in GiB (2^30 bytes), one decimal; null where it is not known.",
    )


@strawberry.type(description="What a request would do. Nothing is changed.")
class Plan:
    """`deployments.proposal.Proposal`."""

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
        description="Memory that one copy needs, with what has to stay free, in GiB (2^30 bytes), one decimal; null "
        "where the size is not known.",
    )
    available_gb: float | None = field(
        resolver=_available,
        description="Free on the best candidate nodes, in GiB; null where it fits, or memory is not the reason.",
    )
    shortfall_gb: float | None = field(
        resolver=_shortfall,
        description="Memory that these nodes lack, in GiB; null where it fits, or memory is not the reason.",
    )
    load_first: bool = field(description="Whether it fits beside what is loaded, so that nothing is unloaded first.")
    downloads: list[PlanDownload] = field(description="Weights that would be downloaded first.")
    steps: list[str] = field(description="What would be done, in order.")
