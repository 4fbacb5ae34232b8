"""Planned before anything is touched: whether the wish fits, now, after the unload, or once others are done."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from exo_graphql.cluster.memory import freed, instance_bytes
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.placement_request import NoFit, PlacementRequest
from exo_graphql.cluster.readiness import BROKEN
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance
from exo_graphql.cluster.upstream import Upstream
from exo_graphql.operations.errors import InsufficientMemory, OperationError, PlacementRefused
from exo_graphql.operations.membership import members_of
from exo_graphql.operations.operation import OperationKind, Step
from exo_graphql.operations.planner import choose, forecast, placement_request, refusal, refused, unlike
from exo_graphql.operations.requests import OperationRequest
from exo_graphql.operations.reservations import Reservation, both, free_later, free_now
from exo_graphql.operations.saga_state import Removal, SagaState, Target

# A plan is made anew when others were promised memory while exo was asked.
ATTEMPTS = 3

Reservations = Callable[[], Sequence[Reservation]]
"""The claims of the operations that come first, as they are when it is called."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """It fits once these operations have released memory."""

    operation_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Refused:
    """It does not fit. `busy` models cannot be proposed for unloading; `holding` are operations with claims."""

    snapshot: Snapshot
    placement_requests: list[PlacementRequest]
    free: Mapping[str, int]
    no_fit: NoFit
    busy: frozenset[str]
    holding: list[str]


def is_healthy(snapshot: Snapshot, instance: Instance) -> bool:
    """Whether it serves or is on its way there."""
    return snapshot.instance_status(instance.id).phase not in BROKEN and instance.id not in snapshot.given_up


def draft(
    snapshot: Snapshot, request: OperationRequest, load_ids: Sequence[str], unload_ids: Sequence[str]
) -> SagaState:
    """What is to be loaded and unloaded, before it is known where it fits."""
    saga_state = SagaState(
        only_instances=request.only_instances,
        members=members_of(snapshot),
        before={instance.id: instance.model_id for instance in snapshot.state.instances.values()},
    )
    for model_id in load_ids:
        healthy = [i for i in snapshot.instances_of(model_id) if is_healthy(snapshot, i)]
        # One that is ready is better to follow than one on its way.
        healthy.sort(key=lambda instance: not snapshot.instance_status(instance.id).ready)
        adopts = healthy[0].id if healthy and not request.additional else None
        ready = adopts is not None and snapshot.instance_status(adopts).ready
        saga_state.targets.append(Target(model_id, adopts=adopts, ready=ready))
    for model_id in unload_ids:
        removals = removals_of(snapshot, model_id, request.only_instances)
        saga_state.removals.extend(removals)
        if not removals:
            saga_state.unloaded_already.append(model_id)
    return saga_state


def removals_of(snapshot: Snapshot, model_id: str, only: Sequence[str] | None) -> list[Removal]:
    """The instances of a model that are to be unloaded."""
    return [
        Removal(
            instance,
            instance_bytes(instance, snapshot.models),
            is_healthy(snapshot, instance),
            ready=snapshot.instance_status(instance.id).ready,
        )
        for instance in snapshot.instances_of(model_id)
        if only is None or instance.id in only
    ]


def steps(kind: OperationKind, saga_state: SagaState) -> tuple[Step, ...]:
    """The steps that the operation will take if all goes well."""
    load = [name for target in saga_state.targets for name in step_names(saga_state, target)]
    unload = ["drain", "unload", "memory"]
    if kind is OperationKind.LOAD:
        names = ["plan", *load]
    elif kind is OperationKind.UNLOAD:
        names = unload
    elif saga_state.side_by_side:
        names = ["plan", *load, *unload]
    else:
        names = ["plan", "download", *unload, *load]
    return tuple(Step(name) for name in names)


def step_names(saga_state: SagaState, target: Target) -> tuple[str, str]:
    """The two steps of a target; with several models they carry its name."""
    of = f" {target.model_id}" if len(saga_state.targets) > 1 else ""
    return f"place{of}", f"load{of}"


def summary(saga_state: SagaState, same_ids: Sequence[str]) -> str:
    """What the plan has found, as sentences."""
    told = [f"{id_} is on both sides: it stays." for id_ in same_ids]
    told += [f"{target.model_id} is loaded already." for target in saga_state.targets if target.adopts is not None]
    told += [f"{id_} is not loaded: nothing to unload." for id_ in saga_state.unloaded_already]
    if saga_state.removals and saga_state.targets:
        together = (
            "New and old fit together: loading first." if saga_state.side_by_side else "It fits after the unload."
        )
        told.append(together)
    if saga_state.removals and not saga_state.targets:
        told.append(f"To be unloaded: {', '.join(dict.fromkeys(d.instance.model_id for d in saga_state.removals))}.")
    return " ".join(told) or "It fits."


async def plan(
    upstream: Upstream,
    snapshot: Snapshot,
    request: OperationRequest,
    saga_state: SagaState,
    node_ids: Sequence[str] | None,
    reservations: Reservations,
) -> OperationError | Waiting | None:
    """Fills in where each target goes; or says what it has to wait for, or why it cannot be.

    Returns without another wait after the claims were last looked at, so that the caller can register its own before
    anybody else is promised the same. Raises what `Upstream` raises.
    """
    unlike_asked = _follow_what_is_asked_for(snapshot, request, saga_state, node_ids)
    if unlike_asked is not None:
        return unlike_asked
    wanted = [t for t in saga_state.targets if t.adopts is None]
    placement_requests = [placement_request(snapshot.models[target.model_id], request, node_ids) for target in wanted]
    if not placement_requests:
        saga_state.side_by_side = True
        return None
    if not saga_state.removals and len(wanted) == 1:
        return await _plan_load(upstream, snapshot, saga_state, wanted[0], placement_requests[0], reservations)
    for each in placement_requests:
        reason = each.contradiction or refusal(await upstream.previews(each.card.id, tuple(node_ids or ())), each)
        if reason is not None:
            return PlacementRefused(
                message=f"exo would not place {each.card.id}: {reason}",
                suggestion="Ask for the placements of the model to see what exo says of each way to place it.",
                reason=reason,
            )
    outlook = _plan_swap(upstream.snapshot or snapshot, saga_state, wanted, placement_requests, reservations())
    return await _refusal(outlook) if isinstance(outlook, _Refused) else outlook


def _follow_what_is_asked_for(
    snapshot: Snapshot, request: OperationRequest, saga_state: SagaState, node_ids: Sequence[str] | None
) -> PlacementRefused | None:
    """Sees to it that what is followed is placed as asked for. The refusal where nothing that is loaded is."""
    for target in saga_state.targets:
        if target.adopts is None:
            continue
        wanted = placement_request(snapshot.models[target.model_id], request, node_ids)
        healthy = [instance for instance in snapshot.instances_of(target.model_id) if is_healthy(snapshot, instance)]
        differences = {instance.id: unlike(snapshot, instance, wanted) for instance in healthy}
        alike = [instance.id for instance in healthy if differences[instance.id] is None]
        if target.adopts in alike or target.adopts not in differences:
            continue
        if not alike:
            reason = f"It is loaded as {differences[target.adopts]}."
            return PlacementRefused(
                message=f"{target.model_id} cannot be placed as asked for. {reason}",
                suggestion="Unload it first, ask without the preference, or load another copy with additional: true.",
                reason=reason,
            )
        target.adopts = min(alike, key=lambda id_: not snapshot.instance_status(id_).ready)
        target.ready = snapshot.instance_status(target.adopts).ready
    return None


async def _plan_load(
    upstream: Upstream,
    snapshot: Snapshot,
    saga_state: SagaState,
    target: Target,
    wanted: PlacementRequest,
    reservations: Reservations,
) -> OperationError | Waiting | None:
    saga_state.side_by_side = True
    found: NoFit | None = None
    for _ in range(ATTEMPTS):
        free = _unreserved(snapshot, reservations())
        chosen = await choose(upstream, snapshot, wanted, free)
        snapshot = upstream.snapshot or snapshot
        if isinstance(chosen, NoFit):
            found = chosen
            break
        free = _unreserved(snapshot, reservations())
        if all(size <= free.get(node_id, -1) for node_id, size in chosen.takes.items()):
            target.instance, target.takes = chosen.instance, chosen.takes
            return None
    others = reservations()
    groups = PlacementSearch(snapshot)
    found = found or _no_fit(groups.fit(wanted, _unreserved(snapshot, others)))
    outlook = _wait_or_refuse(snapshot, saga_state, [target], [wanted], others, groups, found)
    return await _refusal(outlook) if isinstance(outlook, _Refused) else outlook


def _plan_swap(
    snapshot: Snapshot,
    saga_state: SagaState,
    targets: list[Target],
    placement_requests: list[PlacementRequest],
    others: Sequence[Reservation],
) -> "_Refused | Waiting | None":
    groups = PlacementSearch(snapshot)
    free = _unreserved(snapshot, others)
    fits = forecast(groups, placement_requests, free)
    saga_state.side_by_side = not isinstance(fits, NoFit)
    if isinstance(fits, NoFit):
        fits = forecast(groups, placement_requests, freed(free, [d.takes for d in saga_state.removals]))
    if isinstance(fits, NoFit):
        return _wait_or_refuse(snapshot, saga_state, targets, placement_requests, others, groups, fits)
    for target, fit in zip(targets, fits, strict=True):
        target.takes = fit.takes
    return None


def _wait_or_refuse(
    snapshot: Snapshot,
    saga_state: SagaState,
    targets: list[Target],
    placement_requests: list[PlacementRequest],
    others: Sequence[Reservation],
    groups: PlacementSearch,
    no_fit: NoFit,
) -> "_Refused | Waiting":
    leaving = [removal.takes for removal in saga_state.removals]
    releasing = tuple(reservation.operation_id for reservation in others if reservation.releases(snapshot))
    if no_fit.about_memory and releasing:
        later = forecast(groups, placement_requests, freed(free_later(snapshot, others), leaving))
        if not isinstance(later, NoFit):
            # Not placed yet, but the first to be served of what becomes free.
            for target, fit in zip(targets, later, strict=True):
                target.takes = fit.takes
            return Waiting(releasing)
    busy = {target.model_id for target in saga_state.targets} | {d.instance.model_id for d in saga_state.removals}
    busy |= {d.instance.model_id for reservation in others for d in reservation.saga_state.removals}
    busy |= {target.model_id for reservation in others for target in reservation.saga_state.targets}
    free = freed(_unreserved(snapshot, others), leaving)
    holding = [
        reservation.operation_id for reservation in others if reservation.reserved(snapshot) or reservation.waiting
    ]
    return _Refused(snapshot, placement_requests, free, no_fit, frozenset(busy), holding)


async def _refusal(outlook: "_Refused") -> OperationError:
    """The problem to answer. What would have to be unloaded may take long to find: in a thread."""
    o = outlook
    error = await asyncio.to_thread(refused, o.snapshot, o.placement_requests, o.free, o.no_fit, o.busy)
    holding = o.holding
    if isinstance(error, InsufficientMemory) and not error.unload_to_fit_ids and holding:
        advice = f"Memory is promised to operation {', '.join(holding)}: wait for it, or cancel it. {error.suggestion}"
        return replace(error, suggestion=advice)
    return error


def _unreserved(snapshot: Snapshot, others: Sequence[Reservation]) -> dict[str, int]:
    return both(free_now(snapshot, others), free_later(snapshot, others))


def _no_fit(fit: object) -> NoFit:
    return fit if isinstance(fit, NoFit) else NoFit("Others were promised the memory while exo was asked.")
