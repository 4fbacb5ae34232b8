"""Clusters of every shape: which nodes are joined, as pairs of numbers, and snapshots of them."""

import random
from collections.abc import Callable, Mapping, Sequence

from exo_graphql.cluster.history import History
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.rules import DEFAULT_RULES
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.cluster.state import Connection, Node, State
from tests.support.polled_cluster import START

GIB = 1 << 30
Pairs = set[tuple[int, int]]


def _complete(numbers: Sequence[int]) -> Pairs:
    return {(a, b) for a in numbers for b in numbers if a < b}


def _steps(count: int, *steps: int) -> Pairs:
    return {(min(a, b), max(a, b)) for a in range(count) for step in steps if (b := (a + step) % count) != a}


def _chain(count: int) -> Pairs:
    return {(number, number + 1) for number in range(count - 1)}


def _switches(count: int, common: int) -> Pairs:
    half = count // 2
    return _complete(range(half)) | _complete([*range(common), *range(half, count)])


def _bipartite(count: int, first: int) -> Pairs:
    return {(a, b) for a in range(first) for b in range(first, count)}


def _random(count: int, share: float) -> Pairs:
    rng = random.Random(count)
    return {pair for pair in _complete(range(count)) if rng.random() < share}


def _grid(count: int) -> Pairs:
    return {(a, a + 1) for a in range(count - 1) if (a + 1) % 8} | {(a, a + 8) for a in range(count - 8)}


def _fours(count: int) -> Pairs:
    return {(a, b) for a, b in _complete(range(count)) if a // 4 == b // 4} | {
        (a, a + 1) for a in range(3, count - 1, 4)
    }


TOPOLOGIES: Mapping[str, Callable[[int], Pairs]] = {
    "complete": lambda count: _complete(range(count)),
    "complete but for pairs": lambda count: _complete(range(count)) - {(a, a + 1) for a in range(0, count - 1, 2)},
    "two switches": lambda count: _switches(count, 0),
    "two switches and a cable": lambda count: _switches(count, 0) | {(0, count - 1)},
    "two switches and two cables": lambda count: _switches(count, 0) | {(0, count - 1), (1, count - 2)},
    "two switches, a node on both": lambda count: _switches(count, 1),
    "two switches, two nodes on both": lambda count: _switches(count, 2),
    "two switches, four nodes on both": lambda count: _switches(count, 4),
    "ring": lambda count: _steps(count, 1),
    "ring with chords": lambda count: _steps(count, 1, 2),
    "ring with long chords": lambda count: _steps(count, 1, 2, 5),
    "ladder": lambda count: _steps(count, 1) | {(a, count - 1 - a) for a in range(count // 2)},
    "star": lambda count: {(0, number) for number in range(1, count)},
    "bipartite": lambda count: _bipartite(count, count // 2),
    "uneven bipartite": lambda count: _bipartite(count, count // 4),
    "random, dense": lambda count: _random(count, 0.5),
    "random, sparse": lambda count: _random(count, 0.1),
    "random, very sparse": lambda count: _random(count, 0.05),
    "chain": _chain,
    "chain of fours": _fours,
    "grid": _grid,
    "nothing": lambda _: set(),
}

MEMORIES: Mapping[str, Callable[[int], int]] = {
    "equal": lambda _: 16,
    "unequal": lambda number: (8, 16, 24, 48, 64, 128)[number * 7 % 6],
    "large ones far apart": lambda number: 200 if number % 8 == 0 else 4,
}


def snapshot_of(
    pairs: Pairs, free_gib: Sequence[int], rdma: Pairs | frozenset[tuple[int, int]] = frozenset()
) -> Snapshot:
    """Nodes n0, n1, … joined both ways, as exo lists it: an edge for each address, and one for RDMA."""
    near: dict[int, set[int]] = {number: set() for number in range(len(free_gib))}
    for a, b in pairs:
        near[a].add(b)
        near[b].add(a)
    nodes = {}
    for number, free in enumerate(free_gib):
        to = [(f"n{other}", (min(number, other), max(number, other)) in rdma) for other in sorted(near[number])]
        connections = [Connection(id_, ip_address=ip) for id_, _ in to for ip in ("10.0.0.1", "10.1.0.1")]
        connections += [Connection(id_, rdma_interface="rdma_en3") for id_, over in to if over]
        nodes[f"n{number}"] = Node(
            f"n{number}",
            ram_total_bytes=2 * free * GIB,
            ram_available_bytes=free * GIB,
            backends=("MlxMetal", "MlxCpu"),
            rdma_enabled=True,
            connections=tuple(connections),
        )
    return Snapshot(
        State(nodes=nodes),
        History(),
        {},
        {},
        Source("http://exo"),
        DEFAULT_RULES,
        Moment(START, 0.0),
        Moment(START, 0.0),
        held=False,
        unloading={},
    )
