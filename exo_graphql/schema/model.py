"""The type `Model`."""

from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state, status
from exo_graphql.schema.arguments import DownloadFilter
from exo_graphql.schema.context import Info
from exo_graphql.schema.downloads import select_downloads
from exo_graphql.schema.fields import field
from exo_graphql.schema.instance import Instance
from exo_graphql.schema.model_status import ModelStatus
from exo_graphql.schema.scalars import Bytes

if TYPE_CHECKING:
    from exo_graphql.schema.download import Download
    from exo_graphql.schema.node import Node
    from exo_graphql.schema.task import Task


def _loaded(root: Parent[state.ModelCard], info: Info) -> bool:
    return bool(info.context.snapshot.instances_of(root.id))


def _ready(root: Parent[state.ModelCard], info: Info) -> bool:
    return info.context.snapshot.status(root.id).ready


def _status(root: Parent[state.ModelCard], info: Info) -> status.ModelStatus:
    return info.context.snapshot.status(root.id)


def _instances(root: Parent[state.ModelCard], info: Info) -> tuple[state.Instance, ...]:
    return info.context.snapshot.instances_of(root.id)


def _nodes(root: Parent[state.ModelCard], info: Info) -> tuple[state.Node, ...]:
    snapshot = info.context.snapshot
    return snapshot.nodes_of(snapshot.instances_of(root.id))


def _downloads(root: Parent[state.ModelCard], info: Info, status: DownloadFilter = None) -> tuple[state.Download, ...]:
    return select_downloads(info.context.snapshot, status, model_id=root.id)


def _downloaded_on(root: Parent[state.ModelCard], info: Info) -> tuple[state.Node, ...]:
    snapshot = info.context.snapshot
    found = ((node, snapshot.state.download(node.id, root.id)) for node in snapshot.nodes)
    return tuple(node for node, download in found if download and download.kind is state.DownloadKind.COMPLETED)


def _tasks(root: Parent[state.ModelCard], info: Info) -> tuple[state.Task, ...]:
    return info.context.snapshot.tasks_of(root.id)


@strawberry.type(description="A model that the cluster knows: it is in exo's catalogue, or loaded.")
class Model:
    """`cluster.state.ModelCard`, with its neighbours."""

    id: strawberry.ID = field(description="Full id, for example mlx-community/Qwen3-30B-A3B-4bit.")
    name: str = field(
        description="Short name: the part of the id after the last slash. Accepted wherever an argument takes a model."
    )
    family: str | None = field(description="Model family, for example qwen; null if the catalogue does not give it.")
    quantization: str | None = field(
        description="Quantization, for example 4bit; null if the catalogue does not give it."
    )
    base_model: str | None = field(description="The model before quantization; null if the catalogue does not give it.")
    storage_size_gb: float | None = field(
        description="Size of the weights in GiB (2^30 bytes), one decimal; null if unknown."
    )
    storage_bytes: Bytes | None = field(description="Size of the weights in bytes, exact; null if unknown.")
    layer_count: int | None = field(description="Number of layers; null if the catalogue does not give it.")
    context_length: int | None = field(
        description="Maximum context length in tokens; null if the catalogue does not give it."
    )
    capabilities: list[str] = field(description="What the model can do, for example text, thinking or vision.")
    supports_tensor: bool | None = field(
        description="Whether it supports TENSOR sharding; null if the catalogue does not say."
    )
    is_custom: bool | None = field(
        description="Whether a user added it to the catalogue; null if the catalogue does not say."
    )
    loaded: bool = field(resolver=_loaded, description="Whether it has an instance, in any phase.")
    ready: bool = field(resolver=_ready, description="Whether a request is served immediately; see ModelStatus.ready.")
    status: ModelStatus = field(resolver=_status, description="Readiness of the model.")
    instances: list[Instance] = field(resolver=_instances, description="Its instances.")
    nodes: list[Annotated["Node", strawberry.lazy("exo_graphql.schema.node")]] = field(
        resolver=_nodes, description="Nodes that hold a shard of it."
    )
    downloads: list[Annotated["Download", strawberry.lazy("exo_graphql.schema.download")]] = field(
        resolver=_downloads, description="Its downloads on the nodes. Without `status`: all except NOT_STARTED."
    )
    downloaded_on: list[Annotated["Node", strawberry.lazy("exo_graphql.schema.node")]] = field(
        resolver=_downloaded_on, description="Nodes that hold all of its weights."
    )
    tasks: list[Annotated["Task", strawberry.lazy("exo_graphql.schema.task")]] = field(
        resolver=_tasks, description="Tasks under way of its instances."
    )
