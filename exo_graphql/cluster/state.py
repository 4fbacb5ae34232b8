"""What exo reports, as values: one `State` is one `GET /state`, in the usual terms of the field.

What exo may leave out is None here, never 0. Sizes are bytes, times UTC. Fields marked `compare=False` are clocks,
which change in every document, or copies of exo's own documents: they do not make two states different.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, unique
from functools import cached_property

from exo_graphql.cluster.units import MIB, gib, percent, share_percent


@unique
class RunnerStatus(Enum):
    """The status that a runner reports, by exo's tags (`RunnerIdle`, …)."""

    IDLE = "IDLE"
    CONNECTING = "CONNECTING"
    CONNECTED = "CONNECTED"
    LOADING = "LOADING"
    LOADED = "LOADED"
    WARMING_UP = "WARMING_UP"
    READY = "READY"
    RUNNING = "RUNNING"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


@unique
class Sharding(Enum):
    """How a model is split over the nodes of an instance."""

    PIPELINE = "PIPELINE"
    TENSOR = "TENSOR"
    CFG = "CFG"


@unique
class InstanceType(Enum):
    """The engine by which the runners of an instance communicate."""

    MLX_RING = "MLX_RING"
    MLX_JACCL = "MLX_JACCL"


@unique
class DownloadKind(Enum):
    """exo's own tag of a download; `DownloadStatus` is what it means."""

    PENDING = "PENDING"
    ONGOING = "ONGOING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


@unique
class TaskKind(Enum):
    """What a task does, by exo's tags."""

    TEXT_GENERATION = "TEXT_GENERATION"
    IMAGE_GENERATION = "IMAGE_GENERATION"
    IMAGE_EDIT = "IMAGE_EDIT"
    CREATE_RUNNER = "CREATE_RUNNER"
    DOWNLOAD_MODEL = "DOWNLOAD_MODEL"
    CONNECT_TO_GROUP = "CONNECT_TO_GROUP"
    LOAD_MODEL = "LOAD_MODEL"
    START_WARMUP = "START_WARMUP"
    CANCEL_TASK = "CANCEL_TASK"
    SHUTDOWN = "SHUTDOWN"
    UNKNOWN = "UNKNOWN"


INFERENCE = frozenset({TaskKind.TEXT_GENERATION, TaskKind.IMAGE_GENERATION, TaskKind.IMAGE_EDIT})


@unique
class TaskStatus(Enum):
    """The status of a task, as exo reports it."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    TIMED_OUT = "TIMED_OUT"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class ModelCard:
    """A model as exo's catalogue describes it. `document` is exo's own card, sent back to exo unchanged."""

    id: str
    family: str | None = None
    quantization: str | None = None
    base_model: str | None = None
    storage_bytes: int | None = None
    layer_count: int | None = None
    context_length: int | None = None
    capabilities: tuple[str, ...] = ()
    supports_tensor: bool | None = None
    is_custom: bool | None = None
    document: Mapping[str, object] | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The id after its last slash."""
        return self.id.rsplit("/", 1)[-1]

    @property
    def storage_size_gb(self) -> float | None:
        """Size of the weights in GiB."""
        return gib(self.storage_bytes)


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection from one node to another: an address that answers, or a pair of RDMA interfaces."""

    source_id: str
    sink_id: str
    ip_address: str | None = None
    rdma_interface: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A member of the cluster (`topology.nodes`) and what it has reported so far."""

    id: str
    friendly_name: str | None = None
    hardware: str | None = None
    chip: str | None = None
    os_version: str | None = None
    ram_total_bytes: int | None = None
    ram_available_bytes: int | None = None
    disk_total_bytes: int | None = None
    disk_available_bytes: int | None = None
    gpu_share: float | None = None
    cpu_p_share: float | None = None
    cpu_e_share: float | None = None
    temperature_c: float | None = None
    power_watts: float | None = None
    ip_addresses: tuple[str, ...] | None = None
    connection_types: tuple[str, ...] | None = None
    has_thunderbolt: bool | None = None
    rdma_enabled: bool | None = None
    backends: tuple[str, ...] | None = None
    connections: tuple[Connection, ...] = ()
    last_seen: datetime | None = field(default=None, compare=False)
    # By exo's clock: the newest `lastSeen` of the same document minus this node's.
    seconds_since_seen: float | None = field(default=None, compare=False)

    @property
    def ram_used_bytes(self) -> int | None:
        """Total minus available, in bytes; None unless both are known."""
        if self.ram_total_bytes is None or self.ram_available_bytes is None:
            return None
        return max(0, self.ram_total_bytes - self.ram_available_bytes)

    @property
    def ram_total_gb(self) -> float | None:
        """GiB."""
        return gib(self.ram_total_bytes)

    @property
    def ram_available_gb(self) -> float | None:
        """GiB."""
        return gib(self.ram_available_bytes)

    @property
    def ram_used_gb(self) -> float | None:
        """GiB."""
        return gib(self.ram_used_bytes)

    @property
    def ram_used_percent(self) -> float | None:
        """0-100."""
        return percent(self.ram_used_bytes, self.ram_total_bytes)

    @property
    def disk_total_gb(self) -> float | None:
        """GiB."""
        return gib(self.disk_total_bytes)

    @property
    def disk_available_gb(self) -> float | None:
        """GiB."""
        return gib(self.disk_available_bytes)

    @property
    def gpu_usage_percent(self) -> float | None:
        """0-100; exo reports a share from 0 to 1."""
        return share_percent(self.gpu_share)

    @property
    def cpu_p_usage_percent(self) -> float | None:
        """0-100; exo reports a share from 0 to 1."""
        return share_percent(self.cpu_p_share)

    @property
    def cpu_e_usage_percent(self) -> float | None:
        """0-100; exo reports a share from 0 to 1."""
        return share_percent(self.cpu_e_share)


@dataclass(frozen=True, slots=True)
class Runner:
    """The last report of a runner."""

    status: RunnerStatus
    layers_loaded: int | None = None
    total_layers: int | None = None
    error: str | None = None
    """exo's whole message, and the cause where exo has diagnosed one; see `readiness.one_line`."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The part of a model that one runner on one node holds. `end_layer` is exclusive."""

    instance_id: str
    node_id: str | None
    runner_id: str
    start_layer: int | None = None
    end_layer: int | None = None
    model_layers: int | None = None
    rank: int | None = None
    world_size: int | None = None
    sharding: Sharding | None = None

    @property
    def layer_count(self) -> int | None:
        """Layers that this shard holds; for a tensor shard every layer, in part."""
        if self.start_layer is None or self.end_layer is None:
            return None
        return max(0, self.end_layer - self.start_layer)


@dataclass(frozen=True, slots=True)
class Instance:
    """A placed model. `document` is exo's own, to create the same placement again."""

    id: str
    model_id: str
    sharding: Sharding | None
    instance_type: InstanceType | None
    shards: tuple[Shard, ...]
    document: Mapping[str, object] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Download:
    """The weights of a model on a node: complete, partial, failed, or not started.

    Without slots, so that derived values can be cached: an answer may hold hundreds of downloads. It refers to its
    model but not to its node: the telemetry of a node changes each second, and an unchanged download is the same object
    from state to state.
    """

    node_id: str
    model_id: str
    kind: DownloadKind
    downloaded_bytes: int | None = None
    total_bytes: int | None = None
    speed: float | None = None
    eta_ms: float | None = None
    completed_files: int | None = None
    total_files: int | None = None
    error: str | None = None
    model: ModelCard | None = field(default=None, repr=False, compare=False)

    @cached_property
    def id(self) -> str:
        """Node id and model id: exo has one entry for each pair."""
        return f"{self.node_id}:{self.model_id}"

    @cached_property
    def downloaded_gb(self) -> float | None:
        """GiB."""
        return gib(self.downloaded_bytes)

    @cached_property
    def total_gb(self) -> float | None:
        """GiB."""
        return gib(self.total_bytes)

    @cached_property
    def progress_percent(self) -> float | None:
        """0-100."""
        return percent(self.downloaded_bytes, self.total_bytes)

    @cached_property
    def speed_mb_s(self) -> float | None:
        """MiB a second while downloading, else None."""
        return None if self.speed is None else round(self.speed / MIB, 1)

    @cached_property
    def eta_seconds(self) -> float | None:
        """Remaining seconds as exo estimates them while downloading, else None."""
        return None if self.eta_ms is None else round(self.eta_ms / 1000, 1)


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of work of an instance. Prompts and images are never read."""

    id: str
    kind: TaskKind
    status: TaskStatus
    instance_id: str | None
    command_id: str | None = None
    runner_id: str | None = None
    error_type: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """One document of exo's state. Maps keep exo's order; `nodes` contains only members."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    instances: Mapping[str, Instance] = field(default_factory=dict)
    runners: Mapping[str, Runner] = field(default_factory=dict)
    downloads: Mapping[str, Mapping[str, Download]] = field(default_factory=dict)
    """By node id, then model id. A node without a report is absent."""
    tasks: Mapping[str, Task] = field(default_factory=dict)
    cards: Mapping[str, ModelCard] = field(default_factory=dict)
    custom_ids: frozenset[str] | None = None
    """Models that users have added (`customModelCards`); None where exo's state does not say (until v1.0.71)."""
    index: int | None = field(default=None, compare=False)
    """exo's `lastEventAppliedIdx`: increases even in an idle cluster; starts from -1 after a lost master."""

    def download(self, node_id: str, model_id: str) -> Download | None:
        """The download of a model on a node; None if the node has not reported one."""
        return self.downloads.get(node_id, {}).get(model_id)
