"""The assessment of one deployment: its state, the reason, and what else a comparison finds out. Pure."""

from dataclasses import dataclass
from datetime import datetime

from exo_graphql.cluster.moment import Moment
from exo_graphql.deployments.acts import Act, Change
from exo_graphql.deployments.deployment import Deployment, DeploymentState
from exo_graphql.deployments.space import NoSpace, Space
from exo_graphql.deployments.status import DeploymentStatus
from exo_graphql.deployments.timetable import Timetable
from exo_graphql.deployments.view import Derived
from exo_graphql.deployments.watch import CONTESTED, DISTURBED
from exo_graphql.deployments.weights import Lacking
from exo_graphql.operations import Operation


@dataclass(frozen=True, slots=True)
class Assessment:
    """One deployment as it is now. `reason` is a sentence, or several."""

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
    """Whether a copy is still to become ready, so that the next snapshots matter."""
    retry_at: datetime | None = None
    """When the next attempt comes (UTC), while it is RETRYING."""
    failed_download: str | None = None
    """Why its weights could not be fetched, in a sentence."""
    arrived_bytes: int | None = None
    """Bytes that have arrived of the weights that are fetched for it; None while none are missing."""
    remembered: DeploymentState | None = None
    """Its state when it was last compared, while exo has not answered since this server started; None where unknown."""

    @property
    def ready(self) -> bool:
        """Whether all of its copies are ready."""
        return self.ready_replicas >= self.deployment.spec.replicas


def assess_unseen(
    deployment: Deployment, timetable: Timetable, now: Moment, remembered: DeploymentState | None = None
) -> Assessment:
    """The assessment while exo has not answered since this server started."""
    paused = deployment.is_paused(now.at) and deployment.pause is not None
    wanted = timetable.open and not (paused or deployment.idle)
    state, reason = DeploymentState.WAITING, "No exo node has answered yet."
    if paused and deployment.pause is not None:
        state, reason = DeploymentState.PAUSED, deployment.pause.because
    return Assessment(
        deployment,
        timetable,
        wanted,
        state,
        reason,
        0,
        (),
        None,
        (),
        None,
        waits_for_exo=wanted,
        remembered=remembered,
    )


def assess(view: Derived, each: DeploymentStatus, act: Act | None) -> Assessment:
    """The assessment of one deployment. `act` is what the comparison has decided to do next, for any of them."""
    snapshot, deployment = view.given.snapshot, each.deployment
    ready = [instance for instance in each.copies if snapshot.instance_status(instance.id).ready]
    operation = view.operation(each)
    space = None
    if each.missing and not snapshot.stale and operation is None and not view.is_unsettled(each):
        space = view.rough_space(each)
    missing = view.lacking(each, space) if isinstance(space, Space) else None
    state, reason = _state(view, each, operation, space, missing, len(ready), act)
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
    each: DeploymentStatus,
    operation: Operation | None,
    space: Space | NoSpace | None,
    missing: Lacking | None,
    ready: int,
    act: Act | None,
) -> tuple[DeploymentState, str]:
    """The state and its reason: the first that applies."""
    deployment, snapshot = each.deployment, view.given.snapshot
    if each.paused and deployment.pause is not None:
        return DeploymentState.PAUSED, f"{deployment.pause.because}{_others(view, each)}"
    if operation is not None:
        return DeploymentState.PROGRESSING, operation.message
    if not each.wanted:
        state = DeploymentState.IDLE if deployment.idle else DeploymentState.OFF
        holder = view.held_for(each) if each.surplus else None
        held = f" It serves until {holder.name} is loaded." if holder is not None else ""
        return state, f"{why_not_wanted(each)}{held}{_others(view, each)}"
    if ready >= deployment.spec.replicas:
        return DeploymentState.READY, f"Ready.{_others(view, each)}"
    if snapshot.stale:
        return DeploymentState.WAITING, "exo's state is out of date: nothing is done until there is a newer one."
    if each.missing and view.is_unsettled(each):
        return DeploymentState.WAITING, "Nodes are joining or leaving; it is placed once that has ended."
    if isinstance(space, NoSpace):
        return DeploymentState.UNSATISFIABLE, space.reason
    if isinstance(space, Space):
        obstacle = view.obstacle(each, space, beside_ours=True)
        if obstacle is None and missing is not None:
            return _fetching(view, each, missing)
        obstacle = obstacle or view.obstacle(each, space)
        if obstacle is not None:
            return obstacle
        if isinstance(act, Change) and act.load is deployment:
            return DeploymentState.PROGRESSING, f"Loading {deployment.spec.model_id}."
        return DeploymentState.WAITING, "Another deployment comes first."
    unready = next(i for i in each.copies if not snapshot.instance_status(i.id).ready)
    status = snapshot.instance_status(unready.id)
    return DeploymentState.WAITING, f"Its instance is {status.phase.value}: {status.message}"


def _fetching(view: Derived, each: DeploymentStatus, missing: Lacking) -> tuple[DeploymentState, str]:
    """The state and reason while weights are missing. A failure is shown until the next try has begun."""
    failed = each.deployment.last_failure
    if missing.no_disk:
        return DeploymentState.UNSATISFIABLE, missing.no_disk
    if missing.failure:
        return DeploymentState.RETRYING, missing.failure
    if each.deployment.uid in view.given.stalled:
        return DeploymentState.RETRYING, f"Nothing has arrived for ten minutes; exo keeps trying. {missing.progress}"
    if missing.to_fetch and failed is not None and view.is_fetched_later(each):
        return DeploymentState.RETRYING, failed.message
    return DeploymentState.PROGRESSING, missing.progress


def _others(view: Derived, each: DeploymentStatus) -> str:
    """What somebody else has done with its model, as a further sentence; "" if nothing."""
    watch, uid = view.given.watch, each.deployment.uid
    if view.is_contested(each):
        return f" {CONTESTED}"
    if watch.disturbed(uid, view.given.now):
        return f" {DISTURBED}"
    listed = view.given.snapshot.instances_of(each.deployment.spec.model_id)
    if len(listed) <= len(each.copies) or not each.copies:
        return ""
    own = {instance.id for instance in (*each.copies, *each.surplus)}
    more = sum(instance.id not in own for instance in listed)
    return f" Somebody else has loaded {more} more of it." if more else ""


def why_not_wanted(each: DeploymentStatus) -> str:
    """Why its surplus instances are unloaded, in a sentence."""
    if each.deployment.deleted:
        return "It is deleted."
    if each.deployment.idle:
        return f"Nobody has used it for {each.deployment.spec.idle_unload_seconds} s."
    if each.wanted and each.raced:
        return "Another server has loaded it at the same time."
    return "No window is open." if not each.wanted else "It differs from what is declared now."
