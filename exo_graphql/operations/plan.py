"""Planned before anything is touched: whether the wish fits, now, after the unload, or once others are done."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from exo_graphql.cluster.groups import Demand, Groups, Misfit
from exo_graphql.cluster.memory import freed, instance_bytes
from exo_graphql.cluster.readiness import BROKEN
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance
from exo_graphql.cluster.upstream import Upstream
from exo_graphql.operations.errors import InsufficientMemory, PlacementRefused, Problem
from exo_graphql.operations.membership import members_of
from exo_graphql.operations.operation import OperationKind, Step
from exo_graphql.operations.planner import choose, demand, forecast, refusal, refused, unlike
from exo_graphql.operations.requests import Wish
from exo_graphql.operations.reservations import Claim, both, free_later, free_now
from exo_graphql.operations.saga_state import Departure, Memo, Target

# A plan is made anew when others were promised memory while exo was asked.
ATTEMPTS = 3

Claims = Callable[[], Sequence[Claim]]
"""The claims of the operations that come first, as they are when it is called."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """It fits once these operations have released memory."""

    operation_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Refused:
    """It does not fit. `busy` models cannot be proposed for unloading; `holding` are operations with claims."""

    snapshot: Snapshot
    demands: list[Demand]
    free: Mapping[str, int]
    misfit: Misfit
    busy: frozenset[str]
    holding: list[str]


def is_sound(snapshot: Snapshot, instance: Instance) -> bool:
    """Whether it serves or is on its way there."""
    return snapshot.reading(instance.id).phase not in BROKEN and instance.id not in snapshot.given_up


def draft(snapshot: Snapshot, wish: Wish, load_ids: Sequence[str], unload_ids: Sequence[str]) -> Memo:
    """What is to be loaded and unloaded, before it is known where it fits."""
    memo = Memo(
        only_instance=wish.instance,
        members=members_of(snapshot),
        before={instance.id: instance.model_id for instance in snapshot.state.instances.values()},
    )
    for model_id in load_ids:
        sound = [i for i in snapshot.instances_of(model_id) if is_sound(snapshot, i)]
        # One that is ready is better to follow than one on its way.
        sound.sort(key=lambda instance: not snapshot.reading(instance.id).ready)
        follows = sound[0].id if sound and not wish.additional else None
        ready = follows is not None and snapshot.reading(follows).ready
        memo.targets.append(Target(model_id, follows=follows, ready=ready))
    for model_id in unload_ids:
        departures = departing(snapshot, model_id, wish.instance)
        memo.departures.extend(departures)
        if not departures:
            memo.unloaded_already.append(model_id)
    return memo


def departing(snapshot: Snapshot, model_id: str, only: str | None) -> list[Departure]:
    """The instances of a model that are to be unloaded."""
    return [
        Departure(
            instance,
            instance_bytes(instance, snapshot.models),
            is_sound(snapshot, instance),
            ready=snapshot.reading(instance.id).ready,
        )
        for instance in snapshot.instances_of(model_id)
        if only is None or instance.id == only
    ]


def steps(kind: OperationKind, memo: Memo) -> tuple[Step, ...]:
    """The steps that the operation will take if all goes well."""
    load = [name for target in memo.targets for name in step_names(memo, target)]
    unload = ["drain", "unload", "memory"]
    if kind is OperationKind.LOAD:
        names = ["plan", *load]
    elif kind is OperationKind.UNLOAD:
        names = unload
    elif memo.side_by_side:
        names = ["plan", *load, *unload]
    else:
        names = ["plan", "download", *unload, *load]
    return tuple(Step(name) for name in names)


def step_names(memo: Memo, target: Target) -> tuple[str, str]:
    """The two steps of a target; with several models they carry its name."""
    of = f" {target.model_id}" if len(memo.targets) > 1 else ""
    return f"place{of}", f"load{of}"


def summary(memo: Memo, same_ids: Sequence[str]) -> str:
    """What the plan has found, as sentences."""
    told = [f"{id_} is on both sides: it stays." for id_ in same_ids]
    told += [f"{target.model_id} is loaded already." for target in memo.targets if target.follows is not None]
    told += [f"{id_} is not loaded: nothing to unload." for id_ in memo.unloaded_already]
    if memo.departures and memo.targets:
        together = "New and old fit together: loading first." if memo.side_by_side else "It fits after the unload."
        told.append(together)
    if memo.departures and not memo.targets:
        told.append(f"To be unloaded: {', '.join(dict.fromkeys(d.instance.model_id for d in memo.departures))}.")
    return " ".join(told) or "It fits."


async def plan(
    upstream: Upstream, snapshot: Snapshot, wish: Wish, memo: Memo, node_ids: Sequence[str] | None, claims: Claims
) -> Problem | Waiting | None:
    """Fills in where each target goes; or says what it has to wait for, or why it cannot be.

    Returns without another wait after the claims were last looked at, so that the caller can register its own before
    anybody else is promised the same. Raises what `Upstream` raises.
    """
    unlike_asked = _follow_what_is_asked_for(snapshot, wish, memo, node_ids)
    if unlike_asked is not None:
        return unlike_asked
    wanted = [t for t in memo.targets if t.follows is None]
    demands = [demand(snapshot.models[target.model_id], wish, node_ids) for target in wanted]
    if not demands:
        memo.side_by_side = True
        return None
    if not memo.departures and len(wanted) == 1:
        return await _plan_load(upstream, snapshot, memo, wanted[0], demands[0], claims)
    for each in demands:
        reason = each.contradiction or refusal(await upstream.offers(each.card.id, tuple(node_ids or ())), each)
        if reason is not None:
            return PlacementRefused(
                message=f"exo would not place {each.card.id}: {reason}",
                suggestion="Ask for the placements of the model to see what exo says of each way to place it.",
                reason=reason,
            )
    outlook = _plan_swap(upstream.snapshot or snapshot, memo, wanted, demands, claims())
    return await _refusal(outlook) if isinstance(outlook, _Refused) else outlook


def _follow_what_is_asked_for(
    snapshot: Snapshot, wish: Wish, memo: Memo, node_ids: Sequence[str] | None
) -> PlacementRefused | None:
    """Sees to it that what is followed is placed as asked for. The refusal where nothing that is loaded is."""
    for target in memo.targets:
        if target.follows is None:
            continue
        wanted = demand(snapshot.models[target.model_id], wish, node_ids)
        sound = [instance for instance in snapshot.instances_of(target.model_id) if is_sound(snapshot, instance)]
        differences = {instance.id: unlike(snapshot, instance, wanted) for instance in sound}
        alike = [instance.id for instance in sound if differences[instance.id] is None]
        if target.follows in alike or target.follows not in differences:
            continue
        if not alike:
            reason = f"It is loaded as {differences[target.follows]}."
            return PlacementRefused(
                message=f"{target.model_id} cannot be placed as asked for. {reason}",
                suggestion="Unload it first, ask without the preference, or load another copy with additional: true.",
                reason=reason,
            )
        target.follows = min(alike, key=lambda id_: not snapshot.reading(id_).ready)
        target.ready = snapshot.reading(target.follows).ready
    return None


async def _plan_load(
    upstream: Upstream, snapshot: Snapshot, memo: Memo, target: Target, wanted: Demand, claims: Claims
) -> Problem | Waiting | None:
    memo.side_by_side = True
    found: Misfit | None = None
    for _ in range(ATTEMPTS):
        free = _unpromised(snapshot, claims())
        chosen = await choose(upstream, snapshot, wanted, free)
        snapshot = upstream.snapshot or snapshot
        if isinstance(chosen, Misfit):
            found = chosen
            break
        free = _unpromised(snapshot, claims())
        if all(size <= free.get(node_id, -1) for node_id, size in chosen.takes.items()):
            target.instance, target.takes = chosen.instance, chosen.takes
            return None
    others = claims()
    groups = Groups(snapshot)
    found = found or _misfit(groups.fit(wanted, _unpromised(snapshot, others)))
    outlook = _wait_or_refuse(snapshot, memo, [target], [wanted], others, groups, found)
    return await _refusal(outlook) if isinstance(outlook, _Refused) else outlook


def _plan_swap(
    snapshot: Snapshot, memo: Memo, targets: list[Target], demands: list[Demand], others: Sequence[Claim]
) -> "_Refused | Waiting | None":
    groups = Groups(snapshot)
    free = _unpromised(snapshot, others)
    fits = forecast(groups, demands, free)
    memo.side_by_side = not isinstance(fits, Misfit)
    if isinstance(fits, Misfit):
        fits = forecast(groups, demands, freed(free, [d.takes for d in memo.departures]))
    if isinstance(fits, Misfit):
        return _wait_or_refuse(snapshot, memo, targets, demands, others, groups, fits)
    for target, fit in zip(targets, fits, strict=True):
        target.takes = fit.takes
    return None


def _wait_or_refuse(
    snapshot: Snapshot,
    memo: Memo,
    targets: list[Target],
    demands: list[Demand],
    others: Sequence[Claim],
    groups: Groups,
    misfit: Misfit,
) -> "_Refused | Waiting":
    leaving = [departure.takes for departure in memo.departures]
    releasing = tuple(claim.operation_id for claim in others if claim.releases(snapshot))
    if misfit.about_memory and releasing:
        later = forecast(groups, demands, freed(free_later(snapshot, others), leaving))
        if not isinstance(later, Misfit):
            # Not placed yet, but the first to be served of what becomes free.
            for target, fit in zip(targets, later, strict=True):
                target.takes = fit.takes
            return Waiting(releasing)
    busy = {target.model_id for target in memo.targets} | {d.instance.model_id for d in memo.departures}
    busy |= {d.instance.model_id for claim in others for d in claim.memo.departures}
    busy |= {target.model_id for claim in others for target in claim.memo.targets}
    free = freed(_unpromised(snapshot, others), leaving)
    holding = [claim.operation_id for claim in others if claim.reserved(snapshot) or claim.waiting]
    return _Refused(snapshot, demands, free, misfit, frozenset(busy), holding)


async def _refusal(outlook: "_Refused") -> Problem:
    """The problem to answer. What would have to be unloaded may take long to find: in a thread."""
    o = outlook
    problem = await asyncio.to_thread(refused, o.snapshot, o.demands, o.free, o.misfit, o.busy)
    holding = o.holding
    if isinstance(problem, InsufficientMemory) and not problem.unload_to_fit_ids and holding:
        advice = (
            f"Memory is promised to operation {', '.join(holding)}: wait for it, or cancel it. {problem.suggestion}"
        )
        return replace(problem, suggestion=advice)
    return problem


def _unpromised(snapshot: Snapshot, others: Sequence[Claim]) -> dict[str, int]:
    return both(free_now(snapshot, others), free_later(snapshot, others))


def _misfit(fit: object) -> Misfit:
    return fit if isinstance(fit, Misfit) else Misfit("Others were promised the memory while exo was asked.")
