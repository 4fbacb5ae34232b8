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
from exo_graphql.schema.history import History, node_history
from exo_graphql.schema.model import Model
from exo_graphql.schema.scalars import Bytes
from exo_graphql.schema.volatile import VolatileNumber, VolatileText, clock_moment, clock_number

if TYPE_CHECKING:
    from exo_graphql.schema.download import Download
    from exo_graphql.schema.task import Task


def _neighbour(root: Parent[state.Connection], info: Info) -> state.Node | None:
    return info.context.snapshot.state.nodes.get(root.sink_id)


@strawberry.type(
    description="A connection from one node to another: an IP address that answers, or a pair of RDMA interfaces."
)
class Connection:
    """An edge of exo's topology, seen from its source."""

    node: "Node | None" = field(
        resolver=_neighbour, description="The node at the other end; null once it has left the cluster."
    )
    ip_address: str | None = field(description="IP address at which the other node answers; null for RDMA.")
    rdma_interface: str | None = field(description="RDMA interface of this node; null for a socket connection.")


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


@strawberry.type(description="A machine in the cluster. A value that it has not reported is null, never 0.")
class Node:
    """`cluster.state.Node`, with its neighbours."""

    id: strawberry.ID = field(description="exo's node id. It changes each time exo starts on the machine.")
    friendly_name: str | None = field(description="Name of the machine; null until reported.")
    chip: str | None = field(description="The chip, for example Apple M3 Ultra; null until reported.")
    hardware: str | None = field(description="Model of the machine, for example Mac Studio; null until reported.")
    os_version: str | None = field(description="Version of the operating system; null until reported.")
    ram_total_gb: float | None = field(
        description="Total memory in GiB (2^30 bytes), one decimal; null until reported."
    )
    ram_available_gb: float | None = field(description="Free memory in GiB, one decimal; null until reported.")
    ram_used_gb: float | None = field(description="Total minus free memory in GiB, one decimal; null until reported.")
    ram_used_percent: float | None = field(description="Used share of the memory, 0 to 100; null until reported.")
    ram_total_bytes: Bytes | None = field(description="Total memory in bytes, exact; null until reported.")
    ram_available_bytes: Bytes | None = field(description="Free memory in bytes, exact; null until reported.")
    disk_total_gb: float | None = field(
        description="Size of the disk that holds the models, in GiB, one decimal; null until reported."
    )
    disk_available_gb: float | None = field(
        description="Free space on that disk in GiB, one decimal; null until reported."
    )
    gpu_usage_percent: float | None = field(
        description="GPU usage, 0 to 100; null where the machine does not report it."
    )
    cpu_p_usage_percent: float | None = field(
        description="Usage of the performance cores, 0 to 100; null where the machine does not report it."
    )
    cpu_e_usage_percent: float | None = field(
        description="Usage of the efficiency cores, 0 to 100; null where the machine does not report it."
    )
    temperature_c: float | None = field(description="Temperature in °C; null where the machine does not report it.")
    power_watts: float | None = field(description="Power draw in watts; null where the machine does not report it.")
    ip_addresses: list[str] | None = field(description="IP addresses of the node; null until reported.")
    connection_types: list[str] | None = field(
        description="Types of its network interfaces: wifi, ethernet, maybe_ethernet, thunderbolt or unknown; "
        "null until reported."
    )
    has_thunderbolt: bool | None = field(description="Whether it has a Thunderbolt interface; null until reported.")
    rdma_enabled: bool | None = field(description="Whether RDMA is enabled; null where the machine does not report it.")
    backends: list[str] | None = field(
        description="Inference backends that it can run, for example MlxMetal, MlxCuda or MlxCpu; null until reported."
    )
    status: NodeStatus = field(resolver=_status, description="Whether the node still sends heartbeats to exo.")
    last_seen: datetime | None = field(
        resolver=_last_seen,
        description="When exo last received a heartbeat from the node, by exo's clock (UTC); null until it has. "
        "Clock field: never causes a message.",
    )
    seconds_since_seen: float | None = field(
        resolver=_seconds_since_seen,
        description="Seconds between its lastSeen and the newest lastSeen of all nodes, by exo's clock; null "
        "without a lastSeen. Clock field: never causes a message.",
    )
    models: list[Model] = field(resolver=_models, description="Models that have a shard on this node.")
    downloads: list[Annotated["Download", strawberry.lazy("exo_graphql.schema.download")]] = field(
        resolver=_downloads, description="Downloads on this node. Without `status`: all except NOT_STARTED."
    )
    tasks: list[Annotated["Task", strawberry.lazy("exo_graphql.schema.task")]] = field(
        resolver=_tasks, description="Tasks under way of instances that have a shard on this node."
    )
    connections: list[Connection] = field(description="Network connections from this node to other nodes.")
    history: History = field(
        resolver=node_history,
        description="What it has reported over the last `minutes`, in `points` entries. It continues under the node's "
        "name when exo starts anew and the id changes. A subscription sends it again when its values change, every 5 "
        "seconds at most.",
    )
