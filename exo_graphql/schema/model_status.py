"""The types `ModelStatus` and `Failure`."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent

from exo_graphql.cluster import readiness, state, status
from exo_graphql.cluster.readiness import Phase
from exo_graphql.schema.context import Info
from exo_graphql.schema.fields import field
from exo_graphql.schema.volatile import VolatileText, clock_moment

if TYPE_CHECKING:
    from exo_graphql.schema.instance import Instance
    from exo_graphql.schema.model import Model
    from exo_graphql.schema.node import Node


def _failed_node(root: Parent[readiness.Failure], info: Info) -> state.Node | None:
    return None if root.node_id is None else info.context.snapshot.state.nodes.get(root.node_id)


@strawberry.type(
    description="The last thing that went wrong with a model. It stays readable after exo has forgotten it."
)
class Failure:
    """`cluster.readiness.Failure`, with its node."""

    at: datetime = field(description="When this server saw it (UTC).")
    message: str = field(description="What went wrong, in one line.")
    node: Annotated["Node", strawberry.lazy("exo_graphql.schema.node")] | None = field(
        resolver=_failed_node, description="Where; null if it is nobody's own failure or the node has left."
    )
    attempt: int | None = field(
        description="The number of exo's attempt that failed, from 1 (exo makes up to 5); null where exo does not "
        "retry."
    )
    cause: str | None = field(
        description="What went wrong in the attempt that said most: the last one may only name a signal or an exit "
        "code. Null where none named a cause, or where exo does not retry."
    )


def _model(root: Parent[status.ModelStatus], info: Info) -> state.ModelCard | None:
    return info.context.snapshot.models.get(root.model_id)


def _observed_at(root: Parent[status.ModelStatus]) -> VolatileText | None:
    return clock_moment(root.observed_at)


def _nodes(root: Parent[status.ModelStatus], info: Info) -> tuple[state.Node, ...]:
    nodes = info.context.snapshot.state.nodes
    return tuple(nodes[id_] for id_ in root.node_ids)


def _instances(root: Parent[status.ModelStatus], info: Info) -> tuple[state.Instance, ...]:
    return info.context.snapshot.instances_of(root.model_id)


@strawberry.type(
    description="Whether a model can serve, and if not, how far it is. With several instances `phase`, "
    "`progressPercent` and `message` are those of the one that is furthest; `ready` takes all of them."
)
class ModelStatus:
    """`cluster.status.ModelStatus`, with its neighbours."""

    model_id: str = field(description="The model's full id, or the name asked for when nothing knows it.")
    model: Annotated["Model", strawberry.lazy("exo_graphql.schema.model")] | None = field(
        resolver=_model, description="The model; null when nothing knows it."
    )
    found: bool = field(description="Whether anything in the cluster knows the model.")
    phase: Phase = field(description="Where it stands.")
    ready: bool = field(
        description="True in READY and RUNNING alone, and only when every instance is: a request is served at once. "
        "exo sends a request to the instance with the fewest tasks, ready or not, so with one copy still loading the "
        "next request may wait for it."
    )
    ready_instances: int = field(description="How many of its instances are READY or RUNNING.")
    final: bool = field(
        description="True when nothing more comes by itself, so that waiting longer is of no use: the instance that "
        "was being loaded is gone without having become ready; a needed download failed and no byte has arrived for "
        "30 seconds; a ready instance was lost with its node or master; or an operation of this server that was to "
        "load it has failed and it has no instance. `failure` says why. False again as soon as somebody loads it."
    )
    stale: bool = field(
        description="True while this is an older picture: exo does not answer, or its state holds no nodes (an "
        "election)."
    )
    progress_percent: float | None = field(
        description="0 to 100: bytes while DOWNLOADING, layers while LOADING, 100 from WARMING_UP on (every layer is "
        "there), else null."
    )
    attempt: int | None = field(
        description="Which of exo's attempts this is, from 1 (exo makes up to 5), before it is ready and while FAILED; "
        "null where none is under way."
    )
    message: str = field(description="The phase in a sentence, with the number of the attempt from the second on.")
    eta_seconds: float | None = field(
        description="Seconds to go while DOWNLOADING, the slowest node's, as exo estimates; else null."
    )
    nodes: list[Annotated["Node", strawberry.lazy("exo_graphql.schema.node")]] = field(
        resolver=_nodes, description="Nodes with a shard of it."
    )
    instances: list[Annotated["Instance", strawberry.lazy("exo_graphql.schema.instance")]] = field(
        resolver=_instances, description="Its instances."
    )
    failure: Failure | None = field(
        description="The last thing that went wrong with it since this server started; null if nothing has."
    )
    changed_at: datetime | None = field(
        description="When this server saw the phase change; null while it has not changed since this server started."
    )
    observed_at: datetime | None = field(
        resolver=_observed_at,
        description="When the state that this is read off arrived (UTC); null for an unknown name before any. A clock "
        "field: it never causes a message by itself.",
    )
