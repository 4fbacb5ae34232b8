"""The plan of an operation, made before anything is touched: where each model goes, or why it cannot. Pure.

`plan` is all of it: a function of one snapshot, the request, what other operations have reserved, and exo's previews.
A dry run shows its result, an operation executes it, a waiting one plans again. `fetch.py` asks exo for what it needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from exo_graphql.cluster.memory import freed
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.placement_request import Fit, NoFit, PlacementRequest
from exo_graphql.cluster.search_budget import SearchBudget
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.operations.choice import choice, refusal
from exo_graphql.operations.errors import InsufficientMemory, OperationError, PlacementRefused
from exo_graphql.operations.offload import give_way
from exo_graphql.operations.plan import Plan, draft, is_healthy
from exo_graphql.operations.planner import forecast, placement_request, refused, unlike
from exo_graphql.operations.previews import Previews, Question
from exo_graphql.operations.requests import OperationRequest
from exo_graphql.operations.reservations import Reservation, free_later, unreserved
from exo_graphql.operations.resolution import ResolvedRequest
from exo_graphql.operations.saga_state import SagaState, Target


def plan(
    snapshot: Snapshot,
    request: OperationRequest,
    resolved: ResolvedRequest,
    reservations: Sequence[Reservation],
    previews: Previews,
) -> Plan | OperationError:
    """Where each model goes now, or which operations it has to wait for; or why it cannot be. Raises `Unasked`."""
    saga_state = draft(snapshot, request, resolved.load_ids, resolved.unload_ids)
    differs = _adopt_what_is_requested(snapshot, request, saga_state, resolved.node_ids)
    if differs is not None:
        return differs
    targets = [target for target in saga_state.targets if target.adopts is None]
    requests = [placement_request(snapshot.models[t.model_id], request, resolved.node_ids) for t in targets]
    if not requests:
        saga_state.side_by_side = True
        return Plan(saga_state)
    if not saga_state.removals and len(targets) == 1:
        return _plan_load(snapshot, saga_state, targets[0], requests[0], reservations, previews)
    for wanted in requests:
        reason = wanted.contradiction or refusal(
            previews.of(Question(wanted.card.id, tuple(resolved.node_ids or ()))), wanted
        )
        if reason is not None:
            return PlacementRefused(
                message=f"exo would not place {wanted.card.id}: {reason}",
                suggestion="Ask for the placements of the model to see what exo says of each way to place it.",
                reason=reason,
            )
    return _plan_swap(snapshot, saga_state, targets, requests, reservations)


def _adopt_what_is_requested(
    snapshot: Snapshot, request: OperationRequest, saga_state: SagaState, node_ids: Sequence[str] | None
) -> PlacementRefused | None:
    """Makes each target adopt only an instance that is placed as requested. An error where none is."""
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
                message=f"{target.model_id} cannot be placed as requested. {reason}",
                suggestion="Unload it first, ask without the preference, or load another copy with additional: true.",
                reason=reason,
            )
        target.adopts = min(alike, key=lambda id_: not snapshot.instance_status(id_).ready)
        target.ready = snapshot.instance_status(target.adopts).ready
    return None


def _plan_load(
    snapshot: Snapshot,
    saga_state: SagaState,
    target: Target,
    wanted: PlacementRequest,
    reservations: Sequence[Reservation],
    previews: Previews,
) -> Plan | OperationError:
    saga_state.side_by_side = True
    chosen = choice(snapshot, wanted, unreserved(snapshot, reservations), previews)
    if isinstance(chosen, NoFit):
        return _wait_or_refuse(snapshot, saga_state, [target], [wanted], reservations, chosen)
    target.instance, target.takes = chosen.instance, chosen.takes
    return Plan(saga_state)


def _plan_swap(
    snapshot: Snapshot,
    saga_state: SagaState,
    targets: list[Target],
    requests: list[PlacementRequest],
    reservations: Sequence[Reservation],
) -> Plan | OperationError:
    """Loading first where old and new fit together: then the old model serves until the new one is ready."""
    free = unreserved(snapshot, reservations)
    fits = _forecast(snapshot, requests, free)
    saga_state.side_by_side = not isinstance(fits, NoFit)
    if isinstance(fits, NoFit):
        fits = _forecast(snapshot, requests, freed(free, [removal.takes for removal in saga_state.removals]))
    if isinstance(fits, NoFit):
        return _wait_or_refuse(snapshot, saga_state, targets, requests, reservations, fits)
    _reserve(targets, [fit.takes for fit in fits])
    return Plan(saga_state)


def _wait_or_refuse(
    snapshot: Snapshot,
    saga_state: SagaState,
    targets: list[Target],
    requests: list[PlacementRequest],
    reservations: Sequence[Reservation],
    no_fit: NoFit,
) -> Plan | OperationError:
    leaving = [removal.takes for removal in saga_state.removals]
    releasing = tuple(reservation.operation_id for reservation in reservations if reservation.releases(snapshot))
    if no_fit.about_memory and releasing:
        later = _forecast(snapshot, requests, freed(free_later(snapshot, reservations), leaving))
        if not isinstance(later, NoFit):
            # Not placed yet, but the first to get what becomes free.
            _reserve(targets, [fit.takes for fit in later])
            return Plan(saga_state, releasing)
    # Models that are at work or leave anyway cannot be proposed for unloading.
    busy = {target.model_id for target in saga_state.targets} | {d.instance.model_id for d in saga_state.removals}
    busy |= {d.instance.model_id for reservation in reservations for d in reservation.saga_state.removals}
    busy |= {target.model_id for reservation in reservations for target in reservation.saga_state.targets}
    free = freed(unreserved(snapshot, reservations), leaving)
    error = refused(snapshot, requests, free, no_fit, frozenset(busy))
    holding = [r.operation_id for r in reservations if r.reserved(snapshot) or r.waiting]
    if isinstance(error, InsufficientMemory) and not error.unload_to_fit_ids and holding:
        advice = f"Memory is reserved by operation {', '.join(holding)}: wait for it, or cancel it. {error.suggestion}"
        return replace(error, suggestion=advice)
    return error


def _forecast(
    snapshot: Snapshot, requests: Sequence[PlacementRequest], free: Mapping[str, int]
) -> tuple[Fit, ...] | NoFit:
    return forecast(PlacementSearch(snapshot), requests, free, SearchBudget(pause=give_way))


def _reserve(targets: Sequence[Target], takes: Sequence[Mapping[str, int]]) -> None:
    for target, by_node in zip(targets, takes, strict=True):
        target.takes = dict(by_node)
