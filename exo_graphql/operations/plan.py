"""A plan as a value: what is loaded and unloaded, in which steps, and its summary. `planning.py` makes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exo_graphql.cluster.memory import instance_bytes
from exo_graphql.cluster.placement_request import Fit, NoFit, PlacementRequest
from exo_graphql.cluster.readiness import BROKEN
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance
from exo_graphql.operations.membership import members_of
from exo_graphql.operations.operation import OperationKind, Step
from exo_graphql.operations.requests import OperationRequest
from exo_graphql.operations.saga_state import Removal, SagaState, Target


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operation will do: `saga_state` with a place for each target."""

    saga_state: SagaState
    waiting_for: tuple[str, ...] = ()
    """Operations that have to release memory first; empty where it can begin now."""
    fits: tuple[Fit, ...] = ()
    """Where each target goes that is not adopted, in the order of the targets."""


@dataclass(frozen=True, slots=True)
class NoPlan:
    """Why there is no plan: the models do not fit. `rejection.py` makes it an error with advice."""

    requests: tuple[PlacementRequest, ...]
    """The models that were to be placed together."""
    no_fit: NoFit
    free: Mapping[str, int]
    """Bytes by node that were free for them, the memory of what they replace included."""
    busy: frozenset[str]
    """Models that are being loaded or unloaded: unloading them cannot be suggested."""
    holders: tuple[str, ...]
    """Operations that have reserved memory, or are the first to get what is released."""


def is_healthy(snapshot: Snapshot, instance: Instance) -> bool:
    """Whether it is ready, or loading."""
    return snapshot.instance_status(instance.id).phase not in BROKEN and instance.id not in snapshot.given_up


def draft(
    snapshot: Snapshot, request: OperationRequest, load_ids: Sequence[str], unload_ids: Sequence[str]
) -> SagaState:
    """What is to be loaded and unloaded, before it is known where it fits."""
    saga_state = SagaState(
        only_instances=request.only_instances,
        members=members_of(snapshot),
        before={instance.id: instance.model_id for instance in snapshot.state.instances.values()},
    )
    for model_id in load_ids:
        healthy = [i for i in snapshot.instances_of(model_id) if is_healthy(snapshot, i)]
        # One that is ready is better to adopt than one that is loading.
        healthy.sort(key=lambda instance: not snapshot.instance_status(instance.id).ready)
        adopts = healthy[0].id if healthy and not request.additional else None
        ready = adopts is not None and snapshot.instance_status(adopts).ready
        saga_state.targets.append(Target(model_id, adopts=adopts, ready=ready))
    for model_id in unload_ids:
        removals = removals_of(snapshot, model_id, request.only_instances)
        saga_state.removals.extend(removals)
        if not removals:
            saga_state.unloaded_already.append(model_id)
    return saga_state


def removals_of(snapshot: Snapshot, model_id: str, only: Sequence[str] | None) -> list[Removal]:
    """The instances of a model that are to be unloaded."""
    return [
        Removal(
            instance,
            instance_bytes(instance, snapshot.models),
            is_healthy(snapshot, instance),
            ready=snapshot.instance_status(instance.id).ready,
        )
        for instance in snapshot.instances_of(model_id)
        if only is None or instance.id in only
    ]


def steps(kind: OperationKind, saga_state: SagaState) -> tuple[Step, ...]:
    """The steps that the operation will take if all goes well."""
    load = [name for target in saga_state.targets for name in step_names(saga_state, target)]
    unload = ["drain", "unload", "memory"]
    if kind is OperationKind.LOAD:
        names = ["plan", *load]
    elif kind is OperationKind.UNLOAD:
        names = unload
    elif saga_state.side_by_side:
        names = ["plan", *load, *unload]
    else:
        names = ["plan", "download", *unload, *load]
    return tuple(Step(name) for name in names)


def step_names(saga_state: SagaState, target: Target) -> tuple[str, str]:
    """The two steps of a target; with several models they carry its name."""
    of = f" {target.model_id}" if len(saga_state.targets) > 1 else ""
    return f"place{of}", f"load{of}"


def summary(saga_state: SagaState, same_ids: Sequence[str]) -> str:
    """What the plan has found, as sentences."""
    sentences = [f"{id_} is on both sides: it stays." for id_ in same_ids]
    sentences += [f"{target.model_id} is loaded already." for target in saga_state.targets if target.adopts is not None]
    sentences += [f"{id_} is not loaded: nothing to unload." for id_ in saga_state.unloaded_already]
    if saga_state.removals and saga_state.targets:
        together = (
            "New and old fit together: loading first." if saga_state.side_by_side else "It fits after the unload."
        )
        sentences.append(together)
    if saga_state.removals and not saga_state.targets:
        sentences.append(
            f"To be unloaded: {', '.join(dict.fromkeys(d.instance.model_id for d in saga_state.removals))}."
        )
    return " ".join(sentences) or "It fits."
