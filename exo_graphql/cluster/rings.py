"""Searches for groups of nodes that can hold a model together: rings, and groups joined all to all.

Whether a ring of a given size exists is a hard question in general, so a search is bounded by the work that it does,
counted in steps of about a microsecond, and says when it was ended by that. What clusters are made of (all joined to
all, switches, chains, rings, hubs) is searched to the end within the bound: nodes with the same neighbours are tried
once, with the one that has most memory, and what cannot lead back to the start is not entered.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from exo_graphql.cluster.topology import Topology, bits

T = TypeVar("T")

# Steps of all searches for one answer. Some 8 ms, so that they may run on an event loop.
MAX_STEPS = 8_000
# No exo cluster is as large; a search goes as deep as a ring is long.
MAX_RING = 256
# What looking at a path costs, in steps: as measured on 64 nodes.
_PATH = 14
_BETWEEN_PAUSES = 1_000


class Work:
    """Counts the steps of searches. Several may share one, which then bounds them together."""

    def __init__(self, limit: int = MAX_STEPS, pause: Callable[[], None] | None = None) -> None:
        """`pause` is called about once a millisecond, for a thread that wants to let others run."""
        self.limit = limit
        self.steps = 0
        self.groups = 0
        """Groups of nodes, finished or begun, that were looked at."""
        self.cut = False
        """Whether a search was ended by the bound."""
        self.pause = pause
        self._paused_at = 0

    @property
    def left(self) -> int:
        """Steps that may still be done."""
        return max(0, self.limit - self.steps)

    def spend(self, steps: int, groups: int = 1) -> None:
        """Counts work that is about to be done."""
        self.steps += steps
        self.groups += groups
        if self.pause is not None and self.steps - self._paused_at >= _BETWEEN_PAUSES:
            self._paused_at = self.steps
            self.pause()

    def may(self, steps: int) -> bool:
        """Whether as many may still be done; if not, the search is cut."""
        self.cut = self.cut or steps > self.left
        return steps <= self.left

    def add(self, other: "Work") -> None:
        """Counts what was done under another bound."""
        self.steps += other.steps
        self.groups += other.groups
        self.cut = self.cut or other.cut


class _Cut(Exception):
    """The bound of a search is reached."""


class RingSearch:
    """Looks for a ring of exactly so many nodes (3 or more) that have as much room together, and that is accepted.

    The nodes are those of `order`, in which they are tried. `room` is by number.
    """

    def __init__(
        self, edges: Sequence[int], order: Sequence[int], room: Sequence[int], work: Work, allowed: int
    ) -> None:
        """`allowed`: steps for this search, within those of `work`."""
        work.spend(len(order), 0)
        self._pool = Topology.mask(order)
        self._edges = [mask & self._pool for mask in edges]
        self._order = order
        self._by_room = sorted(order, key=room.__getitem__, reverse=True)
        self._room = room
        self._alike = _alike(self._edges, self._order)
        self._work = work
        self._until = min(work.limit, work.steps + allowed)
        self._failed: set[tuple[int, int]] = set()

    def find(self, size: int, needed: int, accept: Callable[[tuple[int, ...]], T | None]) -> T | None:
        """What `accept` makes of the first ring that it takes; None where there is none, or the bound was reached."""
        pool, tried = self._pool, set[int]()
        if pool.bit_count() > MAX_RING:
            self._work.cut = True
            return None
        try:
            for start in self._order:
                # A ring through a node like one that was tried would have been found with that one.
                if self._alike[start] not in tried:
                    tried.add(self._alike[start])
                    if pool.bit_count() < size or self._most(size, pool) < needed:
                        return None
                    self._failed.clear()
                    bit = 1 << start
                    found = self._extend([start], pool ^ bit, needed - self._room[start], size, accept)
                    if found is not None:
                        return found
                pool &= ~(1 << start)
        except _Cut:
            self._work.cut = True
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
        if self._work.steps >= self._until:
            raise _Cut
        self._work.spend(_PATH)
        reach = self._near(start, unvisited, left) & self._near(end, unvisited, left)
        if reach.bit_count() >= left and self._most(left, reach) >= needed:
            nearest, tried = self._edges[end] & reach, set[int]()
            for node in self._order:
                if nearest >> node & 1 and self._alike[node] not in tried:
                    tried.add(self._alike[node])
                    path.append(node)
                    found = self._extend(path, unvisited ^ (1 << node), needed - self._room[node], size, accept)
                    path.pop()
                    if found is not None:
                        return found
        self._failed.add((unvisited, end))
        return None

    def _near(self, node: int, unvisited: int, steps: int) -> int:
        """The unvisited nodes that as many steps over unvisited nodes, or fewer, lead to."""
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
        """The room of as many nodes of the mask as have most."""
        total = 0
        for node in self._by_room:
            if mask >> node & 1:
                total += self._room[node]
                count -= 1
                if not count:
                    break
        return total


def find_complete(
    edges: Sequence[int],
    order: Sequence[int],
    room: Sequence[int],
    size: int,
    needed: int,
    work: Work,
    allowed: int,
    accept: Callable[[tuple[int, ...]], T | None],
) -> T | None:
    """The same for `size` nodes (2 or more) of the order that are joined all to all."""
    until = min(work.limit, work.steps + allowed)
    pool = Topology.mask(order)
    # Those with too few neighbours belong to no such group.
    pool = Topology.mask(node for node in order if (edges[node] & pool).bit_count() >= size - 1)
    by_room = sorted(order, key=room.__getitem__, reverse=True)

    def extend(group: tuple[int, ...], joined: int, still: int) -> T | None:
        left = size - len(group)
        if not left:
            return accept(group)
        for node in order:
            if not joined >> node & 1:
                continue
            if work.steps >= until:
                raise _Cut
            work.spend(_PATH)
            most = sum([room[other] for other in by_room if joined >> other & 1][:left])
            if joined.bit_count() < left or most < still:
                return None
            joined ^= 1 << node
            found = extend((*group, node), joined & edges[node], still - room[node])
            if found is not None:
                return found
        return None

    try:
        return extend((), pool, needed)
    except _Cut:
        work.cut = True
        return None


def heaviest_ring(
    edges: Sequence[int], order: Sequence[int], room: Sequence[int], work: Work, allowed: int
) -> tuple[int, ...] | None:
    """The ring of three or more nodes with most room; the best that was found where that takes long."""
    until = min(work.limit, work.steps + allowed)
    pool = Topology.mask(order)
    best: tuple[int, tuple[int, ...] | None] = (-1, None)

    def extend(path: tuple[int, ...], unvisited: int, total: int) -> None:
        nonlocal best
        if work.steps >= until:
            raise _Cut
        work.spend(_PATH)
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
        bound = total + sum(room[node] for node in bits(reach))
        if not reach & edges[start]:
            return
        for node in order:
            if bound <= best[0]:
                return
            if (edges[end] & unvisited) >> node & 1:
                extend((*path, node), unvisited ^ (1 << node), total + room[node])

    if pool.bit_count() > MAX_RING:
        work.cut = True
        return None
    try:
        for start in order:
            if sum(room[node] for node in bits(pool)) <= best[0]:
                break
            pool ^= 1 << start
            extend((start,), pool, room[start])
    except _Cut:
        work.cut = True
    return best[1]


def _alike(edges: Sequence[int], order: Sequence[int]) -> dict[int, int]:
    """For each node the first of the order that has the same neighbours, each other aside."""
    apart: dict[int, int] = {}
    joined: dict[int, int] = {}
    found: dict[int, int] = {}
    for node in order:
        first = apart.setdefault(edges[node], node)
        if first == node:
            first = joined.setdefault(edges[node] | 1 << node, node)
        found[node] = first
    return found
