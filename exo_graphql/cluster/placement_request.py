"""What is to be placed, whether it fits, and what exo refuses however much memory is free."""

from collections.abc import Mapping
from dataclasses import dataclass

from exo_graphql.cluster.memory import with_margin
from exo_graphql.cluster.state import InstanceType, ModelCard, Sharding

ALONE = (Sharding.PIPELINE, InstanceType.MLX_RING)
"""What exo places on one node, for every requested kind."""

UNSHARDED = "mlx-community/DeepSeek-V3.1-8bit"
"""The one model that exo refuses by its id, on any nodes."""

# The MLX backends that each instance type runs on.
_BACKENDS = {
    InstanceType.MLX_RING: frozenset({"MlxMetal", "MlxCuda", "MlxCpu"}),
    InstanceType.MLX_JACCL: frozenset({"MlxMetal"}),
}


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """What is to be placed. `kinds`: the acceptable ones, the preferred first. `node_ids`: exactly these nodes."""

    card: ModelCard
    kinds: tuple[tuple[Sharding, InstanceType], ...]
    min_nodes: int = 1
    node_ids: frozenset[str] | None = None

    @property
    def least_nodes(self) -> int:
        """The least number of nodes that satisfies it: one node can only hold a pipeline over a ring."""
        return max(1 if ALONE in self.kinds else 2, self.min_nodes)

    def accepts(self, sharding: Sharding | None, instance_type: InstanceType | None) -> bool:
        """Whether an instance of this kind satisfies the request. exo turns a pipeline into CFG by itself."""
        held = Sharding.PIPELINE if sharding is Sharding.CFG else sharding
        return (held, instance_type) in self.kinds

    @property
    def contradiction(self) -> str | None:
        """Why no cluster could satisfy it; None if one could."""
        if self.node_ids is not None and len(self.node_ids) < self.min_nodes:
            return f"At least {self.min_nodes} nodes are required, but only {len(self.node_ids)} are named."
        if self.node_ids is not None and len(self.node_ids) < self.least_nodes:
            return f"{_ONE_NODE} {self.preference} needs two or more."
        return None

    @property
    def preference(self) -> str:
        """The acceptable kinds in words, as "TENSOR over MLX_RING" or "MLX_JACCL"."""
        shardings = {sharding.value for sharding, _ in self.kinds}
        types = {instance_type.value for _, instance_type in self.kinds}
        common = [next(iter(values)) for values in (shardings, types) if len(values) == 1]
        return " over ".join(common) or "The requested kind"

    @property
    def no_group(self) -> str:
        """The reason if no nodes are connected as the request needs it."""
        if self.node_ids is not None:
            return "The chosen nodes are not connected to each other, or have not reported their memory."
        if self.least_nodes > self.min_nodes:
            return f"{_ONE_NODE} {self.preference} needs two or more, and no two connected nodes report their memory."
        return f"There is no group of {self.min_nodes} or more connected nodes that report their memory."


_ONE_NODE = "A single node can only hold a model as PIPELINE over MLX_RING;"


@dataclass(frozen=True, slots=True)
class Fit:
    """A placement that fits. `added_bytes`: the weights on each node, in the order of the group."""

    sharding: Sharding
    instance_type: InstanceType
    added_bytes: Mapping[str, int]

    @property
    def takes(self) -> dict[str, int]:
        """Memory to reserve on each node: the weights and the margin, in bytes."""
        return {node_id: with_margin(size) for node_id, size in self.added_bytes.items()}


@dataclass(frozen=True, slots=True)
class NoFit:
    """Why nothing fits. The bytes are of the best candidate nodes; None if memory is not the reason."""

    reason: str
    available_bytes: int | None = None
    shortfall_bytes: int | None = None
    searched: int | None = None
    """Groups that were examined before the budget ran out; None if the search was complete."""

    @property
    def about_memory(self) -> bool:
        """Whether more free memory would help."""
        return self.shortfall_bytes is not None

    @property
    def caveat(self) -> str:
        """What a message must add if the answer is not certain; else empty."""
        if self.searched is None:
            return ""
        return f" The search stopped after {self.searched:,} groups of nodes; another one may fit."


def backends_of(card: ModelCard, instance_type: InstanceType) -> frozenset[str]:
    """The backends of which each node must support one. A card that names none runs on all."""
    named = (card.document or {}).get("backends")
    usable = _BACKENDS[instance_type]
    return usable & set(named) if isinstance(named, list) else usable


def kind_refusal(card: ModelCard, sharding: Sharding, count: int) -> str | None:
    """Why exo does not split the model in this way over `count` nodes; None if it does. A card may not say all."""
    document = card.document or {}
    if sharding is Sharding.TENSOR:
        if card.supports_tensor is False:
            return f"{card.id} does not support tensor sharding."
        hidden, heads = document.get("hiddenSize"), document.get("numKeyValueHeads")
        # exo does not split DeepSeek V4 by its (one) key-value head.
        heads = None if (card.base_model or "").startswith("DeepSeek V4") else heads
        if any(isinstance(part, int) and part % count for part in (hidden, heads)):
            return f"{card.id} cannot be split into {count} tensor shards."
        return None
    if count > 1 and (card.base_model or "").startswith("Gemma 4"):
        return f"exo does not shard {card.id} as a pipeline over several nodes."
    if card.id == UNSHARDED:
        return f"exo does not shard {card.id} as a pipeline."
    if card.layer_count is not None and card.layer_count < count:
        return f"{card.id} has {card.layer_count} layers: too few for {count} nodes."
    return None
