"""What a single snapshot does not show: how long a condition has lasted, and who removed what. Pure.

`observe` takes each snapshot in its order. Times are `Moment.elapsed`. Nothing of this is stored: after a restart of
this server each wait begins anew.

**Deleted by somebody, or lost?** An instance that is gone was deleted by somebody only if nothing else can explain it:
the snapshot before, of the same unbroken session, showed it loading or ready, on members that are all still there and
not STALE, and none of its runners had ever failed. These cases look the same as a loss, and are restored:

- somebody deletes an instance of which a runner had failed before: exo itself deletes after five failures;
- somebody deletes it while exo does not answer, during an election, or while this server is down;
- somebody deletes it while one of its nodes is STALE or leaves.

**Two servers** that do not know of each other may control one exo. For example both have a deployment of A, one of them
from 06:00 and the other until 06:00: what one loads the other unloads. Each sees instances of A come and go that it did
not change. The second such change within ten minutes is shown in `reason`; after the third nothing is done until ten
minutes have passed without another one, or a person resumes the deployment. Once one of the two stops, the other works
undisturbed. For two minutes after nodes have joined or left nothing is counted: a node that joins shows earlier states
until it has caught up.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.names import label
from exo_graphql.cluster.readiness import NodeStatus, Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.deployments.deployment import Deployment
from exo_graphql.operations.losses import was_deleted

CONTEST_SECONDS = 600.0
CONTEST_CHANGES = 3
SETTLED_SECONDS = 120.0
"""See "Two servers" above."""
DISTURBED = (
    "Instances of its model come and go that this server did not change: another server may control the same exo."
)
CONTESTED = f"{DISTURBED} Nothing is done for it until ten minutes have passed without that, or until it is resumed."


@dataclass(frozen=True, slots=True)
class Watch:
    """Carried from snapshot to snapshot."""

    snapshot: Snapshot | None = None
    """The last one; None after a gap: anything may have happened while exo did not answer."""
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
    foreign: Mapping[str, tuple[Moment, ...]] = field(default_factory=dict)
    """By deployment: when instances of its model last came or went that this server did not change."""

    def disturbed(self, uid: str, now: Moment) -> bool:
        """Whether somebody else changes it more often than one act of a person explains."""
        changes = self.foreign.get(uid, ())
        return len(changes) > 1 and now.elapsed - changes[-2].elapsed < CONTEST_SECONDS

    def without_contest(self, uid: str) -> "Watch":
        """Forgets the changes that somebody else made so far: a person has resumed the deployment."""
        return replace(self, foreign={key: changes for key, changes in self.foreign.items() if key != uid})

    def contested(self, uid: str, now: Moment) -> Moment | None:
        """When somebody else last changed it, while that is too often to be a person; None otherwise."""
        changes = self.foreign.get(uid, ())
        if len(changes) < CONTEST_CHANGES or now.elapsed - changes[-1].elapsed >= CONTEST_SECONDS:
            return None
        return changes[-1]


def observe(
    watch: Watch, snapshot: Snapshot, deployments: Iterable[Deployment], touched: frozenset[str], now: Moment
) -> Watch:
    """`watch` after another snapshot. `touched` are the ids of models that operations of this server change now."""
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
    foreign: dict[str, tuple[Moment, ...]] = {}
    members_changed_at = watch.members_changed_at if names == watch.members else now.elapsed
    for deployment in deployments:
        listed = [id_ for id_ in deployment.owned if id_ in snapshot.state.instances]
        if listed and all(snapshot.instance_status(id_).ready for id_ in listed):
            ready_since[deployment.uid] = watch.ready_since.get(deployment.uid, now.elapsed)
            instances = snapshot.instances_of(deployment.spec.model_id)
            in_use = any(instance.id in active for instance in instances)
            used_at[deployment.uid] = now.elapsed if in_use else watch.used_at.get(deployment.uid, now.elapsed)
        if watch.snapshot is not None and deployment.spec.model_id not in touched:
            gone = _deleted(watch.snapshot, snapshot, deployment)
            deleted.update(gone)
            since = now.elapsed - CONTEST_SECONDS
            changes = [moment for moment in watch.foreign.get(deployment.uid, ()) if moment.elapsed > since]
            if now.elapsed - members_changed_at >= SETTLED_SECONDS:
                changes += [now] * (len(gone) + _foreign(watch.snapshot, snapshot, deployment))
            if changes:
                foreign[deployment.uid] = tuple(changes[-CONTEST_CHANGES:])
        elif deployment.uid in watch.foreign:
            foreign[deployment.uid] = watch.foreign[deployment.uid]
    return Watch(
        snapshot=snapshot,
        members=names,
        members_changed_at=members_changed_at,
        unreachable_since=unreachable,
        ready_since=ready_since,
        used_at=used_at,
        deleted=frozenset(deleted),
        foreign=foreign,
    )


def settled(watch: Watch, snapshot: Snapshot, names: Iterable[str], now: Moment, seconds: float) -> bool:
    """Whether these nodes are online, or none has joined or left for `seconds`."""
    online = {label(node).lower() for node in snapshot.nodes if snapshot.node_statuses[node.id] is not NodeStatus.STALE}
    return {name.lower() for name in names} <= online or now.elapsed - watch.members_changed_at >= seconds


def _deleted(before: Snapshot, snapshot: Snapshot, deployment: Deployment) -> list[str]:
    """Ids of own instances that somebody else has deleted."""
    return [
        id_
        for id_ in deployment.owned
        if id_ not in snapshot.state.instances
        and id_ in before.state.instances
        and id_ not in before.unloading
        and not _has_failed(before, id_)
        and was_deleted(before.state.instances[id_], before, snapshot)
    ]


def _foreign(before: Snapshot, snapshot: Snapshot, deployment: Deployment) -> int:
    """How many instances of its model that are not its own appeared or were deleted."""
    was, now = before.instances_of(deployment.spec.model_id), snapshot.instances_of(deployment.spec.model_id)
    if [instance.id for instance in was] == [instance.id for instance in now]:
        return 0
    ids = {instance.id for instance in was}
    came = [instance for instance in now if instance.id not in ids and instance.id not in deployment.owned]
    went = [
        instance
        for instance in was
        if instance.id not in snapshot.state.instances
        and instance.id not in deployment.owned
        and was_deleted(instance, before, snapshot)
    ]
    return len(came) + len(went)


def _has_failed(snapshot: Snapshot, instance_id: str) -> bool:
    history = snapshot.history.instances.get(instance_id)
    return history is not None and bool(any(history.attempts.values()) or history.failed)
