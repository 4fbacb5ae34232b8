"""The type `Placement`: a what-if."""

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.cluster.units import gib
from exo_graphql.operations import NodeShare, PlacementView
from exo_graphql.schema.context import Info
from exo_graphql.schema.fields import field
from exo_graphql.schema.model import Model
from exo_graphql.schema.node import Node


def _node(root: Parent[NodeShare], info: Info) -> state.Node | None:
    return info.context.snapshot.state.nodes.get(root.node_id)


def _added(root: Parent[NodeShare]) -> float | None:
    return gib(root.added_bytes)


def _needed(root: Parent[NodeShare]) -> float | None:
    return gib(root.needed_bytes)


def _available(root: Parent[NodeShare]) -> float | None:
    return gib(root.available_bytes)


@strawberry.type(description="Memory that a placement would use on one node.")
class PlacementNode:
    """`operations.NodeShare`, with its node."""

    node: Node | None = field(resolver=_node, description="The node; null if it has left the cluster in the meantime.")
    added_gb: float | None = field(
        resolver=_added,
        description="Memory that its shard would take, in GiB (2^30 bytes), one decimal: its share of the layers "
        "times the size of the model (TENSOR: the size divided by the number of nodes).",
    )
    needed_gb: float | None = field(
        resolver=_needed,
        description="Memory that must be free on the node, in GiB, one decimal: addedGb plus 4 %, because a "
        "loaded model takes more than its weights.",
    )
    available_gb: float | None = field(
        resolver=_available,
        description="Free memory on the node without the new model and without the models in `unload`, in GiB, one "
        "decimal; null until reported.",
    )


def _model(root: Parent[PlacementView], info: Info) -> state.ModelCard:
    return info.context.models((root.model_id,))[0]


@strawberry.type(description="Where exo would place a model, or why it would not.")
class Placement:
    """`operations.PlacementView`."""

    model: Model = field(resolver=_model, description="The model that would be placed.")
    sharding: state.Sharding = field(
        description="How the instance would divide the model. On a single node exo always uses PIPELINE over MLX_RING."
    )
    instance_type: state.InstanceType = field(description="How its runners would communicate.")
    fits: bool = field(
        description="Whether loadModel would place the model in this way now (with `unload`: whether swapModels would)."
    )
    reason: str | None = field(
        description="Why it does not fit; null when it does. The search among groups of nodes is bounded; a "
        "reason that is uncertain because of this says so."
    )
    nodes: list[PlacementNode] = field(description="Memory on each node; empty when it does not fit.")
