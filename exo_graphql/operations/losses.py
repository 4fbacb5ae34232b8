"""What an operation relies on and has lost: the invariants that hold at every step. Pure, read off snapshots.

A swap that has made B ready still needs B while it drains A, deletes A and waits for A's memory: without B it would
end with nothing. So each snapshot that any step sees is checked for B.
"""

from exo_graphql.cluster.readiness import BROKEN, NodeStatus, Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance
from exo_graphql.operations.errors import LoadFailed
from exo_graphql.operations.saga_state import SagaState


def loss(saga_state: SagaState, snapshot: Snapshot) -> LoadFailed | None:
    """The first target that had been ready and is gone or failed now. One that is unreachable is waited for."""
    for target in saga_state.targets:
        instance_id = target.instance_id
        if not target.ready or instance_id is None:
            continue
        if instance_id not in snapshot.state.instances:
            what = f"{target.model_id} was ready and its instance is gone: {why_gone(snapshot, target.model_id)}"
        elif snapshot.instance_status(instance_id).phase is Phase.FAILED:
            what = f"{target.model_id} was ready and has failed: {snapshot.instance_status(instance_id).message}"
        else:
            continue
        return LoadFailed(
            message=what,
            suggestion="Find out what removed it, then try again.",
            model_id=target.model_id,
        )
    return None


def why_gone(snapshot: Snapshot, model_id: str) -> str:
    """What is known of an instance that this snapshot is the first not to list, as a sentence."""
    failure = snapshot.status(model_id).failure
    # The failure of an earlier load stays readable: only one that this state has brought explains the loss.
    if failure is not None and failure.at == snapshot.observed_at:
        return failure.message
    return "another client or exo removed it."


def note_losses(saga_state: SagaState, before: Snapshot | None, snapshot: Snapshot) -> None:
    """Marks the instances to be unloaded that another client has deleted: they are not restored.

    `before` is the snapshot before this one; None where exo did not answer in between. In doubt it was a loss, and
    what is lost is restored.
    """
    for removal in saga_state.removals:
        if removal.deletion_requested or removal.deleted_by_others or removal.instance.id in snapshot.state.instances:
            continue
        removal.deleted_by_others = before is not None and was_deleted(removal.instance, before, snapshot)


def was_deleted(instance: Instance, before: Snapshot, now: Snapshot) -> bool:
    """Whether only a deletion explains it: it was healthy, on members that are all still online."""
    if instance.id not in before.state.instances or before.instance_status(instance.id).phase in BROKEN:
        return False
    went_back = now.state.index is not None and before.state.index is not None and now.state.index < before.state.index
    return not went_back and all(
        shard.node_id is not None and now.node_statuses.get(shard.node_id, NodeStatus.STALE) is not NodeStatus.STALE
        for shard in instance.shards
    )


def not_ready(saga_state: SagaState, snapshot: Snapshot) -> list[str]:
    """Models that had been ready and are not in this snapshot: unreachable, or being started again by exo."""
    return [t.model_id for t in saga_state.targets if t.ready and not _serves(t.instance_id, snapshot)]


def _serves(instance_id: str | None, snapshot: Snapshot) -> bool:
    return (
        instance_id is not None
        and instance_id in snapshot.state.instances
        and snapshot.instance_status(instance_id).ready
    )
