"""What if: where a model would go, for each way to place it, or why it would not fit."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from exo_graphql.cluster.groups import Groups
from exo_graphql.cluster.memory import fits_into, freed, instance_bytes, with_margin
from exo_graphql.cluster.placement_request import Demand, Fit, Misfit
from exo_graphql.cluster.rings import Work
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import InstanceType, Sharding
from exo_graphql.cluster.units import gib
from exo_graphql.cluster.upstream import Offer, Refused, Unreachable, Upstream
from exo_graphql.operations.admission import present
from exo_graphql.operations.errors import ClusterUnavailable, InvalidArgument, PlacementRefused, Problem
from exo_graphql.operations.planner import give_way
from exo_graphql.operations.requests import Kind, invalid_name, resolve_model, resolve_nodes
from exo_graphql.operations.reservations import Claim, free_now

T = TypeVar("T")


class Offload(Protocol):
    """Runs work off the event loop, as `asyncio.to_thread` does."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """What the work returns or raises."""
        ...


in_thread: Offload = asyncio.to_thread
"""Where nobody has a better place for it."""

_WAYS: tuple[Kind, ...] = (
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

    @property
    def needed_bytes(self) -> int:
        """What has to be free for it: the weights, and the margin beyond them."""
        return with_margin(self.added_bytes)


@dataclass(frozen=True, slots=True)
class _Memory:
    """Bytes by node: what may be given out, and what is free as far as nodes report, promises taken off."""

    free: Mapping[str, int]
    shown: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PlacementView:
    """One way to place the model: as the instance would be, and not as exo was asked.

    `reason` says why it does not fit; None where it does.
    """

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
    offload: Offload = in_thread,
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
    gone: dict[str, None] = {}
    for name in unload or ():
        named = resolve_model(snapshot, name)
        if isinstance(named, Problem):
            return named
        gone[named.id] = None
    bounds = [Demand(card, (way,), min_nodes or 1, None if node_ids is None else frozenset(node_ids)) for way in _WAYS]
    leaving = [instance_bytes(instance, snapshot.models) for id_ in gone for instance in snapshot.instances_of(id_)]
    memory = _Memory(
        freed(free_now(snapshot, claims), leaving), freed(free_now(snapshot, claims, margin=False), leaving)
    )
    if unload:
        return await offload(partial(_all_computed, snapshot, bounds, memory))
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
    return await offload(lambda: tuple(_offered(snapshot, offers, demand, memory) for demand in bounds))


def _all_computed(snapshot: Snapshot, demands: Sequence[Demand], memory: _Memory) -> tuple[PlacementView, ...]:
    groups = Groups(snapshot)
    return tuple(_computed(groups, demand, memory) for demand in demands)


def _computed(groups: Groups, demand: Demand, memory: _Memory) -> PlacementView:
    fit = groups.fit(demand, memory.free, Work(pause=give_way))
    (way,) = demand.kinds
    if isinstance(fit, Fit):
        return _view(way, fit.added_bytes, memory)
    return PlacementView(*way, fits=False, reason=_missing(fit), nodes=())


def _missing(misfit: Misfit) -> str:
    if misfit.shortfall_bytes is None:
        return f"{misfit.reason}{misfit.caveat}"
    short = f"The best candidate nodes are {gib(misfit.shortfall_bytes)} GiB short."
    return f"{misfit.reason} {short}{misfit.caveat}"


def _offered(snapshot: Snapshot, offers: Sequence[Offer], demand: Demand, memory: _Memory) -> PlacementView:
    """The smallest of exo's offers of this way that the caller's bounds allow, named after what it holds.

    exo lists a pipeline over a ring on one node under each sharding and instance type that it is asked for.
    """
    (way,) = demand.kinds
    models = {**snapshot.models, demand.card.id: demand.card}
    found: list[tuple[Kind, dict[str, int]]] = []
    reason = demand.contradiction
    on_one_node = False
    for offer in offers:
        if (offer.sharding, offer.instance_type) != way:
            continue
        held = offer.instance
        if held is None:
            reason = reason or offer.reason
        elif not demand.accepts(held.sharding, held.instance_type):
            on_one_node = True
        else:
            takes = instance_bytes(held, models)
            if len(takes) >= demand.min_nodes and (demand.node_ids is None or takes.keys() == demand.node_ids):
                found.append(((held.sharding or way[0], held.instance_type or way[1]), takes))
    if found:
        kind, takes = min(found, key=lambda one: len(one[1]))
        return _view(kind, takes, memory)
    if reason is None and on_one_node and demand.node_ids is None:
        reason = demand.no_group
    where = " on these nodes" if demand.node_ids is not None else ""
    return PlacementView(*way, fits=False, reason=reason or f"exo offers no such placement{where}.")


def _view(way: Kind, added: Mapping[str, int], memory: _Memory) -> PlacementView:
    shares = tuple(NodeShare(node_id, size, memory.shown.get(node_id)) for node_id, size in added.items())
    fits = fits_into(added, memory.free)
    reason = None
    if not fits:
        reason = "The memory is promised to operations under way or to instances that are loading, or too small."
    return PlacementView(*way, fits=fits, reason=reason, nodes=shares)
