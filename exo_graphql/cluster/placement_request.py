"""What is to be placed, what became of it, and what exo does not do whatever memory there is."""

from collections.abc import Mapping
from dataclasses import dataclass

from exo_graphql.cluster.memory import with_margin
from exo_graphql.cluster.state import InstanceType, ModelCard, Sharding

ALONE = (Sharding.PIPELINE, InstanceType.MLX_RING)
"""What one node holds, whatever exo was asked for."""

_BACKENDS = {
    InstanceType.MLX_RING: frozenset({"MlxMetal", "MlxCuda", "MlxCpu"}),
    InstanceType.MLX_JACCL: frozenset({"MlxMetal"}),
}


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """What is to be placed. `kinds` are the acceptable ways in order of preference; `node_ids` means exactly these."""

    card: ModelCard
    kinds: tuple[tuple[Sharding, InstanceType], ...]
    min_nodes: int = 1
    node_ids: frozenset[str] | None = None

    @property
    def least_nodes(self) -> int:
        """The least number of nodes that can meet it: one node can only hold a pipeline over a ring."""
        return max(1 if ALONE in self.kinds else 2, self.min_nodes)

    def accepts(self, sharding: Sharding | None, instance_type: InstanceType | None) -> bool:
        """Whether an instance that holds this is what is asked for. exo makes CFG of a pipeline by itself."""
        held = Sharding.PIPELINE if sharding is Sharding.CFG else sharding
        return (held, instance_type) in self.kinds

    @property
    def contradiction(self) -> str | None:
        """Why no cluster could meet it; None where one could."""
        if self.node_ids is not None and len(self.node_ids) < self.min_nodes:
            return f"{self.min_nodes} nodes or more are asked for, and {len(self.node_ids)} named."
        if self.node_ids is not None and len(self.node_ids) < self.least_nodes:
            return f"{_ONE_NODE} {self.preference} needs two or more."
        return None

    @property
    def preference(self) -> str:
        """The acceptable kinds in words, as "TENSOR over MLX_RING" or "MLX_JACCL"."""
        shardings = {sharding.value for sharding, _ in self.kinds}
        types = {instance_type.value for _, instance_type in self.kinds}
        told = [next(iter(values)) for values in (shardings, types) if len(values) == 1]
        return " over ".join(told) or "What is asked for"

    @property
    def no_group(self) -> str:
        """The reason where no nodes are connected as it needs them."""
        if self.node_ids is not None:
            return "The chosen nodes are not connected to each other, or have not reported their memory."
        if self.least_nodes > self.min_nodes:
            return f"{_ONE_NODE} {self.preference} needs two or more, and no two are connected and report their memory."
        return f"No group of {self.min_nodes} or more connected nodes that report their memory exists."


_ONE_NODE = "One node holds a model as PIPELINE over MLX_RING alone;"


@dataclass(frozen=True, slots=True)
class Fit:
    """A placement that would fit. `added_bytes` is weights by node, in the order of the group."""

    sharding: Sharding
    instance_type: InstanceType
    added_bytes: Mapping[str, int]

    @property
    def takes(self) -> dict[str, int]:
        """Memory by node that is to be kept for it: the weights, and the margin."""
        return {node_id: with_margin(size) for node_id, size in self.added_bytes.items()}


@dataclass(frozen=True, slots=True)
class NoFit:
    """Why nothing fits. The bytes are those of the group that comes nearest; None where memory is not the reason."""

    reason: str
    available_bytes: int | None = None
    shortfall_bytes: int | None = None
    searched: int | None = None
    """Groups that were looked at before the search was ended by its bound; None where it was searched to the end."""

    @property
    def about_memory(self) -> bool:
        """Whether more free memory would help."""
        return self.shortfall_bytes is not None

    @property
    def caveat(self) -> str:
        """What a message has to add where the answer is not sure; else empty."""
        if self.searched is None:
            return ""
        return f" {self.searched:,} groups of nodes were searched; there may be others."


def backends_of(card: ModelCard, instance_type: InstanceType) -> frozenset[str]:
    """The backends of which each node must support one. A card that tells none is taken to run on all."""
    told = (card.document or {}).get("backends")
    usable = _BACKENDS[instance_type]
    return usable & set(told) if isinstance(told, list) else usable


def kind_refusal(card: ModelCard, sharding: Sharding, count: int) -> str | None:
    """exo's reason not to divide a model so over that many nodes; what a card does not tell refuses nothing."""
    document = card.document or {}
    if sharding is Sharding.TENSOR:
        if card.supports_tensor is False:
            return f"{card.id} does not support tensor sharding."
        hidden, heads = document.get("hiddenSize"), document.get("numKeyValueHeads")
        # exo shards DeepSeek V4 otherwise than by its one key-value head.
        heads = None if (card.base_model or "").startswith("DeepSeek V4") else heads
        if any(isinstance(part, int) and part % count for part in (hidden, heads)):
            return f"{card.id} cannot be divided into {count} tensor shards."
        return None
    if count > 1 and (card.base_model or "").startswith("Gemma 4"):
        return f"exo does not shard {card.id} as a pipeline over several nodes."
    if card.id == "mlx-community/DeepSeek-V3.1-8bit":
        return f"exo does not shard {card.id} as a pipeline."
    if card.layer_count is not None and card.layer_count < count:
        return f"{card.id} has fewer layers than {count} nodes."
    return None
