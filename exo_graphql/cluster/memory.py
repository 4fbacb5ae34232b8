"""Memory arithmetic: what instances hold and will still take, how a model is split over nodes, what to unload.

exo says where it would place a model with the memory that is free now. It cannot say what would fit after an unload,
and it ignores what its own instances will still take while they load: two models of 40 GiB placed within a second on
a node with 64 GiB free both "fit". These functions work with any assumed free memory, in bytes by node id.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations
from math import ceil

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance, ModelCard, Runner, RunnerStatus, Shard, Sharding

# Sets of models that `smallest_unload` tries before it becomes greedy: all sets of up to 8 loaded models (255).
MAX_SETS = 300

# The part of a model's size that must be free beyond the size itself. exo compares only the size of the files, but a
# loaded model also has caches and buffers: 3 % in the simulated exo. The rest is for what other programs take between
# the last report of a node and the load. Without it, a load would end out of memory after minutes.
MEMORY_MARGIN = 0.04

_LOADED = frozenset({RunnerStatus.LOADED, RunnerStatus.WARMING_UP, RunnerStatus.READY, RunnerStatus.RUNNING})


# What instances hold


def with_margin(size: int) -> int:
    """Bytes that must be free for `size` bytes of weights: 104 for 100."""
    return size + ceil(size * MEMORY_MARGIN)


def fits_into(added: Mapping[str, int], free: Mapping[str, int]) -> bool:
    """Whether these weights (bytes by node) fit, with the margin. A node of unknown memory holds nothing."""
    return all(with_margin(size) <= free.get(node_id, -1) for node_id, size in added.items())


def shard_bytes(shard: Shard, storage_bytes: int | None) -> int:
    """Weights of a shard: size x layers / the model's layers; tensor: size / world size. 0 if the size is unknown."""
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
    """What a listed instance will still take, by node: memory that exo reports as free."""
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


def free_bytes(snapshot: Snapshot, *, margin: bool = False) -> dict[str, int]:
    """Free memory by node, minus what listed instances will still take. A node that reports none is absent.

    A node with 64 GiB free, on which a model of 40 GiB has loaded half of its layers, has 44. `margin` subtracts the
    margin of these instances too: use it where memory is reserved.
    """
    free = {node.id: node.ram_available_bytes for node in snapshot.nodes if node.ram_available_bytes is not None}
    for instance in snapshot.state.instances.values():
        for node_id, size in untaken_bytes(instance, snapshot.models, snapshot.state.runners).items():
            if node_id in free:
                free[node_id] -= with_margin(size) if margin else size
    return free


def split(card: ModelCard, group: Sequence[str], sharding: Sharding, free: Mapping[str, int]) -> dict[str, int] | None:
    """Bytes that exo would put on each node of the group; None if it could not split the model (no free memory)."""
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
    # If the number of layers is unknown, as if each byte were one.
    layer_count = card.layer_count or size
    shares = split_layers(layer_count, [max(0, free[node_id]) for node_id in group])
    if shares is None or not layer_count:
        return None
    return {node_id: size * count // layer_count for node_id, count in zip(group, shares, strict=True)}


def split_layers(layer_count: int | None, free: Sequence[int]) -> list[int] | None:
    """Layers in proportion to free memory, at least one each; None if that is impossible. As exo rounds.

    10 layers on 64 and 32 GiB are 6.67 and 3.33: 6 and 3, and the last one goes to the larger remainder: 7 and 3.
    """
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
    fits: Callable[[Mapping[str, int]], bool],
    free: Mapping[str, int],
    held: Mapping[str, Mapping[str, int]],
    max_sets: int = MAX_SETS,
) -> tuple[str, ...]:
    """The smallest set of models to unload so that `fits` holds; of equally small sets the one that frees least.

    `held` is bytes by model and node. Exact up to `max_sets` tried sets, greedy beyond. Empty if nothing has to be
    unloaded, or unloading everything would not help.
    """
    names = sorted(held, key=lambda name: sum(held[name].values()))
    if fits(free) or not fits(freed(free, held.values())):
        return ()
    tried = 0
    for count in range(1, len(names) + 1):
        for names_out in combinations(names, count):
            tried += 1
            if tried > max_sets:
                return _greedy(fits, free, held, names)
            if fits(freed(free, [held[name] for name in names_out])):
                return names_out
    return ()


def freed(free: Mapping[str, int], held: Collection[Mapping[str, int]]) -> dict[str, int]:
    """`free` after all of `held` is released."""
    after = dict(free)
    for by_node in held:
        for node_id, size in by_node.items():
            if node_id in after:
                after[node_id] += size
    return after


def less(free: Mapping[str, int], taken: Mapping[str, int]) -> dict[str, int]:
    """`free` after `taken` is taken."""
    return {node_id: size - taken.get(node_id, 0) for node_id, size in free.items()}


def _greedy(
    fits: Callable[[Mapping[str, int]], bool],
    free: Mapping[str, int],
    held: Mapping[str, Mapping[str, int]],
    names: Sequence[str],
) -> tuple[str, ...]:
    """Starts with all models and drops each, the smallest first, that need not go. Small, not always the smallest."""
    chosen = list(names)
    for name in names:
        without = [other for other in chosen if other != name]
        if fits(freed(free, [held[other] for other in without])):
            chosen = without
    return tuple(chosen)


def _cfg_halves(card: ModelCard, group: Sequence[str]) -> tuple[Sequence[str], Sequence[str]] | None:
    """A card with `usesCfg` runs as two pipelines side by side on an even number of nodes."""
    if not (card.document or {}).get("usesCfg") or len(group) % 2:
        return None
    half = len(group) // 2
    return group[:half], group[half:]
