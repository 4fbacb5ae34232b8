"""The plan of an operation, made before anything is touched: where each model goes, or why it cannot. Pure.

`plan` is all of it: a function of one snapshot, the request, what other operations have reserved, and exo's previews.
Its order of tries, with an example: B (40 GiB) is to replace A (20 GiB) on a node of 64 GiB.

1. A healthy instance of B that is as requested is adopted; nothing is placed.
2. Beside A, in what is free and not reserved. With 44 GiB free B is loaded first, and A serves until B is ready.
3. In place of A. With 24 GiB free it is 24 + 20 = 44 once A is gone: A is unloaded first.
4. After other operations. With 15 GiB free it would be 35, but another operation unloads C (10 GiB): this one waits.
5. Not at all: with 15 GiB free and nothing to wait for, 35 are less than the 41.6 that B needs with its margin.

A load of B alone has no step 3. A dry run shows the result (`placements.py`), an operation executes it, and a waiting
operation plans again. `fetch.py` asks exo for the previews.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from exo_graphql.cluster.memory import freed
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.placement_request import Fit, NoFit, PlacementRequest
from exo_graphql.cluster.search_budget import SearchBudget
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.operations.choice import choice, refusal
from exo_graphql.operations.errors import PlacementRefused
from exo_graphql.operations.offload import give_way
from exo_graphql.operations.plan import NoPlan, Plan, draft, is_healthy
from exo_graphql.operations.planner import difference, forecast, placement_request
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
    prefer: Mapping[str, Sequence[str]] | None = None,
) -> Plan | NoPlan | PlacementRefused:
    """Where each model goes now, or which operations it has to wait for; or why it cannot be. Raises `Unasked`.

    `prefer`: the nodes by model that were shown before. They are chosen again wherever they still fit: of two equal
    nodes, exo takes the one that has a few more bytes free at the moment.
    """
    preferred = prefer or {}
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
        nodes = preferred.get(targets[0].model_id, ())
        return _plan_load(snapshot, saga_state, targets[0], requests[0], reservations, previews, nodes)
    for wanted in requests:
        reason = wanted.contradiction or refusal(
            previews.of(Question(wanted.card.id, tuple(resolved.node_ids or ()))), wanted
        )
        if reason is not None:
            return PlacementRefused(
                message=f"exo would not place {wanted.card.id}: {reason}",
                suggestion="Query the placements of the model to see why each sharding and instance type is refused.",
                reason=reason,
            )
    if preferred and resolved.node_ids is None:
        same_nodes = [replace(w, node_ids=frozenset(preferred[w.card.id])) for w in requests if w.card.id in preferred]
        if len(same_nodes) == len(requests):
            again = _plan_swap(snapshot, saga_state, targets, same_nodes, reservations)
            if isinstance(again, Plan):
                return again
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
        differences = {instance.id: difference(snapshot, instance, wanted) for instance in healthy}
        matching = [instance.id for instance in healthy if differences[instance.id] is None]
        if target.adopts in matching or target.adopts not in differences:
            continue
        if not matching:
            reason = f"It is loaded as {differences[target.adopts]}."
            return PlacementRefused(
                message=f"{target.model_id} cannot be placed as requested. {reason}",
                suggestion="Unload it first, leave out the preference, or load another copy with additional: true.",
                reason=reason,
            )
        target.adopts = min(matching, key=lambda id_: not snapshot.instance_status(id_).ready)
        target.ready = snapshot.instance_status(target.adopts).ready
    return None


def _plan_load(
    snapshot: Snapshot,
    saga_state: SagaState,
    target: Target,
    wanted: PlacementRequest,
    reservations: Sequence[Reservation],
    previews: Previews,
    prefer: Sequence[str],
) -> Plan | NoPlan:
    saga_state.side_by_side = True
    chosen = choice(snapshot, wanted, unreserved(snapshot, reservations), previews, prefer)
    if isinstance(chosen, NoFit):
        return _wait_or_not(snapshot, saga_state, [target], [wanted], reservations, chosen)
    target.instance, target.takes = chosen.instance, chosen.takes
    return Plan(saga_state, fits=(chosen.fit,))


def _plan_swap(
    snapshot: Snapshot,
    saga_state: SagaState,
    targets: list[Target],
    requests: list[PlacementRequest],
    reservations: Sequence[Reservation],
) -> Plan | NoPlan:
    """Loading first where old and new fit together: then the old model serves until the new one is ready."""
    free = unreserved(snapshot, reservations)
    fits = _forecast(snapshot, requests, free)
    saga_state.side_by_side = not isinstance(fits, NoFit)
    if isinstance(fits, NoFit):
        fits = _forecast(snapshot, requests, freed(free, [removal.takes for removal in saga_state.removals]))
    if isinstance(fits, NoFit):
        return _wait_or_not(snapshot, saga_state, targets, requests, reservations, fits)
    _reserve(targets, fits)
    return Plan(saga_state, fits=fits)


def _wait_or_not(
    snapshot: Snapshot,
    saga_state: SagaState,
    targets: list[Target],
    requests: list[PlacementRequest],
    reservations: Sequence[Reservation],
    no_fit: NoFit,
) -> Plan | NoPlan:
    """A plan that waits, if it fits once the operations that release memory have ended."""
    leaving = [removal.takes for removal in saga_state.removals]
    releasing = tuple(reservation.operation_id for reservation in reservations if reservation.releases(snapshot))
    if no_fit.about_memory and releasing:
        later = _forecast(snapshot, requests, freed(free_later(snapshot, reservations), leaving))
        if not isinstance(later, NoFit):
            # Not placed yet, but the first to get what becomes free.
            _reserve(targets, later)
            return Plan(saga_state, releasing, later)
    states = [saga_state, *(reservation.saga_state for reservation in reservations)]
    return NoPlan(
        requests=tuple(requests),
        no_fit=no_fit,
        free=freed(unreserved(snapshot, reservations), leaving),
        busy=frozenset(
            [target.model_id for state in states for target in state.targets]
            + [removal.instance.model_id for state in states for removal in state.removals]
        ),
        holders=tuple(r.operation_id for r in reservations if r.reserved(snapshot) or r.waiting),
    )


def holds(plan: Plan, snapshot: Snapshot, reservations: Sequence[Reservation]) -> bool:
    """Whether the plan is still right, given a newer snapshot and what others have reserved since it was made.

    A plan that waits must fit once they all have ended, and one that it waits for must still be about to release
    memory. For example B (40 GiB) is to wait until A (30 GiB) is unloaded from a node with 20 GiB free. While exo was
    asked, C has reserved 15 of these 20: 35 GiB will be free, so B would wait for memory that it cannot get.
    """
    leaving = [removal.takes for removal in plan.saga_state.removals]
    if plan.waiting_for:
        free = freed(free_later(snapshot, reservations), leaving)
        releasing = {other.operation_id for other in reservations if other.releases(snapshot)}
        if releasing.isdisjoint(plan.waiting_for):
            return False
    else:
        free = unreserved(snapshot, reservations)
        if not plan.saga_state.side_by_side:
            free = freed(free, leaving)
    taken: Counter[str] = Counter()
    for target in plan.saga_state.targets:
        taken.update(target.takes)
    return all(size <= free.get(node_id, -1) for node_id, size in taken.items())


def _forecast(
    snapshot: Snapshot, requests: Sequence[PlacementRequest], free: Mapping[str, int]
) -> tuple[Fit, ...] | NoFit:
    return forecast(PlacementSearch(snapshot), requests, free, SearchBudget(pause=give_way))


def _reserve(targets: Sequence[Target], fits: Sequence[Fit]) -> None:
    for target, fit in zip(targets, fits, strict=True):
        target.takes = fit.takes
