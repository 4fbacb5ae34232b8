"""How an operation ended, as the last snapshot shows it, not as its steps reported it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from exo_graphql.cluster.readiness import BROKEN, InstanceStatus
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.operations.operation import Operation, OperationKind, OperationState
from exo_graphql.operations.place import was_created
from exo_graphql.operations.saga_state import Removal, SagaState


def reached(operation: Operation, saga_state: SagaState, snapshot: Snapshot) -> str:
    """What a snapshot shows in which every target serves and nothing that was to leave is listed."""
    parts = []
    if operation.load_ids:
        parts.append(f"{_names(operation.load_ids)} ready.")
    own = {target.instance_id for target in saga_state.targets}
    left = {removal.instance.model_id for removal in saga_state.removals}
    again = [
        id_
        for id_ in operation.unload_ids
        if saga_state.only_instances is None and any(i.id not in own for i in snapshot.instances_of(id_))
    ]
    unloaded = [id_ for id_ in operation.unload_ids if id_ in left]
    if unloaded:
        parts.append(f"{_names(unloaded)} unloaded.")
    parts += [f"{id_} was not loaded." for id_ in operation.unload_ids if id_ not in left]
    if again:
        parts.append(f"Since then another client has loaded {_names(again)}, which is loaded now.")
    if saga_state.memory_note:
        parts.append(saga_state.memory_note)
    return " ".join(parts) or "Nothing had to be done."


@dataclass(frozen=True, slots=True)
class Undone:
    """What the last snapshot shows of an operation that was undone. Names are model ids."""

    restored: tuple[str, ...]
    """Placed again, and ready."""
    missing: tuple[str, ...]
    """Healthy when the operation began, and not loaded now, though nobody else removed them."""
    partly: tuple[str, ...]
    """Those of `missing` that still have another copy."""
    removed: tuple[str, ...]
    """Healthy when the operation began, and removed by another client."""
    waiting: tuple[str, ...]
    """Listed and not ready: each as a clause that says why."""
    left: tuple[str, ...]
    """Placed by the operation, and still listed."""
    created: bool
    """Whether exo created anything that it placed."""
    loaded_by_others: tuple[str, ...]
    """Models that were to be loaded, and that another client has loaded."""
    lost: tuple[str, ...]
    """Models that had nothing to do with it, and of which an instance is gone."""

    @property
    def complete(self) -> bool:
        """Whether all that the operation would have unloaded serves."""
        return not (self.missing or self.removed or self.waiting)


def undone(saga_state: SagaState, snapshot: Snapshot) -> Undone:
    """What the snapshot shows. An instance that was being started when the operation began need not be ready yet."""
    listed = snapshot.state.instances
    restored: list[str] = []
    waiting: list[str] = []
    for removal in (d for d in saga_state.removals if d.healthy):
        model_id = removal.instance.model_id
        now = serving_id(removal, snapshot)
        if now is None:
            continue
        if _is_worse(removal, snapshot.instance_status(now)):
            waiting.append(
                f"{model_id} is {snapshot.instance_status(now).phase.value}: {snapshot.instance_status(now).message}"
            )
        elif now != removal.instance.id:
            restored.append(model_id)
    gone = {removal.instance.model_id for removal in missing(saga_state, snapshot)}
    served = {d.instance.model_id for d in saga_state.removals if d.healthy and serving_id(d, snapshot) is not None}
    placed = [target.instance for target in saga_state.targets if target.instance is not None]
    own = {instance.id for instance, _ in saga_state.own_instances()}
    return Undone(
        restored=_unique(restored),
        missing=_unique(gone),
        partly=_unique(gone & served),
        removed=_unique(
            d.instance.model_id
            for d in saga_state.removals
            if d.healthy and d.deleted_by_others and not d.newcomer and d.instance.model_id not in gone | served
        ),
        waiting=_unique(waiting),
        left=_unique(instance.model_id for instance in placed if instance.id in listed),
        created=any(was_created(snapshot, instance) for instance in placed),
        loaded_by_others=_unique(
            target.model_id
            for target in saga_state.targets
            if target.adopts is None and any(i.id not in own for i in snapshot.instances_of(target.model_id))
        ),
        lost=_unique(model_id for id_, model_id in saga_state.before.items() if id_ not in listed and id_ not in own),
    )


def missing(saga_state: SagaState, snapshot: Snapshot) -> list[Removal]:
    """The instances to restore: they were ready or loading, are not listed now, and were not removed by others.

    Of each model no more copies than when the operation was planned. For example another client loads a second copy
    of A while A is unloaded: both are unloaded, and one of them is restored.
    """
    found: list[Removal] = []
    for model_id in dict.fromkeys(removal.instance.model_id for removal in saga_state.removals):
        copies = [d for d in saga_state.removals if d.instance.model_id == model_id and d.healthy]
        wanted = sum(not d.newcomer for d in copies)
        ours = [d for d in copies if not d.deleted_by_others]
        gone = [d for d in ours if serving_id(d, snapshot) is None]
        found += gone[: max(0, wanted - (len(ours) - len(gone)))]
    return found


def _is_worse(removal: Removal, instance_status: InstanceStatus) -> bool:
    """Whether it is further from ready than when the operation noticed it."""
    if removal.ready or removal.restored is not None:
        return not instance_status.ready
    return instance_status.phase in BROKEN


def serving_id(removal: Removal, snapshot: Snapshot) -> str | None:
    """The listed instance that replaces the one that was there; None where none does."""
    listed = snapshot.state.instances
    if removal.instance.id in listed:
        return removal.instance.id
    return removal.restored.id if removal.restored is not None and removal.restored.id in listed else None


def ended(operation: Operation, shown: Undone, *, cancelled: bool) -> OperationState:
    """The final state of an operation that did not reach its end."""
    if cancelled and not shown.missing:
        return OperationState.CANCELLED
    if operation.kind is not OperationKind.LOAD and shown.restored and shown.complete:
        return OperationState.ROLLED_BACK
    return OperationState.FAILED


def unclaimed(saga_state: SagaState, snapshot: Snapshot) -> list[str]:
    """The ids that it has asked exo to create, and that nothing wants now that it was undone.

    What is restored is wanted, listed or not. A target that is still listed is reported as left (`Undone.left`): what
    becomes of it is for a person to say.
    """
    kept = {removal.restored.id for removal in saga_state.removals if removal.restored is not None}
    kept |= {t.instance.id for t in saga_state.targets if t.instance is not None} & snapshot.state.instances.keys()
    return [id_ for id_ in saga_state.requested if id_ not in kept]


def sentences(shown: Undone) -> str:
    """What the snapshot shows, in sentences."""
    parts = []
    if shown.restored:
        parts.append(f"{'Rolled back: ' if shown.complete else ''}{_names(shown.restored)} is ready again.")
    whole = [model_id for model_id in shown.missing if model_id not in shown.partly]
    if whole:
        parts.append(f"{_names(whole)} is not loaded any more.")
    if shown.partly:
        parts.append(f"Not every copy of {_names(shown.partly)} that was there is loaded any more.")
    if shown.removed:
        parts.append(f"{_names(shown.removed)} was removed by another client meanwhile, and is not restored.")
    parts += [f"{clause.rstrip('.')}." for clause in shown.waiting]
    if shown.left:
        parts.append(f"{_names(shown.left)} is still there.")
    elif shown.created and not shown.restored:
        parts.append("What had been placed is removed again.")
    if shown.loaded_by_others:
        parts.append(f"Another client has loaded {_names(shown.loaded_by_others)}.")
    if shown.lost:
        parts.append(f"Meanwhile exo lost {_names(shown.lost)}, which this operation did not touch.")
    return " ".join(parts) or "The cluster is as it was before."


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
