"""The manager: it owns the operations under way, their reservations, and the listeners that are notified of changes."""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import ExitStack, suppress
from datetime import datetime

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Upstream
from exo_graphql.operations.errors import JournalUnavailable, OperationError
from exo_graphql.operations.followed import as_known, deleting
from exo_graphql.operations.late_instances import LateInstances
from exo_graphql.operations.marks import Marks
from exo_graphql.operations.operation import Operation, OperationState
from exo_graphql.operations.records import Record
from exo_graphql.operations.repository import OperationRepository, Reread
from exo_graphql.operations.requests import OperationRequest
from exo_graphql.operations.reservations import Reservation
from exo_graphql.operations.resolution import ResolvedRequest, is_same_load
from exo_graphql.operations.returning import ReturningMembers
from exo_graphql.operations.rules import OperationRules
from exo_graphql.operations.run import Run
from exo_graphql.operations.shared_progress import SharedProgress
from exo_graphql.operations.worker import execute, fault
from exo_graphql.storage import Key, Leaderless, NotLeader, Store, StoreError, is_shared

log = logging.getLogger(__name__)

# Operations that are read again for a caller who has just requested one through another server.
NEWEST = 20


class OperationManager:
    """Owns the task of every operation. `repository` remembers what has ended, and the keys.

    While another server leads, the operations have no tasks: they are shown as that server stores them.
    """

    def __init__(
        self,
        upstream: Upstream,
        store: Store,
        rules: OperationRules,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self.version = 0
        """Increases with every change of any operation."""
        self.repository = OperationRepository(store, rules, now)
        self._leadership = store.leadership
        self._shared = is_shared(store.leadership)
        self._leaderless: Leaderless | None = None
        """Why no server works on them; None where one does, or the store was not read yet."""
        self.leads = False
        """Whether this server executes them."""
        self._upstream = upstream
        self._rules = rules
        self._clock = clock
        self._now = now
        self._runs: dict[str, Run] = {}
        """By operation id, in the order of their start: those that have not ended, parked ones included."""
        self._unadmitted: set[str] = set()
        """The ids of those that are not in the store yet: nobody else sees them."""
        self._work: set[asyncio.Task[None]] = set()
        """The task of each run, and of each operation that has ended but could not be stored yet."""
        self._listeners: list[Callable[[], None]] = []
        self._returning = ReturningMembers(rules, clock)
        self.late = LateInstances(upstream, self.repository.unclaimed, self._runs_now, rules, clock)
        self.late.changed = self._show_changes
        self._marks = Marks(upstream, self.late)
        self._progress = SharedProgress(self.repository.write)
        self._watching: ExitStack | None = None
        """Ends the subscriptions to snapshots; None until the store was read."""

    # Leading and following

    async def lead(self) -> None:
        """Resumes what was under way when the last server ended or lost the lead. Raises `StoreError`."""
        self._show(await self.repository.load(again=self._shared), anew=True)
        await self.repository.prune()
        self.leads = True
        self._work_on(self.late.run(), "late instances")
        if self._shared:
            self._work_on(self._progress.run(), "shared progress")
        for run in tuple(self._runs.values()):
            log.info("Resuming operation %s (%s).", run.operation.id, run.operation.kind.value)
            self._start(run)

    async def rest(self) -> None:
        """Stops the work without ending any operation. They are shown as they were."""
        self.leads = False
        self._progress.clear()
        work = tuple(self._work)
        for task in work:
            task.cancel()
        if work:
            await asyncio.wait(work)
        for id_ in self._unadmitted:
            self._runs.pop(id_, None)
        self._unadmitted.clear()

    async def close(self) -> None:
        """The same at the end of this server: what has ended is stored, if it can be."""
        await self.rest()
        if self._watching is not None:
            self._watching.close()
            self._watching = None
        await self.repository.catch_up()

    async def follow(self) -> None:
        """Shows what the store says. Raises `StoreError`."""
        self._show(await self.repository.load())

    async def changed(self, ids: Iterable[str] | None) -> None:
        """Shows what another server has written; None: whatever that was. Raises `StoreError`."""
        if ids is None:
            self._show(await self.repository.load(again=True))
            return
        self._apply(await self.repository.reread(ids))

    async def refresh(self) -> None:
        """Shows what was written last, before any notice of it has come. Raises `StoreError`."""
        self._apply(await self.repository.newest(NEWEST, also=self._runs))

    def _as_known(self, run: Run) -> Operation:
        return as_known(run.shown, self._leaderless)

    def _look_who_leads(self) -> None:
        before, self._leaderless = self._leaderless, self._leadership.leaderless
        if self._leaderless != before:
            self._notify()

    def _runs_now(self) -> Iterable[Run]:
        return self._runs.values()

    def _show(self, records: Iterable[Record], *, anew: bool = False) -> None:
        """These are under way, and no others. `anew`: whatever was done for them here is not continued."""
        known, self._runs = {} if anew else self._runs, {}
        for record in records:
            self._followed(record, known)
        if self._watching is None:
            self._watching = ExitStack()
            self._watching.enter_context(self._upstream.listen(self._returning.note))
            self._watching.enter_context(self._upstream.listen(self.late.note))
            self._watching.callback(self._leadership.listen(self._look_who_leads))
            self._leaderless = self._leadership.leaderless
        self._marks.begin((operation for _, operation in self.repository.finished()), self._runs.values())
        self._notify()

    def _apply(self, changes: Reread) -> None:
        for id_ in changes.gone:
            self._runs.pop(id_, None)
        for record in changes.under_way:
            self._followed(record, self._runs)
        if changes.any:
            self._marks.show(self._runs.values(), changes.ended)
            self._notify()

    def _followed(self, record: Record, known: Mapping[str, Run]) -> None:
        run = known.get(record.operation.id)
        if run is None:
            run = self._run(record)
        run.record, run.shown = record, record.operation
        run.deleting = deleting(record)
        self._runs[record.operation.id] = run

    # Reading

    def __len__(self) -> int:
        return len(self._runs)

    def run(self, operation_id: str) -> Run | None:
        """The run of an operation that has not ended."""
        return self._runs.get(operation_id)

    def get(self, operation_id: str) -> Operation | None:
        """The operation of this id as it is now; None if it is not remembered."""
        run = None if operation_id in self._unadmitted else self._runs.get(operation_id)
        return self._as_known(run) if run is not None else self.repository.operation(operation_id)

    def all(self, active: bool | None = None) -> tuple[Operation, ...]:  # noqa: FBT001  # as in the schema
        """Newest first: those that have not ended, those that have, or both."""
        # Copied first: this may run in a thread while the event loop begins another operation.
        runs = tuple(run for id_, run in tuple(self._runs.items()) if id_ not in self._unadmitted)
        # One that has just ended may be in both.
        known = dict([*self.repository.finished(), *self.repository.unreadable()]) | {
            run.record.sequence: self._as_known(run) for run in runs
        }
        newest_first = [known[order] for order in sorted(known, reverse=True)]
        finished = [operation for operation in newest_first if not operation.active][: self._rules.kept_finished]
        kept = {operation.id for operation in finished}
        return tuple(
            operation
            for operation in newest_first
            if active in (None, operation.active) and (operation.active or operation.id in kept)
        )

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back at every change, synchronously; returns how to stop it."""
        self._listeners.append(callback)

        def stop() -> None:
            with suppress(ValueError):
                self._listeners.remove(callback)

        return stop

    async def member_returned(self, snapshot: Snapshot, error: OperationError) -> bool:
        """While nodes are returning, waits for a newer snapshot if the request might then not be rejected."""
        if not self._returning.may_help(error):
            return False
        with self._upstream.operation(), suppress(TimeoutError):
            async with asyncio.timeout(self._rules.replan_seconds):
                await self._upstream.changed(snapshot)
        return True

    def at_work(self) -> list[Operation]:
        """Operations that act now or will by themselves, oldest first; not the parked ones."""
        return [run.operation for run in self._runs.values() if run.operation.at_work]

    def loads(self, model_ids: Collection[str]) -> bool:
        """Whether an operation is loading one of these models, or restoring it, which may have no instance yet."""
        for run in self._runs.values():
            coming = run.operation.model_ids if run.saga_state.reverts else frozenset(run.operation.load_ids)
            if run.operation.at_work and not coming.isdisjoint(model_ids):
                return True
        return False

    async def ends_now(self, operation_id: str) -> bool:
        """Whether an operation whose steps are all done ends within seconds; waits for that."""
        run, changed = self._runs.get(operation_id), asyncio.Event()
        if run is None or not run.is_ending:
            return False
        stop = self.listen(changed.set)
        try:
            async with asyncio.timeout(self._rules.ending_seconds):
                while operation_id in self._runs and run.is_ending:
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            return False
        finally:
            stop()
        return operation_id not in self._runs

    def same_load(self, snapshot: Snapshot, request: OperationRequest, resolved: ResolvedRequest) -> Operation | None:
        """The load under way with the same arguments; none that is being undone."""
        for run in self._runs.values():
            if (
                run.operation.at_work
                and not run.saga_state.reverts
                and is_same_load(snapshot, request, resolved, run.request, run.operation.load_ids)
            ):
                return run.operation
        return None

    def reservations(self, run: Run | None = None) -> tuple[Reservation, ...]:
        """What others have reserved, as far as it counts for `run` (for a new request: all)."""
        return tuple(
            other.reservation
            for other in self._runs.values()
            if other is not run
            and other.operation.at_work
            and (
                run is None
                or other.operation.state is not OperationState.PENDING
                or other.record.sequence < run.record.sequence
            )
        )

    async def begin(self, record: Record, key: Key | None) -> Operation | OperationError:
        """Starts an operation; answers once it is in the journal, or with why it cannot be written there.

        It is registered before the first wait: from the call on, others see its reservation and its key.
        """
        if not self.leads:
            return JournalUnavailable.because(NotLeader("This server does not lead any more. Nothing was changed."))
        admitted: asyncio.Future[Operation | OperationError] = asyncio.get_running_loop().create_future()
        if key is not None:
            self.repository.remember(key)
        run = self._run(record)
        self._runs[record.operation.id] = run
        self._unadmitted.add(record.operation.id)
        self._start(run, key, admitted)
        # The operation begins even if the caller is cancelled.
        return await asyncio.shield(admitted)

    def _run(self, record: Record) -> Run:
        return Run(
            record,
            self._upstream,
            self._rules,
            clock=self._clock,
            now=self._now,
            save=self._save,
            changed=self._changed,
            shared=self._shared,
        )

    async def _save(self, record: Record) -> None:
        self._progress.storing(record.operation.id)
        entry = await self.repository.save(record)
        if self._shared and self.leads:
            self._progress.stored(entry, record.operation)

    def _start(
        self, run: Run, key: Key | None = None, admitted: "asyncio.Future[Operation | OperationError] | None" = None
    ) -> None:
        self._work_on(self._bring_to_an_end(run, key, admitted), f"operation {run.operation.id}")
        self._changed(run)

    def _work_on(self, work: Coroutine[object, object, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _bring_to_an_end(
        self, run: Run, key: Key | None, admitted: "asyncio.Future[Operation | OperationError] | None"
    ) -> None:
        if admitted is not None:
            try:
                entry = await self.repository.admit(run.record, key)
            except StoreError as error:
                del self._runs[run.operation.id]
                self._unadmitted.discard(run.operation.id)
                self.repository.forget_key(key)
                self._notify()
                admitted.set_result(JournalUnavailable.because(error))
                return
            except asyncio.CancelledError:
                # This server ends, or leads no more, while it is being written.
                if self._shared:
                    admitted.set_result(_perhaps_begun(self._leadership.leaderless))
                else:
                    admitted.cancel()
                raise
            self._unadmitted.discard(run.operation.id)
            if self._shared:
                self._progress.stored(entry, run.operation)
            self._changed(run)
            admitted.set_result(run.operation)
        try:
            await execute(run, lambda: self.reservations(run))
        except Exception:
            # Nothing may leave an operation that is neither at work nor ended: it would block its models for ever.
            log.exception("Operation %s hit an internal error.", run.operation.id)
            run.fail_open_steps("An internal error of this server; see its log.")
            message = "An internal error of this server; what it had begun was not undone. See what is loaded."
            run.update(state=OperationState.FAILED, error=fault(), message=message, finished_at=self._now())
            run.deleting.clear()
            run.show()
            with suppress(StoreError):
                await self.repository.save(run.record)
        self.repository.keep(run.record)
        del self._runs[run.operation.id]
        self._marks.show(self._runs.values())
        self._notify()
        await self.repository.prune()
        # After a restart it would be begun again, though callers have seen its end.
        while True:
            if await self.repository.catch_up():
                return
            await asyncio.sleep(self._rules.catch_up_seconds)

    def _changed(self, run: Run) -> None:
        if self._shared:
            self._progress.note(run.shown)
        self._show_changes()

    def _show_changes(self) -> None:
        self._marks.show(self._runs.values())
        self._notify()

    def _notify(self) -> None:
        self.version += 1
        for listener in tuple(self._listeners):
            listener()


def _perhaps_begun(leaderless: Leaderless | None) -> JournalUnavailable:
    why = "" if leaderless is None else f" {leaderless.message}"
    return JournalUnavailable(
        message="This server stopped acting on the cluster before the operation was stored. It may have been begun."
        + why,
        suggestion="Look for it in `operations`, or send the request again with the same idempotency key.",
    )
