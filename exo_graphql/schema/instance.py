"""The types `Instance` and `Shard`."""

from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.cluster.readiness import Phase, one_line
from exo_graphql.schema.context import Info
from exo_graphql.schema.fields import field

if TYPE_CHECKING:
    from exo_graphql.schema.model import Model
    from exo_graphql.schema.node import Node


def _node(root: Parent[state.Shard], info: Info) -> state.Node | None:
    return None if root.node_id is None else info.context.snapshot.state.nodes.get(root.node_id)


def _runner(root: state.Shard, info: Info) -> state.Runner | None:
    return info.context.snapshot.state.runners.get(root.runner_id)


def _runner_status(root: Parent[state.Shard], info: Info) -> state.RunnerStatus | None:
    runner = _runner(root, info)
    return None if runner is None else runner.status


def _layers_loaded(root: Parent[state.Shard], info: Info) -> int | None:
    runner = _runner(root, info)
    return None if runner is None else runner.layers_loaded


def _total_layers(root: Parent[state.Shard], info: Info) -> int | None:
    runner = _runner(root, info)
    return None if runner is None else runner.total_layers


def _error(root: Parent[state.Shard], info: Info) -> str | None:
    runner = _runner(root, info)
    return None if runner is None or runner.error is None else one_line(runner.error)


@strawberry.type(description="The part of a model that one runner on one node holds.")
class Shard:
    """`cluster.state.Shard`, with its runner's report."""

    node: Annotated["Node", strawberry.lazy("exo_graphql.schema.node")] | None = field(
        resolver=_node, description="The node it is assigned to; null once that has left the cluster."
    )
    runner_id: strawberry.ID = field(description="The runner that holds it.")
    runner_status: state.RunnerStatus | None = field(
        resolver=_runner_status, description="The runner's own report; null before the first."
    )
    start_layer: int | None = field(description="Its first layer, from 0; null if exo does not say.")
    end_layer: int | None = field(description="The layer after its last; null if exo does not say.")
    layer_count: int | None = field(description="How many layers it has (tensor: a slice of each); null if unknown.")
    layers_loaded: int | None = field(
        resolver=_layers_loaded,
        description="Layers loaded so far, while the runner is LOADING, else null. exo never reports the last one.",
    )
    total_layers: int | None = field(
        resolver=_total_layers, description="Layers that the runner has to load, while it is LOADING, else null."
    )
    rank: int | None = field(description="Its place among the runners, from 0; null if exo does not say.")
    world_size: int | None = field(description="How many runners the instance has; null if exo does not say.")
    error: str | None = field(resolver=_error, description="Why the runner FAILED, in one line, else null.")


def _model(root: Parent[state.Instance], info: Info) -> state.ModelCard:
    return info.context.snapshot.models[root.model_id]


def _phase(root: Parent[state.Instance], info: Info) -> Phase:
    return info.context.snapshot.instance_status(root.id).phase


def _ready(root: Parent[state.Instance], info: Info) -> bool:
    return info.context.snapshot.instance_status(root.id).ready


def _progress(root: Parent[state.Instance], info: Info) -> float | None:
    return info.context.snapshot.instance_status(root.id).progress_percent


def _attempt(root: Parent[state.Instance], info: Info) -> int | None:
    return info.context.snapshot.instance_status(root.id).attempt


def _message(root: Parent[state.Instance], info: Info) -> str:
    return info.context.snapshot.instance_status(root.id).message


@strawberry.type(description="A model placed on one or more nodes. A model may have several.")
class Instance:
    """`cluster.state.Instance`, with what the rules say of it."""

    id: strawberry.ID = field(description="exo's instance id.")
    model: Annotated["Model", strawberry.lazy("exo_graphql.schema.model")] = field(
        resolver=_model, description="The model that is placed."
    )
    sharding: state.Sharding | None = field(description="How it is divided; null for a kind unknown to this server.")
    instance_type: state.InstanceType | None = field(
        description="The engine that joins its runners; null for one unknown to this server."
    )
    phase: Phase = field(resolver=_phase, description="Where this instance stands, by the rules told at Phase.")
    ready: bool = field(resolver=_ready, description="True in READY and RUNNING alone.")
    progress_percent: float | None = field(
        resolver=_progress,
        description="0 to 100: bytes while DOWNLOADING, layers while LOADING, 100 from WARMING_UP on (every layer is "
        "there), else null.",
    )
    attempt: int | None = field(
        resolver=_attempt,
        description="Which of exo's attempts this is, from 1 (exo makes up to 5), before it is ready and while FAILED; "
        "null where none is under way.",
    )
    message: str = field(
        resolver=_message, description="The phase in a sentence, with the number of the attempt from the second on."
    )
    shards: list[Shard] = field(description="Its parts, one for each runner.")
