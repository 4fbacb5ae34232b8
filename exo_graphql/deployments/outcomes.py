"""How the end of an operation, or its refusal, changes the deployment that requested it. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.names import label
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.deployments import acts
from exo_graphql.deployments.acts import Change
from exo_graphql.deployments.backoff import delay
from exo_graphql.deployments.deployment import KEPT_LOADS, AttemptFailure, Deployment, LoadTime
from exo_graphql.operations import Operation, OperationError, OperationState

KEPT_OWNED = 64
"""Own instance ids that are kept, gone ones included: a master that hung and returns brings them back."""


def ended(deployment: Deployment, operation: Operation | None, now: Moment, jitter: float) -> Deployment:
    """The deployment after its pending operation has ended. None: this server was killed before it began."""
    deployment = replace(deployment, pending=None)
    if operation is None:
        return deployment
    loads = is_load_of(operation, deployment)
    if loads:
        # Also after a success: a model that serves for a moment and fails again must back off, too.
        deployment = replace(deployment, retry_at=now.at + delay(max(1, deployment.attempts), jitter))
    if operation.state is OperationState.SUCCEEDED:
        if not loads:
            return deployment
        at = operation.finished_at or now.at
        took = LoadTime(at, max(0.0, (at - operation.started_at).total_seconds()))
        return replace(deployment, last_failure=None, load_times=(*deployment.load_times, took)[-KEPT_LOADS:])
    if operation.state is OperationState.CANCELLED:
        return deployment
    message = operation.error.message if operation.error is not None else operation.message
    return replace(deployment, last_failure=AttemptFailure(operation.finished_at or now.at, message))


def refused(deployment: Deployment, change: Change, error: OperationError, now: Moment, jitter: float) -> Deployment:
    """The deployment after its operation was refused: a failed attempt, unless the refusal is temporary."""
    deployment = replace(deployment, pending=None)
    if is_not_an_attempt(change, error):
        return replace(deployment, attempts=max(0, deployment.attempts - change.counts))
    return replace(
        deployment,
        retry_at=now.at + delay(max(1, deployment.attempts), jitter),
        last_failure=AttemptFailure(now.at, error.message),
    )


def failed(deployment: Deployment, message: str, at: datetime) -> Deployment:
    """The deployment with this failure as its last one; a repeated message keeps the time of the first."""
    if deployment.last_failure is not None and deployment.last_failure.message == message:
        return deployment
    return replace(deployment, last_failure=AttemptFailure(at, message))


def is_load_of(operation: Operation, deployment: Deployment) -> bool:
    """Whether the operation loads the deployment's model."""
    return deployment.spec.model_id in operation.load_ids


def is_not_an_attempt(change: Change, error: OperationError) -> bool:
    """Whether the refusal counts as no attempt: the act is only held back for a few seconds."""
    return change.load is None or acts.is_temporary(error)


def owning(deployment: Deployment, instance_ids: Iterable[str]) -> Deployment:
    """The deployment, which owns these instances as well."""
    owned = dict.fromkeys((*deployment.owned, *instance_ids))
    return replace(deployment, owned=tuple(owned)[-KEPT_OWNED:])


def placed_on(deployment: Deployment, instance_ids: Iterable[str], snapshot: Snapshot) -> Deployment:
    """The deployment with the names of the nodes of these copies as its last good placement."""
    return replace(deployment, placements=tuple(_names(snapshot, id_) for id_ in instance_ids))


def _names(snapshot: Snapshot, instance_id: str) -> tuple[str, ...]:
    instance = snapshot.state.instances.get(instance_id)
    shards = () if instance is None else instance.shards
    nodes = [snapshot.state.nodes.get(shard.node_id or "") for shard in shards]
    return tuple(dict.fromkeys(label(node) for node in nodes if node is not None))
