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
not change. The second such change within ten minutes is shown in `reason`. After the third, or after the second where
changes of others and its own have taken three turns, nothing is done any more until ten minutes have passed without a
change, or a person resumes the deployment. What is own to one is foreign to the other: both back off at the same one.

    18:00 one loads    06:00 the other unloads, and loads    18:00 one unloads

For two minutes after nodes have joined or left nothing is counted: exo itself removes and shows again what it lost.

Both may also restore A after the same loss, at the same moment. Then each sees a copy beside its own that appeared when
its own was not ready, or the other way round (`raced`). The copy with the lower id stays, once it is ready; the server
of the other one removes that. A copy that somebody places beside one that is ready is meant, and both stay.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.names import label
from exo_graphql.cluster.readiness import NodeStatus, Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.deployments.deployment import Deployment
from exo_graphql.operations.losses import was_deleted

CONTEST_SECONDS = 600.0
CONTEST_CHANGES = 3
CONTEST_TURNS = 3
SETTLED_SECONDS = 120.0
"""See "Two servers" above."""
KEPT_CHANGES = 10
DISTURBED = (
    "Instances of its model come and go that this server did not change: another server may control the same exo."
)
CONTESTED = f"{DISTURBED} Nothing is done for it until ten minutes have passed without that, or until it is resumed."


@dataclass(frozen=True, slots=True)
class Change:
    """Instances of a deployment's model came or went."""

    at: Moment
    ours: bool
    """Whether an operation of this server was changing the model."""


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
    changes: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)
    """By deployment: the changes of its model's instances within ten minutes, until ten minutes after the last."""
    twins: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By instance id: the copies that were not ready when it appeared, or appeared with it. None that an operation of
    a person has placed here."""
    raced_at: Mapping[str, float] = field(default_factory=dict)
    """By deployment: when another server last placed a copy at the same time."""

    def disturbed(self, uid: str, now: Moment) -> bool:
        """Whether somebody else changes it more often than one act of a person explains."""
        theirs = [change.at for change in self.changes.get(uid, ()) if not change.ours]
        raced = self.raced_at.get(uid, float("-inf"))
        times = [raced, *(moment.elapsed for moment in theirs[-2:-1])]
        return now.elapsed - max(times) < CONTEST_SECONDS

    def without_contest(self, uid: str) -> "Watch":
        """Forgets the changes so far: a person has resumed the deployment."""
        return replace(self, changes={key: changes for key, changes in self.changes.items() if key != uid})

    def contested(self, uid: str, now: Moment) -> Moment | None:
        """When it last changed, while others change it too often to be a person; None otherwise."""
        changes = self.changes.get(uid, ())
        theirs = sum(not change.ours for change in changes)
        turns = sum(1 for _ in groupby(changes, key=lambda change: change.ours))
        if theirs < CONTEST_CHANGES and (theirs < CONTEST_CHANGES - 1 or turns < CONTEST_TURNS):
            return None
        last = changes[-1].at
        return None if now.elapsed - last.elapsed >= CONTEST_SECONDS else last

    def raced(self, own_id: str, other_id: str) -> bool:
        """Whether the two copies were placed at the same time, and the other one is the one that stays."""
        both = other_id in self.twins.get(own_id, ()) or own_id in self.twins.get(other_id, ())
        return both and other_id < own_id


def observe(
    watch: Watch,
    snapshot: Snapshot,
    deployments: Iterable[Deployment],
    touched: frozenset[str],
    now: Moment,
    placed: Collection[tuple[str, str]] = (),
    by_persons: Collection[str] = (),
) -> Watch:
    """`watch` after another snapshot. `touched` are the ids of models that operations of this server change now.

    `placed` are the models and instance ids that they have placed for deployments, `by_persons` the ids of others.
    """
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
    changes: dict[str, tuple[Change, ...]] = {}
    twins: dict[str, frozenset[str]] = {}
    raced_at: dict[str, float] = {}
    members_changed_at = watch.members_changed_at if names == watch.members else now.elapsed
    for deployment in deployments:
        listed = [id_ for id_ in deployment.owned if id_ in snapshot.state.instances]
        if listed and all(snapshot.instance_status(id_).ready for id_ in listed):
            ready_since[deployment.uid] = watch.ready_since.get(deployment.uid, now.elapsed)
            instances = snapshot.instances_of(deployment.spec.model_id)
            in_use = any(instance.id in active for instance in instances)
            used_at[deployment.uid] = now.elapsed if in_use else watch.used_at.get(deployment.uid, now.elapsed)
        recent = list(_recent(watch.changes.get(deployment.uid, ()), now))
        if watch.snapshot is not None:
            ours = deployment.spec.model_id in touched
            gone = [] if ours else _deleted(watch.snapshot, snapshot, deployment)
            deleted.update(gone)
            if now.elapsed - members_changed_at >= SETTLED_SECONDS:
                count = _ours(watch.snapshot, snapshot, deployment) if ours else len(gone)
                count += 0 if ours else _foreign(watch.snapshot, snapshot, deployment)
                recent += [Change(now, ours)] * count
        if recent:
            changes[deployment.uid] = _recent(recent[-KEPT_CHANGES:], now)
        found = _twins(watch, snapshot, deployment, by_persons)
        twins |= found
        own = {*deployment.owned, *(id_ for _, id_ in placed)}
        if any((id_ in own) != (other in own) for id_, others in found.items() for other in others):
            raced_at[deployment.uid] = now.elapsed
        elif deployment.uid in watch.raced_at:
            raced_at[deployment.uid] = watch.raced_at[deployment.uid]
    return Watch(
        snapshot=snapshot,
        members=names,
        members_changed_at=members_changed_at,
        unreachable_since=unreachable,
        ready_since=ready_since,
        used_at=used_at,
        deleted=frozenset(deleted),
        changes=changes,
        twins=twins,
        raced_at=raced_at,
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
        and instance.id not in before.unloading  # this server removes what came late, for example
        and was_deleted(instance, before, snapshot)
    ]
    return len(came) + len(went)


def _recent(changes: Sequence[Change], now: Moment) -> tuple[Change, ...]:
    """Those within ten minutes of the last; none if that was ten minutes ago."""
    if not changes or now.elapsed - changes[-1].at.elapsed >= CONTEST_SECONDS:
        return ()
    since = changes[-1].at.elapsed - CONTEST_SECONDS
    return tuple(change for change in changes if change.at.elapsed > since)


def _ours(before: Snapshot, snapshot: Snapshot, deployment: Deployment) -> int:
    """1 if instances of its model have come or gone, else 0."""
    model_id = deployment.spec.model_id
    was, now = before.instances_of(model_id), snapshot.instances_of(model_id)
    return int([instance.id for instance in was] != [instance.id for instance in now])


def _twins(
    watch: Watch, snapshot: Snapshot, deployment: Deployment, by_persons: Collection[str]
) -> dict[str, frozenset[str]]:
    """The copies of its model that were placed at the same time; see `Watch.twins`."""
    listed = [instance.id for instance in snapshot.instances_of(deployment.spec.model_id)]
    found = {id_: watch.twins[id_] for id_ in listed if id_ in watch.twins}
    if len(listed) < 2 or watch.snapshot is None:
        return found
    before = watch.snapshot.state.instances
    unready = [id_ for id_ in listed if not snapshot.instance_status(id_).ready and id_ not in by_persons]
    for id_ in unready:
        if id_ not in before and id_ not in found:
            found[id_] = frozenset(unready) - {id_}
    return found


def _has_failed(snapshot: Snapshot, instance_id: str) -> bool:
    history = snapshot.history.instances.get(instance_id)
    return history is not None and bool(any(history.attempts.values()) or history.failed)
