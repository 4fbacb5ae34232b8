"""What one snapshot alone does not show: since when something is so, and who removed what. Pure.

`observe` looks at each snapshot as it comes, one after the other. Times are `Moment.elapsed`. Nothing of this is
stored: after a restart of this server each wait begins anew.

**Deleted by somebody, or lost?** An instance that is gone was deleted by somebody only if nothing else can explain it:
the snapshot before, of the same unbroken session, showed it on its way or ready, on members that are all still there
and not STALE, and nothing of it had ever failed. What cannot be told apart, and counts as lost (and is restored):

- somebody deletes an instance of which a runner had failed before: exo itself deletes after five failures;
- somebody deletes it while exo does not answer, during an election, or while this server is down;
- somebody deletes it while one of its nodes is STALE or leaves.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.names import label
from exo_graphql.cluster.readiness import NodeStatus, Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.deployments.deployment import Deployment
from exo_graphql.operations.losses import was_deleted


@dataclass(frozen=True, slots=True)
class Watch:
    """Carried from snapshot to snapshot."""

    snapshot: Snapshot | None = None
    """The last one; None after a gap: while exo was out of sight anything may have happened."""
    members: frozenset[str] = frozenset()
    """Names of the members, in lower case: a node that returns has a new id."""
    members_changed_at: float = float("-inf")
    unreachable_since: Mapping[str, float] = field(default_factory=dict)
    """By instance id."""
    ready_since: Mapping[str, float] = field(default_factory=dict)
    """By deployment: since when all of its own listed instances are ready."""
    used_at: Mapping[str, float] = field(default_factory=dict)
    """By deployment: when an inference task of its model was last seen, or it became ready."""
    deleted: frozenset[str] = frozenset()
    """Own instances that somebody else has deleted between the last two snapshots."""


def observe(
    watch: Watch, snapshot: Snapshot, deployments: Iterable[Deployment], touched: frozenset[str], now: Moment
) -> Watch:
    """`watch` after another snapshot. `touched` are the models that operations of this server are at work on."""
    if snapshot.stale:
        return replace(watch, snapshot=None, deleted=frozenset())
    names = frozenset(label(node).lower() for node in snapshot.nodes)
    unreachable = {
        instance_id: watch.unreachable_since.get(instance_id, now.elapsed)
        for instance_id, status in snapshot.instance_statuses.items()
        if status.phase is Phase.UNREACHABLE
    }
    active = {task.instance_id for task in snapshot.tasks if snapshot.is_active(task)}
    ready_since: dict[str, float] = {}
    used_at: dict[str, float] = {}
    deleted: set[str] = set()
    for deployment in deployments:
        listed = [id_ for id_ in deployment.owned if id_ in snapshot.state.instances]
        if listed and all(snapshot.instance_status(id_).ready for id_ in listed):
            ready_since[deployment.uid] = watch.ready_since.get(deployment.uid, now.elapsed)
            instances = snapshot.instances_of(deployment.spec.model_id)
            in_use = any(instance.id in active for instance in instances)
            used_at[deployment.uid] = now.elapsed if in_use else watch.used_at.get(deployment.uid, now.elapsed)
        if watch.snapshot is not None and deployment.spec.model_id not in touched:
            before = watch.snapshot
            deleted.update(
                id_
                for id_ in deployment.owned
                if id_ not in snapshot.state.instances
                and id_ in before.state.instances
                and id_ not in before.unloading
                and not _has_failed(before, id_)
                and was_deleted(before.state.instances[id_], before, snapshot)
            )
    return Watch(
        snapshot=snapshot,
        members=names,
        members_changed_at=watch.members_changed_at if names == watch.members else now.elapsed,
        unreachable_since=unreachable,
        ready_since=ready_since,
        used_at=used_at,
        deleted=frozenset(deleted),
    )


def settled(watch: Watch, snapshot: Snapshot, names: Iterable[str], now: Moment, seconds: float) -> bool:
    """Whether all of these nodes are there, or nobody has come or gone for `seconds`."""
    online = {label(node).lower() for node in snapshot.nodes if snapshot.node_statuses[node.id] is not NodeStatus.STALE}
    return {name.lower() for name in names} <= online or now.elapsed - watch.members_changed_at >= seconds


def _has_failed(snapshot: Snapshot, instance_id: str) -> bool:
    history = snapshot.history.instances.get(instance_id)
    return history is not None and bool(any(history.attempts.values()) or history.failed)
