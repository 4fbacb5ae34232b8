"""What is wanted and what is loaded: one comparison of the two, and the one act that follows from it. Pure.

Read in this order: `compare`, the five acts that it tries, then `assess` for the state and reason. A comparison depends
on its arguments alone, on no event and no other history: so it continues after a restart of this server as if there had
been none. For example at 23:00 the window of `fast` closes and that of `big` opens:

    23:00  `fast` is not wanted, `big` is missing and fits only without `fast`: a swap of the two (`_close_gap`)
    23:01  an operation is under way for `big`: PROGRESSING, nothing else is begun
    23:05  the swap was rolled back: `fast` serves, `big` is RETRYING; `fast` is not unloaded, since `big` is missing
    23:06  `big` is due again: the same swap
    23:09  `big` is READY, and nothing is left to do
"""

from dataclasses import dataclass

from exo_graphql.deployments.acts import Act, Cancel, Change, Fetch
from exo_graphql.deployments.assess import Assessment, assess, why_not_wanted
from exo_graphql.deployments.space import NoSpace, Space
from exo_graphql.deployments.status import DeploymentStatus
from exo_graphql.deployments.view import Derived, View

PINNED_ATTEMPTS = 2
"""Attempts on nodes that we choose. From the third on exo chooses, if any nodes are allowed: ours may not work."""

CHECKED_AT_ONCE = 5
"""Closed deployments whose weights one comparison checks: all of two hundred at once would take 16 ms."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome. `act` is None where nothing is to be done now."""

    act: Act | None
    assessments: list[Assessment]
    weights_there: list[str]
    """Uids of deployments whose weights were checked, and need not be fetched."""


def compare(given: View) -> Comparison:
    """Assesses every deployment and decides on one act at most."""
    view = Derived(given)
    act: Act | None = None
    if given.snapshot.stale:
        pass  # it shows what was, not what is
    elif view.ours:
        act = _cancel(view) or _fetch(view)
    else:
        act = _delete_dead(view) or _close_gap(view) or _unload(view) or _fetch(view)
    assessments = [assess(view, each, act) for each in view.statuses if not each.deployment.deleted]
    return Comparison(act, assessments, view.weights_there)


# The acts, in the order in which they are considered


def _cancel(view: Derived) -> Cancel | None:
    """Cancels a load that is not wanted any more. A swap that has begun to unload finishes, or restores."""
    for operation in view.ours:
        loads = [each for each in view.statuses if each.deployment.spec.model_id in operation.load_ids]
        unloading = operation.step("unload")
        begun = unloading is not None and unloading.started_at is not None
        if loads and not begun and not any(each.wanted for each in loads):
            return Cancel(operation.id, f"{loads[0].name} is not wanted any more.")
    return None


def _delete_dead(view: Derived) -> Change | None:
    """Deletes an own instance that will not return, so that its memory is free before another is placed."""
    for each in view.statuses:
        if each.dead and not (view.is_busy(each) or view.is_held_back(each) or view.is_contested(each)):
            return Change(each.deployment, unload=each.dead, because="It has been out of reach for a minute.")
    return None


def _close_gap(view: Derived) -> Change | None:
    """Loads the first missing copy that may be loaded now, in place of others where it does not fit beside them.

    A later one comes before it if it fits without unloading, on other nodes: it serves sooner. For example `a` needs a
    swap of five minutes on node 1, and `b` fits into free memory on node 2: `b` is loaded first.
    """
    first: tuple[DeploymentStatus, Space] | None = None
    for each in view.by_rank:
        # The search for space comes last: it takes longer than everything else together.
        if view.is_unsettled(each) or view.obstacle(each) is not None:
            continue
        space = view.space(each) if first is None else view.rough_space(each)
        if isinstance(space, NoSpace) or view.obstacle(each, space) is not None:
            continue
        if view.lacking(each, space) is not None:
            continue  # `_fetch` requests them
        if not space.unload and (first is None or set(space.node_ids).isdisjoint(first[1].node_ids)):
            return _load(view, each, space)
        first = first or (each, space)
    return None if first is None else _load(view, *first)


def _load(view: Derived, each: DeploymentStatus, space: Space) -> Change:
    spec = each.deployment.spec
    pinned = each.deployment.attempts < PINNED_ATTEMPTS or spec.replicas > 1 or view.somebody_is_stale
    drains = [view.owner(instance).deployment.spec.drain_seconds for instance in space.unload]
    return Change(
        each.deployment,
        load=each.deployment,
        node_ids=space.node_ids if pinned or each.node_ids is not None else None,
        another=bool(each.copies or each.surplus),
        counts=not each.is_additional,
        unload=space.unload,
        drain_seconds=max(drains, default=0),
        because=f"{each.name} is wanted and not loaded.",
    )


def _unload(view: Derived) -> Change | None:
    """Unloads what is not wanted, unless it serves until something else is loaded."""
    for each in view.statuses:
        if not each.surplus or each.missing or view.is_busy(each):
            continue
        if view.is_held_back(each) or view.is_contested(each):
            continue
        if view.held_for(each) is None:
            drain = each.deployment.spec.drain_seconds
            why = why_not_wanted(each)
            return Change(each.deployment, unload=each.surplus, drain_seconds=drain, because=why)
    return None


def _fetch(view: Derived) -> Fetch | None:
    """Fetches the weights of what is wanted or will be, so that an opening need not download."""
    checked = 0
    for each in view.statuses:
        deployment = each.deployment
        if view.is_fetched_later(each) or view.is_busy(each):
            continue
        if each.is_closed and not each.copies:
            checked += 1
            if checked > CHECKED_AT_ONCE:
                continue
            space = view.space_if_empty(each)
        elif each.missing and not view.is_unsettled(each) and view.obstacle(each, beside_ours=True) is None:
            space = view.rough_space(each)
        else:
            continue
        found = view.lacking(each, space) if isinstance(space, Space) else None
        if found is not None and found.to_fetch:
            return Fetch(deployment, found.to_fetch)
        if each.is_closed:
            view.weights_there.append(deployment.uid)
    return None
