"""The entry to all changes of the cluster: validates, admits and starts operations, and answers for them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Self
from uuid import uuid4

from exo_graphql.clock import elapsed, utc_now
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import ModelCard, Task
from exo_graphql.cluster.upstream import Refused, Unreachable, Upstream
from exo_graphql.operations import downloads, placements, tasks
from exo_graphql.operations.admission import ResolvedRequest, conflict, present, resolve
from exo_graphql.operations.errors import (
    ClusterUnavailable,
    IdempotencyKeyReused,
    InvalidArgument,
    OperationConflict,
    OperationError,
    OperationFinished,
    OperationNotFound,
    PlacementRefused,
    TooManyOperations,
)
from exo_graphql.operations.fetch import planned
from exo_graphql.operations.manager import OperationManager, journal_unavailable
from exo_graphql.operations.offload import Offload, in_thread
from exo_graphql.operations.operation import Operation, OperationKind, OperationState, Step, StepState
from exo_graphql.operations.plan import Plan, steps, summary
from exo_graphql.operations.records import Record
from exo_graphql.operations.requests import (
    InstanceTypePreference,
    OperationRequest,
    ShardingPreference,
    invalid,
    resolve_model,
)
from exo_graphql.operations.reservations import unreserved
from exo_graphql.operations.rules import DEFAULT_OPERATION_RULES, OperationRules
from exo_graphql.operations.run import Run
from exo_graphql.operations.worker import waiting_message
from exo_graphql.storage import Key, Store, StoreError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Admission:
    """A request between its validation and its start. Others that touch the same wait for `ended`."""

    key: str | None
    model_ids: frozenset[str]
    ended: asyncio.Event


class Operations:
    """Loads, unloads and swaps of one cluster. Use as `async with`: what a crash left is resumed on entering.

    Leaving stops the work without failing it: the next start resumes it. `store` is open, and stays open when this
    is left. `clock` measures time-outs (seconds, see `exo_graphql.clock`), `now` stamps (UTC); nothing
    but the age of an idempotency key, which outlives a process, is decided by the second.
    """

    def __init__(
        self,
        upstream: Upstream,
        store: Store,
        rules: OperationRules = DEFAULT_OPERATION_RULES,
        *,
        clock: Callable[[], float] = elapsed,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.rules = rules
        self._upstream = upstream
        self._now = now
        self._manager = OperationManager(upstream, store, rules, clock, now)
        self._admissions: list[_Admission] = []
        self._waiting: list[frozenset[str]] = []
        """Models of persons' requests for which an operation of a deployment is giving way."""

    async def prepare(self) -> None:
        """Reads the store before entering, which does it otherwise. Raises `StoreError`."""
        await self._manager.repository.load()

    async def __aenter__(self) -> Self:
        await self._manager.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._manager.close()

    # Reading

    @property
    def version(self) -> int:
        """Moves at every change of any operation."""
        return self._manager.version

    def get(self, operation_id: str) -> Operation | None:
        """The operation of this id as it is now; None if it is not remembered."""
        return self._manager.get(operation_id)

    def all(self, active: bool | None = None) -> tuple[Operation, ...]:  # noqa: FBT001  # as the schema asks
        """Operations, newest first: those that are not finished, the finished ones, or both."""
        return self._manager.all(active)

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back at every change, synchronously; returns how to stop it."""
        return self._manager.listen(callback)

    # Requests

    async def load(
        self,
        model: str,
        min_nodes: int = 1,
        sharding: ShardingPreference = ShardingPreference.AUTO,
        instance_type: InstanceTypePreference = InstanceTypePreference.AUTO,
        nodes: Sequence[str] | None = None,
        *,
        additional: bool = False,
        timeout_seconds: int | None = None,
        attempts: int | None = None,
        idempotency_key: str | None = None,
    ) -> Operation | OperationError:
        """Loads a model, or adopts the healthy instance that it has. `nodes` means exactly these."""
        request = OperationRequest(
            OperationKind.LOAD,
            load=(model,),
            min_nodes=min_nodes,
            sharding=sharding,
            instance_type=instance_type,
            nodes=None if nodes is None else tuple(nodes),
            additional=additional,
            timeout_seconds=timeout_seconds,
            attempts=attempts,
        )
        return await self._admit(request, idempotency_key)

    async def unload(
        self, model: str, instance: str | None = None, drain_seconds: int = 30, idempotency_key: str | None = None
    ) -> Operation | OperationError:
        """Unloads all instances of a model, or the one named."""
        request = OperationRequest(
            OperationKind.UNLOAD, unload=(model,), instance=instance, drain_seconds=drain_seconds
        )
        return await self._admit(request, idempotency_key)

    async def swap(
        self,
        unload: Sequence[str],
        load: Sequence[str],
        min_nodes: int = 1,
        sharding: ShardingPreference = ShardingPreference.AUTO,
        instance_type: InstanceTypePreference = InstanceTypePreference.AUTO,
        nodes: Sequence[str] | None = None,
        drain_seconds: int = 30,
        timeout_seconds: int | None = None,
        attempts: int | None = None,
        idempotency_key: str | None = None,
    ) -> Operation | OperationError:
        """Unloads some models and loads others; if a later step fails, what was unloaded is restored."""
        request = OperationRequest(
            OperationKind.SWAP,
            load=tuple(load),
            unload=tuple(unload),
            min_nodes=min_nodes,
            sharding=sharding,
            instance_type=instance_type,
            nodes=None if nodes is None else tuple(nodes),
            drain_seconds=drain_seconds,
            timeout_seconds=timeout_seconds,
            attempts=attempts,
        )
        return await self._admit(request, idempotency_key)

    async def reconcile(self, request: OperationRequest, key: str) -> Operation | OperationError:
        """Performs a deployment's request. It never comes before a person's that touches the same models."""
        return await self._admit(request, key)

    def by_key(self, key: str) -> Operation | None:
        """The operation that this idempotency key led to, while it is remembered."""
        known = self._manager.repository.key(key)
        return None if known is None else self.get(known.operation_id)

    def leaving(self, operation_id: str) -> frozenset[str]:
        """The instances that an operation under way unloads."""
        run = self._manager.run(operation_id)
        return frozenset() if run is None else frozenset(d.instance.id for d in run.saga_state.removals)

    def at_work(self) -> list[Operation]:
        """Those that act or will by themselves, oldest first."""
        return self._manager.at_work()

    def free(self, snapshot: Snapshot) -> dict[str, int]:
        """Free memory by node, in bytes, that no operation has reserved, now or when those under way have ended."""
        return unreserved(snapshot, self._manager.reservations())

    async def cancel(self, operation_id: str) -> Operation | OperationError:
        """Stops an operation and undoes it. Nothing changes where it is being undone already."""
        run = self._manager.run(operation_id)
        if run is not None and run.operation.active:
            try:
                await run.cancel()
            except StoreError as error:
                return journal_unavailable(error)
            return run.operation
        unreadable = await self._manager.repository.discard(operation_id)
        if unreadable is not None:
            return unreadable
        return self._ended(operation_id, "To reverse it, ask for the opposite.")

    async def resume(self, operation_id: str) -> Operation | OperationError:
        """Lets a parked operation continue on the current cluster."""
        run = self._manager.run(operation_id)
        if run is None:
            if self._manager.repository.is_unreadable(operation_id):
                return InvalidArgument(
                    message="The journal's entry of this operation cannot be read, so it cannot be resumed.",
                    suggestion="Cancel it to discard it, and ask for what is missing.",
                    argument="id",
                )
            return self._ended(operation_id, "Only a parked operation can be resumed.")
        if run.operation.state is OperationState.PARKED:
            rival = conflict(run.operation.model_ids, self._manager.at_work())
            if rival is not None:
                return rival
            run.resume()
        # One that is at work already continues: that is the requested state.
        return run.operation

    def _ended(self, operation_id: str, suggestion: str) -> OperationError:
        if self.get(operation_id) is None:
            return OperationNotFound(
                message=f"No operation {operation_id!r} is known.", suggestion="List the operations."
            )
        return OperationFinished(message="The operation has ended.", suggestion=suggestion, operation_id=operation_id)

    async def placements(
        self,
        model: str,
        min_nodes: int | None = None,
        nodes: Sequence[str] | None = None,
        unload: Sequence[str] | None = None,
        offload: Offload = in_thread,
    ) -> tuple[placements.PlacementView, ...] | OperationError:
        """Where the model would go, for each sharding and instance type, or why it would not fit.

        `offload` runs the search, which may take long.
        """
        return await placements.views(
            self._upstream, self._manager.reservations(), model, min_nodes, nodes, unload, offload
        )

    async def start_download(self, model: str, nodes: Sequence[str] | None = None) -> downloads.DownloadsResult:
        """Fetches the weights onto these nodes, or onto every node."""
        return await downloads.start(self._upstream, model, nodes)

    async def cancel_download(self, model: str, nodes: Sequence[str] | None = None) -> downloads.DownloadsResult:
        """Stops the download on these nodes, or on every node where it runs; what has arrived stays."""
        await self._make_way_for_weights(model)
        return await downloads.cancel(self._upstream, model, nodes, self._manager.at_work())

    async def delete_download(self, model: str, nodes: Sequence[str] | None = None) -> downloads.DownloadsResult:
        """Removes the weights from these nodes, or from every node that has some."""
        await self._make_way_for_weights(model)
        return await downloads.delete(self._upstream, model, nodes, self._manager.at_work())

    async def cancel_task(self, task_id: str) -> Task | OperationError:
        """Cancels an inference under way."""
        return await tasks.cancel(self._upstream, task_id)

    # Admission

    async def _admit(self, request: OperationRequest, key: str | None) -> Operation | OperationError:
        error: OperationError | None = invalid(request, key, self.rules)
        if error is not None:
            return error
        # Up to its own start it comes before any deployment's request for what a deployment's operation gave way on.
        with ExitStack() as first:
            return await self._admit_before(first, request, key)

    async def _admit_before(
        self, first: ExitStack, request: OperationRequest, key: str | None
    ) -> Operation | OperationError:
        while True:
            known = self._by_key(request, key)
            if known is not None:
                return known
            if len(self._manager) + len(self._admissions) >= self.rules.max_running:
                return TooManyOperations(
                    message=f"{self.rules.max_running} operations are not finished.",
                    suggestion="Wait for one to end, or cancel one.",
                    limit=self.rules.max_running,
                )
            snapshot = await present(self._upstream)
            if isinstance(snapshot, OperationError):
                return snapshot
            resolved = resolve(snapshot, request)
            if isinstance(resolved, OperationError):
                # The first of two requests with one key may have changed what a name means (unloaded it) by now.
                known = self._by_key(request, key)
                if known is None and await self._manager.somebody_returned(snapshot, resolved):
                    continue
                return known or resolved
            rival = self._rival(resolved, key)
            if rival is None:
                # Between here and the registration nothing waits.
                if (known := self._by_key(request, key)) is not None:
                    return known
                same = self._manager.same_load(snapshot, request, resolved)
                if same is not None and request.deployment is None:
                    return await self._follow(same, request, key)
                touched = resolved.model_ids | set(resolved.same_ids)
                rival_operation = conflict(touched, self._manager.at_work()) or self._awaited(request, touched)
                if rival_operation is not None and await self._made_way(first, request, rival_operation, touched):
                    continue
                outcome = rival_operation or await self._plan_and_start(request, key, snapshot, resolved)
                if isinstance(outcome, OperationError) and await self._manager.somebody_returned(snapshot, outcome):
                    continue
                return outcome
            # The rival waits for exo, which is bounded in time; then this request is resolved again.
            await rival.ended.wait()

    def _awaited(self, request: OperationRequest, touched: frozenset[str] | set[str]) -> OperationConflict | None:
        """A deployment's request comes after a person's, for which another of a deployment's is giving way."""
        if request.deployment is None or not any(models & touched for models in self._waiting):
            return None
        return OperationConflict(
            message="A person's request for the same models comes first.", suggestion=None, operation_id=""
        )

    async def _made_way(
        self,
        first: ExitStack,
        request: OperationRequest,
        conflict: OperationConflict,
        touched: frozenset[str] | set[str],
    ) -> bool:
        """Whether the operation in the way was a deployment's and has ended, since the request is a person's.

        What it did is undone by then.
        """
        run = self._manager.run(conflict.operation_id)
        if request.deployment is not None or run is None or run.operation.deployment is None:
            return False
        models = frozenset(touched)
        self._waiting.append(models)
        first.callback(self._waiting.remove, models)
        return await self._give_way(run)

    async def _make_way_for_weights(self, model: str) -> None:
        """Cancels a deployment's operation that loads this model: a person may stop or delete its download."""
        snapshot = self._upstream.snapshot
        card = None if snapshot is None else resolve_model(snapshot, model)
        if isinstance(card, ModelCard):
            for operation in self._manager.at_work():
                run = self._manager.run(operation.id)
                if run is not None and operation.deployment is not None and card.id in operation.load_ids:
                    await self._give_way(run)

    async def _give_way(self, run: Run) -> bool:
        """Cancels a deployment's operation; whether it has ended in time."""
        log.info("Operation %s of a deployment gives way to a person's request.", run.operation.id)
        ended = asyncio.Event()
        stop = self._manager.listen(lambda: None if self._manager.run(run.operation.id) is not None else ended.set())
        try:
            await run.cancel()
            if self._manager.run(run.operation.id) is not None:
                async with asyncio.timeout(self.rules.give_way_seconds):
                    await ended.wait()
        except (StoreError, TimeoutError):
            return False
        else:
            return True
        finally:
            stop()

    async def _follow(
        self, operation: Operation, request: OperationRequest, key: str | None
    ) -> Operation | OperationError:
        """A mutation states a result, to which an identical load under way leads. So does the key of this request."""
        if key is not None:
            used = Key(key, request.fingerprint, operation.id, self._now().timestamp())
            try:
                await self._manager.repository.add_key(used)
            except StoreError as error:
                return journal_unavailable(error)
        return operation

    def _rival(self, resolved: ResolvedRequest, key: str | None) -> _Admission | None:
        for admission in self._admissions:
            if (key is not None and admission.key == key) or admission.model_ids & resolved.model_ids:
                return admission
        return None

    def _by_key(self, request: OperationRequest, key: str | None) -> Operation | IdempotencyKeyReused | None:
        known = self._manager.repository.key(key)
        operation = self.get(known.operation_id) if known is not None else None
        if known is None or operation is None:
            return None
        if known.fingerprint != request.fingerprint:
            return IdempotencyKeyReused(
                message="This idempotency key was used for an operation with other arguments.",
                suggestion="Use a fresh key for another request.",
                operation_id=operation.id,
            )
        return operation

    async def _plan_and_start(
        self, request: OperationRequest, key: str | None, snapshot: Snapshot, resolved: ResolvedRequest
    ) -> Operation | OperationError:
        admission = _Admission(key, resolved.model_ids, asyncio.Event())
        self._admissions.append(admission)
        try:
            plan = await planned(self._upstream, snapshot, request, resolved, lambda: self._manager.reservations())
            if isinstance(plan, OperationError):
                return plan
            record = self._record(request, key, resolved, plan)
            used = None if key is None else Key(key, request.fingerprint, record.operation.id, self._now().timestamp())
            return await self._manager.begin(record, used)
        except Unreachable as error:
            return ClusterUnavailable(
                message=f"exo does not answer: {error}",
                suggestion="See that exo runs and can be reached, then ask again.",
                last_seen_at=snapshot.observed_at,
            )
        except Refused as error:
            return PlacementRefused(
                message=f"exo refused: {error}", suggestion="See exo's log, then ask again.", reason=str(error)
            )
        finally:
            self._admissions.remove(admission)
            admission.ended.set()

    def _record(
        self,
        request: OperationRequest,
        key: str | None,
        resolved: ResolvedRequest,
        plan: Plan,
    ) -> Record:
        now = self._now()
        waits = bool(plan.waiting_for)
        message = waiting_message(plan) if waits else summary(plan.saga_state, resolved.same_ids)
        step = Step("plan", StepState.RUNNING, now, None, message)
        if not waits:
            step = replace(step, state=StepState.SUCCEEDED, finished_at=now)
        return Record(
            self._manager.repository.next_sequence(),
            Operation(
                id=str(uuid4()),
                kind=request.kind,
                state=OperationState.PENDING if waits else OperationState.RUNNING,
                message=message,
                steps=tuple(step if each.name == "plan" else each for each in steps(request.kind, plan.saga_state)),
                started_at=now,
                load_ids=resolved.load_ids,
                unload_ids=resolved.unload_ids,
                idempotency_key=key,
                deployment=request.deployment,
                waiting_for=plan.waiting_for,
            ),
            request,
            plan.saga_state,
        )
