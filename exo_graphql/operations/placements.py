"""What if: where a model would go, for each way to place it, or why it would not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exo_graphql.cluster.capacity import freed, instance_bytes
from exo_graphql.cluster.groups import Demand, Fit, Groups, Misfit
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import InstanceType, ModelCard, Sharding
from exo_graphql.cluster.units import gib
from exo_graphql.cluster.upstream import Offer, Refused, Unreachable, Upstream
from exo_graphql.operations.admission import present
from exo_graphql.operations.claims import Claim, free_now
from exo_graphql.operations.problems import ClusterUnavailable, InvalidArgument, PlacementRefused, Problem
from exo_graphql.operations.wishes import invalid_name, resolve_model, resolve_nodes

_WAYS = (
    (Sharding.PIPELINE, InstanceType.MLX_RING),
    (Sharding.PIPELINE, InstanceType.MLX_JACCL),
    (Sharding.TENSOR, InstanceType.MLX_RING),
    (Sharding.TENSOR, InstanceType.MLX_JACCL),
)


@dataclass(frozen=True, slots=True)
class NodeShare:
    """What a node would be given, and what it has for it (free, and promised to nobody). Bytes."""

    node_id: str
    added_bytes: int
    available_bytes: int | None


@dataclass(frozen=True, slots=True)
class PlacementView:
    """One way to place the model. `reason` says why it does not fit; None where it does."""

    sharding: Sharding
    instance_type: InstanceType
    fits: bool
    reason: str | None
    nodes: tuple[NodeShare, ...] = ()


async def views(
    upstream: Upstream,
    claims: Sequence[Claim],
    model: str,
    min_nodes: int | None,
    nodes: Sequence[str] | None,
    unload: Sequence[str] | None,
) -> tuple[PlacementView, ...] | Problem:
    """One view for each sharding and instance type; exo's own offers, or, with `unload`, computed as exo would."""
    for argument, name in (
        ("model", model),
        *(("nodes", n) for n in nodes or ()),
        *(("unload", n) for n in unload or ()),
    ):
        problem: Problem | None = invalid_name(argument, name)
        if problem is not None:
            return problem
    if min_nodes is not None and min_nodes < 1:
        return InvalidArgument(message=f"{min_nodes} nodes.", suggestion="Ask for 1 or more.", argument="minNodes")
    snapshot = await present(upstream, to_act=False)
    if isinstance(snapshot, Problem):
        return snapshot
    card = resolve_model(snapshot, model)
    if isinstance(card, Problem):
        return card
    node_ids = None if nodes is None else resolve_nodes(snapshot, nodes)
    if isinstance(node_ids, Problem):
        return node_ids
    leaving: list[Mapping[str, int]] = []
    for name in unload or ():
        gone = resolve_model(snapshot, name)
        if isinstance(gone, Problem):
            return gone
        leaving += [instance_bytes(instance, snapshot.models) for instance in snapshot.instances_of(gone.id)]
    exactly = None if node_ids is None else frozenset(node_ids)
    free = freed(free_now(snapshot, claims), leaving)
    if unload:
        groups = Groups(snapshot)
        return tuple(_computed(groups, Demand(card, (way,), min_nodes or 1, exactly), way, free) for way in _WAYS)
    try:
        offers = await upstream.offers(card.id, tuple(node_ids or ()))
    except Unreachable as error:
        return ClusterUnavailable(
            message=f"exo does not answer: {error}",
            suggestion="See that exo runs and can be reached, then ask again.",
            last_seen_at=snapshot.observed_at,
        )
    except Refused as error:
        return PlacementRefused(
            message=f"exo refused: {error}", suggestion="See exo's log, then ask again.", reason=str(error)
        )
    return tuple(_offered(snapshot, card, offers, way, min_nodes or 1, exactly, free) for way in _WAYS)


def _computed(
    groups: Groups, demand: Demand, way: tuple[Sharding, InstanceType], free: Mapping[str, int]
) -> PlacementView:
    fit = groups.fit(demand, free)
    if isinstance(fit, Fit):
        return _view(way, fit.added_bytes, free)
    return PlacementView(*way, fits=False, reason=_missing(fit), nodes=())


def _missing(misfit: Misfit) -> str:
    if misfit.shortfall_bytes is None:
        return misfit.reason
    return f"{misfit.reason} {gib(misfit.shortfall_bytes)} GiB are missing on the nodes that come nearest."


def _offered(
    snapshot: Snapshot,
    card: ModelCard,
    offers: Sequence[Offer],
    way: tuple[Sharding, InstanceType],
    min_nodes: int,
    exactly: frozenset[str] | None,
    free: Mapping[str, int],
) -> PlacementView:
    """The smallest of exo's offers of this way that the caller's bounds allow."""
    models = {**snapshot.models, card.id: card}
    found: list[dict[str, int]] = []
    reason: str | None = None
    for offer in offers:
        if (offer.sharding, offer.instance_type) != way:
            continue
        if offer.instance is None:
            reason = reason or offer.reason
            continue
        takes = instance_bytes(offer.instance, models)
        if len(takes) >= min_nodes and (exactly is None or takes.keys() == exactly):
            found.append(takes)
    if found:
        return _view(way, min(found, key=len), free)
    fallback = (
        "exo offers no such placement on these nodes." if exactly is not None else "exo offers no such placement."
    )
    return PlacementView(*way, fits=False, reason=reason or fallback)


def _view(way: tuple[Sharding, InstanceType], added: Mapping[str, int], free: Mapping[str, int]) -> PlacementView:
    shares = tuple(NodeShare(node_id, size, free.get(node_id)) for node_id, size in added.items())
    short = [share for share in shares if share.available_bytes is None or share.added_bytes > share.available_bytes]
    reason = None
    if short:
        reason = "The memory is promised to operations under way or to instances that are loading, or too small."
    return PlacementView(*way, fits=not short, reason=reason, nodes=shares)
