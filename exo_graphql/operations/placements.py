"""A dry run: where a model would be placed, for each sharding and instance type, or why it would not fit.

Each of the four is the `plan` of a load of another copy with that preference, or of a swap where models are to be
unloaded. So a placement fits exactly where that load or swap would be accepted and begin at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from exo_graphql.cluster.memory import freed, instance_bytes, with_margin
from exo_graphql.cluster.placement_request import Fit
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import InstanceType, Sharding
from exo_graphql.cluster.units import gib
from exo_graphql.cluster.upstream import Refused, Unreachable, Upstream
from exo_graphql.operations.errors import InvalidArgument, OperationError, PlacementRefused, no_answer, refused_by_exo
from exo_graphql.operations.fetch import decide_all, outcome_of
from exo_graphql.operations.offload import Offload, in_thread
from exo_graphql.operations.operation import OperationKind
from exo_graphql.operations.plan import NoPlan, Plan
from exo_graphql.operations.planning import plan
from exo_graphql.operations.previews import Previews
from exo_graphql.operations.requests import (
    InstanceTypePreference,
    Kind,
    OperationRequest,
    ShardingPreference,
    invalid_name,
    resolve_model,
    resolve_nodes,
)
from exo_graphql.operations.reservations import Reservation, free_now
from exo_graphql.operations.resolution import ResolvedRequest, present

_KINDS: tuple[Kind, ...] = (
    (Sharding.PIPELINE, InstanceType.MLX_RING),
    (Sharding.PIPELINE, InstanceType.MLX_JACCL),
    (Sharding.TENSOR, InstanceType.MLX_RING),
    (Sharding.TENSOR, InstanceType.MLX_JACCL),
)


@dataclass(frozen=True, slots=True)
class NodeShare:
    """What a node would hold of the model, and its memory that is free and not reserved. Bytes."""

    node_id: str
    added_bytes: int
    available_bytes: int | None

    @property
    def needed_bytes(self) -> int:
        """What has to be free for it: the weights, and the margin beyond them."""
        return with_margin(self.added_bytes)


@dataclass(frozen=True, slots=True)
class PlacementView:
    """One way to place the model: named by the instance that it would make, which may differ from the requested kind.

    `reason` says why it does not fit; None where it does.
    """

    model_id: str
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
    """One view for each sharding and instance type. With `unload`, as part of a swap for these models."""
    for argument, name in (
        ("model", model),
        *(("nodes", n) for n in nodes or ()),
        *(("unload", n) for n in unload or ()),
    ):
        error: OperationError | None = invalid_name(argument, name)
        if error is not None:
            return error
    if min_nodes is not None and min_nodes < 1:
        return InvalidArgument(
            message=f"{min_nodes} nodes cannot hold a model.", suggestion="Use 1 or more.", argument="minNodes"
        )
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
    request = OperationRequest(
        OperationKind.SWAP if gone else OperationKind.LOAD,
        load=(card.id,),
        unload=tuple(gone),
        min_nodes=min_nodes or 1,
        nodes=node_ids,
        additional=True,
    )
    resolved = ResolvedRequest((card.id,), request.unload, node_ids)
    try:
        return await decide_all(upstream, view_decisions(snapshot, request, resolved, reservations), offload)
    except Unreachable as failure:
        return no_answer(failure, snapshot.observed_at)
    except Refused as failure:
        return refused_by_exo(failure)


def view_decisions(
    snapshot: Snapshot, request: OperationRequest, resolved: ResolvedRequest, reservations: Sequence[Reservation]
) -> list[Callable[[Previews], PlacementView]]:
    """The decision of each sharding and instance type, for a request that loads one model."""
    return [partial(_view, snapshot, kind, request, resolved, reservations) for kind in _KINDS]


async def previewed(
    upstream: Upstream,
    snapshot: Snapshot,
    request: OperationRequest,
    resolved: ResolvedRequest,
    reservations: Sequence[Reservation],
    offload: Offload = in_thread,
) -> tuple[Plan | OperationError, tuple[PlacementView, ...]]:
    """The outcome of a request, and its placements: the chosen ones, then, of a single model, all others.

    Both from the same answers of exo. Raises what `Upstream` raises.
    """
    decisions: list[Callable[[Previews], Plan | OperationError | PlacementView]] = [
        partial(outcome_of, snapshot, request, resolved, reservations, None)
    ]
    if len(resolved.load_ids) == 1:
        decisions += view_decisions(snapshot, replace(request, additional=True), resolved, reservations)
    outcome, *found = await decide_all(upstream, decisions, offload)
    views = [view for view in found if isinstance(view, PlacementView)]
    if isinstance(outcome, PlacementView):  # for type checkers: the first decision is the outcome
        raise TypeError
    if not isinstance(outcome, Plan):
        return outcome, tuple(views)
    free = _free_after(snapshot, resolved, reservations)
    placed = [target.model_id for target in outcome.saga_state.targets if target.adopts is None]
    chosen = [_fitting(model_id, fit, free) for model_id, fit in zip(placed, outcome.fits, strict=True)]
    others = [view for view in views if view not in chosen] if chosen else []
    return outcome, (*chosen, *others)


def _view(
    snapshot: Snapshot,
    kind: Kind,
    request: OperationRequest,
    resolved: ResolvedRequest,
    reservations: Sequence[Reservation],
    previews: Previews,
) -> PlacementView:
    sharding, instance_type = kind
    one_kind = replace(
        request,
        sharding=ShardingPreference[sharding.name],
        instance_type=InstanceTypePreference[instance_type.name],
    )
    outcome = plan(snapshot, one_kind, resolved, reservations, previews)
    (model_id,) = resolved.load_ids
    if not isinstance(outcome, Plan):
        return PlacementView(model_id, sharding, instance_type, fits=False, reason=_reason(outcome))
    if outcome.waiting_for:
        reason = f"It fits once memory has been released by operation {', '.join(outcome.waiting_for)}."
        return PlacementView(model_id, sharding, instance_type, fits=False, reason=reason)
    (fit,) = outcome.fits
    return _fitting(model_id, fit, _free_after(snapshot, resolved, reservations))


def _free_after(
    snapshot: Snapshot, resolved: ResolvedRequest, reservations: Sequence[Reservation]
) -> Mapping[str, int]:
    """Free memory by node, in bytes, without what is to be unloaded."""
    leaving = [
        instance_bytes(instance, snapshot.models)
        for id_ in resolved.unload_ids
        for instance in snapshot.instances_of(id_)
    ]
    return freed(free_now(snapshot, reservations, margin=False), leaving)


def _fitting(model_id: str, fit: Fit, free: Mapping[str, int]) -> PlacementView:
    shares = tuple(NodeShare(node_id, size, free.get(node_id)) for node_id, size in fit.added_bytes.items())
    return PlacementView(model_id, fit.sharding, fit.instance_type, fits=True, reason=None, nodes=shares)


def _reason(outcome: NoPlan | PlacementRefused) -> str:
    if isinstance(outcome, PlacementRefused):
        return outcome.reason
    no_fit = outcome.no_fit
    if no_fit.shortfall_bytes is None:
        return f"{no_fit.reason}{no_fit.caveat}"
    short = f"The best candidate nodes are {gib(no_fit.shortfall_bytes)} GiB short."
    held = f" Memory is reserved by operation {', '.join(outcome.holders)}." if outcome.holders else ""
    return f"{no_fit.reason} {short}{held}{no_fit.caveat}"
