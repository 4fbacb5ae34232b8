"""The type `Placement`: a what-if."""

from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.cluster.units import gib
from exo_graphql.operations import NodeShare
from exo_graphql.schema.context import Info
from exo_graphql.schema.fields import field

if TYPE_CHECKING:
    from exo_graphql.schema.node import Node


def _node(root: Parent[NodeShare], info: Info) -> state.Node | None:
    return info.context.snapshot.state.nodes.get(root.node_id)


def _added(root: Parent[NodeShare]) -> float | None:
    return gib(root.added_bytes)


def _needed(root: Parent[NodeShare]) -> float | None:
    return gib(root.needed_bytes)


def _available(root: Parent[NodeShare]) -> float | None:
    return gib(root.available_bytes)


@strawberry.type(description="What a placement would put on one node.")
class PlacementNode:
    """`operations.NodeShare`, with its node."""

    node: Annotated["Node", strawberry.lazy("exo_graphql.schema.node")] | None = field(
        resolver=_node, description="The node; null if it left while this was being answered."
    )
    added_gb: float | None = field(
        resolver=_added,
        description="Memory that its shard would take, in GiB (2^30 bytes), one decimal. It follows the shards: layers "
        "divided by the model's layers, times its size (TENSOR: size divided by nodes).",
    )
    needed_gb: float | None = field(
        resolver=_needed,
        description="Memory that has to be free there, in GiB, one decimal: addedGb and 4 % of it, since a "
        "loaded model takes more than its weights.",
    )
    available_gb: float | None = field(
        resolver=_available,
        description="Memory that would be free there before, in GiB, one decimal; null until reported.",
    )


@strawberry.type(description="Where exo would put a model, or why it would not.")
class Placement:
    """`operations.PlacementView`."""

    sharding: state.Sharding = field(
        description="How the instance would divide the model. One node holds it as PIPELINE over MLX_RING, "
        "whatever exo is asked for."
    )
    instance_type: state.InstanceType = field(description="The engine that would join its runners.")
    fits: bool = field(description="Whether it could be placed now (with `unload`: once those are gone).")
    reason: str | None = field(
        description="Why it does not fit; null when it does. A search among very many groups of nodes ends at a "
        "bound; a reason that is not sure because of this says so."
    )
    nodes: list[PlacementNode] = field(description="What each node would take; empty when it does not fit.")
