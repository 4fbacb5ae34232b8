"""One operation under way, as its steps use it: they report here, wait here for snapshots, and send to exo from here.

`observation.py` judges each snapshot that comes through here, `deadlines.py` ends what takes too long.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from exo_graphql.cluster.readiness import Failure
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance
from exo_graphql.cluster.upstream import NotLeading, Unreachable, Upstream
from exo_graphql.operations.abort import Abort
from exo_graphql.operations.deadlines import Deadlines
from exo_graphql.operations.errors import Cancelled, ClusterUnavailable, JournalUnavailable, no_answer
from exo_graphql.operations.membership import is_same_cluster
from exo_graphql.operations.observation import Observation
from exo_graphql.operations.operation import Operation, OperationState, Step, StepState
from exo_graphql.operations.progress import Progress
from exo_graphql.operations.records import Record, Unstorable
from exo_graphql.operations.requests import OperationRequest
from exo_graphql.operations.reservations import Reservation
from exo_graphql.operations.rules import OperationRules
from exo_graphql.operations.saga_state import SagaState
from exo_graphql.storage import NotLeader, StoreError

log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Run:
    """What the steps of an operation share. `save` writes to the journal, `changed` notifies listeners.

    `shared`: other servers read the journal, and any of them may go on with the operation.
    """

    def __init__(
        self,
        record: Record,
        upstream: Upstream,
        rules: OperationRules,
        *,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        save: Callable[[Record], Awaitable[object]],
        changed: Callable[["Run"], None],
        shared: bool = False,
    ) -> None:
        self.record = record
        """The operation with its saga state. Replaced at each change, and stored by `save`."""
        self.shown = record.operation
        """The operation as others see it: no step and no end is shown before it is stored.

        For example a server stores that it places B, and is killed: the one that goes on must not seem to go back.
        """
        self.upstream = upstream
        self.rules = rules
        self.clock = clock
        """Seconds of this process, for waits."""
        self.now = now
        """The wall clock (UTC), for time stamps alone."""
        self._save = save
        self._changed = changed
        self._shared = shared
        self._stop = asyncio.Event()
        """Set when the operation is cancelled: it ends the wait under way."""
        self._resume = asyncio.Event()
        """Set when a person resumes a parked operation."""
        self._discard = asyncio.Event()
        """Set when a person discards a parked operation."""
        if record.saga_state.discarding:
            self._discard.set()
        if record.saga_state.cancelling:
            self._stop.set()
        self.observation = Observation(rules, clock)
        spent = (now() - record.operation.started_at).total_seconds()
        self._deadlines = Deadlines(rules, clock, record.request.timeout_seconds, spent)
        self.inherited_deletions = frozenset(
            removal.instance.id for removal in record.saga_state.removals if removal.deletion_requested
        )
        """What another process has asked exo to delete, or was about to, before this one went on."""
        self._progress = Progress()
        self._known_failures: dict[str, Failure | None] = {}
        """By instance: the failure that its model had when this process first dealt with the instance."""
        self.missing: Mapping[str, int] = {}
        """Bytes by node that were freed but that the nodes do not report as free yet."""
        # Also before a run that goes on has read any state: a model that was unloading must not look ready again.
        requested = () if self.is_done("memory") else record.saga_state.removals
        self.deleting = {d.instance.id: d.instance.model_id for d in requested if d.deletion_requested}
        """Model by instance id: exo was asked to delete these, and their removal is not finished."""

    @property
    def operation(self) -> Operation:
        """The operation as it is now, or as it is about to be stored."""
        return self.record.operation

    @property
    def saga_state(self) -> SagaState:
        """The state that a restart would resume from."""
        return self.record.saga_state

    @property
    def is_ending(self) -> bool:
        """Whether its steps are all done, and it only confirms its result."""
        done = all(step.state not in (StepState.PENDING, StepState.RUNNING) for step in self.operation.steps)
        return done and self.operation.at_work and not self.saga_state.reverts

    @property
    def request(self) -> OperationRequest:
        """The request as the caller sent it."""
        return self.record.request

    @property
    def reservation(self) -> Reservation:
        """The memory that it has reserved."""
        operation = self.operation
        waiting = operation.state is OperationState.PENDING
        return Reservation(
            operation.id,
            self.record.sequence,
            self.saga_state.copy(),
            waiting,
            self.missing,
            operation.model_ids,
            operation.message,
        )

    # Reporting

    def update(self, **changes: object) -> None:
        """Changes the operation (not its steps) and notifies listeners; nothing is stored."""
        self.decide(**changes)
        self._show(replace(self.shown, **changes))  # type: ignore[arg-type]  # replace checks the names

    def decide(self, **changes: object) -> None:
        """Changes the operation (not its steps). Others see it once it is stored."""
        changed = replace(self.operation, **changes)  # type: ignore[arg-type]  # replace checks the names
        self.record = replace(self.record, operation=changed)

    def report(self, name: str, message: str, progress_percent: float | None = None, attempt: int = 0) -> None:
        """What a step waits for, as the step's message and the operation's, with the progress of its `attempt`."""
        before = self.operation.progress_percent
        percent = self._progress.shown(name, attempt, progress_percent, before=before)
        self.record = replace(self.record, operation=_reported(self.operation, name, message, percent))
        self._show(_reported(self.shown, name, message, percent))

    def show(self) -> None:
        """Shows the operation as it is, and notifies listeners."""
        self._show(self.operation)

    def _show(self, operation: Operation) -> None:
        if operation != self.shown:
            self.shown = operation
            self._changed(self)

    async def save(self) -> None:
        """Stores the record, then shows the operation.

        Where other servers share the journal, it waits until it can store: in the meantime another one may lead and go
        on with the operation, and after that this one again. Where none does, a step that is not stored must not begin
        (`Abort`); while undoing, a failure to store is ignored, since restoring the old model matters more.
        """
        waiting = False
        while True:
            try:
                await self._save(self.record)
            except Unstorable as error:
                self._give_up_storing(error)
            except StoreError as error:
                if self._shared or isinstance(error, NotLeader):
                    if not waiting:
                        log.warning("Operation %s waits for the journal: %s", self.operation.id, error)
                    waiting = True
                    self.progressed()
                    self._show(replace(self.shown, message=f"Waiting for the journal. {error}"))
                    await asyncio.sleep(self.rules.tick_seconds)
                    continue
                self._give_up_storing(error)
            self.show()
            return

    def _give_up_storing(self, error: StoreError) -> None:
        if self.saga_state.undoing is None:
            raise Abort(JournalUnavailable.because(error)) from error

    # Steps

    def is_done(self, name: str) -> bool:
        """Whether the step is done, by this process or before a crash."""
        step = self.operation.step(name)
        return step is not None and step.state in (StepState.SUCCEEDED, StepState.SKIPPED)

    async def begin(self, name: str, message: str) -> None:
        """Starts a step; returns once the intent is in the journal."""
        step = self.operation.step(name) or Step(name)
        started = step.started_at or self.now()
        self._set(replace(step, state=StepState.RUNNING, started_at=started, message=message), message)
        self.progressed()
        await self.save()

    async def finish(self, name: str, message: str, state: StepState = StepState.SUCCEEDED) -> None:
        """Ends a step."""
        step = self.operation.step(name) or Step(name)
        now = self.now()
        started = step.started_at or now
        finished = max(now, started)
        self._set(replace(step, state=state, started_at=started, finished_at=finished, message=message), message)
        self.progressed()
        await self.save()

    def fail_open_steps(self, message: str) -> None:
        """The step under way has failed, those not begun are left out."""
        now = self.now()
        for step in self.operation.steps:
            if step.state is StepState.RUNNING:
                finished = max(now, step.started_at or now)
                self._set(replace(step, state=StepState.FAILED, finished_at=finished, message=message), message)
            elif step.state is StepState.PENDING:
                self._set(replace(step, state=StepState.SKIPPED), message)

    def _set(self, step: Step, message: str) -> None:
        self.record = replace(self.record, operation=replace(self.operation.with_step(step), message=message))

    # Deadlines

    def progressed(self, metric: tuple[object, ...] | None = None) -> None:
        """Something has progressed (or `metric` has changed, where given): the time without progress starts again."""
        self._deadlines.progressed(metric)

    async def cancel(self, by: str | None = None) -> None:
        """Requests that the operation stops and is undone, at its next wait; a parked one is discarded.

        `by` names the caller.

        Returns once that is stored: a server that is killed right after must not continue it. Raises `StoreError`.
        """
        saga_state = self.saga_state
        before = saga_state.cancelling, saga_state.discarding
        if not any(before):
            self.update(cancelled_by=by)
        if self.operation.state is OperationState.PARKED:
            saga_state.discarding = True
        else:
            saga_state.cancelling = True
        try:
            await self._save(self.record)
        except StoreError:
            saga_state.cancelling, saga_state.discarding = before
            raise
        (self._discard if saga_state.discarding else self._stop).set()

    def check(self) -> None:
        """Raises `Abort` where the operation must not continue. While undoing, a lack of progress alone ends it."""
        if self.saga_state.undoing is not None:
            snapshot = self.upstream.snapshot
            if self._deadlines.excuses_absence(answers=snapshot is not None and not snapshot.stale):
                reason = self.saga_state.undoing.reason
                self.update(message=f"{reason} Waiting for exo to answer, to undo what was done.")
        elif self._stop.is_set():
            raise Abort(Cancelled(message="The operation was cancelled."))
        else:
            self._deadlines.check_timeout()
        self._deadlines.check_progress()

    # Snapshots

    async def read_now(self) -> Snapshot:
        """A snapshot read after this call, waiting for exo as long as the operation may continue."""
        while True:
            self.check()
            try:
                snapshot = await self.upstream.read_now()
            except Unreachable:
                self.observation.note_unreachable()
                await self._pause(self.rules.tick_seconds)
                continue
            if self.observation.trusts(snapshot, self.saga_state):
                return snapshot
            await self.next(snapshot)

    async def next(self, since: Snapshot, *, urgent: bool = False) -> Snapshot:
        """The next trusted snapshot, or `since` when it is time to check the deadlines.

        `urgent` for the one wait after a command whose effect exo shows at once.
        """
        self.check()
        newer = asyncio.ensure_future(self.upstream.changed(self.observation.newest or since, urgent=urgent))
        stop = asyncio.ensure_future(self._stop.wait())
        # While undoing, a cancellation has been handled already: it must not end every wait at once.
        waits = {newer} if self.saga_state.undoing is not None else {newer, stop}
        snapshot = since
        try:
            await asyncio.wait(waits, timeout=self.rules.tick_seconds, return_when=asyncio.FIRST_COMPLETED)
            if newer.done():
                with suppress(Unreachable):
                    if self.observation.trusts(newer.result(), self.saga_state):
                        snapshot = newer.result()
            else:
                self.observation.note_unchanged()
        finally:
            for task in (newer, stop):
                task.cancel()
        self.check()
        return snapshot

    # Failures

    def begins_with(self, instance: Instance, snapshot: Snapshot) -> None:
        """From here on a failure of the instance's model is one of this load.

        Time stamps cannot decide that: clocks are adjusted.
        """
        self._known_failures.setdefault(instance.id, snapshot.status(instance.model_id).failure)

    def is_new(self, instance: Instance, failure: Failure) -> bool:
        """Whether the failure has come since `begins_with`."""
        return failure != self._known_failures.get(instance.id)

    # Parking

    def resume(self) -> None:
        """Lets a parked operation continue here."""
        self._resume.set()

    async def parked(self) -> bool:
        """Waits until the operation may continue; returns whether a person resumed it.

        Raises `Abort` when it is discarded instead.
        """
        while True:
            if self._discard.is_set():
                raise Abort(Cancelled(message="The operation was discarded while it was parked."))
            if self._resume.is_set():
                self._resume.clear()
                return True
            snapshot = self.upstream.snapshot
            if snapshot is not None and not snapshot.stale and is_same_cluster(self.saga_state.members, snapshot):
                return False
            waits = [
                asyncio.ensure_future(self._resume.wait()),
                asyncio.ensure_future(self._discard.wait()),
                asyncio.ensure_future(self.upstream.changed(snapshot)),
            ]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waits:
                    task.cancel()

    async def _pause(self, seconds: float) -> None:
        if self.saga_state.undoing is not None:
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def call_exo(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Repeats a call of exo until it is answered, through elections and short outages; it must be idempotent.

        While another server may lead, it waits: that is no lack of progress, and whoever leads then goes on.

        Raises `Abort` when exo does not answer for `unreachable_seconds`, and `Refused` where exo refuses.
        """
        until = self.clock() + self.rules.unreachable_seconds
        while True:
            self.check()
            try:
                return await call()
            except NotLeading:
                until = self.clock() + self.rules.unreachable_seconds
                self.progressed()
                await self._pause(self.rules.tick_seconds)
            except Unreachable as error:
                # Nothing else can restore what was unloaded: while undoing, only a lack of progress ends it.
                if self.saga_state.undoing is None and self.clock() >= until:
                    raise Abort(self._unavailable(str(error))) from error
                await self._pause(self.rules.tick_seconds)

    def _unavailable(self, reason: str) -> ClusterUnavailable:
        snapshot = self.upstream.snapshot
        return no_answer(reason, snapshot.observed_at if snapshot is not None else None)


def _reported(operation: Operation, name: str, message: str, progress_percent: float | None) -> Operation:
    step = operation.step(name) or Step(name)
    changed = operation.with_step(replace(step, message=message))
    return replace(changed, message=message, progress_percent=progress_percent)
