"""The status of one model: the phase of its best instance, and what the history remembers."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from exo_graphql.cluster.history import NEVER_LOADED, ModelHistory
from exo_graphql.cluster.readiness import RANK, Failure, InstanceStatus, Phase

if TYPE_CHECKING:
    from exo_graphql.cluster.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Readiness of one model in one snapshot.

    `ready` only if all `instance_ids` are: exo sends a request to the instance with the fewest tasks, ready or not.
    `changed_at` is None until this server has seen the phase change; `final`: the status will not change by itself.
    `attempt` is the number of exo's attempt at the best instance, from 1; None if none is under way. `expected`: it has
    no instance so far, and an operation under way loads it.
    """

    model_id: str
    found: bool
    phase: Phase = Phase.NOT_LOADED
    ready: bool = False
    ready_instances: int = 0
    final: bool = False
    expected: bool = False
    stale: bool = False
    progress_percent: float | None = None
    message: str = "Not loaded."
    eta_seconds: float | None = None
    node_ids: tuple[str, ...] = ()
    instance_ids: tuple[str, ...] = ()
    attempt: int | None = None
    failure: Failure | None = None
    changed_at: datetime | None = None
    observed_at: datetime | None = field(default=None, compare=False)


def model_status(snapshot: "Snapshot", model_id: str) -> ModelStatus:
    """Readiness of a model by its full id; `found` is False for one that nothing knows."""
    if model_id not in snapshot.models and model_id not in snapshot.history.models:
        return ModelStatus(
            model_id,
            found=False,
            stale=snapshot.stale,
            message="No model in the cluster has this name.",
            observed_at=snapshot.observed_at,
        )
    instances = snapshot.instances_of(model_id)
    history = snapshot.history.models.get(model_id, NEVER_LOADED)
    # Of several in the same phase the one with most progress. exo's order would change from state to state.
    best = min(
        (snapshot.instance_statuses[i.id] for i in sorted(instances, key=lambda i: i.id)),
        key=lambda instance_status: (RANK[instance_status.phase], -(instance_status.progress_percent or 0.0)),
        default=None,
    )
    expected = not instances and model_id in snapshot.loads.under_way
    if best is None or RANK[history.phase] < RANK[best.phase]:
        best = _without_instance(history, expected=expected)
    unready = [instance for instance in instances if not snapshot.instance_statuses[instance.id].ready]
    ready_instances = len(instances) - len(unready)
    given_up = bool(unready) and all(instance.id in snapshot.given_up for instance in unready)
    lost = not instances and history.gave_up and not expected
    return ModelStatus(
        model_id,
        found=True,
        phase=best.phase,
        ready=bool(instances) and not unready,
        ready_instances=ready_instances,
        final=(given_up or lost) and model_id not in snapshot.expectations.coming,
        expected=expected,
        stale=snapshot.stale,
        progress_percent=best.progress_percent,
        message=_partly_ready(ready_instances, len(instances)) if unready and ready_instances else best.message,
        eta_seconds=best.eta_seconds,
        node_ids=tuple(node.id for node in snapshot.nodes_of(instances)),
        instance_ids=tuple(instance.id for instance in instances),
        attempt=best.attempt,
        failure=history.failure,
        changed_at=history.changed_at,
        observed_at=snapshot.observed_at,
    )


def _without_instance(history: ModelHistory, *, expected: bool) -> InstanceStatus:
    if history.phase is Phase.UNLOADING:
        return InstanceStatus(history.phase, "Unloading: the instance is gone; its memory is not free yet.")
    if expected:
        return InstanceStatus(Phase.NOT_LOADED, "Not loaded yet: an operation is loading it.")
    if history.gave_up and history.failure is not None:
        reason = history.failure.message
        if history.failure.attempt is not None:
            reason = f"Attempt {history.failure.attempt} failed: {history.failure.cause or reason}"
        return InstanceStatus(Phase.NOT_LOADED, f"Not loaded. {reason}")
    return InstanceStatus(Phase.NOT_LOADED, "Not loaded.")


def _partly_ready(ready: int, instances: int) -> str:
    are = "copies are" if ready > 1 else "copies is"
    others = "others" if instances - ready > 1 else "other"
    return f"{ready} of {instances} {are} ready; exo may send a request to the {others}."
