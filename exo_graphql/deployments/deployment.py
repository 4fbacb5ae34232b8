"""A deployment: what should be loaded, how and when, and the progress that has to survive a restart.

Everything here is stored, and written before the act that it announces. What a snapshot shows is not stored: whether a
model is ready is read from the cluster each time.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, unique
from functools import cache

from exo_graphql.cluster.placement_request import PlacementRequest
from exo_graphql.cluster.state import ModelCard
from exo_graphql.deployments.schedule import Window
from exo_graphql.operations import InstanceTypePreference, OperationKind, ShardingPreference
from exo_graphql.operations.requests import Kind, OperationRequest

KEPT_LOADS = 20
"""Durations of loads that are remembered: the lead takes the last five that ended two hours before an opening."""


@unique
class ManagedBy(Enum):
    """Who declares it."""

    API = "API"
    FILE = "FILE"


@unique
class DeploymentState(Enum):
    """The state of a deployment. `assess` decides it."""

    READY = "READY"
    PROGRESSING = "PROGRESSING"
    RETRYING = "RETRYING"
    UNSATISFIABLE = "UNSATISFIABLE"
    PAUSED = "PAUSED"
    IDLE = "IDLE"
    OFF = "OFF"
    WAITING = "WAITING"


@dataclass(frozen=True, slots=True)
class Spec:
    """What a person declared. `nodes` are friendly names (ids change at every restart): exactly these."""

    model_id: str
    replicas: int = 1
    min_nodes: int = 1
    sharding: ShardingPreference = ShardingPreference.AUTO
    instance_type: InstanceTypePreference = InstanceTypePreference.AUTO
    nodes: tuple[str, ...] | None = None
    priority: int = 0
    schedule: tuple[Window, ...] = ()
    idle_unload_seconds: int | None = None
    drain_seconds: int = 30

    @property
    def takes_any(self) -> bool:
        """Whether it restricts nothing: any placement of the model is as declared."""
        return (
            self.nodes is None
            and self.min_nodes == 1
            and self.sharding is ShardingPreference.AUTO
            and self.instance_type is InstanceTypePreference.AUTO
        )

    def placement(self, card: ModelCard, node_ids: tuple[str, ...] | None) -> PlacementRequest:
        """The request for a placement on exactly these nodes; `node_ids` None: on any."""
        nodes = None if node_ids is None else frozenset(node_ids)
        return PlacementRequest(card, _kinds(self.sharding, self.instance_type), self.min_nodes, nodes)


@cache
def _kinds(sharding: ShardingPreference, instance_type: InstanceTypePreference) -> tuple[Kind, ...]:
    """Cached: every comparison asks for it, once a second for each deployment, and it never changes."""
    return OperationRequest(OperationKind.LOAD, sharding=sharding, instance_type=instance_type).kinds


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is done for a deployment until then (UTC, by the wall clock); `until` None: until it is resumed.

    `because` is a sentence.
    """

    because: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AttemptFailure:
    """Why the last attempt failed. `at` is UTC."""

    at: datetime
    message: str


@dataclass(frozen=True, slots=True)
class LoadTime:
    """A load that succeeded: when it ended (UTC), and how many seconds the operation took, unloading included."""

    ended_at: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment as it is stored."""

    name: str
    uid: str
    """Part of the key of every operation that it causes: another deployment of the same name has another."""
    spec: Spec
    generation: int = 1
    """Counts the changes of `spec`."""
    managed_by: ManagedBy = ManagedBy.API
    changed_by: str | None = None
    """Who last declared, paused or resumed it, the name of a token; None where it has none, or a file did."""
    declared: str | None = None
    """What its table in the deployments file said when it was last applied, as JSON; None: the API declared it."""
    owned: tuple[str, ...] = ()
    """Ids of the instances that it placed, restored or adopted: no others are ever unloaded for it."""
    adopted: bool = False
    """Whether it has adopted what was loaded since it opened: once for each opening."""
    placements: tuple[tuple[str, ...], ...] = ()
    """Names of the nodes of each copy when it was last ready; empty before the first time, and after an apply."""
    attempts: int = 0
    """Loads begun since it was last READY for ten minutes, or since the last apply; further copies do not count."""
    retry_at: datetime | None = None
    """The next attempt comes no earlier (UTC)."""
    sequence: int = 0
    """Number of the last operation's key; counted before the operation is requested, and never used again."""
    pending: str | None = None
    """Key of the operation that was requested and whose end has not been taken into account."""
    pause: Pause | None = None
    paused_by: str | None = None
    """Id of the last operation of a person that has paused it: once, whether or not it has been resumed since."""
    idle: bool = False
    """Unloaded because nobody used it, until its next opening, a resume, an apply, or somebody loads it."""
    deleted: bool = False
    """Deleted, and kept until what it placed is unloaded."""
    last_failure: AttemptFailure | None = None
    load_times: tuple[LoadTime, ...] = ()

    def with_spec(self, spec: Spec, by: str | None = None) -> "Deployment":
        """The deployment after an apply by `by`, which ends a pause and idling.

        Another spec starts a new generation, without back-off or remembered placements.
        """
        if spec == self.spec:
            ends = self.pause is not None or self.idle
            return replace(
                self,
                pause=None,
                idle=False,
                changed_by=by if ends else self.changed_by,
                adopted=self.adopted and self.pause is None,
                retry_at=None if ends else self.retry_at,
            )
        return replace(
            self,
            spec=spec,
            generation=self.generation + 1,
            changed_by=by,
            adopted=False,
            placements=(),
            # A fresh apply waits for no back-off and no settling.
            attempts=0,
            retry_at=None,
            pause=None,
            idle=False,
            load_times=self.load_times if self.spec.model_id == spec.model_id else (),
        )

    def key(self, sequence: int) -> str:
        """The idempotency key of its operation of that number."""
        return f"deployment:{self.uid}:{sequence}"

    def is_paused(self, now: datetime) -> bool:
        """Whether it is paused at `now` (UTC)."""
        return self.pause is not None and (self.pause.until is None or now < self.pause.until)
