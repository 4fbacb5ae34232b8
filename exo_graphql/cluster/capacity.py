"""Would it fit? Memory arithmetic over groups of nodes, as exo's own placement does it (its `master/placement.py`).

exo can be asked where it would place a model now, on the memory that is free now. It cannot be asked what would fit
once something else is gone, and it does not know what its own listed instances have yet to take. These functions
answer for any assumed free memory: a group of nodes is a cycle of exo's topology, the smallest groups whose summed
free memory holds the model come first, pipeline layers follow the free memory, tensor shards are equal.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import (
    DownloadKind,
    Instance,
    InstanceType,
    ModelCard,
    Node,
    Runner,
    RunnerStatus,
    Shard,
    Sharding,
)

# exo looks at every cycle, whose number explodes; groups beyond these, the ones with less free memory, are left out.
MAX_GROUPS_PER_SIZE = 500
# Sets of models tried for `smallest_unload` before it takes the greedy way.
MAX_SETS = 300

_LOADED = frozenset({RunnerStatus.LOADED, RunnerStatus.WARMING_UP, RunnerStatus.READY, RunnerStatus.RUNNING})
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


# What instances hold


def shard_bytes(shard: Shard, storage_bytes: int | None) -> int:
    """Weights that a shard holds: layers / the model's layers x size; tensor: size / world size. 0 if nothing says."""
    if not storage_bytes:
        return 0
    if shard.sharding is Sharding.TENSOR:
        return storage_bytes // max(1, shard.world_size or 1)
    if shard.layer_count is None or not shard.model_layers:
        return storage_bytes // max(1, shard.world_size or 1)
    return storage_bytes * shard.layer_count // shard.model_layers


def instance_bytes(instance: Instance, models: Mapping[str, ModelCard]) -> dict[str, int]:
    """Weights of an instance by node."""
    return {node_id: whole for node_id, (whole, _) in _by_node(instance, models, {}).items()}


def untaken_bytes(instance: Instance, models: Mapping[str, ModelCard], runners: Mapping[str, Runner]) -> dict[str, int]:
    """What a listed instance has yet to take, by node: free memory that exo would promise again."""
    return {node_id: untaken for node_id, (_, untaken) in _by_node(instance, models, runners).items()}


def _by_node(
    instance: Instance, models: Mapping[str, ModelCard], runners: Mapping[str, Runner]
) -> dict[str, tuple[int, int]]:
    card = models.get(instance.model_id)
    held: dict[str, tuple[int, int]] = {}
    for shard in instance.shards:
        if shard.node_id is None:
            continue
        whole = shard_bytes(shard, card.storage_bytes if card is not None else None)
        before = held.get(shard.node_id, (0, 0))
        untaken = round(whole * (1 - _taken_share(runners.get(shard.runner_id), shard)))
        held[shard.node_id] = (before[0] + whole, before[1] + untaken)
    return held


def _taken_share(runner: Runner | None, shard: Shard) -> float:
    if runner is None:
        return 0.0
    if runner.status in _LOADED:
        return 1.0
    total = runner.total_layers or shard.layer_count
    if runner.status is RunnerStatus.LOADING and total:
        return min(1.0, (runner.layers_loaded or 0) / total)
    return 0.0


def free_bytes(snapshot: Snapshot) -> dict[str, int]:
    """Free memory by node, less what listed instances have yet to take. A node that reports none is absent."""
    free = {node.id: node.ram_available_bytes for node in snapshot.nodes if node.ram_available_bytes is not None}
    for instance in snapshot.state.instances.values():
        for node_id, size in untaken_bytes(instance, snapshot.models, snapshot.state.runners).items():
            if node_id in free:
                free[node_id] -= size
    return free


# What would fit


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
            joined = (group for group in combinations(ids, size) if self._is_cycle(group))
            self._by_size[size] = tuple(islice(joined, MAX_GROUPS_PER_SIZE))
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
                    added = split(demand.card, group, sharding, free)
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
        return _walk(group[0], group[0], members - {group[0]}, inside)

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


def split(card: ModelCard, group: Sequence[str], sharding: Sharding, free: Mapping[str, int]) -> dict[str, int] | None:
    """Bytes that each node of the group would be given; None where exo could not split (no free memory at all)."""
    size = card.storage_bytes or 0
    if sharding is Sharding.TENSOR or len(group) == 1:
        return {node_id: size // len(group) for node_id in group}
    halves = _cfg_halves(card, group)
    if halves is not None:
        first = split_layers(card.layer_count, [max(0, free[node_id]) for node_id in halves[0]])
        if first is None or not card.layer_count:
            return None
        # Both halves run the same layers; the second in reverse order.
        layers = [*first, *reversed(first)]
        return {n: size * count // card.layer_count for n, count in zip(group, layers, strict=True)}
    layer_count = card.layer_count
    shares = split_layers(layer_count, [max(0, free[node_id]) for node_id in group])
    if shares is None or not layer_count:
        return None
    return {node_id: size * count // layer_count for node_id, count in zip(group, shares, strict=True)}


def split_layers(layer_count: int | None, free: Sequence[int]) -> list[int] | None:
    """Layers in proportion to free memory, largest remainder first, at least one each; None if that cannot be."""
    total = sum(free)
    if not layer_count or layer_count < len(free) or total <= 0:
        return None
    exact = [size / total * layer_count for size in free]
    layers = [int(share) for share in exact]
    by_remainder = sorted(range(len(free)), key=lambda i: exact[i] - layers[i], reverse=True)
    for i in by_remainder[: layer_count - sum(layers)]:
        layers[i] += 1
    for i, count in enumerate(layers):
        if count == 0:
            largest = max(range(len(layers)), key=layers.__getitem__)
            layers[largest] -= 1
            layers[i] = 1
    return layers


def smallest_unload(
    fits: Callable[[Mapping[str, int]], bool], free: Mapping[str, int], held: Mapping[str, Mapping[str, int]]
) -> tuple[str, ...]:
    """The smallest set of models whose unloading would make it fit, of equal ones the one that frees least.

    `held` is bytes by model and node. Exact while there are few models, greedy beyond; empty if nothing would do.
    """
    names = sorted(held, key=lambda name: sum(held[name].values()))
    if fits(free) or not fits(freed(free, held.values())):
        return ()
    tried = 0
    for count in range(1, len(names) + 1):
        for names_out in combinations(names, count):
            tried += 1
            if tried > MAX_SETS:
                return _greedy(fits, free, held, names)
            if fits(freed(free, [held[name] for name in names_out])):
                return names_out
    return ()


def freed(free: Mapping[str, int], held: Collection[Mapping[str, int]]) -> dict[str, int]:
    """`free` as if what is held were gone."""
    after = dict(free)
    for by_node in held:
        for node_id, size in by_node.items():
            if node_id in after:
                after[node_id] += size
    return after


def less(free: Mapping[str, int], taken: Mapping[str, int]) -> dict[str, int]:
    """`free` as if `taken` were taken too."""
    return {node_id: size - taken.get(node_id, 0) for node_id, size in free.items()}


def _greedy(
    fits: Callable[[Mapping[str, int]], bool],
    free: Mapping[str, int],
    held: Mapping[str, Mapping[str, int]],
    names: Sequence[str],
) -> tuple[str, ...]:
    """All of them, less each that is not needed, the smallest kept longest out: small, though not surely smallest."""
    chosen = list(names)
    for name in names:
        without = [other for other in chosen if other != name]
        if fits(freed(free, [held[other] for other in without])):
            chosen = without
    return tuple(chosen)


def _walk(start: str, at: str, left: set[str], edges: Mapping[str, Collection[str]]) -> bool:
    if not left:
        return start in edges[at]
    return any(_walk(start, sink, left - {sink}, edges) for sink in _in_order(edges[at], left))


def _in_order(sinks: Collection[str], left: set[str]) -> Iterator[str]:
    return (sink for sink in sorted(sinks) if sink in left)


def _all_rdma(members: Sequence[Node]) -> bool:
    ids = {node.id for node in members}
    for node in members:
        with_rdma = {c.sink_id for c in node.connections if c.rdma_interface is not None}
        if node.rdma_enabled is not True or not ids - {node.id} <= with_rdma:
            return False
    return True


def _cfg_halves(card: ModelCard, group: Sequence[str]) -> tuple[Sequence[str], Sequence[str]] | None:
    """A card with `usesCfg` runs as two pipelines side by side on an even number of nodes."""
    if not (card.document or {}).get("usesCfg") or len(group) % 2:
        return None
    half = len(group) // 2
    return group[:half], group[half:]


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
