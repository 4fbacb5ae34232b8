"""What time and other people change in a deployment: pauses, idling, and what is forgotten when it closes. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.deployments.acts import pause_reason
from exo_graphql.deployments.backoff import RESET_SECONDS
from exo_graphql.deployments.deployment import AttemptFailure, Deployment, Pause
from exo_graphql.deployments.timetable import Timetable
from exo_graphql.deployments.watch import CONTEST_SECONDS, CONTESTED, Watch
from exo_graphql.operations import Operation


@dataclass(frozen=True, slots=True)
class Observed:
    """What decides it, beside the deployment itself."""

    snapshot: Snapshot | None
    watch: Watch
    table: Timetable | None
    """The deployment's, if it holds at `now`."""
    ready: bool
    """Whether it was READY when it was last compared."""
    deleted: Collection[str]
    """Instances that somebody else has deleted."""
    persons: Collection[tuple[Operation, Collection[str]]]
    """The active operations of persons, each with the ids of the instances that it unloads."""
    now: Moment


def adjusted(deployment: Deployment, observed: Observed) -> Deployment:
    """The deployment with everything that has changed until `now`."""
    changed = paused(_unpaused(deployment, observed.now.at), observed)
    if observed.table is not None and not observed.table.open:
        changed = replace(changed, adopted=False, idle=False)
    if _is_unused(changed, observed):
        changed = replace(changed, idle=True)
    elif changed.idle and _is_back(changed, observed.snapshot):
        changed = replace(changed, idle=False, adopted=False)
    ready_since = observed.watch.ready_since.get(changed.uid)
    if changed.attempts and ready_since is not None and observed.now.elapsed - ready_since >= RESET_SECONDS:
        changed = replace(changed, attempts=0, retry_at=None)
    contested = observed.watch.contested(changed.uid, observed.now)
    if contested is not None:
        retry_at = contested.at + timedelta(seconds=CONTEST_SECONDS)
        changed = replace(changed, retry_at=retry_at, last_failure=AttemptFailure(contested.at, CONTESTED))
    return changed


def paused(deployment: Deployment, observed: Observed) -> Deployment:
    """The deployment, paused if it is wanted and a person unloads its model."""
    table = observed.table
    if table is None or not table.open or deployment.is_paused(observed.now.at) or deployment.idle:
        return deployment
    if not set(observed.deleted).isdisjoint(deployment.owned):
        return replace(deployment, pause=Pause("Somebody else deleted its instance.", table.wakes_at), changed_by=None)
    for operation, leaving in observed.persons:
        # Once for each operation: a deployment that was resumed while it runs stays resumed.
        if operation.id != deployment.paused_by and is_about(
            operation.unload_ids, leaving, deployment, observed.snapshot
        ):
            pause = Pause(pause_reason(operation), table.wakes_at)
            return replace(deployment, pause=pause, paused_by=operation.id, changed_by=operation.by)
    return deployment


def is_about(
    unload_ids: Collection[str], leaving: Collection[str], deployment: Deployment, snapshot: Snapshot | None
) -> bool:
    """Whether an operation that unloads these models unloads one of its own copies; or, if it has none, its model.

    `leaving` are the instances that the operation unloads; empty while that is not known.
    """
    if deployment.spec.model_id not in unload_ids:
        return False
    listed = () if snapshot is None else snapshot.state.instances
    own = {id_ for id_ in deployment.owned if id_ in listed}
    return not own or not leaving or not own.isdisjoint(leaving)


def _unpaused(deployment: Deployment, now: datetime) -> Deployment:
    """The deployment without a pause that has ended. It adopts what is loaded then, as at any opening."""
    if deployment.pause is None or deployment.is_paused(now):
        return deployment
    return replace(deployment, pause=None, changed_by=None, adopted=False)


def _is_unused(deployment: Deployment, observed: Observed) -> bool:
    seconds, used_at = deployment.spec.idle_unload_seconds, observed.watch.used_at.get(deployment.uid)
    return seconds is not None and used_at is not None and observed.ready and observed.now.elapsed - used_at >= seconds


def _is_back(deployment: Deployment, snapshot: Snapshot | None) -> bool:
    """Whether somebody has loaded the model of an idle deployment again."""
    listed = () if snapshot is None else snapshot.instances_of(deployment.spec.model_id)
    return any(instance.id not in deployment.owned for instance in listed)
