"""The types `ModelStatus` and `Failure`."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent

from exo_graphql.cluster import readiness, state, status
from exo_graphql.cluster.readiness import Phase
from exo_graphql.schema.context import Info
from exo_graphql.schema.fields import field
from exo_graphql.schema.instance import Instance
from exo_graphql.schema.volatile import VolatileText, clock_moment

if TYPE_CHECKING:
    from exo_graphql.schema.model import Model
    from exo_graphql.schema.node import Node


def _failed_node(root: Parent[readiness.Failure], info: Info) -> state.Node | None:
    return None if root.node_id is None else info.context.snapshot.state.nodes.get(root.node_id)


@strawberry.type(description="The last failure of a model. It stays readable after exo has forgotten it.")
class Failure:
    """`cluster.readiness.Failure`, with its node."""

    at: datetime = field(description="When this server saw the failure (UTC).")
    message: str = field(description="What failed, on one line.")
    node: Annotated["Node", strawberry.lazy("exo_graphql.schema.node")] | None = field(
        resolver=_failed_node,
        description="The node where it failed; null if no single node is the cause, or the node has left the cluster.",
    )
    attempt: int | None = field(
        description="Number of exo's attempt that failed, from 1 (exo makes up to 5); null where exo does not retry."
    )
    cause: str | None = field(
        description="Cause given by the most informative attempt, because the last one may name only a signal or "
        "an exit code; null if no attempt gave a cause, or where exo does not retry."
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
    description="Whether a model can serve requests, and if not, how far it is. With several instances, "
    "`phase`, `progressPercent` and `message` are those of the most advanced one; `ready` "
    "requires all of them."
)
class ModelStatus:
    """`cluster.status.ModelStatus`, with its neighbours."""

    model_id: str = field(description="Full id of the model, or the name as it was given if no such model is known.")
    model: Annotated["Model", strawberry.lazy("exo_graphql.schema.model")] | None = field(
        resolver=_model, description="The model; null if no such model is known."
    )
    found: bool = field(description="Whether a model of this name is known.")
    phase: Phase = field(description="Phase of the model; Phase describes the rules.")
    ready: bool = field(
        description="True when the model has an instance and every instance is READY or RUNNING: a request is "
        "served immediately. exo sends a request to the instance with the fewest tasks, ready or not, "
        "so while another copy is loading the next request may have to wait for it."
    )
    ready_instances: int = field(description="Number of its instances that are READY or RUNNING.")
    final: bool = field(
        description="True when nothing will change by itself, so that waiting longer is useless: the instance "
        "being loaded is gone without having become ready; a required download failed and no byte has "
        "arrived for 30 seconds; a ready instance was lost with its node or with exo's master; or an "
        "operation of this server failed to load the model and it has no instance. `failure` gives "
        "the reason. False again as soon as anyone loads the model."
    )
    stale: bool = field(
        description="True while an older state is shown: exo does not answer, its master has stopped updating its "
        "state, or the state is incomplete (an election, or a node that lags behind)."
    )
    progress_percent: float | None = field(
        description="0 to 100: share of the bytes while DOWNLOADING, of the layers while LOADING, 100 from "
        "WARMING_UP on; otherwise null."
    )
    attempt: int | None = field(
        description="Number of exo's current attempt to start it, from 1 (exo makes up to 5), until it is ready "
        "and while it is FAILED; null when no attempt is under way."
    )
    message: str = field(
        description="The phase as a sentence; from the second attempt on with the number of the attempt."
    )
    eta_seconds: float | None = field(
        description="Seconds until the slowest node has its weights, as estimated by exo, while DOWNLOADING; "
        "otherwise null."
    )
    nodes: list[Annotated["Node", strawberry.lazy("exo_graphql.schema.node")]] = field(
        resolver=_nodes, description="Nodes that hold a shard of it."
    )
    instances: list[Instance] = field(resolver=_instances, description="Its instances.")
    failure: Failure | None = field(
        description="The last failure of the model, also before a restart of this server; null if none is known."
    )
    changed_at: datetime | None = field(
        description="When the phase was seen to change (UTC), also before a restart of this server; null if never."
    )
    observed_at: datetime | None = field(
        resolver=_observed_at,
        description="When this server received the state that it answers from (UTC); null for an unknown name "
        "before the first state. Clock field: never causes a message.",
    )
