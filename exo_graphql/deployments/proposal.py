"""The dry run: what a deployment would do if it were applied, found by the same comparison.

What would be loaded at once is planned as the operation would plan it (`Operations.plan`), which asks exo: exo may
refuse what our own search allows. A later opening is decided by our own search alone, since a plan describes the
present. For example `night` is applied at 12:00 for 23:00, while an operation unloads another model. A plan would
say that `night` has to wait for that operation, and exo would say where it fits into what is free until then; at 23:00
neither is true any more.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from exo_graphql.cluster.memory import with_margin
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.state import Instance
from exo_graphql.deployments.acts import Change, request
from exo_graphql.deployments.space import NoSpace, Space
from exo_graphql.deployments.status import DeploymentStatus
from exo_graphql.deployments.timetable import timetable
from exo_graphql.deployments.view import Derived, View
from exo_graphql.operations import InsufficientMemory, Operations, PlacementRefused
from exo_graphql.operations.plan import Plan
from exo_graphql.operations.proposal import Fetched, Proposal


async def propose_planned(operations: Operations, given: View, uid: str) -> Proposal:
    """`propose`, refined by the plan of the operation where one would begin now, if exo answers."""
    following = _following(given, uid)
    if following.opens is None and isinstance(following.space, Space):
        space = await _planned(operations, following, following.space)
        following = replace(following, space=space)
    return _proposal(following)


def propose(given: View, uid: str) -> Proposal:
    """The next copy of the deployment of this uid, which is among those of `given`.

    While no window is open, it is what the next opening will do, as far as that can be known: with the windows as they
    will be then, and the models that are loaded now. For example at 12:00, for `night` from 23:00: the day's model is
    unloaded for it. Pure: exo is not asked.
    """
    return _proposal(_following(given, uid))


@dataclass(frozen=True, slots=True)
class _Following:
    """The next copy of a deployment, as our own search sees it."""

    view: Derived
    each: DeploymentStatus
    opens: datetime | None
    """When it is loaded; None: at once."""
    space: Space | NoSpace | None
    """Where it goes; None where no copy is to be loaded."""


def _following(given: View, uid: str) -> _Following:
    now = given.timetables[uid]
    opens = None if now.open else now.wakes_at
    if opens is not None:
        given = _at(given, opens)
    view = Derived(given)
    each = next(each for each in view.statuses if each.deployment.uid == uid)
    space = None
    if each.missing:
        space = view.space(each)
    elif not each.wanted and len(each.copies) < each.deployment.spec.replicas:
        space = view.space_if_empty(each)
    return _Following(view, each, opens, space)


async def _planned(operations: Operations, following: _Following, space: Space) -> Space | NoSpace:
    """The space that our own search has found, checked and placed by the plan of the operation."""
    each = following.each
    change = Change(
        each.deployment,
        load=each.deployment,
        node_ids=space.node_ids,
        another=bool(each.copies or each.surplus),
        unload=space.unload,
    )
    outcome = await operations.plan(request(change), following.view.given.snapshot)
    match outcome:
        case Plan() if outcome.waiting_for:
            return NoSpace(f"It fits once memory has been released by operation {', '.join(outcome.waiting_for)}.")
        case Plan():
            node_ids = tuple(id_ for fit in outcome.fits for id_ in fit.added_bytes)
            return replace(space, node_ids=node_ids or space.node_ids)
        case InsufficientMemory():
            return NoSpace(outcome.message, outcome.available_bytes, outcome.shortfall_bytes)
        case PlacementRefused():
            return NoSpace(outcome.message)
    return space


def _proposal(following: _Following) -> Proposal:
    view, each, space = following.view, following.each, following.space
    spec = each.deployment.spec
    card = view.given.snapshot.models.get(spec.model_id)
    size = None if card is None else card.storage_bytes
    adopts = tuple(i for i in each.copies if i.id not in each.deployment.owned)
    found = space if isinstance(space, Space) else Space(())
    none = space if isinstance(space, NoSpace) else None
    lacking = tuple(Fetched(id_, spec.model_id, size) for id_ in found.node_ids if view.lacks(id_, spec.model_id))
    unload = found.unload or (each.surplus if not each.missing else ())
    return Proposal(
        load_ids=() if space is None else (spec.model_id,),
        unload=unload,
        adopts=adopts,
        fits=none is None,
        reason=None if none is None else none.reason,
        node_ids=found.node_ids,
        needed_bytes=None if size is None else with_margin(size),
        available_bytes=None if none is None else none.available_bytes,
        shortfall_bytes=None if none is None else none.shortfall_bytes,
        load_first=space is not None and not found.unload,
        downloads=lacking,
        steps=tuple(_steps(each, adopts, unload, lacking, following.opens, loads=isinstance(space, Space))),
    )


def _at(given: View, at: datetime) -> View:
    """The same view at a later time."""
    models = given.snapshot.models
    sizes = {
        d.uid: models[d.spec.model_id].storage_bytes if d.spec.model_id in models else None for d in given.deployments
    }
    tables = {d.uid: timetable(d.spec, d.load_times, sizes[d.uid], at) for d in given.deployments}
    return replace(given, timetables=tables, now=Moment(at, given.now.elapsed))


def _steps(
    each: DeploymentStatus,
    adopts: tuple[Instance, ...],
    unload: tuple[Instance, ...],
    lacking: tuple[Fetched, ...],
    opens: datetime | None,
    *,
    loads: bool,
) -> list[str]:
    model_id = each.deployment.spec.model_id
    steps = [f"adopt instance {instance.id} of {model_id}" for instance in adopts]
    if lacking:
        steps.append(f"fetch the weights of {model_id} onto {len(lacking)} nodes")
    if opens is not None:
        steps.append(f"wait until {opens:%Y-%m-%d %H:%M} UTC")
    steps += [f"unload instance {instance.id} of {instance.model_id}" for instance in unload]
    if loads:
        steps.append(f"load {model_id}")
        if each.copies:
            steps.append("while the new copy loads, exo may send it requests, which wait")
    return steps
