"""The type `Node`."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.cluster.readiness import NodeStatus
from exo_graphql.schema.arguments import DownloadFilter
from exo_graphql.schema.context import Info
from exo_graphql.schema.downloads import select_downloads
from exo_graphql.schema.fields import field
from exo_graphql.schema.scalars import Bytes
from exo_graphql.schema.volatile import VolatileNumber, VolatileText, clock_moment, clock_number

if TYPE_CHECKING:
    from exo_graphql.schema.download import Download
    from exo_graphql.schema.model import Model
    from exo_graphql.schema.task import Task


def _neighbour(root: Parent[state.Connection], info: Info) -> state.Node | None:
    return info.context.snapshot.state.nodes.get(root.sink_id)


@strawberry.type(description="One way from a node to another: an address that answers, or a pair of RDMA interfaces.")
class Connection:
    """An edge of exo's topology, seen from its source."""

    node: Annotated["Node", strawberry.lazy("exo_graphql.schema.node")] | None = field(
        resolver=_neighbour, description="The node at the other end; null once it has left."
    )
    ip_address: str | None = field(description="Address at which the other end answers; null for RDMA.")
    rdma_interface: str | None = field(description="This end's RDMA interface; null for a socket.")


def _status(root: Parent[state.Node], info: Info) -> NodeStatus:
    return info.context.snapshot.node_statuses[root.id]


def _last_seen(root: Parent[state.Node]) -> VolatileText | None:
    return clock_moment(root.last_seen)


def _seconds_since_seen(root: Parent[state.Node]) -> VolatileNumber | None:
    return clock_number(root.seconds_since_seen)


def _models(root: Parent[state.Node], info: Info) -> tuple[state.ModelCard, ...]:
    return info.context.snapshot.models_on(root.id)


def _downloads(root: Parent[state.Node], info: Info, status: DownloadFilter = None) -> tuple[state.Download, ...]:
    return select_downloads(info.context.snapshot, status, node_id=root.id)


def _tasks(root: Parent[state.Node], info: Info) -> tuple[state.Task, ...]:
    return info.context.snapshot.tasks_on(root.id)


@strawberry.type(description="A machine that is a member of the cluster. What it has not reported is null, never 0.")
class Node:
    """`cluster.state.Node`, with its neighbours."""

    id: strawberry.ID = field(description="exo's node id. It is new each time exo starts on the machine.")
    friendly_name: str | None = field(description="The machine's own name; null until it has told it.")
    chip: str | None = field(description="The chip, such as Apple M3 Ultra; null until told.")
    hardware: str | None = field(description="The kind of machine, such as Mac Studio; null until told.")
    os_version: str | None = field(description="The operating system's version; null until told.")
    ram_total_gb: float | None = field(description="Memory in GiB (2^30 bytes), one decimal; null until reported.")
    ram_available_gb: float | None = field(description="Free memory in GiB, one decimal; null until reported.")
    ram_used_gb: float | None = field(description="Total minus free, in GiB, one decimal; null until reported.")
    ram_used_percent: float | None = field(description="Share of memory in use, 0 to 100; null until reported.")
    ram_total_bytes: Bytes | None = field(description="Memory in bytes, exactly; null until reported.")
    ram_available_bytes: Bytes | None = field(description="Free memory in bytes, exactly; null until reported.")
    disk_total_gb: float | None = field(
        description="Size in GiB of the disk that holds the models, one decimal; null until reported."
    )
    disk_available_gb: float | None = field(description="Free space there in GiB, one decimal; null until reported.")
    gpu_usage_percent: float | None = field(description="GPU in use, 0 to 100; null where the machine does not tell.")
    cpu_p_usage_percent: float | None = field(
        description="Performance cores in use, 0 to 100; null where the machine does not tell."
    )
    cpu_e_usage_percent: float | None = field(
        description="Efficiency cores in use, 0 to 100; null where the machine does not tell."
    )
    temperature_c: float | None = field(description="Temperature in °C; null where the machine does not tell.")
    power_watts: float | None = field(description="Power drawn in watts; null where the machine does not tell.")
    ip_addresses: list[str] | None = field(description="Its addresses; null until reported.")
    connection_types: list[str] | None = field(
        description="Kinds of its network interfaces: wifi, ethernet, maybe_ethernet, thunderbolt, unknown; null until "
        "reported."
    )
    has_thunderbolt: bool | None = field(description="Whether it has a Thunderbolt interface; null until reported.")
    rdma_enabled: bool | None = field(description="Whether RDMA is switched on; null where the machine does not tell.")
    backends: list[str] | None = field(
        description="Engines it can run, such as MlxMetal, MlxCuda, MlxCpu; null until reported."
    )
    status: NodeStatus = field(resolver=_status, description="Whether the node is still heard of.")
    last_seen: datetime | None = field(
        resolver=_last_seen,
        description="When exo last heard of it, by exo's clock; null until it has. A clock field: it never causes a "
        "message by itself.",
    )
    seconds_since_seen: float | None = field(
        resolver=_seconds_since_seen,
        description="Seconds between this and the most recently seen node of the same state, by exo's clock. A clock "
        "field: it never causes a message by itself.",
    )
    models: list[Annotated["Model", strawberry.lazy("exo_graphql.schema.model")]] = field(
        resolver=_models, description="Models with a shard on this node."
    )
    downloads: list[Annotated["Download", strawberry.lazy("exo_graphql.schema.download")]] = field(
        resolver=_downloads, description="Downloads on this node; without `status` all but the NOT_STARTED."
    )
    tasks: list[Annotated["Task", strawberry.lazy("exo_graphql.schema.task")]] = field(
        resolver=_tasks, description="Tasks under way, of the instances that have a shard on this node."
    )
    connections: list[Connection] = field(description="Ways from this node to the others.")
