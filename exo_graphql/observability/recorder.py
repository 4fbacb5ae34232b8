"""Where events come from: the cluster's snapshots, the operations and the deployments of this server."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol, Self

from exo_graphql.cluster.identity import is_another_cluster, may_be_incomplete
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.transitions import Transitions
from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.deployment import DeploymentState
from exo_graphql.deployments.service import Deployments
from exo_graphql.events import NEW_WATCH, Event, EventKind, Occurrence, Severity, cluster_events
from exo_graphql.events.log import EventLog
from exo_graphql.events.nodes import exo_is_back, exo_unreachable
from exo_graphql.events.serving import (
    Copy,
    Serving,
    lost_meanwhile,
    ready_copies,
)
from exo_graphql.operations import Operation, OperationKind, Operations, OperationState, StepState

# Seconds without a first state of exo after which it counts as unreachable.
SILENT_AT_START = 10.0

TransitionListener = Callable[[Snapshot | None, Snapshot, Transitions], None]

_ENDED = {
    OperationState.SUCCEEDED: Severity.INFO,
    OperationState.CANCELLED: Severity.INFO,
    OperationState.ROLLED_BACK: Severity.WARNING,
    OperationState.FAILED: Severity.ERROR,
}
_WORSE = frozenset({DeploymentState.RETRYING, DeploymentState.UNSATISFIABLE})


class SnapshotSource(Protocol):
    """Makes the snapshots, and shows in them which losses nobody has dealt with."""

    def listen_transitions(self, listener: TransitionListener) -> AbstractContextManager[None]:
        """Within the context, `listener` is called with each two successive snapshots and what changed between them."""
        ...

    def mark_lost(self, lost: Mapping[str, str]) -> None:
        """Sets which models were lost (id to a sentence), and not loaded, unloaded or acknowledged since."""
        ...


class Recorder:
    """Records events while it is entered. What exists when it is entered makes no events.

    A server that follows passes on what it sees, too: the log holds it, since the leader records it.
    """

    def __init__(
        self, events: EventLog, upstream: SnapshotSource, operations: Operations, deployments: Deployments
    ) -> None:
        self._events = events
        self._upstream = upstream
        self._operations = operations
        self._deployments = deployments
        self._watch = NEW_WATCH
        self._known_operations: Mapping[str, Operation] = {}
        self._known_deployments: Mapping[str, Assessment] = {}
        self._lost: tuple[Event, ...] = ()
        """Losses that the snapshots show as reasons why the cluster is not healthy."""
        self._compared = False
        """Whether what was ready before the start has been compared with what is ready now."""
        self._noted: tuple[Mapping[str, Copy], Mapping[str, str | None]] | None = None
        """What was ready, and the members, when it was last noted in the store."""
        self._first_at: float | None = None
        """When (`Moment.elapsed`) the first snapshot of this process was made."""
        self._silent = False
        """Whether exo was reported as unreachable, and there has been no snapshot yet."""
        self._entered = False
        self._active = ExitStack()

    def __enter__(self) -> Self:
        self._known_operations = {each.id: each for each in self._operations.all()}
        self._known_deployments = _by_name(self._deployments.all())
        self._active.enter_context(self._upstream.listen_transitions(self._cluster_changed))
        self._active.callback(self._operations.listen(self._operations_changed))
        self._active.callback(self._deployments.listen(self._deployments_changed))
        self._events.on_acknowledged = self._mark_lost
        self._mark_lost()
        waiting = asyncio.get_running_loop().call_later(SILENT_AT_START, self._report_silence)
        self._active.callback(waiting.cancel)
        self._entered = True
        return self

    def __exit__(self, *_: object) -> None:
        self._active.close()

    # Its share in the roles of this server: see `replicas.Part`

    async def follow(self) -> None:
        """Looks, and shows the losses that the leader has recorded."""
        self.__enter__()
        self._active.callback(self._events.watch(self._soon_mark_lost))

    async def changed(self, _: object) -> None:
        """Nothing: what others write comes by way of the log, the operations and the deployments."""

    async def refresh(self) -> None:
        """Nothing."""

    async def lead(self) -> None:
        """Records from here on."""
        if not self._entered:
            self.__enter__()
        self._noted = None

    async def rest(self) -> None:
        """Nothing: the log does not record."""

    async def close(self) -> None:
        """At the end of this server."""
        self._active.close()

    def _report_silence(self) -> None:
        if self._first_at is None:
            self._silent = True
            message = f"exo has not answered since this server started {SILENT_AT_START:g} s ago."
            self._events.record([exo_unreachable(message)])

    def _mark_lost(self) -> None:
        lost = self._events.open_losses()
        if lost != self._lost:
            self._lost = lost
            self._upstream.mark_lost(
                {event.model_id: f"{event.message} Since {event.at:%H:%M} UTC." for event in lost if event.model_id}
            )

    def _cluster_changed(self, before: Snapshot | None, after: Snapshot, transitions: Transitions) -> None:
        self._watch, occurrences = cluster_events(self._watch, before, after, transitions)
        if self._first_at is None:
            self._first_at = after.now.elapsed
        if not self._compared:
            occurrences = (*self._lost_meanwhile(after, self._first_at), *occurrences)
        if self._silent:
            self._silent = False
            occurrences = (exo_is_back(), *occurrences)
        self._events.record(occurrences)
        if self._compared and not after.stale:
            self._note_serving(after)
        if occurrences or self._lost:
            self._soon_mark_lost()

    def _soon_mark_lost(self) -> None:
        # The listeners may not have this snapshot yet, and must not get it after the next one.
        asyncio.get_running_loop().call_soon(self._mark_lost)

    def _lost_meanwhile(self, after: Snapshot, first_at: float) -> tuple[Occurrence, ...]:
        """What was lost while no server ran; nothing until a snapshot can show it."""
        if after.stale or not after.state.nodes:
            return ()
        if not self._events.leads:
            # From here on this server sees itself what is lost, and what was before the leader has.
            self._compared = self._events.has_another_leader
            return ()
        served = self._events.served
        waited = after.now.elapsed - first_at
        if (
            served is not None
            and waited < after.rules.behind_grace
            and may_be_incomplete(served.members, served.index, after.state)
        ):
            return ()
        self._compared = True
        if served is None or is_another_cluster(served.members, after.state):
            return ()
        unloaded = {
            model_id
            for operation in self._operations.all()
            if operation.finished_at is None or operation.finished_at >= served.at
            for model_id in operation.unload_ids
        }
        return tuple(lost_meanwhile(served, after, self._events.in_memory, unloaded))

    def _note_serving(self, after: Snapshot) -> None:
        ready = ready_copies(after)
        members = {id_: node.friendly_name for id_, node in after.state.nodes.items()}
        if (ready, members) != self._noted:
            self._noted = ready, members
            now, last = self._events.now(), self._events.last_recorded
            self._events.note_serving(Serving(ready, members, after.state.index, now, last))

    def _operations_changed(self) -> None:
        known, self._known_operations = self._known_operations, {each.id: each for each in self._operations.all()}
        self._events.record(operation_events(known, self._known_operations, self._deployments.name_of))

    def _deployments_changed(self) -> None:
        known, self._known_deployments = self._known_deployments, _by_name(self._deployments.all())
        self._events.record(deployment_events(known, self._known_deployments, self._deployments.deleting))


def _by_name(assessments: Iterable[Assessment]) -> Mapping[str, Assessment]:
    return {each.deployment.name: each for each in assessments}


def operation_events(
    before: Mapping[str, Operation], after: Mapping[str, Operation], name_of: Callable[[str], str | None]
) -> Iterator[Occurrence]:
    """Operations that were accepted, went a step further or have ended, by id before and after.

    `name_of` names a deployment by its uid.
    """
    for id_, operation in after.items():
        was = before.get(id_)
        if was is operation:
            continue
        deployment = None if operation.deployment is None else name_of(operation.deployment)
        if was is None:
            whose = "" if deployment is None else f" for the deployment {deployment}"
            requester = "" if operation.by is None else f" from {operation.by}"
            text = f"Accepted{requester}: {_act(operation)}{whose}."
            yield _of(operation, EventKind.OPERATION_ACCEPTED, Severity.INFO, text, deployment, operation.by)
        for step in operation.steps if was is not None else ():
            earlier = was.step(step.name) if was is not None else None
            # Of a step that fails, the end of the operation says so, and why.
            if step.state is StepState.SUCCEEDED and (earlier is None or earlier.state is not step.state):
                text = f"{_begin(_act(operation))}, step {step.name}: done. {step.message or ''}".rstrip()
                yield _of(operation, EventKind.OPERATION_STEP, Severity.INFO, text, deployment, operation.by)
        if operation.state in _ENDED and (was is None or was.state not in _ENDED):
            cancelled = operation.state is OperationState.CANCELLED
            by = operation.cancelled_by if cancelled else operation.by
            state = operation.state.value + (_by(by) if cancelled else "")
            text = f"{_begin(_act(operation))}: {state}. {operation.message}"
            yield _of(operation, EventKind.OPERATION_ENDED, _ENDED[operation.state], text, deployment, by)


def _act(operation: Operation) -> str:
    loads, unloads = ", ".join(operation.load_ids), ", ".join(operation.unload_ids)
    match operation.kind:
        case OperationKind.LOAD:
            return f"load {loads}"
        case OperationKind.UNLOAD:
            return f"unload {unloads}"
        case OperationKind.SWAP:
            return f"swap {unloads or 'nothing'} for {loads or 'nothing'}"


def _begin(act: str) -> str:
    return f"{act[0].upper()}{act[1:]}"


def _of(
    operation: Operation,
    kind: EventKind,
    severity: Severity,
    message: str,
    deployment: str | None,
    by: str | None = None,
) -> Occurrence:
    models = operation.load_ids or operation.unload_ids
    return Occurrence(
        kind=kind,
        severity=severity,
        message=message,
        model_id=models[0] if models else None,
        operation_id=operation.id,
        deployment=deployment,
        by=by,
    )


def deployment_events(
    before: Mapping[str, Assessment], after: Mapping[str, Assessment], deleting: Mapping[str, str | None]
) -> Iterator[Occurrence]:
    """Deployments that were declared, changed or deleted, or whose state is another one, by name before and after.

    `deleting` says by whom, by uid, where a person deletes one.
    """
    for name, now in after.items():
        was = before.get(name)
        if was is now:
            continue
        generation, by = now.deployment.generation, now.deployment.changed_by
        if was is None:
            yield _changed(
                now, Severity.INFO, f"Deployment {name} of {now.deployment.spec.model_id} is declared{_by(by)}.", by
            )
        elif was.deployment.generation != generation:
            yield _changed(now, Severity.INFO, f"Deployment {name} is changed{_by(by)} (generation {generation}).", by)
        before_now = None if was is None else was.state
        if was is not None and was.remembered is not None and now.remembered is None:
            # After a start, what was before it counts, and not that exo had not answered yet.
            before_now = was.remembered
        if before_now is not now.state:
            severity = Severity.WARNING if now.state in _WORSE else Severity.INFO
            paused = now.deployment.pause is not None
            acted = by if was is not None and was.deployment.pause != now.deployment.pause else None
            begin = f"Deployment {name}" if acted is None or paused else f"Deployment {name} was resumed by {acted} and"
            state = f"{now.state.value}{_by(acted) if paused else ''}"
            yield _changed(now, severity, f"{begin} is {state}: {now.reason}", acted)
    for name, was in before.items():
        if name not in after:
            by = deleting.get(was.deployment.uid)
            yield _changed(was, Severity.INFO, f"Deployment {name} is deleted{_by(by)}.", by)


def _by(name: str | None) -> str:
    return "" if name is None else f" by {name}"


def _changed(assessment: Assessment, severity: Severity, message: str, by: str | None = None) -> Occurrence:
    return Occurrence(
        kind=EventKind.DEPLOYMENT_CHANGED,
        severity=severity,
        message=message,
        model_id=assessment.deployment.spec.model_id,
        operation_id=assessment.operation_id,
        deployment=assessment.deployment.name,
        by=by,
    )
