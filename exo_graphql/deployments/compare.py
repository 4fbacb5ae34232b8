"""What is wanted and what is loaded: one comparison of the two, and the one act that follows from it. Pure.

Read in this order: `compare`, the five acts it tries, `_assess`. A comparison knows no event and no history but what
its arguments hold: run twice on the same arguments it says the same, and after a restart of this server it goes on as
if there had been none. For example at 23:00 the window of `fast` closes and that of `big` opens:

    23:00  `fast` is not wanted, `big` is missing and fits only without `fast`: a swap of the two (`_close_gap`)
    23:01  an operation is under way for `big`: PROGRESSING, nothing else is begun
    23:05  the swap was rolled back: `fast` serves, `big` is RETRYING; `fast` is not unloaded, since `big` is missing
    23:06  `big` is due again: the same swap
    23:09  `big` is READY, and nothing is left to do
"""

from dataclasses import dataclass
from datetime import datetime

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.state import Instance
from exo_graphql.deployments.deployment import Deployment, DeploymentState
from exo_graphql.deployments.space import NoSpace, Space
from exo_graphql.deployments.standing import Standing
from exo_graphql.deployments.timetable import Timetable
from exo_graphql.deployments.view import Derived, View
from exo_graphql.deployments.watch import CONTESTED, DISTURBED
from exo_graphql.deployments.weights import Lacking
from exo_graphql.operations import Operation

PINNED_ATTEMPTS = 2
"""From the third attempt on exo itself chooses the nodes, where any will do: it may know why the others do not."""


@dataclass(frozen=True, slots=True)
class Change:
    """Unload `unload` (exactly these instances), then or before load one more copy of the model of `load`.

    One copy an operation: a model that cannot be loaded never takes another one down with it. `node_ids` None: exo
    chooses.
    """

    by: Deployment
    """The deployment that it is done for."""
    load: Deployment | None = None
    node_ids: tuple[str, ...] | None = None
    another: bool = False
    """The model has an instance already."""
    counts: bool = False
    """It is an attempt after which the next one waits: the first copy, or one in place of a copy that was lost."""
    unload: tuple[Instance, ...] = ()
    drain_seconds: int = 0
    because: str = ""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetch the weights of a model onto these nodes."""

    deployment: Deployment
    node_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel an operation of ours that nobody wants any more."""

    operation_id: str
    because: str


Act = Change | Fetch | Cancel


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is said of one deployment. `reason` is a sentence, or several."""

    deployment: Deployment
    timetable: Timetable
    wanted: bool
    state: DeploymentState
    reason: str
    ready_replicas: int
    instance_ids: tuple[str, ...]
    operation_id: str | None
    adoptable: tuple[str, ...]
    """Somebody else's instances that count as its copies: adopted when it opens."""
    fits: bool | None
    """Whether the missing copy could be loaded now; None where none is missing."""
    waits_for_exo: bool
    """Something is listed, or about to be, that is not ready: the next snapshots matter."""
    retry_at: datetime | None = None
    """When the next attempt comes (UTC), while it is RETRYING."""
    failed_download: str | None = None
    """Why its weights could not be fetched, in a sentence."""
    arrived_bytes: int | None = None
    """What has arrived of the weights that are fetched for it; None while none are lacking."""

    @property
    def ready(self) -> bool:
        """Every copy that is asked for serves."""
        return self.ready_replicas >= self.deployment.spec.replicas


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome. `act` is None where nothing is to be done now."""

    act: Act | None
    assessments: list[Assessment]
    weights_there: list[str]
    """Deployments (uid) whose weights were looked for, and need not be fetched."""


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
    assessments = [_assess(view, each, act) for each in view.standings if not each.deployment.deleted]
    return Comparison(act, assessments, view.weights_there)


def assess_unseen(deployment: Deployment, timetable: Timetable, now: Moment) -> Assessment:
    """What is said of a deployment while exo has not answered since this server started."""
    paused = deployment.is_paused(now.at) and deployment.pause is not None
    wanted = timetable.open and not (paused or deployment.idle)
    state, reason = DeploymentState.WAITING, "No exo node has answered yet."
    if paused and deployment.pause is not None:
        state, reason = DeploymentState.PAUSED, deployment.pause.because
    return Assessment(deployment, timetable, wanted, state, reason, 0, (), None, (), None, waits_for_exo=wanted)


# The acts, in the order in which they are tried


def _cancel(view: Derived) -> Cancel | None:
    """A load that is not wanted any more is cancelled; a swap that has begun to unload finishes, or restores."""
    for operation in view.ours:
        loads = [each for each in view.standings if each.deployment.spec.model_id in operation.load_ids]
        unloading = operation.step("unload")
        begun = unloading is not None and unloading.started_at is not None
        if loads and not begun and not any(each.wanted for each in loads):
            return Cancel(operation.id, f"{loads[0].name} is not wanted any more.")
    return None


def _delete_dead(view: Derived) -> Change | None:
    """An own instance that is out of reach for good is deleted, and its memory back, before another is placed."""
    for each in view.standings:
        if each.dead and not (view.is_busy(each) or view.is_held_back(each) or view.is_contested(each)):
            return Change(each.deployment, unload=each.dead, because="It has been out of reach for a minute.")
    return None


def _close_gap(view: Derived) -> Change | None:
    """Loads the first missing copy that may be loaded now; in place of others where it does not fit beside them.

    What fits beside what is loaded, and beside the first, is loaded before anything is unloaded: it serves sooner.
    """
    first: tuple[Standing, Space] | None = None
    for each in view.by_rank:
        # Space is looked for last: that takes longer than all else together.
        if view.is_unsettled(each) or view.obstacle(each) is not None:
            continue
        space = view.space(each) if first is None else view.glance(each)
        if isinstance(space, NoSpace) or view.obstacle(each, space) is not None:
            continue
        if view.lacking(each, space) is not None:
            continue  # `_fetch` sees to it
        if not space.unload and (first is None or set(space.node_ids).isdisjoint(first[1].node_ids)):
            return _load(view, each, space)
        first = first or (each, space)
    return None if first is None else _load(view, *first)


def _load(view: Derived, each: Standing, space: Space) -> Change:
    spec = each.deployment.spec
    pinned = each.deployment.attempts < PINNED_ATTEMPTS or spec.replicas > 1 or view.somebody_is_stale
    drains = [view.owner(instance).deployment.spec.drain_seconds for instance in space.unload]
    return Change(
        each.deployment,
        load=each.deployment,
        node_ids=space.node_ids if pinned or each.node_ids is not None else None,
        another=bool(each.copies or each.surplus),
        counts=not each.is_further,
        unload=space.unload,
        drain_seconds=max(drains, default=0),
        because=f"{each.name} is wanted and not loaded.",
    )


def _unload(view: Derived) -> Change | None:
    """What is not wanted leaves, unless it serves in place of something that is not loaded yet."""
    for each in view.standings:
        if not each.surplus or each.missing or view.is_busy(each):
            continue
        if view.is_held_back(each) or view.is_contested(each):
            continue
        if view.held_for(each) is None:
            drain = each.deployment.spec.drain_seconds
            why = _why_not_wanted(each)
            return Change(each.deployment, unload=each.surplus, drain_seconds=drain, because=why)
    return None


def _fetch(view: Derived) -> Fetch | None:
    """The weights of what is wanted, or will be, are fetched before it is loaded: an opening does not download."""
    for each in view.standings:
        deployment = each.deployment
        if view.is_fetched_later(each) or view.is_busy(each):
            continue
        if each.is_closed and not each.copies:
            space = view.space_ever(each)
        elif each.missing and not view.is_unsettled(each) and view.obstacle(each, beside_ours=True) is None:
            space = view.glance(each)
        else:
            continue
        found = view.lacking(each, space) if isinstance(space, Space) else None
        if found is not None and found.to_fetch:
            return Fetch(deployment, found.to_fetch)
        if each.is_closed:
            view.weights_there.append(deployment.uid)
    return None


# What is said


def _assess(view: Derived, each: Standing, act: Act | None) -> Assessment:
    snapshot, deployment = view.given.snapshot, each.deployment
    ready = [instance for instance in each.copies if snapshot.instance_status(instance.id).ready]
    operation = view.operation(each)
    space = None
    if each.missing and not snapshot.stale and operation is None and not view.is_unsettled(each):
        space = view.glance(each)
    state, reason = _state(view, each, operation, space, len(ready), act)
    missing = view.lacking(each, space) if isinstance(space, Space) else None
    again = deployment.retry_at if missing is None else view.fetched_at(each)
    own = each.copies if not each.surplus else (*each.copies, *(i for i in each.surplus if i not in each.copies))
    return Assessment(
        deployment=deployment,
        timetable=each.timetable,
        wanted=each.wanted,
        state=state,
        reason=reason,
        ready_replicas=len(ready),
        instance_ids=tuple(instance.id for instance in own),
        operation_id=None if operation is None else operation.id,
        adoptable=tuple(instance.id for instance in each.copies if instance.id not in deployment.owned),
        fits=None if space is None else isinstance(space, Space),
        waits_for_exo=each.wanted and len(ready) < deployment.spec.replicas,
        retry_at=again if state is DeploymentState.RETRYING else None,
        failed_download=None if missing is None else missing.failure or None,
        arrived_bytes=None if missing is None else missing.arrived_bytes,
    )


def _state(
    view: Derived,
    each: Standing,
    operation: Operation | None,
    space: Space | NoSpace | None,
    ready: int,
    act: Act | None,
) -> tuple[DeploymentState, str]:
    """The first that applies."""
    deployment, snapshot = each.deployment, view.given.snapshot
    if each.paused and deployment.pause is not None:
        return DeploymentState.PAUSED, f"{deployment.pause.because}{_others(view, each)}"
    if operation is not None:
        return DeploymentState.PROGRESSING, operation.message
    if not each.wanted:
        state = DeploymentState.IDLE if deployment.idle else DeploymentState.OFF
        holder = view.held_for(each) if each.surplus else None
        held = f" It serves until {holder.name} is loaded." if holder is not None else ""
        return state, f"{_why_not_wanted(each)}{held}{_others(view, each)}"
    if ready >= deployment.spec.replicas:
        return DeploymentState.READY, f"Ready.{_others(view, each)}"
    if snapshot.stale:
        return DeploymentState.WAITING, "exo's state is out of date: nothing is done until there is a newer one."
    if each.missing and view.is_unsettled(each):
        return DeploymentState.WAITING, "Nodes come and go; it is placed once they have settled."
    if isinstance(space, NoSpace):
        return DeploymentState.UNSATISFIABLE, space.reason
    if isinstance(space, Space):
        obstacle = view.obstacle(each, space)
        if obstacle is not None:
            return obstacle
        missing = view.lacking(each, space)
        if missing is not None:
            return _fetching(view, each, missing)
        if isinstance(act, Change) and act.load is deployment:
            return DeploymentState.PROGRESSING, f"Loading {deployment.spec.model_id}."
        return DeploymentState.WAITING, "Another deployment comes first."
    unready = next(i for i in each.copies if not snapshot.instance_status(i.id).ready)
    status = snapshot.instance_status(unready.id)
    return DeploymentState.WAITING, f"Its instance is {status.phase.value}: {status.message}"


def _fetching(view: Derived, each: Standing, missing: Lacking) -> tuple[DeploymentState, str]:
    """What is said while its weights are not there. A failure stays until another try has begun."""
    failed = each.deployment.last_failure
    if missing.no_disk:
        return DeploymentState.UNSATISFIABLE, missing.no_disk
    if missing.failure:
        return DeploymentState.RETRYING, missing.failure
    if each.deployment.uid in view.given.stalled:
        return DeploymentState.RETRYING, f"Nothing has arrived for ten minutes; exo tries on. {missing.progress}"
    if missing.to_fetch and failed is not None and view.is_fetched_later(each):
        return DeploymentState.RETRYING, failed.message
    return DeploymentState.PROGRESSING, missing.progress


def _others(view: Derived, each: Standing) -> str:
    """What somebody else does with its model, as a further sentence."""
    if view.is_contested(each):
        return f" {CONTESTED}"
    if view.given.watch.disturbed(each.deployment.uid, view.given.now):
        return f" {DISTURBED}"
    own = {instance.id for instance in (*each.copies, *each.surplus)}
    more = sum(instance.id not in own for instance in view.given.snapshot.instances_of(each.deployment.spec.model_id))
    return f" Somebody else has loaded {more} more of it." if more and each.copies else ""


def _why_not_wanted(each: Standing) -> str:
    if each.deployment.deleted:
        return "It is deleted."
    if each.deployment.idle:
        return f"Nobody has used it for {each.deployment.spec.idle_unload_seconds} s."
    return "No window is open." if not each.wanted else "It is not as it was declared any more."
