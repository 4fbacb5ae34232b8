"""The types `Instance` and `Shard`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.cluster.error_text import one_line
from exo_graphql.cluster.memory import shard_bytes
from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.units import gib
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


def _memory(root: Parent[state.Shard], info: Info) -> float | None:
    snapshot = info.context.snapshot
    size = snapshot.models[snapshot.state.instances[root.instance_id].model_id].storage_bytes
    return gib(shard_bytes(root, size)) if size else None


@strawberry.type(description="The part of a model that one runner on one node holds.")
class Shard:
    """`cluster.state.Shard`, with its runner's report."""

    node: Annotated["Node", strawberry.lazy("exo_graphql.schema.node")] | None = field(
        resolver=_node, description="The node it is assigned to; null once that node has left the cluster."
    )
    runner_id: strawberry.ID = field(description="Id of the runner that holds it.")
    runner_status: state.RunnerStatus | None = field(
        resolver=_runner_status, description="Status that the runner reported; null before its first report."
    )
    start_layer: int | None = field(description="Its first layer, counted from 0; null if exo does not give it.")
    end_layer: int | None = field(description="The layer after its last one; null if exo does not give it.")
    layer_count: int | None = field(description="Number of its layers (TENSOR: a slice of each); null if unknown.")
    layers_loaded: int | None = field(
        resolver=_layers_loaded,
        description="Layers loaded so far while the runner is LOADING, otherwise null. exo never reports the last "
        "layer.",
    )
    total_layers: int | None = field(
        resolver=_total_layers, description="Layers that the runner has to load while it is LOADING, otherwise null."
    )
    rank: int | None = field(
        description="Position among the runners of the instance, from 0; null if exo does not give it."
    )
    world_size: int | None = field(description="Number of runners of the instance; null if exo does not give it.")
    memory_gb: float | None = field(
        resolver=_memory,
        description="Memory that its weights take once they are loaded, in GiB (2^30 bytes), one decimal: its share of "
        "the layers times the size of the model (TENSOR: the size divided by the number of nodes); null if that size "
        "is unknown.",
    )
    error: str | None = field(resolver=_error, description="Why the runner FAILED, on one line; otherwise null.")


def _linked(ids: Callable[[state.InstanceLink], tuple[str, ...]]) -> Callable[..., tuple[state.Instance, ...]]:
    def resolve(root: Parent[state.InstanceLink], info: Info) -> tuple[state.Instance, ...]:
        listed = info.context.snapshot.state.instances
        return tuple(listed[id_] for id_ in ids(root) if id_ in listed)

    return resolve


@strawberry.type(
    description="Instances that share a model's requests: some read the prompts, the others generate the answers."
)
class InstanceLink:
    """`cluster.state.InstanceLink`."""

    id: strawberry.ID = field(description="exo's id of the link.")
    prefill: list["Instance"] = field(
        resolver=_linked(lambda link: link.prefill_ids), description="The instances that read prompts."
    )
    decode: list["Instance"] = field(
        resolver=_linked(lambda link: link.decode_ids), description="The instances that generate answers."
    )


def _links(root: Parent[state.Instance], info: Info) -> tuple[state.InstanceLink, ...]:
    links = info.context.snapshot.state.links.values()
    return tuple(link for link in links if root.id in link.prefill_ids or root.id in link.decode_ids)


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


@strawberry.type(description="A model placed on one or more nodes. A model can have several instances.")
class Instance:
    """`cluster.state.Instance`, with what the rules say of it."""

    id: strawberry.ID = field(description="exo's instance id.")
    model: Annotated["Model", strawberry.lazy("exo_graphql.schema.model")] = field(
        resolver=_model, description="The model that is placed."
    )
    sharding: state.Sharding | None = field(
        description="How the model is divided over the nodes; null for a kind that this server does not know."
    )
    instance_type: state.InstanceType | None = field(
        description="How its runners communicate; null for a type that this server does not know."
    )
    phase: Phase = field(resolver=_phase, description="Phase of this instance; Phase describes the rules.")
    ready: bool = field(resolver=_ready, description="True in the phases READY and RUNNING only.")
    progress_percent: float | None = field(
        resolver=_progress,
        description="0 to 100: share of the bytes while DOWNLOADING, of the layers while LOADING, 100 from "
        "WARMING_UP on; otherwise null.",
    )
    attempt: int | None = field(
        resolver=_attempt,
        description="Number of exo's current attempt to start it, from 1 (exo makes up to 5), until it is ready "
        "and while it is FAILED; null when no attempt is under way.",
    )
    message: str = field(
        resolver=_message,
        description="The phase as a sentence; from the second attempt on with the number of the attempt.",
    )
    links: list[InstanceLink] = field(
        resolver=_links, description="Links with other instances of the model; empty where exo has none."
    )
    shards: list[Shard] = field(description="Its shards, one for each runner.")
