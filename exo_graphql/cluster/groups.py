"""Groups of nodes: the cycles of exo's topology that it places on, and what would fit on which.

As exo's own placement has it (its `master/placement.py`): the smallest groups whose summed free memory holds the model
come first, then the better kind, then the group with a leaf, with the weights, with the most free memory. Beyond
exo, every node must have room for its own part: exo looks at the sum alone for tensor shards.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

from exo_graphql.cluster.capacity import split
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import DownloadKind, InstanceType, ModelCard, Node, Sharding

# exo looks at every cycle, whose number explodes; groups beyond these, the ones with less free memory, are left out.
MAX_GROUPS = 1200
# Steps of the search for a ring through a group that is not joined all to all.
MAX_STEPS = 2000
_ALONE = (Sharding.PIPELINE, InstanceType.MLX_RING)
_BACKENDS = {
    InstanceType.MLX_RING: frozenset({"MlxMetal", "MlxCuda", "MlxCpu"}),
    InstanceType.MLX_JACCL: frozenset({"MlxMetal"}),
}


@dataclass(frozen=True, slots=True)
class Fit:
    """A placement that would fit. `added_bytes` is by node, in the order of the group."""

    sharding: Sharding
    instance_type: InstanceType
    added_bytes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why nothing fits. The bytes are those of the group that comes nearest; None where memory is not the reason."""

    reason: str
    available_bytes: int | None = None
    shortfall_bytes: int | None = None
    available_by_node: Mapping[str, int] | None = None

    @property
    def about_memory(self) -> bool:
        """Whether more free memory would help."""
        return self.shortfall_bytes is not None


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be placed. `kinds` are the acceptable ways in order of preference; `node_ids` means exactly these."""

    card: ModelCard
    kinds: tuple[tuple[Sharding, InstanceType], ...]
    min_nodes: int = 1
    node_ids: frozenset[str] | None = None


class Groups:
    """The groups of nodes that exo could place on: its topology's cycles, as sets. Independent of free memory."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._nodes = snapshot.state.nodes
        self._edges = {
            node.id: {c.sink_id for c in node.connections if c.sink_id in self._nodes and c.sink_id != node.id}
            for node in self._nodes.values()
        }
        self._by_size: dict[int, tuple[tuple[str, ...], ...]] = {}

    def of_size(self, size: int) -> tuple[tuple[str, ...], ...]:
        """Groups of as many nodes that are joined in a ring, both ways round or one."""
        if size not in self._by_size:
            # Nodes with most memory first, so that the bound leaves out the least useful groups.
            ids = sorted(self._nodes, key=lambda id_: self._nodes[id_].ram_available_bytes or 0, reverse=True)
            most = MAX_GROUPS // max(1, len(ids))
            tried = islice(combinations(ids, size), 4 * most)
            self._by_size[size] = tuple(islice((group for group in tried if self._is_cycle(group)), most))
        return self._by_size[size]

    def fit(self, demand: Demand, free: Mapping[str, int]) -> Fit | Misfit:
        """The first placement that fits into `free`: fewest nodes first, then the preferred kind, then as exo chooses.

        One node holds a pipeline over a ring whatever is asked, as exo has it.
        """
        size = demand.card.storage_bytes
        if not size:
            return Misfit(f"The size of {demand.card.id} is not known.")
        near: Misfit | None = None
        near_alone: Misfit | None = None
        reason: str | None = None
        for count in range(max(1, demand.min_nodes), len(self._nodes) + 1):
            groups = [g for g in self._candidates(count, demand) if all(node_id in free for node_id in g)]
            groups.sort(key=lambda group: self._preference(group, demand.card, free), reverse=True)
            kinds = demand.kinds if count > 1 else (_ALONE,)
            for sharding, instance_type in kinds:
                for group in groups:
                    refusal = self._refusal(demand.card, group, sharding, instance_type)
                    if refusal is not None:
                        reason = reason or refusal
                        continue
                    roomy = sum(max(0, free[node_id]) for node_id in group) >= size
                    added = split(demand.card, group, sharding, free) if roomy else None
                    if added is not None and all(added[node_id] <= free[node_id] for node_id in group):
                        return Fit(sharding, instance_type, added)
                    shortage = _shortage(size, group, added, free)
                    if count == 1 and _ALONE not in demand.kinds:
                        near_alone = _nearer(near_alone, shortage)
                    else:
                        near = _nearer(near, shortage)
        return near or (Misfit(reason) if reason else near_alone or Misfit(self._no_group(demand)))

    def _candidates(self, count: int, demand: Demand) -> tuple[tuple[str, ...], ...]:
        if demand.node_ids is None:
            return self.of_size(count)
        group = tuple(id_ for id_ in self._nodes if id_ in demand.node_ids)
        return (group,) if len(group) == count == len(demand.node_ids) and self._is_cycle(group) else ()

    def _no_group(self, demand: Demand) -> str:
        if demand.node_ids is not None:
            return "The chosen nodes are not connected to each other, or have not reported their memory."
        return f"No group of {demand.min_nodes} or more connected nodes that report their memory exists."

    def _is_cycle(self, group: Sequence[str]) -> bool:
        if len(group) == 1:
            return True
        members = set(group)
        inside = {id_: self._edges[id_] & members for id_ in group}
        if all(len(sinks) == len(group) - 1 for sinks in inside.values()):
            return True
        return _is_ring(group, inside)

    def _preference(self, group: Sequence[str], card: ModelCard, free: Mapping[str, int]) -> tuple[bool, float, int]:
        """As exo prefers: a group with a leaf of the topology, then weights that are there, then free memory."""
        return (
            any(len(self._edges[node_id]) <= 1 for node_id in group),
            sum(self._downloaded_share(node_id, card.id) for node_id in group),
            sum(free[node_id] for node_id in group),
        )

    def _downloaded_share(self, node_id: str, model_id: str) -> float:
        download = self._snapshot.state.download(node_id, model_id)
        if download is None or download.kind is DownloadKind.FAILED:
            return 0.0
        if download.kind is DownloadKind.COMPLETED:
            return 1.0
        return (download.downloaded_bytes or 0) / download.total_bytes if download.total_bytes else 0.0

    def _refusal(
        self, card: ModelCard, group: Sequence[str], sharding: Sharding, instance_type: InstanceType
    ) -> str | None:
        """exo's reasons that have nothing to do with memory; what a card or a node does not tell refuses nothing."""
        document = card.document or {}
        count = len(group)
        if sharding is Sharding.TENSOR:
            if card.supports_tensor is False:
                return f"{card.id} does not support tensor sharding."
            hidden, heads = document.get("hiddenSize"), document.get("numKeyValueHeads")
            # exo shards DeepSeek V4 otherwise than by its one key-value head.
            heads = None if (card.base_model or "").startswith("DeepSeek V4") else heads
            if any(isinstance(part, int) and part % count for part in (hidden, heads)):
                return f"{card.id} cannot be divided into {count} tensor shards."
        elif count > 1 and (card.base_model or "").startswith("Gemma 4"):
            return f"exo does not shard {card.id} as a pipeline over several nodes."
        if sharding is Sharding.PIPELINE and card.id == "mlx-community/DeepSeek-V3.1-8bit":
            return f"exo does not shard {card.id} as a pipeline."
        if sharding is Sharding.PIPELINE and card.layer_count is not None and card.layer_count < count:
            return f"{card.id} has fewer layers than {count} nodes."
        told = document.get("backends")
        backends = _BACKENDS[instance_type] & (set(told) if isinstance(told, list) else _BACKENDS[instance_type])
        members = [self._nodes[node_id] for node_id in group]
        if any(node.backends is not None and not backends & set(node.backends) for node in members):
            return f"Not every node supports a backend that {card.id} needs for {instance_type.value}."
        if instance_type is InstanceType.MLX_JACCL and not _all_rdma(members):
            return "MLX_JACCL needs RDMA enabled on, and RDMA connections between, all nodes of the instance."
        return None


def _is_ring(group: Sequence[str], edges: Mapping[str, Collection[str]]) -> bool:
    """Whether a way along the edges passes each node once and comes back; False if that is not found soon."""
    steps = 0
    paths: list[tuple[str, ...]] = [(group[0],)]
    while paths:
        path = paths.pop()
        steps += 1
        if len(path) == len(group):
            if group[0] in edges[path[-1]]:
                return True
        elif steps < MAX_STEPS:
            paths.extend((*path, sink) for sink in sorted(edges[path[-1]]) if sink not in path)
    return False


def _all_rdma(members: Sequence[Node]) -> bool:
    ids = {node.id for node in members}
    for node in members:
        with_rdma = {c.sink_id for c in node.connections if c.rdma_interface is not None}
        if node.rdma_enabled is not True or not ids - {node.id} <= with_rdma:
            return False
    return True


def _shortage(size: int, group: Sequence[str], added: Mapping[str, int] | None, free: Mapping[str, int]) -> Misfit:
    available = sum(max(0, free[node_id]) for node_id in group)
    needed = added if added is not None else {}
    missing = sum(max(0, needed.get(node_id, 0) - max(0, free[node_id])) for node_id in group)
    shortfall = max(size - available, missing, 1)
    return Misfit(
        "Not enough free memory.",
        available_bytes=available,
        shortfall_bytes=shortfall,
        available_by_node={node_id: max(0, free[node_id]) for node_id in group},
    )


def _nearer(known: Misfit | None, other: Misfit) -> Misfit:
    if known is None or known.shortfall_bytes is None or other.shortfall_bytes is None:
        return other
    return other if other.shortfall_bytes < known.shortfall_bytes else known
