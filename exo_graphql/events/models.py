"""What happened to models: each copy of a model on its own, since one of two may be lost while the other serves."""

from collections.abc import Iterator

from exo_graphql.cluster.error_text import one_line
from exo_graphql.cluster.history import REMOVED_UNREADY, UNLOADED_UNREADY
from exo_graphql.cluster.readiness import READY, Failure, Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.transitions import RemovedInstance, Transitions
from exo_graphql.events.event import EventKind, Occurrence, Severity

# Messages of failures that say no more than that somebody deleted the instance.
_DELETED = frozenset({REMOVED_UNREADY, UNLOADED_UNREADY})
_STARTING = frozenset({Phase.WAITING, Phase.CONNECTING, Phase.LOADING, Phase.WARMING_UP})


def model_events(before: Snapshot, after: Snapshot, transitions: Transitions) -> Iterator[Occurrence]:
    """Models that became ready, were unloaded, lost, given up, or failed at an attempt."""
    reported: set[str] = set()
    """Models whose failure another event already reports."""
    for one in transitions.removed:
        event = _end(one, before, after)
        if event is not None:
            yield event
        if one.failure is not None:
            reported.add(one.model_id)
    for instance in after.state.instances.values():
        previous = before.instance_statuses.get(instance.id)
        was_phase = previous.phase if previous is not None else Phase.NOT_LOADED
        status = after.instance_statuses[instance.id]
        # An unload that was cancelled: it was ready all along.
        if status.phase in READY and was_phase not in READY and was_phase is not Phase.UNLOADING:
            again = " again" if was_phase is Phase.UNREACHABLE else ""
            yield Occurrence(
                kind=EventKind.MODEL_READY,
                severity=Severity.INFO,
                message=f"Model {instance.model_id} is ready{again}.",
                model_id=instance.model_id,
            )
        elif status.phase is Phase.UNREACHABLE and (
            was_phase in READY
            # exo may have been starting a runner again; `_end` takes the loss as reported.
            or (was_phase in _STARTING and after.history.instances[instance.id].was_ready)
        ):
            yield _lost(after, instance.model_id, status.message, status.node_id)
    for model_id, failure in transitions.failures.items():
        if model_id not in reported:
            yield _failed(after, model_id, failure)


def _end(one: RemovedInstance, before: Snapshot, after: Snapshot) -> Occurrence | None:
    """The event of a copy that is gone; None where an earlier event has reported it."""
    was = before.instance_statuses.get(one.id)
    if one.lost and one.was_ready:
        if was is not None and was.phase is Phase.UNREACHABLE:
            return None
        failure = one.failure
        return _lost(after, one.model_id, failure.message if failure else "", failure.node_id if failure else None)
    failure = one.failure or _last_failure(before, one)
    if not one.was_ready and failure is not None and failure.message not in _DELETED:
        return Occurrence(
            kind=EventKind.MODEL_GIVEN_UP,
            severity=Severity.ERROR,
            message=f"Model {one.model_id} did not become ready: {_sentence(failure)}",
            model_id=one.model_id,
            node_id=failure.node_id,
            node_name=_name(after, failure.node_id),
        )
    by = "by this server" if one.unloaded else "by another client of exo"
    early = "" if one.was_ready else " before it was ready"
    left = _ready_copies(after, one.model_id)
    what = f"A copy of model {one.model_id}" if left else f"Model {one.model_id}"
    rest = f", and {left} still ready" if left else ""
    return Occurrence(
        kind=EventKind.MODEL_UNLOADED,
        severity=Severity.INFO,
        message=f"{what} was unloaded {by}{early}{rest}.",
        model_id=one.model_id,
    )


def _last_failure(before: Snapshot, one: RemovedInstance) -> Failure | None:
    """The failure of its last attempt: exo itself deletes an instance after five."""
    was = before.history.instances.get(one.id)
    return was.failure if was is not None and not one.unloaded else None


def _lost(after: Snapshot, model_id: str, reason: str, node_id: str | None) -> Occurrence:
    left = _ready_copies(after, model_id)
    what = f"A copy of model {model_id} was lost, and {left} still ready" if left else f"Model {model_id} was lost"
    return Occurrence(
        kind=EventKind.MODEL_LOST,
        severity=Severity.WARNING if left else Severity.ERROR,
        message=f"{what}: {reason}" if reason else f"{what}.",
        model_id=model_id,
        node_id=node_id,
        node_name=_name(after, node_id),
    )


def _ready_copies(snapshot: Snapshot, model_id: str) -> int:
    return sum(
        instance.model_id == model_id and snapshot.instance_statuses[instance.id].ready
        for instance in snapshot.state.instances.values()
    )


def _failed(after: Snapshot, model_id: str, failure: Failure) -> Occurrence:
    attempt = "" if failure.attempt is None else f" at attempt {failure.attempt}"
    return Occurrence(
        kind=EventKind.MODEL_FAILED,
        severity=Severity.WARNING,
        message=f"Model {model_id} failed{attempt}: {_sentence(failure)}",
        model_id=model_id,
        node_id=failure.node_id,
        node_name=_name(after, failure.node_id),
    )


def _sentence(failure: Failure) -> str:
    """The message, with the cause that an earlier attempt gave where the last one names none."""
    message = one_line(failure.message)
    return message if failure.cause in (None, failure.message) else f"{message} ({failure.cause})"


def _name(snapshot: Snapshot, node_id: str | None) -> str | None:
    node = snapshot.state.nodes.get(node_id) if node_id is not None else None
    return node.friendly_name if node is not None else None
