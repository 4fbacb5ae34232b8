"""The groups of nodes that exo would place a model on: rings, for MLX_JACCL joined all to all by RDMA.

exo looks at every ring there is, and their number explodes. Here it is done so while there are few; beyond that the
search goes for what fits, bounded by the work that it may do.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import combinations
from math import comb
from typing import TypeVar

from exo_graphql.cluster.memory import fits_into, split, with_margin
from exo_graphql.cluster.placement_request import ALONE, Fit, NoFit, PlacementRequest, backends_of
from exo_graphql.cluster.rings import RingSearch, Work, find_complete, heaviest_ring
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import DownloadKind, InstanceType, Sharding
from exo_graphql.cluster.topology import is_complete

T = TypeVar("T")

# While there are no more groups of a size, all of them are looked at: so it is in clusters of up to 10 nodes.
_FEW = 252
# The same where most groups of nodes are rings: so it is in clusters of up to 13 nodes, and for all pairs of 64.
_MANY = 2_020
# Steps that one of them costs where memory alone rules it out.
_GLANCE = 2
# Part of the steps that are left which the search for one size may take: larger groups may be easier to find.
_PART = 3

Group = tuple[int, ...]
"""Nodes by their number in the topology."""


class Candidates:
    """The groups for one demand, and the free memory (bytes by node) that it is held against."""

    def __init__(
        self, snapshot: Snapshot, placement_request: PlacementRequest, free: Mapping[str, int], work: Work
    ) -> None:
        self._snapshot = snapshot
        self._topology = snapshot.topology
        self._demand = placement_request
        self._by_id = free
        self._free = [max(0, free.get(node_id, 0)) for node_id in self._topology.ids]
        self._work = work
        self._pools: dict[InstanceType, Sequence[int]] = {}
        self._layers: Sequence[int] | None = None

    def first(self, count: int, sharding: Sharding, instance_type: InstanceType) -> Fit | None:
        """The preferred group of that size that fits. None, too, where the search was ended by its bound."""
        needed, room = self._room(sharding, count)
        numbers = [number for number in self._pool(instance_type) if room[number]]
        if sum([room[number] for number in numbers[:count]]) < needed:
            return None

        def accept(group: Group) -> Fit | None:
            return self._split(group, sharding, instance_type)

        if self._demand.node_ids is not None:
            return accept(tuple(sorted(numbers))) if self._is_group(numbers, instance_type) else None
        for part in self._parts(numbers, count, instance_type):
            if sum([room[number] for number in part[:count]]) < needed:
                continue
            if self._are_few(part, count):
                fit = self._among_few(part, count, room, needed, instance_type, accept)
            else:
                fit = self._among_many(part, count, room, needed, instance_type, accept)
            if fit is not None:
                return fit
        return None

    def nearest(
        self, counts: Sequence[int], sharding: Sharding, instance_type: InstanceType
    ) -> Fit | NoFit | str | None:
        """What is missing on the group that comes nearest, of these sizes; or why there is none of this kind.

        Nothing may be missing on it, where a search for smaller groups was ended by its bound.
        """
        numbers = self._pool(instance_type)
        possible = [count for count in counts if count <= len(numbers)]
        if not possible:
            named = self._demand.node_ids
            reporting = sum(id_ in self._by_id and (named is None or id_ in named) for id_ in self._topology.ids)
            if counts and counts[0] <= reporting:
                return f"Not every node supports a backend that {self._demand.card.id} needs for {instance_type.value}."
            return None
        groups: list[Group] = []
        if (sharding, instance_type) == ALONE and self._demand.node_ids is None:
            # The more memory in all, the nearer; only where that is no answer do the smaller groups count.
            heaviest = self._heaviest(numbers)
            groups = [heaviest] if heaviest is not None and len(heaviest) in possible else []
        if not groups:
            found = (self._any(numbers, count, instance_type) for count in possible)
            groups = [group for group in found if group is not None]
        for group in groups:
            fit = self._split(group, sharding, instance_type)
            if fit is not None:
                return fit
        if groups:
            return min(
                (self._shortage(group, sharding) for group in groups), key=lambda near: near.shortfall_bytes or 0
            )
        if instance_type is InstanceType.MLX_JACCL:
            return "MLX_JACCL needs RDMA enabled on, and RDMA connections between, all nodes of the instance."
        return None

    # Groups

    def _pool(self, instance_type: InstanceType) -> Sequence[int]:
        """The nodes that may take part, those with most free memory first."""
        pool = self._pools.get(instance_type)
        if pool is None:
            backends, named = backends_of(self._demand.card, instance_type), self._demand.node_ids
            usable = (
                number
                for number, node in enumerate(self._snapshot.state.nodes.values())
                if node.id in self._by_id
                and (named is None or node.id in named)
                and (node.backends is None or not backends.isdisjoint(node.backends))
            )
            pool = self._pools[instance_type] = sorted(usable, key=self._free.__getitem__, reverse=True)
        return pool

    def _room(self, sharding: Sharding, count: int) -> tuple[int, Sequence[int]]:
        """What a group of that size must have in all, and what each node has: layers, or whole parts, that it can hold.

        What is less than one is none: exo gives each node of a group a part.
        """
        card = self._demand.card
        size = card.storage_bytes or 0
        if sharding is Sharding.TENSOR or count == 1:
            part = with_margin(size // count)
            return count, [int(free >= part) for free in self._free]
        if self._layers is None:
            layer = max(1, with_margin(size) // (card.layer_count or size))
            self._layers = [free // layer for free in self._free]
        return card.layer_count or size, self._layers

    def _parts(self, numbers: Sequence[int], count: int, instance_type: InstanceType) -> list[Sequence[int]]:
        """The nodes but those with too few connections for a group of that size, in parts that hold whole groups."""
        if count == 1:
            return [numbers]
        mask = self._topology.mask(numbers)
        if instance_type is InstanceType.MLX_JACCL or count == 2:
            edges = self._edges(instance_type)
            parts = [self._topology.mask(n for n in numbers if (edges[n] & mask).bit_count() >= count - 1)]
        else:
            rings, blocks = self._topology.plain_rings, self._topology.blocks
            # Of nodes with two neighbours each there is one ring.
            parts = [block & mask for block in blocks if block not in rings or block.bit_count() == count]
        return [[number for number in numbers if part >> number & 1] for part in parts if part.bit_count() >= count]

    def _are_few(self, part: Sequence[int], count: int) -> bool:
        groups = comb(len(part), count)
        return groups <= _FEW or (groups <= _MANY and (count == 2 or self._are_dense(part)))

    def _are_dense(self, part: Sequence[int]) -> bool:
        """Whether each of the nodes is joined to half of them: then most groups are rings."""
        edges, mask = self._topology.sockets, self._topology.mask(part)
        return all(2 * (edges[number] & mask).bit_count() >= len(part) - 1 for number in part)

    def _among_few(
        self,
        numbers: Sequence[int],
        count: int,
        room: Sequence[int],
        needed: int,
        instance_type: InstanceType,
        accept: Callable[[Group], Fit | None],
    ) -> Fit | None:
        """Every group, the preferred first: what exo would choose."""
        work = self._work
        tried = comb(len(numbers), count)
        if not work.may(tried * _GLANCE):
            return None
        work.spend(tried * _GLANCE, tried)
        roomy = [group for group in combinations(numbers, count) if sum([room[number] for number in group]) >= needed]
        roomy.sort(key=self._preference, reverse=True)
        for group in roomy:
            if not work.may(count):
                return None
            work.spend(count, 0)
            if self._is_group(group, instance_type):
                fit = accept(group)
                if fit is not None:
                    return fit
        return None

    def _among_many(
        self,
        numbers: Sequence[int],
        count: int,
        room: Sequence[int],
        needed: int,
        instance_type: InstanceType,
        accept: Callable[[Group], Fit | None],
    ) -> Fit | None:
        """A group that fits, of nodes that have the weights if there is one."""
        orders = [numbers]
        if any(self._shares):
            by_weights = sorted(numbers, key=lambda number: (self._shares[number], self._free[number]), reverse=True)
            orders = [by_weights, numbers]
        for order in orders:
            fit = self._search(order, count, room, needed, instance_type, accept)
            if fit is not None:
                return fit
        return None

    def _search(
        self,
        order: Sequence[int],
        count: int,
        room: Sequence[int],
        needed: int,
        instance_type: InstanceType,
        accept: Callable[[Group], T | None],
    ) -> T | None:
        """What `accept` makes of the first group that it takes, nodes tried in this order. For two nodes or more."""
        work = self._work
        if not work.may(len(order)):
            return None
        allowed = work.left // _PART
        if instance_type is InstanceType.MLX_JACCL or count == 2:
            return find_complete(self._edges(instance_type), order, room, count, needed, work, allowed, accept)
        return RingSearch(self._topology.sockets, order, room, work, allowed).find(count, needed, accept)

    def _any(self, numbers: Sequence[int], count: int, instance_type: InstanceType) -> Group | None:
        """A group of that size, with much memory."""
        if self._demand.node_ids is not None:
            return tuple(numbers) if self._is_group(numbers, instance_type) else None
        if count == 1:
            return tuple(numbers[:1])
        for part in self._parts(numbers, count, instance_type):
            if self._is_group(part[:count], instance_type):
                return tuple(part[:count])
            group = self._search(part, count, self._free, 0, instance_type, lambda group: group)
            if group is not None:
                return group
        return None

    def _heaviest(self, numbers: Sequence[int]) -> Group | None:
        """The group with most memory: a node, a pair, or a ring in one of the blocks, those with more memory first."""
        pair = self._any(numbers, 2, InstanceType.MLX_RING)
        best = max(tuple(numbers[:1]), pair or (), key=self._memory)
        mask = self._topology.mask(numbers)
        parts = ([n for n in numbers if (block & mask) >> n & 1] for block in self._topology.blocks)
        for part in sorted(parts, key=self._memory, reverse=True):
            if len(part) < 3 or self._memory(part) <= self._memory(best):
                break
            if self._is_group(part, InstanceType.MLX_RING):
                return tuple(part)
            work = self._work
            ring = heaviest_ring(self._topology.sockets, part, self._free, work, work.left // 2)
            best = max(best, ring or (), key=self._memory)
        return best or None

    def _is_group(self, numbers: Sequence[int], instance_type: InstanceType) -> bool:
        """Whether exo would make one instance of exactly these nodes. False, too, where that was not found out."""
        count, topology, work = len(numbers), self._topology, self._work
        mask = topology.mask(numbers)
        if count == 1:
            return True
        if instance_type is InstanceType.MLX_JACCL:
            # All of them have to reach the coordinator, which is one of them.
            reached = any(mask & ~topology.sockets[number] == 1 << number for number in numbers)
            return reached and is_complete(topology.rdma, mask)
        edges = topology.sockets
        neighbours = [(edges[number] & mask).bit_count() for number in numbers]
        if min(neighbours) < min(2, count - 1):
            return False
        if 2 * min(neighbours) >= count:
            # With as many neighbours there is always a ring (Dirac's theorem).
            return True
        return RingSearch(edges, numbers, self._free, work, work.left // _PART).find(count, 0, lambda _: True) is True

    def _split(self, group: Group, sharding: Sharding, instance_type: InstanceType) -> Fit | None:
        if instance_type is InstanceType.MLX_JACCL and not self._is_group(group, instance_type):
            return None
        added = split(self._demand.card, [self._topology.ids[number] for number in group], sharding, self._by_id)
        return Fit(sharding, instance_type, added) if added is not None and fits_into(added, self._by_id) else None

    def _edges(self, instance_type: InstanceType) -> Sequence[int]:
        return self._topology.rdma if instance_type is InstanceType.MLX_JACCL else self._topology.sockets

    # What they are worth

    def _preference(self, group: Group) -> tuple[bool, float, int]:
        """As exo prefers: a group with a leaf of the topology, then weights that are there, then free memory."""
        leaves = self._topology.leaves
        return (
            any(leaves >> number & 1 for number in group),
            sum([self._shares[number] for number in group]),
            self._memory(group),
        )

    def _memory(self, group: Sequence[int]) -> int:
        return sum([self._free[number] for number in group])

    @cached_property
    def _shares(self) -> Sequence[float]:
        """Part of the weights that each node has on disk, from 0 to 1."""
        return [self._share(node_id) for node_id in self._topology.ids]

    def _share(self, node_id: str) -> float:
        download = self._snapshot.state.download(node_id, self._demand.card.id)
        if download is None or download.kind is DownloadKind.FAILED:
            return 0.0
        if download.kind is DownloadKind.COMPLETED:
            return 1.0
        return (download.downloaded_bytes or 0) / download.total_bytes if download.total_bytes else 0.0

    def _shortage(self, group: Group, sharding: Sharding) -> NoFit:
        card = self._demand.card
        free = {self._topology.ids[number]: self._free[number] for number in group}
        size, available = card.storage_bytes or 0, sum(free.values())
        added = split(card, tuple(free), sharding, free) or {}
        short = max(size - available, sum(max(0, part - free[node_id]) for node_id, part in added.items()))
        if short <= 0:
            # There is room for the weights, but none to spare.
            spare = sum(max(0, with_margin(part) - free[node_id]) for node_id, part in added.items())
            short = max(with_margin(size) - available, spare, 1)
        return NoFit("Not enough free memory.", available_bytes=available, shortfall_bytes=short)
