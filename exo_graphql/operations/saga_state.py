"""What an operation must know to continue after a crash: written to the journal before each step that acts."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar
from uuid import uuid4

from exo_graphql.cluster.state import Instance

_Json = TypeVar("_Json")


@dataclass(slots=True)
class Target:
    """A model to be loaded.

    `adopts` is a healthy instance that another client placed, so that this operation must not remove it. `instance` is
    the one of this operation: its id is chosen and stored before exo is asked to create it. `takes` is bytes by node,
    planned or chosen.
    """

    model_id: str
    takes: dict[str, int] = field(default_factory=dict)
    adopts: str | None = None
    instance: Instance | None = None
    ready: bool = False
    """Whether it has been seen ready: from then on, losing it makes the operation undo."""

    @property
    def instance_id(self) -> str | None:
        """The instance that serves this target; None until one is chosen."""
        return self.instance.id if self.instance is not None else self.adopts


@dataclass(slots=True)
class Removal:
    """An instance to be unloaded. `deletion_requested` is set before the request is sent to exo."""

    instance: Instance
    takes: dict[str, int]
    healthy: bool
    """Whether it was ready, or loading, when first seen: then it is restored if the operation fails."""
    ready: bool = False
    """Whether it was ready when first seen."""
    newcomer: bool = False
    """Whether another client has placed it since the operation was planned."""
    deletion_requested: bool = False
    deleted_by_others: bool = False
    """Whether another client deleted it: what a person has done is not reversed."""
    restored: Instance | None = None
    """The instance that replaces it after a rollback; None until one is chosen."""
    retried: bool = False
    """Whether the first restored placement failed, and another one is tried."""
    unrestorable: bool = False
    """Whether that placement failed, too: restoring is not tried again."""


@dataclass(slots=True)
class Baseline:
    """A node's memory before instances on it were deleted, and the bytes that are to come back."""

    available: int | None
    expected: int


@dataclass(slots=True)
class Undoing:
    """Why what was done is being undone, and how the operation is to end."""

    reason: str
    cancelled: bool = False
    removing: dict[str, Baseline] = field(default_factory=dict)


@dataclass(slots=True)
class SagaState:
    """The whole plan, and how far it has been executed."""

    targets: list[Target] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    side_by_side: bool = False
    """New and old fit together: load first, unload after."""
    only_instances: list[str] | None = None
    """Unload only these instances of the models; None: all, including those that are placed later."""
    unloaded_already: list[str] = field(default_factory=list)
    """Model ids that were to be unloaded and had no instance."""
    baseline: dict[str, Baseline] = field(default_factory=dict)
    fetching: list[tuple[str, str]] = field(default_factory=list)
    """Downloads that this operation started: node and model."""
    undoing: Undoing | None = None
    memory_note: str | None = None
    """Which freed memory the nodes had not reported when the wait for it ended, as a sentence."""
    members: dict[str, str] = field(default_factory=dict)
    """Ids and friendly names of the cluster's members when it was planned: they identify the
    cluster, and map a node's old id to its new one. A name is empty where the node had not reported it."""
    before: dict[str, str] = field(default_factory=dict)
    """Instances that exo listed when it was planned, and their models."""
    cancelling: bool = False
    """Cancellation was requested (stored before the caller is answered)."""
    discarding: bool = False
    """The same while it was parked: it ends without undoing anything."""
    requested: list[str] = field(default_factory=list)
    """Ids of instances that it drew, and that exo was or is about to be asked to create under them. Once it has ended:
    those that nothing wants any more (see `unclaimed.py`)."""

    @property
    def reverts(self) -> bool:
        """It is being undone, or is about to be: what it has unloaded may be loaded again."""
        return self.undoing is not None or self.cancelling

    @property
    def placed(self) -> tuple[tuple[str, str], ...]:
        """Model and instance id of all that this operation has placed or restored, including what is gone since."""
        instances = [target.instance for target in self.targets] + [removal.restored for removal in self.removals]
        return tuple((instance.model_id, instance.id) for instance in instances if instance is not None)

    def copy(self) -> "SagaState":
        """A copy, for a thread that reads it while the operation changes the original."""
        return replace(self, targets=[replace(t) for t in self.targets], removals=[replace(d) for d in self.removals])

    def own_instances(self) -> list[tuple[Instance, Mapping[str, int]]]:
        """Every instance that this operation has placed or removes, with its bytes by node."""
        placed = [(t.instance, t.takes) for t in self.targets if t.instance is not None]
        leaving = [(d.instance, d.takes) for d in self.removals]
        restored = [(d.restored, d.takes) for d in self.removals if d.restored is not None]
        return [*placed, *leaving, *restored]


def rekeyed(instance: Instance) -> Instance:
    """The same placement under fresh instance and runner ids.

    An instance that is created again under its old ids is listed with its old `RunnerReady` for a second before the
    new runner reports: exo never forgets a runner. Ids are opaque here, so each is replaced everywhere in
    the document, as key or value.
    """
    fresh = {id_: str(uuid4()) for id_ in (instance.id, *(shard.runner_id for shard in instance.shards))}
    return replace(
        instance,
        id=fresh[instance.id],
        shards=tuple(
            replace(shard, instance_id=fresh[instance.id], runner_id=fresh[shard.runner_id])
            for shard in instance.shards
        ),
        document=_renamed(instance.document, fresh),
    )


def _renamed(document: _Json, fresh: Mapping[str, str]) -> _Json:
    def walk(part: object) -> object:
        if isinstance(part, str):
            return fresh.get(part, part)
        if isinstance(part, Mapping):
            return {fresh.get(key, key): walk(value) for key, value in part.items()}
        if isinstance(part, list):
            return [walk(item) for item in part]
        return part

    return walk(document)  # type: ignore[return-value]  # the walk keeps the shape
