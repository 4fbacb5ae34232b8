"""One deployment in one snapshot: what is wanted of it, and what of it is loaded. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.names import label
from exo_graphql.cluster.readiness import NodeStatus
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance, ModelCard, Node
from exo_graphql.deployments.deployment import Deployment, Spec
from exo_graphql.deployments.timetable import Timetable
from exo_graphql.deployments.watch import Watch
from exo_graphql.operations.plan import is_healthy
from exo_graphql.operations.planner import difference

UNREACHABLE_SECONDS = 60.0
"""An own instance out of reach for as long is deleted. exo itself does so after 43 to 50 s, unless its node only hangs
(`exo/API.md`): then it keeps listing the instance, which serves nobody."""


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """One deployment in one snapshot. Its instances are those that exo lists.

    A listed instance is never missing, in whatever phase it is: exo may still make it ready.
    """

    deployment: Deployment
    timetable: Timetable
    paused: bool
    wanted: bool
    node_ids: tuple[str, ...] | None
    """Today's ids of the nodes that the spec names; None where it names none."""
    unknown_nodes: tuple[str, ...]
    """Names of the spec that no member has."""
    copies: tuple[Instance, ...]
    """As the spec wants them, whether it placed them or somebody else did; no more than `replicas`."""
    dead: tuple[Instance, ...]
    """Own copies that will not come back by themselves: UNREACHABLE for a minute, or their download is given up."""
    surplus: tuple[Instance, ...]
    """Own instances that are not wanted (any more): closed, idle, deleted, of an older spec, or too many."""
    raced: bool
    """Whether one of these is too many since another server has placed a copy at the same time, which is ready."""
    difference: str | None
    """How somebody else's instance of the model differs from the spec; None where none does."""

    @property
    def name(self) -> str:
        """The name of the deployment."""
        return self.deployment.name

    @property
    def missing(self) -> int:
        """Copies that are wanted and not listed."""
        return self.deployment.spec.replicas - len(self.copies) if self.wanted else 0

    @property
    def is_additional(self) -> bool:
        """Whether its last load succeeded and what it loaded is still there: the next copy waits for no backoff."""
        owned, failed = self.deployment.owned, self.deployment.last_failure is not None
        return bool(owned) and not failed and any(instance.id == owned[-1] for instance in self.copies)

    @property
    def is_closed(self) -> bool:
        """Whether it is not wanted only because no window is open."""
        return not self.wanted and not (self.paused or self.deployment.idle or self.deployment.deleted)

    def may_displace(self, other: "DeploymentStatus") -> bool:
        """Whether the other's instances may be unloaded to make this one fit.

        Among equals what is loaded stays; but the day's model must be ready at 06:00 (`readyBy`), and the night's
        window of the same priority ends at 06:00: within its lead the day's model comes first.
        """
        if other.paused or other is self:
            return False
        if not other.wanted or other.deployment.spec.priority < self.deployment.spec.priority:
            return True
        ends, begins = other.timetable.open_until, self.timetable.next_opening
        return (
            self.timetable.in_lead
            and other.deployment.spec.priority == self.deployment.spec.priority
            and not other.timetable.in_lead
            and ends is not None
            and begins is not None
            and ends <= begins
        )


def status_of(
    deployment: Deployment,
    timetable: Timetable,
    snapshot: Snapshot,
    watch: Watch,
    nodes: "Nodes",
    models: frozenset[str],
    now: Moment,
) -> DeploymentStatus:
    """The status of the deployment in this snapshot. `models` are the model ids of all deployments."""
    spec = deployment.spec
    paused = deployment.is_paused(now.at)
    wanted = timetable.open and not (paused or deployment.idle or deployment.deleted)
    node_ids, unknown = (None, ()) if spec.nodes is None else nodes.named(spec.nodes)
    instances = snapshot.instances_of(spec.model_id)
    listed = snapshot.state.instances
    owned = [listed[id_] for id_ in deployment.owned if id_ in listed]
    own = [instance for instance in owned if instance.model_id == spec.model_id]
    others = [instance for instance in instances if instance.id not in deployment.owned]
    differences: dict[str, str | None] = {}
    if not spec.takes_any:
        differences = {instance.id: _difference(instance, spec, snapshot, nodes, node_ids) for instance in instances}
    alike = [instance for instance in own if differences.get(instance.id) is None]
    if len(alike) > 1:
        alike.sort(key=lambda instance: not snapshot.instance_status(instance.id).ready)
    if others:
        alike += [i for i in others if differences.get(i.id) is None and is_healthy(snapshot, i)]
    raced = False
    if others:
        ready = [i.id for i in others if i in alike and snapshot.instance_status(i.id).ready]
        for instance in sorted(own, key=lambda i: i.id, reverse=True):
            if len(alike) > spec.replicas and any(watch.raced(instance.id, other) for other in ready):
                alike.remove(instance)
                raced = True
    copies = alike[: spec.replicas]
    kept = {instance.id for instance in copies} if wanted else frozenset[str]()
    surplus: list[Instance] = []
    if owned and not paused:
        # It had another model before: what nobody else has adopted of that is not wanted any more.
        surplus = [i for i in owned if i.id not in kept and (i.model_id == spec.model_id or i.model_id not in models)]
    return DeploymentStatus(
        deployment=deployment,
        timetable=timetable,
        paused=paused,
        wanted=wanted,
        node_ids=node_ids,
        unknown_nodes=unknown,
        copies=tuple(copies),
        dead=tuple([i for i in copies if i in own and _is_dead(i, snapshot, watch, now)]) if wanted and own else (),
        surplus=tuple(surplus),
        raced=raced,
        difference=next((differences[i.id] for i in others if differences.get(i.id) is not None), None)
        if others
        else None,
    )


def _difference(
    instance: Instance, spec: Spec, snapshot: Snapshot, nodes: "Nodes", node_ids: tuple[str, ...] | None
) -> str | None:
    """How the instance differs from the spec, in words; None where it does not, or where that is not known.

    Nodes are compared by name: a restarted node has a new id, and an instance that exo still lists on its old id is as
    declared, though lost. Where the spec names nodes that are absent, nothing is known.
    """
    if spec.takes_any:
        return None
    names = nodes.names(shard.node_id for shard in instance.shards)
    on_others = spec.nodes is not None and names is not None and names != {name.lower() for name in spec.nodes}
    if on_others and (node_ids is None or len(node_ids) < len(spec.nodes or ())):
        return None
    card = snapshot.models.get(spec.model_id) or ModelCard(spec.model_id)
    return difference(snapshot, instance, spec.placement(card, node_ids if on_others else None))


def _is_dead(instance: Instance, snapshot: Snapshot, watch: Watch, now: Moment) -> bool:
    since = watch.unreachable_since.get(instance.id)
    return instance.id in snapshot.given_up or (since is not None and now.elapsed - since >= UNREACHABLE_SECONDS)


class Nodes:
    """The members by name: an ONLINE one beats a STALE one of the same name (a node that was started again)."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.online = frozenset(
            node.id for node in snapshot.nodes if snapshot.node_statuses[node.id] is not NodeStatus.STALE
        )
        self._names = {node.id: label(node).lower() for node in snapshot.nodes}
        self._by_name: dict[str, list[Node]] = {}
        for node in snapshot.nodes:
            self._by_name.setdefault(label(node).lower(), []).append(node)

    def names(self, ids: Iterable[str | None]) -> set[str] | None:
        """The names of these nodes in lower case; None where one of them is no member."""
        found = {self._names.get(id_ or "") for id_ in ids}
        return None if None in found else {name for name in found if name is not None}

    def named(self, names: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The ids of these, and the names that match no member, or several."""
        ids: list[str] = []
        unknown: list[str] = []
        for name in names:
            members = self._by_name.get(name.lower(), [])
            online = [node for node in members if node.id in self.online] or members
            if len(online) == 1:
                ids.append(online[0].id)
            else:
                unknown.append(name)
        return tuple(ids), tuple(unknown)


def node_ids(instances: Sequence[Instance]) -> frozenset[str]:
    """The ids of the nodes that hold a shard of these instances."""
    return frozenset(shard.node_id for instance in instances for shard in instance.shards if shard.node_id is not None)
