"""Searches for a group of nodes that can hold a model together: a ring, or nodes that are all connected to each other.

Each search is bounded by a `SearchBudget`. The topologies that clusters really have (full meshes, switches, chains,
rings, hubs) are searched to the end within it, for two reasons:

- Nodes with the same neighbours are interchangeable, so only the first of them is tried. There are 924 ways to choose
  6 of 12 nodes behind one switch: if the 6 with most memory do not hold the model, the other 923 are not tried.
- A path is given up as soon as it cannot come back to its start. In a chain of nodes 0-1-2-3, the path 0-1 ends at
  once: the neighbours of 0 are visited, so no ring closes there.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from exo_graphql.cluster.search_budget import SearchBudget
from exo_graphql.cluster.topology import Topology, bits

T = TypeVar("T")

# No exo cluster is as large. The search recurses as deep as a ring is long: Python allows 1,000 frames.
MAX_RING = 256
# Steps charged for examining one path: 14 µs, as measured on 64 nodes.
_PATH_STEPS = 14


class _OutOfBudgetError(Exception):
    """The steps that a search may take are used up."""


class RingSearch:
    """Looks for a ring of exactly `size` nodes (3 or more) with enough capacity together, that `accept` takes.

    Nodes are numbers in the topology. Those of `order` are tried, in that order.
    """

    def __init__(
        self, edges: Sequence[int], order: Sequence[int], capacity: Sequence[int], budget: SearchBudget, max_steps: int
    ) -> None:
        """`edges`: the neighbours of each node. `capacity`: by node. `max_steps`: of `budget`, for this search."""
        budget.spend(len(order), 0)
        self._pool = Topology.mask(order)
        self._edges = [mask & self._pool for mask in edges]
        self._order = order
        self._by_capacity = sorted(order, key=capacity.__getitem__, reverse=True)
        self._capacity = capacity
        self._twin = _first_twins(self._edges, self._order)
        self._budget = budget
        self._until = min(budget.limit, budget.steps + max_steps)
        self._failed: set[tuple[int, int]] = set()
        """Unvisited nodes and last node of the paths from the present start that lead to no ring."""

    def find(self, size: int, needed: int, accept: Callable[[tuple[int, ...]], T | None]) -> T | None:
        """What `accept` returns for the first ring that it takes; None if there is none or the budget is exhausted."""
        pool, tried = self._pool, set[int]()
        if pool.bit_count() > MAX_RING:
            self._budget.exhausted = True
            return None
        try:
            for start in self._order:
                # A ring through this node would have been found with its twin, which was tried before.
                if self._twin[start] not in tried:
                    tried.add(self._twin[start])
                    if pool.bit_count() < size or self._most(size, pool) < needed:
                        return None
                    self._failed.clear()
                    bit = 1 << start
                    found = self._extend([start], pool ^ bit, needed - self._capacity[start], size, accept)
                    if found is not None:
                        return found
                pool &= ~(1 << start)
        except _OutOfBudgetError:
            self._budget.exhausted = True
        return None

    def _extend(
        self,
        path: list[int],
        unvisited: int,
        needed: int,
        size: int,
        accept: Callable[[tuple[int, ...]], T | None],
    ) -> T | None:
        start, end, left = path[0], path[-1], size - len(path)
        if not left:
            return accept(tuple(path)) if self._edges[end] >> start & 1 else None
        if (unvisited, end) in self._failed:
            return None
        if self._budget.steps >= self._until:
            raise _OutOfBudgetError
        self._budget.spend(_PATH_STEPS)
        # Each node still to come must be near enough to both ends: with 2 nodes left, at most 2 connections away.
        reach = self._within(start, unvisited, left) & self._within(end, unvisited, left)
        if reach.bit_count() >= left and self._most(left, reach) >= needed:
            candidates, tried = self._edges[end] & reach, set[int]()
            for node in self._order:
                if candidates >> node & 1 and self._twin[node] not in tried:
                    tried.add(self._twin[node])
                    path.append(node)
                    found = self._extend(path, unvisited ^ (1 << node), needed - self._capacity[node], size, accept)
                    path.pop()
                    if found is not None:
                        return found
        self._failed.add((unvisited, end))
        return None

    def _within(self, node: int, unvisited: int, steps: int) -> int:
        """The unvisited nodes at most `steps` connections away, by way of unvisited nodes."""
        edges = self._edges
        reach = level = edges[node] & unvisited
        while level and steps > 1 and reach != unvisited:
            beyond = 0
            for number in bits(level):
                beyond |= edges[number]
            level = beyond & unvisited & ~reach
            reach |= level
            steps -= 1
        return reach

    def _most(self, count: int, mask: int) -> int:
        """The capacity of the `count` nodes of the mask that have most."""
        total = 0
        for node in self._by_capacity:
            if mask >> node & 1:
                total += self._capacity[node]
                count -= 1
                if not count:
                    break
        return total


def find_complete(
    edges: Sequence[int],
    order: Sequence[int],
    capacity: Sequence[int],
    size: int,
    needed: int,
    budget: SearchBudget,
    max_steps: int,
    accept: Callable[[tuple[int, ...]], T | None],
) -> T | None:
    """The same for `size` nodes (2 or more) that are all connected to each other."""
    until = min(budget.limit, budget.steps + max_steps)
    pool = Topology.mask(order)
    # A node with too few neighbours is in no such group.
    pool = Topology.mask(node for node in order if (edges[node] & pool).bit_count() >= size - 1)
    by_capacity = sorted(order, key=capacity.__getitem__, reverse=True)

    def extend(group: tuple[int, ...], common: int, needed: int) -> T | None:
        left = size - len(group)
        if not left:
            return accept(group)
        for node in order:
            if not common >> node & 1:
                continue
            if budget.steps >= until:
                raise _OutOfBudgetError
            budget.spend(_PATH_STEPS)
            most = sum([capacity[other] for other in by_capacity if common >> other & 1][:left])
            if common.bit_count() < left or most < needed:
                return None
            common ^= 1 << node
            found = extend((*group, node), common & edges[node], needed - capacity[node])
            if found is not None:
                return found
        return None

    try:
        return extend((), pool, needed)
    except _OutOfBudgetError:
        budget.exhausted = True
        return None


def heaviest_ring(
    edges: Sequence[int], order: Sequence[int], capacity: Sequence[int], budget: SearchBudget, max_steps: int
) -> tuple[int, ...] | None:
    """The ring of three or more nodes with most capacity; the best one found if the budget is exhausted before."""
    until = min(budget.limit, budget.steps + max_steps)
    pool = Topology.mask(order)
    best: tuple[int, tuple[int, ...] | None] = (-1, None)

    def extend(path: tuple[int, ...], unvisited: int, total: int) -> None:
        nonlocal best
        if budget.steps >= until:
            raise _OutOfBudgetError
        budget.spend(_PATH_STEPS)
        start, end = path[0], path[-1]
        if len(path) > 2 and edges[end] >> start & 1 and total > best[0]:
            best = total, path
        reach, level = 0, edges[end] & unvisited
        while level:
            reach |= level
            beyond = 0
            for node in bits(level):
                beyond |= edges[node]
            level = beyond & unvisited & ~reach
        bound = total + sum(capacity[node] for node in bits(reach))
        if not reach & edges[start]:
            return
        for node in order:
            if bound <= best[0]:
                return
            if (edges[end] & unvisited) >> node & 1:
                extend((*path, node), unvisited ^ (1 << node), total + capacity[node])

    if pool.bit_count() > MAX_RING:
        budget.exhausted = True
        return None
    try:
        for start in order:
            if sum(capacity[node] for node in bits(pool)) <= best[0]:
                break
            pool ^= 1 << start
            extend((start,), pool, capacity[start])
    except _OutOfBudgetError:
        budget.exhausted = True
    return best[1]


def _first_twins(edges: Sequence[int], order: Sequence[int]) -> dict[int, int]:
    """For each node, the first of the order with the same neighbours (not counting each other): its twin, or itself.

    Nodes 1 and 2 behind hub 0 (neighbours {0} and {0}) are twins that are not connected; in a full mesh of 0, 1 and 2
    all are twins that are connected: {1, 2}, {0, 2} and {0, 1} are the same set once each node is added to its own.
    """
    by_neighbours: dict[int, int] = {}
    by_neighbours_and_self: dict[int, int] = {}
    twins: dict[int, int] = {}
    for node in order:
        first = by_neighbours.setdefault(edges[node], node)
        if first == node:
            first = by_neighbours_and_self.setdefault(edges[node] | 1 << node, node)
        twins[node] = first
    return twins
