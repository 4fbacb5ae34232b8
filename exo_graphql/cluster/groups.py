"""The groups of nodes of which exo could make an instance: rings, or for MLX_JACCL nodes all connected by RDMA.

exo lists every ring of its topology, and their number explodes: 12 nodes that are all connected have 924 groups of 6,
64 nodes have 75 million. So groups are listed and compared as exo does while they are few, and searched for beyond
that (`group_search`), within a `SearchBudget`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from typing import TypeVar

from exo_graphql.cluster.group_search import RingSearch, find_complete, heaviest_ring
from exo_graphql.cluster.search_budget import SearchBudget
from exo_graphql.cluster.state import InstanceType
from exo_graphql.cluster.topology import Topology, is_complete

T = TypeVar("T")

# Up to this many groups of a size are listed, whatever the topology: C(10, 5), so all of clusters of up to 10 nodes.
_FEW = 252
# The same where most groups are rings, so that listing them is not in vain: C(13, 6) = 1,716 and C(64, 2) = 2,016 are
# below, so all of clusters of up to 13 nodes, and all pairs of 64.
_FEW_WHERE_DENSE = 2_020
# The search for one size may take a third of the steps that are left: a larger group may be easier to find.
_BUDGET_PARTS = 3

Group = tuple[int, ...]
"""Nodes by their number in the topology."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a group must have: so many nodes of one kind, with enough capacity together."""

    count: int
    instance_type: InstanceType
    capacity: Sequence[int]
    """Of each node, by number, in units that nodes take whole."""
    total: int
    """Units that the group needs."""

    def is_met_by(self, group: Sequence[int]) -> bool:
        """Whether these nodes have the capacity together."""
        return sum([self.capacity[number] for number in group]) >= self.total


class Groups:
    """Groups of nodes by their number in the topology, whatever a model needs. `free`: bytes by number."""

    def __init__(self, topology: Topology, free: Sequence[int], budget: SearchBudget) -> None:
        self._topology = topology
        self._free = free
        self._budget = budget

    def memory(self, group: Sequence[int]) -> int:
        """Free memory of the group in bytes."""
        return sum([self._free[number] for number in group])

    def is_group(self, numbers: Sequence[int], instance_type: InstanceType) -> bool:
        """Whether exo could make one instance of exactly these nodes. False also where the budget ran out."""
        count, topology, budget = len(numbers), self._topology, self._budget
        mask = topology.mask(numbers)
        if count == 1:
            return True
        if instance_type is InstanceType.MLX_JACCL:
            # One of them is the coordinator, which all others reach by sockets.
            reached = any(mask & ~topology.sockets[number] == 1 << number for number in numbers)
            return reached and is_complete(topology.rdma, mask)
        edges = topology.sockets
        neighbours = [(edges[number] & mask).bit_count() for number in numbers]
        if min(neighbours) < min(2, count - 1):
            return False
        if 2 * min(neighbours) >= count:
            # Each of 6 nodes with 3 neighbours or more: there is always a ring (Dirac's theorem).
            return True
        search = RingSearch(edges, numbers, self._free, budget, budget.left // _BUDGET_PARTS)
        return search.find(count, 0, lambda _: True) is True

    def searchable_parts(self, numbers: Sequence[int], count: int, instance_type: InstanceType) -> list[Sequence[int]]:
        """The nodes in parts such that each group of that size lies in one; without those with too few connections."""
        if count == 1:
            return [numbers]
        mask = self._topology.mask(numbers)
        if instance_type is InstanceType.MLX_JACCL or count == 2:
            edges = self._edges(instance_type)
            parts = [self._topology.mask(n for n in numbers if (edges[n] & mask).bit_count() >= count - 1)]
        else:
            rings, blocks = self._topology.plain_rings, self._topology.blocks
            # A block in which each node has two neighbours is one ring: it has a group of its own size only.
            parts = [block & mask for block in blocks if block not in rings or block.bit_count() == count]
        return [[number for number in numbers if part >> number & 1] for part in parts if part.bit_count() >= count]

    def are_few(self, part: Sequence[int], count: int) -> bool:
        """Whether the groups of that size are few enough to list: 10 connected nodes have 252 of 5, 12 have 792."""
        groups = comb(len(part), count)
        return groups <= _FEW or (groups <= _FEW_WHERE_DENSE and (count == 2 or self._are_dense(part)))

    def _are_dense(self, part: Sequence[int]) -> bool:
        """Whether each node is connected to half of the others: then most groups are rings."""
        edges, mask = self._topology.sockets, self._topology.mask(part)
        return all(2 * (edges[number] & mask).bit_count() >= len(part) - 1 for number in part)

    def search(self, order: Sequence[int], need: Need, accept: Callable[[Group], T | None]) -> T | None:
        """What `accept` returns for the first group that it takes, nodes tried in this order. For two nodes or more."""
        budget = self._budget
        if not budget.allows(len(order)):
            return None
        max_steps = budget.left // _BUDGET_PARTS
        if need.instance_type is InstanceType.MLX_JACCL or need.count == 2:
            edges = self._edges(need.instance_type)
            return find_complete(edges, order, need.capacity, need.count, need.total, budget, max_steps, accept)
        search = RingSearch(self._topology.sockets, order, need.capacity, budget, max_steps)
        return search.find(need.count, need.total, accept)

    def large(self, numbers: Sequence[int], count: int, instance_type: InstanceType) -> Group | None:
        """A group of that size with much memory, not necessarily the most."""
        if count == 1:
            return tuple(numbers[:1])
        any_memory = Need(count, instance_type, self._free, 0)
        for part in self.searchable_parts(numbers, count, instance_type):
            if self.is_group(part[:count], instance_type):
                return tuple(part[:count])
            group = self.search(part, any_memory, lambda group: group)
            if group is not None:
                return group
        return None

    def heaviest(self, numbers: Sequence[int]) -> Group | None:
        """The group with most memory: a node, a pair, or a ring in one of the blocks. Largest block first."""
        pair = self.large(numbers, 2, InstanceType.MLX_RING)
        best = max(tuple(numbers[:1]), pair or (), key=self.memory)
        mask = self._topology.mask(numbers)
        parts = ([n for n in numbers if (block & mask) >> n & 1] for block in self._topology.blocks)
        for part in sorted(parts, key=self.memory, reverse=True):
            if len(part) < 3 or self.memory(part) <= self.memory(best):
                break
            if self.is_group(part, InstanceType.MLX_RING):
                return tuple(part)
            budget = self._budget
            ring = heaviest_ring(self._topology.sockets, part, self._free, budget, budget.left // 2)
            best = max(best, ring or (), key=self.memory)
        return best or None

    def _edges(self, instance_type: InstanceType) -> Sequence[int]:
        return self._topology.rdma if instance_type is InstanceType.MLX_JACCL else self._topology.sockets
