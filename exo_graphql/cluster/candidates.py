"""The groups of nodes on which one model could be placed: the one that exo would choose, or what is missing there."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from math import comb

from exo_graphql.cluster.groups import Group, Groups, Need
from exo_graphql.cluster.memory import fits_into, split, with_margin
from exo_graphql.cluster.placement_request import ALONE, Fit, NoFit, PlacementRequest, backends_of
from exo_graphql.cluster.preference import Preference
from exo_graphql.cluster.search_budget import SearchBudget
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import InstanceType, Sharding

# Steps charged for a listed group that its memory alone rules out: two sums.
_LISTED_STEPS = 2


class Candidates:
    """The candidate groups for one request, given the free memory (bytes by node id)."""

    def __init__(
        self, snapshot: Snapshot, request: PlacementRequest, free: Mapping[str, int], budget: SearchBudget
    ) -> None:
        self._snapshot = snapshot
        self._topology = snapshot.topology
        self._request = request
        self._free_by_id = free
        self._free = [max(0, free.get(node_id, 0)) for node_id in self._topology.ids]
        """Bytes by number."""
        self._groups = Groups(self._topology, self._free, budget)
        self._preference = Preference(snapshot, request.card, self._groups)
        self._budget = budget
        self._pools: dict[InstanceType, Sequence[int]] = {}
        """The nodes that may take part, by instance type."""
        self._layers: Sequence[int] | None = None
        """Layers that fit on each node, by number; None until needed."""

    def first(self, count: int, sharding: Sharding, instance_type: InstanceType) -> Fit | None:
        """The preferred group of that size that fits. None also where the budget ran out."""
        need = self._need(count, sharding, instance_type)
        numbers = [number for number in self._pool(instance_type) if need.capacity[number]]
        if not need.is_met_by(numbers[:count]):
            return None

        def accept(group: Group) -> Fit | None:
            return self._split(group, sharding, instance_type)

        if self._request.node_ids is not None:
            return accept(tuple(sorted(numbers))) if self._groups.is_group(numbers, instance_type) else None
        for part in self._groups.searchable_parts(numbers, count, instance_type):
            if not need.is_met_by(part[:count]):
                continue
            find = self._best_listed if self._groups.are_few(part, count) else self._first_found
            fit = find(part, need, accept)
            if fit is not None:
                return fit
        return None

    def least_short(
        self, counts: Sequence[int], sharding: Sharding, instance_type: InstanceType
    ) -> Fit | NoFit | str | None:
        """How much is missing on the group of these sizes with the smallest shortfall; or why no group is of this kind.

        It is a `Fit` where `first` missed one because its budget ran out. None: no size is possible, for no reason
        of this kind.
        """
        numbers = self._pool(instance_type)
        possible = [count for count in counts if count <= len(numbers)]
        if not possible:
            named = self._request.node_ids
            reporting = sum(id_ in self._free_by_id and (named is None or id_ in named) for id_ in self._topology.ids)
            if counts and counts[0] <= reporting:
                return (
                    f"Not every node supports a backend that {self._request.card.id} needs for {instance_type.value}."
                )
            return None
        groups: list[Group] = []
        if (sharding, instance_type) == ALONE and self._request.node_ids is None:
            # Layers follow free memory, so most memory is the smallest shortfall: see the example in `placement`.
            # Only where that group is too small for the request does each size count.
            heaviest = self._groups.heaviest(numbers)
            groups = [heaviest] if heaviest is not None and len(heaviest) in possible else []
        if not groups:
            found = (self._large(numbers, count, instance_type) for count in possible)
            groups = [group for group in found if group is not None]
        for group in groups:
            fit = self._split(group, sharding, instance_type)
            if fit is not None:
                return fit
        if groups:
            return min(
                (self._shortfall(group, sharding) for group in groups), key=lambda no_fit: no_fit.shortfall_bytes or 0
            )
        if instance_type is InstanceType.MLX_JACCL:
            return "MLX_JACCL needs RDMA enabled on, and RDMA connections between, all nodes of the instance."
        return None

    # Nodes

    def _pool(self, instance_type: InstanceType) -> Sequence[int]:
        """The nodes that may take part, those with most free memory first."""
        pool = self._pools.get(instance_type)
        if pool is None:
            backends, named = backends_of(self._request.card, instance_type), self._request.node_ids
            usable = (
                number
                for number, node in enumerate(self._snapshot.state.nodes.values())
                if node.id in self._free_by_id
                and (named is None or node.id in named)
                and (node.backends is None or not backends.isdisjoint(node.backends))
            )
            pool = self._pools[instance_type] = sorted(usable, key=self._free.__getitem__, reverse=True)
        return pool

    def _need(self, count: int, sharding: Sharding, instance_type: InstanceType) -> Need:
        """What a group of that size needs, and the capacity of each node, in units that nodes take whole.

        The unit is a layer for a pipeline, else the shard of one node: a model of 30 layers needs 30, and nodes with
        memory for 19 and 12 layers have 31. As tensor over two nodes it needs 2, and each has 1 or 0. A node with 0
        cannot take part: exo gives every node of a group a shard.
        """
        card = self._request.card
        size = card.storage_bytes or 0
        if sharding is Sharding.TENSOR or count == 1:
            shard = with_margin(size // count)
            return Need(count, instance_type, [int(free >= shard) for free in self._free], count)
        if self._layers is None:
            layer = max(1, with_margin(size) // (card.layer_count or size))
            self._layers = [free // layer for free in self._free]
        return Need(count, instance_type, self._layers, card.layer_count or size)

    # Groups

    def _best_listed(self, numbers: Sequence[int], need: Need, accept: Callable[[Group], Fit | None]) -> Fit | None:
        """The group that exo would choose of those that fit: all are listed, the preferred first."""
        budget = self._budget
        listed = comb(len(numbers), need.count)
        if not budget.allows(listed * _LISTED_STEPS):
            return None
        budget.spend(listed * _LISTED_STEPS, listed)
        # Not by `Need.is_met_by`: thousands of calls would take as long as the sums.
        capacity, total = need.capacity, need.total
        groups = combinations(numbers, need.count)
        large_enough = [group for group in groups if sum([capacity[number] for number in group]) >= total]
        large_enough.sort(key=self._preference.rank, reverse=True)
        for group in large_enough:
            if not budget.allows(need.count):
                return None
            budget.spend(need.count, 0)
            if self._groups.is_group(group, need.instance_type):
                fit = accept(group)
                if fit is not None:
                    return fit
        return None

    def _first_found(self, numbers: Sequence[int], need: Need, accept: Callable[[Group], Fit | None]) -> Fit | None:
        """A group that fits; one of nodes that have the weights on disk if the search finds one."""
        orders = [numbers]
        on_disk = self._preference.on_disk
        if any(on_disk):
            by_weights = sorted(numbers, key=lambda number: (on_disk[number], self._free[number]), reverse=True)
            orders = [by_weights, numbers]
        for order in orders:
            fit = self._groups.search(order, need, accept)
            if fit is not None:
                return fit
        return None

    def _split(self, group: Group, sharding: Sharding, instance_type: InstanceType) -> Fit | None:
        if instance_type is InstanceType.MLX_JACCL and not self._groups.is_group(group, instance_type):
            return None
        added = split(self._request.card, [self._topology.ids[number] for number in group], sharding, self._free_by_id)
        return Fit(sharding, instance_type, added) if added is not None and fits_into(added, self._free_by_id) else None

    # What is missing

    def _large(self, numbers: Sequence[int], count: int, instance_type: InstanceType) -> Group | None:
        """A group of that size with much memory; if the request names its nodes, only all of them are one."""
        if self._request.node_ids is None:
            return self._groups.large(numbers, count, instance_type)
        return tuple(numbers) if self._groups.is_group(numbers, instance_type) else None

    def _shortfall(self, group: Group, sharding: Sharding) -> NoFit:
        card = self._request.card
        free = {self._topology.ids[number]: self._free[number] for number in group}
        size, available = card.storage_bytes or 0, sum(free.values())
        added = split(card, tuple(free), sharding, free) or {}
        short = max(size - available, sum(max(0, part - free[node_id]) for node_id, part in added.items()))
        if short <= 0:
            # The weights fit, but without the margin.
            margin = sum(max(0, with_margin(part) - free[node_id]) for node_id, part in added.items())
            short = max(with_margin(size) - available, margin, 1)
        return NoFit("Not enough free memory.", available_bytes=available, shortfall_bytes=short)
