"""Where a deployment would be placed, and what would have to be unloaded for it. Pure: exo is not asked.

Only what deployments own, and what `DeploymentStatus.may_displace` allows, is ever proposed for unloading. For example
three nodes have 100 GiB each, `day` (priority 1) owns 250 GiB on them, `batch` (priority 0) is wanted and needs 120:
there is no space. With the priorities the other way round, the space is that of `day`, with `day` in `unload`.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, takewhile

from exo_graphql.cluster.memory import freed, instance_bytes, with_margin
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.placement_request import UNSHARDED, Fit, PlacementRequest
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance, ModelCard
from exo_graphql.cluster.units import gib
from exo_graphql.deployments.status import DeploymentStatus, Nodes, node_ids

NAMED_HOLDERS = 5
"""Instances that a reason names. A list of fifty would hide how much memory is short."""


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
    """Free on the best candidate nodes; None where memory is not the reason."""
    shortfall_bytes: int | None = None
    caveat: str = ""
    """The end of `reason`, where the search has stopped before its end."""


@dataclass(frozen=True, slots=True)
class _Assumed:
    """Free memory by node, in bytes, if some instances were unloaded, and its sum."""

    key: tuple[frozenset[str], frozenset[str]]
    """Nodes that are left out, and instances that count as unloaded."""
    free: Mapping[str, int]
    usable: int


_Fitting = Callable[[PlacementRequest, tuple[str, ...] | None, _Assumed], Space | NoSpace]


class SpaceSearch:
    """Looks for space in one snapshot. `free` is the unreserved memory by node, in bytes."""

    def __init__(
        self, snapshot: Snapshot, free: Mapping[str, int], statuses: Sequence[DeploymentStatus], nodes: Nodes
    ) -> None:
        self._snapshot = snapshot
        self._search = PlacementSearch(snapshot)
        # exo itself would place on a node that has just died: it checks only that the node is a member.
        self._free = {node_id: size for node_id, size in free.items() if node_id in nodes.online}
        self._statuses = statuses
        self._nodes = nodes
        self._owners = {id_: other for other in statuses for id_ in other.deployment.owned}
        loaded = [other for other in statuses if other.copies or other.surplus]
        loaded.sort(key=lambda other: (other.wanted, other.deployment.spec.priority, other.name))
        self._loaded = loaded
        """The least valuable first."""
        self._lowest = min((o.deployment.spec.priority for o in loaded if o.wanted), default=0)
        self._assumed: dict[tuple[frozenset[str], frozenset[str]], _Assumed] = {}
        self._known: dict[Hashable, Space | NoSpace] = {}

    def find(self, status: DeploymentStatus) -> Space | NoSpace:
        """Where the next copy would go: beside what is loaded if it fits, else in place of as few as possible."""
        space = self._find(status, self._fit)
        if isinstance(space, NoSpace) or not space.unload:
            return space
        wanted, taken, same = self._request(status)
        leaving, found = list(space.unload), space
        # Try to keep the most valuable ones first.
        for instance in space.unload[::-1]:
            rest = [other for other in leaving if other is not instance]
            fewer = self._fit(wanted, same, self._assume(taken, rest))
            if isinstance(fewer, Space):
                leaving, found = rest, fewer
        return Space(found.node_ids, tuple(leaving))

    def find_roughly(self, status: DeploymentStatus) -> Space | NoSpace:
        """Whether there is space, and roughly where, for a deployment that is not loaded next.

        Deployments whose models have the same shape share one answer: one search is enough for fifty of them.
        """
        return self._find(status, self._fit_of_its_shape)

    def find_if_empty(self, status: DeploymentStatus) -> Space | NoSpace:
        """Where it would go if everything that deployments own were unloaded: weights are fetched to there ahead."""
        error = self._refusal(status)
        if error is not None:
            return error
        wanted, taken, same = self._request(status)
        owned = [i for other in self._statuses for i in (*other.copies, *other.surplus)]
        return self._fit(wanted, same, self._assume(taken, owned))

    def _find(self, status: DeploymentStatus, fit: _Fitting) -> Space | NoSpace:
        error = self._refusal(status)
        if error is not None:
            return error
        wanted, taken, same = self._request(status)
        beside = fit(wanted, same, self._assume(taken, ()))
        if isinstance(beside, Space):
            return beside
        leaving = self._displaceable(status)
        found = fit(wanted, same, self._assume(taken, leaving)) if leaving else beside
        if isinstance(found, NoSpace):
            holders = self._holders(leaving) if leaving else self._all_holders
            return NoSpace(f"{found.reason}{holders}", found.available_bytes, found.shortfall_bytes, found.caveat)
        return Space(found.node_ids, tuple(leaving))

    def _refusal(self, status: DeploymentStatus) -> NoSpace | None:
        """Why there is no space, however much memory is free; None where nothing but memory decides."""
        model_id = status.deployment.spec.model_id
        if model_id not in self._snapshot.models:
            return NoSpace(f"The cluster does not know the model {model_id}.")
        if status.unknown_nodes:
            return NoSpace(
                f"{_names(status.unknown_nodes)} is not a node of the cluster, or several nodes have that name."
            )
        if status.difference is not None and not status.copies:
            return NoSpace(f"Somebody else has loaded {model_id} as {status.difference}. Unload it first.")
        return None

    def _request(self, status: DeploymentStatus) -> tuple[PlacementRequest, frozenset[str], tuple[str, ...] | None]:
        """What is to be placed, the nodes that its other copies have taken, and those of its last good placement."""
        spec = status.deployment.spec
        taken = node_ids([i for i in status.copies if i not in status.surplus]) if status.copies else frozenset()
        wanted = spec.placement(self._snapshot.models[spec.model_id], status.node_ids)
        return wanted, taken, self._last_placement(status, taken)

    def _assume(self, taken: frozenset[str], gone: Sequence[Instance]) -> _Assumed:
        key = (taken, frozenset([instance.id for instance in gone]))
        known = self._assumed.get(key)
        if known is None:
            free = freed(
                {node_id: size for node_id, size in self._free.items() if node_id not in taken},
                # As operations count it.
                [instance_bytes(instance, self._snapshot.models) for instance in gone],
            )
            known = self._assumed[key] = _Assumed(key, free, sum(max(0, size) for size in free.values()))
        return known

    def _last_placement(self, status: DeploymentStatus, taken: frozenset[str]) -> tuple[str, ...] | None:
        """The nodes of a copy's last good placement, if all of them are there and no attempt has failed since."""
        if status.deployment.attempts or status.node_ids is not None:
            return None
        for names in status.deployment.placements:
            ids, unknown = self._nodes.named(names)
            if not unknown and taken.isdisjoint(ids):
                return ids
        return None

    def _fit(self, wanted: PlacementRequest, same: tuple[str, ...] | None, assumed: _Assumed) -> Space | NoSpace:
        found = self._known[_key(wanted, assumed)] = self._fitting(wanted, same, assumed)
        return found

    def _fitting(self, wanted: PlacementRequest, same: tuple[str, ...] | None, assumed: _Assumed) -> Space | NoSpace:
        free = assumed.free
        if same is not None:
            on_the_same = PlacementRequest(wanted.card, wanted.kinds, wanted.min_nodes, frozenset(same))
            fit = self._search.fit(on_the_same, free)
            if isinstance(fit, Fit):
                return Space(tuple(fit.added_bytes))
        needed, usable = with_margin(wanted.card.storage_bytes or 0), assumed.usable
        if wanted.node_ids is not None:
            usable = sum(max(0, free.get(id_, 0)) for id_ in wanted.node_ids)
        if usable < needed:
            # No search: with two hundred deployments most do not fit, and each of them is checked every second.
            return NoSpace(_short(wanted, usable, needed - usable), usable, needed - usable)
        fit = self._search.fit(wanted, free)
        if isinstance(fit, Fit):
            return Space(tuple(fit.added_bytes))
        if fit.shortfall_bytes is not None and fit.available_bytes is not None:
            return NoSpace(
                _short(wanted, fit.available_bytes, fit.shortfall_bytes) + fit.caveat,
                fit.available_bytes,
                fit.shortfall_bytes,
                fit.caveat,
            )
        return NoSpace(f"{fit.reason}{fit.caveat}")

    def _fit_of_its_shape(
        self, wanted: PlacementRequest, same: tuple[str, ...] | None, assumed: _Assumed
    ) -> Space | NoSpace:
        """`_fit`, or its result for another model of the same shape, though its weights may be on other nodes."""
        known = self._known.get(_key(wanted, assumed))
        if isinstance(known, Space):
            return known
        if known is None or known.available_bytes is None or known.shortfall_bytes is None:
            return self._fit(wanted, same, assumed)  # a reason that is not about memory may name the other model
        reason = _short(wanted, known.available_bytes, known.shortfall_bytes) + known.caveat
        return NoSpace(reason, known.available_bytes, known.shortfall_bytes, known.caveat)

    def _displaceable(self, status: DeploymentStatus) -> list[Instance]:
        """What may be unloaded for it, the least valuable first: what is not wanted, then lower priorities."""
        found = list(status.surplus)
        others = self._loaded
        if status.deployment.spec.priority <= self._lowest and not status.timetable.in_lead:
            # The usual case, decided at once for two hundred deployments: nothing that is wanted has to give way.
            others = list(takewhile(lambda other: not other.wanted, others))
        others = [other for other in others if status.may_displace(other)]
        found += [i for other in others for i in other.surplus]
        found += [
            instance
            for other in others
            for instance in other.copies
            if instance.id in other.deployment.owned and instance not in other.surplus
        ]
        return list({instance.id: instance for instance in found}.values())

    @cached_property
    def _all_holders(self) -> str:
        return self._holders(())

    def _holders(self, leaving: Sequence[Instance]) -> str:
        """What uses the memory that cannot be freed, as a sentence that names the first few."""
        gone, listed = {instance.id for instance in leaving}, self._snapshot.state.instances
        staying = islice((instance for id_, instance in listed.items() if id_ not in gone), NAMED_HOLDERS)
        holders: dict[str, None] = {}
        for instance in staying:
            owner = self._owners.get(instance.id)
            who = f"deployment {owner.name}" if owner is not None else "not of a deployment"
            holders[f"{instance.model_id} ({who})"] = None
        more = len(listed) - len(gone) - NAMED_HOLDERS
        return f" Memory is used by {_names(tuple(holders))}{f' and {more} more' * (more > 0)}." if holders else ""


def _key(wanted: PlacementRequest, assumed: _Assumed) -> Hashable:
    return (_shape(wanted.card), wanted.kinds, wanted.min_nodes, wanted.node_ids, assumed.key)


def _shape(card: ModelCard) -> Hashable:
    """Everything in a card that decides whether it fits: exo places two models with the same shape alike."""
    if not card.document:
        return (card.storage_bytes, card.layer_count, card.supports_tensor, card.base_model, card.id == UNSHARDED)
    document = card.document
    backends = document.get("backends")
    return (
        card.storage_bytes,
        card.layer_count,
        card.supports_tensor,
        card.base_model,
        document.get("hiddenSize"),
        document.get("numKeyValueHeads"),
        tuple(backends) if isinstance(backends, list) else None,
        card.id if card.id == UNSHARDED else None,
    )


def _short(wanted: PlacementRequest, available: int, short: int) -> str:
    needed = gib(with_margin(wanted.card.storage_bytes or 0))
    return (
        f"{wanted.card.id} needs {needed} GiB with what has to stay free; the best candidate nodes have "
        f"{gib(available)} GiB: {gib(short)} GiB short."
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)
