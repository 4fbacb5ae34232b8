"""A dry run: where a model would go, for each way to place it, or why it would not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from exo_graphql.cluster.memory import fits_into, freed, instance_bytes, with_margin
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.placement_request import Fit, NoFit, PlacementRequest
from exo_graphql.cluster.search_budget import SearchBudget
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import InstanceType, Sharding
from exo_graphql.cluster.units import gib
from exo_graphql.cluster.upstream import PlacementPreview, Refused, Unreachable, Upstream
from exo_graphql.operations.errors import ClusterUnavailable, InvalidArgument, OperationError, PlacementRefused
from exo_graphql.operations.fetch import decide
from exo_graphql.operations.offload import Offload, give_way, in_thread
from exo_graphql.operations.previews import Question
from exo_graphql.operations.requests import Kind, invalid_name, resolve_model, resolve_nodes
from exo_graphql.operations.reservations import Reservation, free_now
from exo_graphql.operations.resolution import present

_WAYS: tuple[Kind, ...] = (
    (Sharding.PIPELINE, InstanceType.MLX_RING),
    (Sharding.PIPELINE, InstanceType.MLX_JACCL),
    (Sharding.TENSOR, InstanceType.MLX_RING),
    (Sharding.TENSOR, InstanceType.MLX_JACCL),
)


@dataclass(frozen=True, slots=True)
class NodeShare:
    """What a node would be given, and what it has for it (free, and reserved by nobody). Bytes."""

    node_id: str
    added_bytes: int
    available_bytes: int | None

    @property
    def needed_bytes(self) -> int:
        """What has to be free for it: the weights, and the margin beyond them."""
        return with_margin(self.added_bytes)


@dataclass(frozen=True, slots=True)
class _Memory:
    """Bytes by node: what may be given out, and what is free as far as nodes report, less reservations."""

    free: Mapping[str, int]
    shown: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PlacementView:
    """One way to place the model: named by the instance that it would make, which may differ from what exo was asked.

    `reason` says why it does not fit; None where it does.
    """

    sharding: Sharding
    instance_type: InstanceType
    fits: bool
    reason: str | None
    nodes: tuple[NodeShare, ...] = ()


async def views(
    upstream: Upstream,
    reservations: Sequence[Reservation],
    model: str,
    min_nodes: int | None,
    nodes: Sequence[str] | None,
    unload: Sequence[str] | None,
    offload: Offload = in_thread,
) -> tuple[PlacementView, ...] | OperationError:
    """One view for each sharding and instance type; exo's own previews, or, with `unload`, computed as exo would."""
    for argument, name in (
        ("model", model),
        *(("nodes", n) for n in nodes or ()),
        *(("unload", n) for n in unload or ()),
    ):
        error: OperationError | None = invalid_name(argument, name)
        if error is not None:
            return error
    if min_nodes is not None and min_nodes < 1:
        return InvalidArgument(message=f"{min_nodes} nodes.", suggestion="Ask for 1 or more.", argument="minNodes")
    snapshot = await present(upstream, to_act=False)
    if isinstance(snapshot, OperationError):
        return snapshot
    card = resolve_model(snapshot, model)
    if isinstance(card, OperationError):
        return card
    node_ids = None if nodes is None else resolve_nodes(snapshot, nodes)
    if isinstance(node_ids, OperationError):
        return node_ids
    gone: dict[str, None] = {}
    for name in unload or ():
        named = resolve_model(snapshot, name)
        if isinstance(named, OperationError):
            return named
        gone[named.id] = None
    bounds = [
        PlacementRequest(card, (way,), min_nodes or 1, None if node_ids is None else frozenset(node_ids))
        for way in _WAYS
    ]
    leaving = [instance_bytes(instance, snapshot.models) for id_ in gone for instance in snapshot.instances_of(id_)]
    memory = _Memory(
        freed(free_now(snapshot, reservations), leaving), freed(free_now(snapshot, reservations, margin=False), leaving)
    )
    if unload:
        return await offload(partial(_all_computed, snapshot, bounds, memory))
    question = Question(card.id, tuple(node_ids or ()))
    try:
        return await decide(
            upstream,
            lambda previews: tuple(_offered(snapshot, previews.of(question), bound, memory) for bound in bounds),
            offload,
        )
    except Unreachable as failure:
        return ClusterUnavailable(
            message=f"exo does not answer: {failure}",
            suggestion="See that exo runs and can be reached, then ask again.",
            last_seen_at=snapshot.observed_at,
        )
    except Refused as failure:
        return PlacementRefused(
            message=f"exo refused: {failure}", suggestion="See exo's log, then ask again.", reason=str(failure)
        )


def _all_computed(
    snapshot: Snapshot, placement_requests: Sequence[PlacementRequest], memory: _Memory
) -> tuple[PlacementView, ...]:
    groups = PlacementSearch(snapshot)
    return tuple(_computed(groups, placement_request, memory) for placement_request in placement_requests)


def _computed(groups: PlacementSearch, placement_request: PlacementRequest, memory: _Memory) -> PlacementView:
    fit = groups.fit(placement_request, memory.free, SearchBudget(pause=give_way))
    (way,) = placement_request.kinds
    if isinstance(fit, Fit):
        return _view(way, fit.added_bytes, memory)
    return PlacementView(*way, fits=False, reason=_missing(fit), nodes=())


def _missing(no_fit: NoFit) -> str:
    if no_fit.shortfall_bytes is None:
        return f"{no_fit.reason}{no_fit.caveat}"
    short = f"The best candidate nodes are {gib(no_fit.shortfall_bytes)} GiB short."
    return f"{no_fit.reason} {short}{no_fit.caveat}"


def _offered(
    snapshot: Snapshot, previews: Sequence[PlacementPreview], placement_request: PlacementRequest, memory: _Memory
) -> PlacementView:
    """The smallest of exo's previews of this way that the caller's bounds allow, named after what it holds.

    exo lists a pipeline over a ring on one node under each sharding and instance type that it is asked for.
    """
    (way,) = placement_request.kinds
    models = {**snapshot.models, placement_request.card.id: placement_request.card}
    found: list[tuple[Kind, dict[str, int]]] = []
    reason = placement_request.contradiction
    on_one_node = False
    for preview in previews:
        if (preview.sharding, preview.instance_type) != way:
            continue
        held = preview.instance
        if held is None:
            reason = reason or preview.reason
        elif not placement_request.accepts(held.sharding, held.instance_type):
            on_one_node = True
        else:
            takes = instance_bytes(held, models)
            if len(takes) >= placement_request.min_nodes and (
                placement_request.node_ids is None or takes.keys() == placement_request.node_ids
            ):
                found.append(((held.sharding or way[0], held.instance_type or way[1]), takes))
    if found:
        kind, takes = min(found, key=lambda one: len(one[1]))
        return _view(kind, takes, memory)
    if reason is None and on_one_node and placement_request.node_ids is None:
        reason = placement_request.no_group
    where = " on these nodes" if placement_request.node_ids is not None else ""
    return PlacementView(*way, fits=False, reason=reason or f"exo proposes no such placement{where}.")


def _view(way: Kind, added: Mapping[str, int], memory: _Memory) -> PlacementView:
    shares = tuple(NodeShare(node_id, size, memory.shown.get(node_id)) for node_id, size in added.items())
    fits = fits_into(added, memory.free)
    reason = None
    if not fits:
        reason = "The memory is reserved by operations under way or to instances that are loading, or too small."
    return PlacementView(*way, fits=fits, reason=reason, nodes=shares)
