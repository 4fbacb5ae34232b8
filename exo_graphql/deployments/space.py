"""Where a deployment would be placed, and what would have to be unloaded for it. Pure, and asks exo nothing.

Only what deployments own, and what `Standing.may_displace` allows, is ever proposed for unloading. What is not
satisfiable reserves nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from exo_graphql.cluster.memory import freed, instance_bytes, with_margin
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.placement_request import Fit, PlacementRequest
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance
from exo_graphql.cluster.units import gib
from exo_graphql.deployments.standing import Nodes, Standing, node_ids

NAMED_HOLDERS = 5
"""Instances that a reason names: all of fifty would hide what is lacking."""


@dataclass(frozen=True, slots=True)
class Space:
    """A place for one more copy. `node_ids` hold it; `unload` are the instances that have to go first."""

    node_ids: tuple[str, ...]
    unload: tuple[Instance, ...] = ()


@dataclass(frozen=True, slots=True)
class NoSpace:
    """Why there is none, in sentences."""

    reason: str
    available_bytes: int | None = None
    """Free on the nodes that come nearest; None where memory is not the reason."""
    shortfall_bytes: int | None = None


class SpaceSearch:
    """Looks for space in one snapshot. `free` is bytes by node that is promised to nobody."""

    def __init__(
        self, snapshot: Snapshot, free: Mapping[str, int], standings: Sequence[Standing], nodes: Nodes
    ) -> None:
        self._snapshot = snapshot
        self._search = PlacementSearch(snapshot)
        # exo would place on a node that has just died: it looks at the members alone.
        self._free = {node_id: size for node_id, size in free.items() if node_id in nodes.online}
        self._standings = standings
        self._nodes = nodes
        self._owners = {id_: other for other in standings for id_ in other.deployment.owned}

    def find(self, standing: Standing, *, ever: bool = False) -> Space | NoSpace:
        """Where the next copy would go: beside what is loaded if it fits, else in place of as little as will do.

        `ever`: as if everything that deployments own were gone, for weights that are fetched ahead.
        """
        spec = standing.deployment.spec
        card = self._snapshot.models.get(spec.model_id)
        if card is None:
            return NoSpace(f"The cluster does not know the model {spec.model_id}.")
        if standing.unknown_nodes:
            return NoSpace(f"{_names(standing.unknown_nodes)} is not there, or several members have that name.")
        if standing.unlike is not None and not standing.copies:
            return NoSpace(f"Somebody else has loaded {spec.model_id} as {standing.unlike}. Unload it first.")
        taken = node_ids([i for i in standing.copies if i not in standing.surplus])
        free = {node_id: size for node_id, size in self._free.items() if node_id not in taken}
        wanted = spec.placement(card, standing.node_ids)
        same = self._last_placement(standing, taken)
        if ever:
            owned = [i for other in self._standings for i in (*other.copies, *other.surplus)]
            return self._fit(wanted, same, freed(free, self._held(dict.fromkeys(owned))))
        beside = self._fit(wanted, same, free)
        if isinstance(beside, Space):
            return beside
        leaving = self._displaceable(standing)
        found = self._fit(wanted, same, freed(free, self._held(leaving)))
        if isinstance(found, NoSpace):
            return replace(found, reason=f"{found.reason}{self._holders(leaving)}")
        # Those that are most worth keeping are asked first whether they may stay.
        for instance in reversed(leaving):
            rest = [other for other in leaving if other is not instance]
            fewer = self._fit(wanted, same, freed(free, self._held(rest)))
            if isinstance(fewer, Space):
                leaving, found = rest, fewer
        return Space(found.node_ids, tuple(leaving))

    def _last_placement(self, standing: Standing, taken: frozenset[str]) -> tuple[str, ...] | None:
        """The nodes of a copy's last good placement, while it has not been tried and all of them are there."""
        if standing.deployment.attempts or standing.node_ids is not None:
            return None
        for names in standing.deployment.placements:
            ids, unknown = self._nodes.named(names)
            if not unknown and taken.isdisjoint(ids):
                return ids
        return None

    def _fit(self, wanted: PlacementRequest, same: tuple[str, ...] | None, free: Mapping[str, int]) -> Space | NoSpace:
        if same is not None:
            on_the_same = PlacementRequest(wanted.card, wanted.kinds, wanted.min_nodes, frozenset(same))
            fit = self._search.fit(on_the_same, free)
            if isinstance(fit, Fit):
                return Space(tuple(fit.added_bytes))
        needed = with_margin(wanted.card.storage_bytes or 0)
        usable = sum(max(0, size) for id_, size in free.items() if wanted.node_ids is None or id_ in wanted.node_ids)
        if usable < needed:
            # Said without a search: with two hundred deployments most do not fit, and this is asked each second.
            return NoSpace(_short(wanted, usable, needed - usable), usable, needed - usable)
        fit = self._search.fit(wanted, free)
        if isinstance(fit, Fit):
            return Space(tuple(fit.added_bytes))
        if fit.shortfall_bytes is not None and fit.available_bytes is not None:
            return NoSpace(
                _short(wanted, fit.available_bytes, fit.shortfall_bytes) + fit.caveat,
                fit.available_bytes,
                fit.shortfall_bytes,
            )
        return NoSpace(f"{fit.reason}{fit.caveat}")

    def _displaceable(self, standing: Standing) -> list[Instance]:
        """What may be unloaded for it, the least worth keeping first: what is not wanted, then lower priorities."""
        others = [other for other in self._standings if standing.may_displace(other)]
        others.sort(key=lambda other: (other.wanted, other.deployment.spec.priority, other.name))
        found = [*standing.surplus]
        found += [i for other in others for i in other.surplus]
        found += [
            instance
            for other in others
            for instance in other.copies
            if instance.id in other.deployment.owned and instance not in other.surplus
        ]
        return list({instance.id: instance for instance in found}.values())

    def _held(self, instances: Sequence[Instance] | Mapping[Instance, None]) -> list[dict[str, int]]:
        """The memory that is free once these are gone, as operations count it."""
        return [instance_bytes(instance, self._snapshot.models) for instance in instances]

    def _holders(self, leaving: Sequence[Instance]) -> str:
        """Who holds memory that cannot be taken, the first few of them."""
        gone = {instance.id for instance in leaving}
        staying = [instance for instance in self._snapshot.state.instances.values() if instance.id not in gone]
        holders: dict[str, None] = {}
        for instance in staying[:NAMED_HOLDERS]:
            owner = self._owners.get(instance.id)
            who = f"deployment {owner.name}" if owner is not None else "not of a deployment"
            holders[f"{instance.model_id} ({who})"] = None
        more = f" and {len(staying) - NAMED_HOLDERS} more" if len(staying) > NAMED_HOLDERS else ""
        return f" Memory is held by {_names(tuple(holders))}{more}." if holders else ""


def _short(wanted: PlacementRequest, available: int, short: int) -> str:
    needed = gib(with_margin(wanted.card.storage_bytes or 0))
    return (
        f"{wanted.card.id} needs {needed} GiB with what has to stay free; the best candidate nodes have "
        f"{gib(available)} GiB: {gib(short)} GiB short."
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)
