"""A placed model: its shards, and the runners that hold them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, unique


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


@dataclass(frozen=True, slots=True)
class InstanceLink:
    """Instances of one model that share its requests: some read the prompts, the others generate the answers."""

    id: str
    prefill_ids: tuple[str, ...] = ()
    decode_ids: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True)
class Runner:
    """The last report of a runner."""

    status: RunnerStatus
    layers_loaded: int | None = None
    total_layers: int | None = None
    error: str | None = None
    """exo's whole message, and the cause where exo has diagnosed one; see `error_text.one_line`."""
