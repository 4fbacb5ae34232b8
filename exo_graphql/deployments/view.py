"""The input of a comparison, and what its steps derive from it. Pure; `compare` decides."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.readiness import NodeStatus
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import DownloadKind, Instance
from exo_graphql.deployments.backoff import is_due
from exo_graphql.deployments.deployment import Deployment, DeploymentState
from exo_graphql.deployments.space import NoSpace, Space, SpaceSearch
from exo_graphql.deployments.status import DeploymentStatus, Nodes, node_ids, status_of
from exo_graphql.deployments.timetable import Timetable
from exo_graphql.deployments.watch import CONTESTED, Watch, settled
from exo_graphql.deployments.weights import Lacking, lacking
from exo_graphql.operations import Operation

SETTLED_SECONDS = 20.0
"""After a lost master the nodes come back one after the other, over 3 to 16 s (`exo/API.md`)."""
FITTING_SECONDS = 10.0
"""What did not fit is loaded once it has fitted for this long: free memory varies while others load."""


@dataclass(frozen=True, slots=True)
class View:
    """The input of a comparison."""

    snapshot: Snapshot
    deployments: Sequence[Deployment]
    timetables: Mapping[str, Timetable]
    """By uid."""
    operations: Sequence[Operation]
    """Active ones, both those of persons and those of deployments."""
    placed: Sequence[tuple[str, str]]
    """Model and instance id of what the deployments' operations have placed so far: owned once these have ended."""
    free: Mapping[str, int]
    """Free memory by node that no operation has reserved, in bytes."""
    watch: Watch
    fits_since: Mapping[str, float | None]
    """By uid, of what was UNSATISFIABLE: since when it fits again (`Moment.elapsed`); None while it does not."""
    fetch_at: Mapping[str, Moment]
    """By uid: when its weights may be asked for again."""
    stalled: frozenset[str]
    """Uids of deployments whose download has received nothing for ten minutes."""
    parked: frozenset[str]
    """Uids of those whose operation is parked: it continues once its own cluster is back, or a person resumes it."""
    not_before: Mapping[str, float]
    """By uid: when an operation that was temporarily refused may be requested again (`Moment.elapsed`)."""
    now: Moment


class Derived:
    """A view, and what several steps of a comparison derive from it."""

    def __init__(self, given: View) -> None:
        self.given = given
        snapshot = given.snapshot
        nodes = Nodes(snapshot)
        models = frozenset(d.spec.model_id for d in given.deployments)
        self.ours = [operation for operation in given.operations if operation.deployment is not None]
        self.statuses = [
            status_of(
                _owning(d, given.placed), given.timetables[d.uid], snapshot, given.watch, nodes, models, given.now
            )
            for d in given.deployments
        ]
        self.somebody_is_stale = any(s is NodeStatus.STALE for s in snapshot.node_statuses.values())
        self.weights_there: list[str] = []
        self._spaces = SpaceSearch(snapshot, given.free, self.statuses, nodes)
        self._found: dict[str, Space | NoSpace] = {}
        self._owners = {id_: each for each in self.statuses for id_ in each.deployment.owned}
        self._at_work: dict[str, Operation] = {
            model_id: operation for operation in given.operations for model_id in operation.model_ids
        }

    @property
    def by_rank(self) -> Iterator[DeploymentStatus]:
        """Deployments with a missing copy: higher priority first, then those that must be ready soon, then by name."""
        missing = [each for each in self.statuses if each.missing]
        missing.sort(key=lambda each: (-each.deployment.spec.priority, not each.timetable.in_lead, each.name))
        return iter(missing)

    def owner(self, instance: Instance) -> DeploymentStatus:
        """The deployment that owns the instance."""
        return self._owners[instance.id]

    def operation(self, each: DeploymentStatus) -> Operation | None:
        """The active operation of a deployment on its model."""
        operation = self._at_work.get(each.deployment.spec.model_id)
        return operation if operation is not None and operation.deployment is not None else None

    def is_busy(self, each: DeploymentStatus) -> bool:
        """Whether any operation, a deployment's or a person's, is active on its model, or its own is parked."""
        if not self._at_work:
            return each.deployment.uid in self.given.parked
        models = {each.deployment.spec.model_id, *(instance.model_id for instance in each.surplus)}
        return not models.isdisjoint(self._at_work) or each.deployment.uid in self.given.parked

    def is_unsettled(self, each: DeploymentStatus) -> bool:
        """Whether it was lost and its nodes may still return. A deployment that was never loaded does not wait."""
        names = {name for placement in each.deployment.placements for name in placement}
        given = self.given
        return bool(names) and not settled(given.watch, given.snapshot, names, given.now, SETTLED_SECONDS)

    def is_held_back(self, each: DeploymentStatus) -> bool:
        """Whether its last request was refused a moment ago."""
        return self.given.not_before.get(each.deployment.uid, 0.0) > self.given.now.elapsed

    def is_contested(self, each: DeploymentStatus) -> bool:
        """Whether another server seems to control its model as well."""
        return self.given.watch.contested(each.deployment.uid, self.given.now) is not None

    def rough_space(self, each: DeploymentStatus) -> Space | NoSpace:
        """Whether there is space for its missing copy: the result of `space` if it is known, else an estimate."""
        return self._found.get(each.deployment.uid) or self._spaces.find_roughly(each)

    def space(self, each: DeploymentStatus) -> Space | NoSpace:
        """Where its missing copy would go."""
        found = self._found.get(each.deployment.uid)
        if found is None:
            found = self._found[each.deployment.uid] = self._spaces.find(each)
        return found

    def space_if_empty(self, each: DeploymentStatus) -> Space | NoSpace:
        """Where it would go if nothing that deployments own were loaded."""
        return self._spaces.find_if_empty(each)

    def lacks(self, node_id: str, model_id: str) -> bool:
        """Whether the weights are known not to be there, and are not on their way."""
        download = self.given.snapshot.state.download(node_id, model_id)
        return download is not None and download.kind not in (DownloadKind.COMPLETED, DownloadKind.ONGOING)

    def lacking(self, each: DeploymentStatus, space: Space) -> Lacking | None:
        """The nodes of this space that lack its weights; None where none is known to."""
        card = self.given.snapshot.models[each.deployment.spec.model_id]
        return lacking(self.given.snapshot, card, space.node_ids, exactly=each.node_ids is not None)

    def is_fetched_later(self, each: DeploymentStatus) -> bool:
        """Whether its weights were checked or requested recently, and are not due again."""
        at = self.given.fetch_at.get(each.deployment.uid)
        return at is not None and at.elapsed > self.given.now.elapsed

    def fetched_at(self, each: DeploymentStatus) -> datetime | None:
        """When its weights are requested next (UTC); None if that is not scheduled."""
        return self.given.fetch_at[each.deployment.uid].at if self.is_fetched_later(each) else None

    def obstacle(
        self, each: DeploymentStatus, space: Space | None = None, *, beside_ours: bool = False
    ) -> tuple[DeploymentState, str] | None:
        """Why its missing copy is not loaded now although there is space; None where nothing prevents it.

        Without `space`: what holds for every space. `beside_ours`: ignores operations of other deployments.
        """
        given, deployment = self.given, each.deployment
        busy = space is not None and any(instance.model_id in self._at_work for instance in space.unload)
        if deployment.uid in given.parked:
            return DeploymentState.WAITING, "Its operation is parked: resume it, or cancel it."
        if self.is_busy(each) or busy:
            return DeploymentState.WAITING, "An operation is in progress on its model, or on one that it replaces."
        if self.ours and not beside_ours:
            return DeploymentState.WAITING, "Another deployment comes first."
        if self.is_contested(each):
            return DeploymentState.RETRYING, CONTESTED
        if self.is_held_back(each):
            return (
                DeploymentState.WAITING,
                "Its operation was temporarily refused; it is tried again within seconds.",
            )
        if not each.is_additional and not is_due(deployment.retry_at, given.now.at):
            failure = deployment.last_failure
            why = failure.message if failure is not None else "It was lost shortly after it was loaded."
            return DeploymentState.RETRYING, why
        since = given.fits_since.get(deployment.uid, float("-inf"))
        if since is None or given.now.elapsed - since < FITTING_SECONDS:
            return DeploymentState.WAITING, "It fits now, and is loaded once it has fitted for ten seconds."
        return None

    def held_for(self, each: DeploymentStatus) -> DeploymentStatus | None:
        """The wanted deployment that will replace this closed one, which serves until then: a failure loses nothing."""
        if not each.is_closed:
            return None
        leaving = {instance.id for instance in each.surplus}
        return next((other for other in self.statuses if self._is_held(each, leaving, other)), None)

    def _is_held(self, each: DeploymentStatus, leaving: set[str], other: DeploymentStatus) -> bool:
        """Whether `each` keeps serving until `other`, which needs its memory, is loaded.

        No where the other one fits beside it. No where it would not fit even if everything that deployments own were
        unloaded: a model that is too large for the cluster keeps nothing loaded. But yes where it was loaded before: a
        node may be lost, and without `each` nothing would serve.
        """
        if not other.wanted or (other.unknown_nodes and not other.deployment.placements):
            return False
        if not other.missing:
            on_the_same = not node_ids(other.copies).isdisjoint(node_ids(each.surplus))
            return on_the_same and any(not self.given.snapshot.instance_status(i.id).ready for i in other.copies)
        space = self.rough_space(other)
        if isinstance(space, Space):
            return not leaving.isdisjoint(instance.id for instance in space.unload)
        if other.deployment.placements:
            return True
        ever = self.space_if_empty(other)
        return isinstance(ever, Space) and not node_ids(each.surplus).isdisjoint(ever.node_ids)


def _owning(deployment: Deployment, placed: Sequence[tuple[str, str]]) -> Deployment:
    """The same, which owns what is placed for it at this moment, too."""
    ids = [id_ for model_id, id_ in placed if model_id == deployment.spec.model_id and id_ not in deployment.owned]
    return replace(deployment, owned=(*deployment.owned, *ids)) if ids else deployment
