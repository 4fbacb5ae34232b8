"""exo's placement: which nodes, which layers, which addresses (exo `master/placement.py`, `placement_utils.py`).

Including its flaw: it counts the memory that nodes report as free. Two models of 40 GiB, placed within a second on a
node with 64 GiB free, both "fit", since neither has taken its memory yet.
"""

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from exo_graphql.simulator.cards import Card, Document, shard_document
from exo_graphql.simulator.state import StateDocument

_ENGINE_BACKENDS = {"MlxRing": ("MlxMetal", "MlxCuda", "MlxCpu"), "MlxJaccl": ("MlxMetal",)}
_RING_ORDER = {"thunderbolt": 0, "maybe_ethernet": 1, "ethernet": 2, "wifi": 3, "unknown": 4}
_COORDINATOR_ORDER = {"ethernet": 0, "wifi": 1, "unknown": 2, "maybe_ethernet": 3, "thunderbolt": 4}

_ANY = "0.0.0.0"  # noqa: S104 - nothing binds it: exo writes it for "here"

Cycle = tuple[str, ...]


class ImpossibleError(ValueError):
    """No placement; the message is exo's."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be placed. `nodes`: the placement must contain these ("contains", not "is")."""

    card: Card
    sharding: str = "Pipeline"
    meta: str = "MlxRing"
    min_nodes: int = 1
    nodes: frozenset[str] = field(default_factory=frozenset)


def place(request: Request, state: StateDocument, rng: random.Random, new_id: Callable[[], str]) -> Document:
    """The instance document that exo would create; ImpossibleError when it would create none."""
    cycle = _choose(request, state)
    available = {node: _available(state, node) for node in cycle}
    card = request.card
    # exo: a single node needs neither tensor sharding nor a network.
    sharding, meta = ("Pipeline", "MlxRing") if len(cycle) == 1 else (request.sharding, request.meta)
    spans = _spans(card, cycle, available) if sharding == "Pipeline" else [(0, card.layers)] * len(cycle)
    runners = {node: new_id() for node in cycle}
    assignments = {
        "modelId": card.model_id,
        "runnerToShard": {
            runners[node]: shard_document(sharding, card, rank, len(cycle), start, end)
            for rank, (node, (start, end)) in enumerate(zip(cycle, spans, strict=True))
        },
        "nodeToRunner": runners,
    }
    port = rng.randrange(49152, 65536)
    common = {"instanceId": new_id(), "shardAssignments": assignments}
    if meta == "MlxRing":
        hosts = _ring_hosts(cycle, state, port)
        return {"MlxRingInstance": {**common, "hostsByNode": hosts, "ephemeralPort": port}}
    coordinators = {
        node: f"{_ANY if node == cycle[0] else _address(node, cycle[0], state, _COORDINATOR_ORDER)}:{port}"
        for node in cycle
    }
    return {
        "MlxJacclInstance": {
            **common,
            "jacclDevices": [[_rdma_interface(a, b, state) for b in cycle] for a in cycle],
            "jacclCoordinators": coordinators,
        }
    }


def _choose(request: Request, state: StateDocument) -> Cycle:
    card = request.card
    candidates = [
        cycle
        for cycle in _cycles(state.nodes, state.connections)
        if len(cycle) >= request.min_nodes and request.nodes <= set(cycle)
    ]
    candidates = [
        cycle
        for cycle in candidates
        if all(node in state.memory for node in cycle)
        and sum(_available(state, node) for node in cycle) >= card.storage_bytes
    ]
    if not candidates:
        raise ImpossibleError("No cycles found with sufficient memory")
    candidates = _fit_sharding(request, candidates)
    smallest = min(map(len, candidates))
    candidates = [cycle for cycle in candidates if len(cycle) == smallest]

    required = set(_ENGINE_BACKENDS[request.meta]) & set(card.backends)
    if not required:
        raise ImpossibleError(
            f"Model {card.model_id} backends {sorted(card.backends)} cannot satisfy engine {request.meta} "
            f"which requires {sorted(_ENGINE_BACKENDS[request.meta])}"
        )
    candidates = [cycle for cycle in candidates if all(required & set(state.backends.get(node, ())) for node in cycle)]
    if not candidates:
        raise ImpossibleError(f"No cycle where every node supports a backend in {sorted(required)} for {card.model_id}")
    if request.meta == "MlxJaccl":
        candidates = [cycle for cycle in candidates if _is_rdma(cycle, state)]
        if not candidates:
            raise ImpossibleError("Requested RDMA (MlxJaccl) but no RDMA-connected cycles available")
    candidates = [
        cycle for cycle in candidates if any(len(state.connections.get(node, ())) <= 1 for node in cycle)
    ] or candidates

    def preference(cycle: Cycle) -> tuple[float, int]:
        listed = (state.downloads.get(node, {}).get(card.model_id) for node in cycle)
        return (
            sum(one.fraction for one in listed if one is not None),
            sum(_available(state, node) for node in cycle),
        )

    return max(candidates, key=preference)


def _fit_sharding(request: Request, candidates: list[Cycle]) -> list[Cycle]:
    card = request.card
    if request.sharding == "Tensor":
        if not card.supports_tensor:
            raise ImpossibleError(
                "Requested Tensor sharding but this model does not support tensor parallelism: " + card.model_id
            )
        heads = None if card.base_model.startswith("DeepSeek V4") else card.kv_heads
        fitting = [
            cycle
            for cycle in candidates
            if card.hidden_size % len(cycle) == 0 and (heads is None or heads % len(cycle) == 0)
        ]
        if not fitting:
            counted = "" if card.kv_heads is None else f", num_key_value_heads={card.kv_heads}"
            raise ImpossibleError(
                f"No tensor sharding found for model with hidden_size={card.hidden_size}{counted} "
                "across candidate cycles"
            )
        return fitting
    if card.model_id == "mlx-community/DeepSeek-V3.1-8bit":
        raise ImpossibleError("Pipeline parallelism is not supported for DeepSeek V3.1 (8-bit)")
    if card.base_model.startswith("Gemma 4"):
        fitting = [cycle for cycle in candidates if len(cycle) == 1]
        if not fitting:
            raise ImpossibleError("Pipeline parallelism is not supported for Gemma 4; use tensor parallelism instead.")
        return fitting
    return candidates


MOST_TRIED = 20_000
"""Orders of nodes that are looked at: all of those of 8 nodes, and some 40 ms."""


def _cycles(nodes: Sequence[str], connections: Mapping[str, Mapping[str, Sequence[Document]]]) -> list[Cycle]:
    """Every simple cycle of the graph, the short ones first, and every node alone.

    Exponential, as exo's: 8 nodes that are all joined have 16,000, 32 have more than memory holds. After `MOST_TRIED`
    the rest, longer than all that was found, is left out, where exo itself would not answer any more.
    """

    def linked(a: str, b: str) -> bool:
        return bool(connections.get(a, {}).get(b))

    found: list[Cycle] = []
    tried = 0
    for size in range(2, len(nodes) + 1):
        # Later nodes first: so exo's graph library numbers the ranks.
        for first, *others in itertools.combinations(reversed(nodes), size):
            for rest in itertools.permutations(others):
                tried += 1
                if tried > MOST_TRIED:
                    return [*found, *((node,) for node in nodes)]
                cycle = (first, *rest)
                if all(linked(a, b) for a, b in zip(cycle, (*rest, first), strict=True)):
                    found.append(cycle)
    return [*found, *((node,) for node in nodes)]


def _spans(card: Card, cycle: Cycle, available: Mapping[str, int]) -> list[tuple[int, int]]:
    """Layers in proportion to free memory: floors first, the rest to the largest remainders, none without one."""
    total = sum(available.values())
    if total == 0:
        raise ImpossibleError("Cannot create shard assignments: total available memory is 0")
    if card.layers < len(cycle):
        raise ImpossibleError(
            f"Cannot distribute {card.layers} layers across {len(cycle)} nodes (need at least 1 layer per node)"
        )
    exact = [available[node] / total * card.layers for node in cycle]
    counts = [int(one) for one in exact]
    by_remainder = sorted(range(len(cycle)), key=lambda i: exact[i] - counts[i], reverse=True)
    for i in by_remainder[: card.layers - sum(counts)]:
        counts[i] += 1
    for i, count in enumerate(counts):
        if count == 0:
            counts[counts.index(max(counts))] -= 1
            counts[i] = 1
    for i, node in enumerate(cycle):
        needed = card.storage_bytes * counts[i] // card.layers
        if needed > available[node]:
            raise ImpossibleError(
                f"Node {i} ({node}) has insufficient memory: requires {needed / 1024**3:.2f} GB for {counts[i]} "
                f"layers, but only has {available[node] / 1024**3:.2f} GB available"
            )
    ends = list(itertools.accumulate(counts))
    return list(zip([0, *ends], ends, strict=False))


def _available(state: StateDocument, node: str) -> int:
    available: int = state.memory[node]["ramAvailable"]["inBytes"]
    return available


def _is_rdma(cycle: Cycle, state: StateDocument) -> bool:
    return all(state.rdma_ctl.get(node, {}).get("enabled") for node in cycle) and all(
        _rdma_interface(a, b, state) is not None
        for a, b in itertools.permutations(cycle, 2)
        if state.connections.get(a, {}).get(b)
    )


def _rdma_interface(a: str, b: str, state: StateDocument) -> str | None:
    for edge in state.connections.get(a, {}).get(b, ()):
        if "sourceRdmaIface" in edge:
            name: str = edge["sourceRdmaIface"]
            return name
    return None


def _address(node: str, other: str, state: StateDocument, order: Mapping[str, int]) -> str:
    """The address at which `node` best reaches `other`."""
    kinds = {one["ipAddress"]: one["interfaceType"] for one in state.network.get(other, {}).get("interfaces", ())}
    addresses = [
        edge["sinkMultiaddr"]["ip_address"]
        for edge in state.connections.get(node, {}).get(other, ())
        if "sinkMultiaddr" in edge
    ]
    if not addresses:
        raise ImpossibleError("MLX ring backend requires connectivity between neighbouring nodes")
    best: str = min(addresses, key=lambda address: order[kinds.get(address, "unknown")])
    return best


def _ring_hosts(cycle: Cycle, state: StateDocument, port: int) -> Document:
    """For each node the whole ring as it sees it: itself, its two neighbours, and placeholders for the rest."""
    size = len(cycle)
    hosts: Document = {}
    for rank, node in enumerate(cycle):
        row: list[Document] = []
        for index, other in enumerate(cycle):
            if index == rank:
                row.append({"ip": _ANY, "port": port})
            elif index in {(rank - 1) % size, (rank + 1) % size}:
                row.append({"ip": _address(node, other, state, _RING_ORDER), "port": port})
            else:
                row.append({"ip": "198.51.100.1", "port": 0})
        hosts[node] = row
    return hosts
