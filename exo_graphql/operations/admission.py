"""From a request to an operation that has started, or to the error that rejects the request.

Planning waits for exo, and several requests may arrive meanwhile. So each is registered while it is planned: a second
request for one of its models, or with its key, waits for the first to be answered and is then resolved again. For
example two clients ask to load A in the same second: the first is planned and starts an operation, the second then
finds the same load under way and is answered with that operation.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from uuid import uuid4

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Refused, Unreachable, Upstream
from exo_graphql.operations.errors import (
    IdempotencyKeyReused,
    JournalUnavailable,
    ModelNotLoaded,
    OperationConflict,
    OperationError,
    TooManyOperations,
    no_answer,
    refused_by_exo,
)
from exo_graphql.operations.fetch import decide, outcome_of, planned
from exo_graphql.operations.manager import OperationManager
from exo_graphql.operations.membership import members_of
from exo_graphql.operations.offload import Offload, in_thread
from exo_graphql.operations.operation import Operation, OperationState, Step, StepState
from exo_graphql.operations.placements import previewed
from exo_graphql.operations.plan import Plan, steps, summary
from exo_graphql.operations.plan_hash import PlanHash, executable_plan, following_plan, rejected_plan
from exo_graphql.operations.precedence import Precedence
from exo_graphql.operations.proposal import Following, Outcome, Proposal, outdated, signature
from exo_graphql.operations.records import Record
from exo_graphql.operations.requests import OperationRequest, invalid
from exo_graphql.operations.reservations import Reservation
from exo_graphql.operations.resolution import (
    ResolvedRequest,
    conflict,
    in_full_ids,
    present,
    resolve,
    resolve_names,
)
from exo_graphql.operations.rules import OperationRules
from exo_graphql.operations.saga_state import SagaState
from exo_graphql.operations.worker import gives_way_message, waiting_message, with_plan
from exo_graphql.storage import Key, StoreError


@dataclass(frozen=True, slots=True)
class _Pending:
    """A request that is being planned. Others with the same key or models wait for `answered`."""

    key: str | None
    model_ids: frozenset[str]
    answered: asyncio.Event


class Admission:
    """Validates, resolves and plans requests, and starts their operations."""

    def __init__(
        self,
        upstream: Upstream,
        manager: OperationManager,
        precedence: Precedence,
        rules: OperationRules,
        now: Callable[[], datetime],
    ) -> None:
        self._upstream = upstream
        self._manager = manager
        self._precedence = precedence
        self._rules = rules
        self._now = now
        self._pending: list[_Pending] = []
        """The requests that are being planned: they count as operations, and no two touch the same model."""

    async def admit(
        self, request: OperationRequest, key: str | None, by: str | None = None, shown: PlanHash | None = None
    ) -> Operation | OperationError:
        """The operation that the request of `by` has started or that it leads to; or why it is rejected.

        With `shown` it does exactly what that plan says, or is rejected with `PlanOutdated`.
        """
        error = invalid(request, key, self._rules)
        if error is not None:
            return error
        try:
            return await self._admit(request, key, by, shown)
        except _Outdated:
            return outdated(await self.propose(request))
        finally:
            self._precedence.answered(request)

    async def _admit(
        self, request: OperationRequest, key: str | None, by: str | None, shown: PlanHash | None
    ) -> Operation | OperationError:
        clears: str | None = None
        while True:
            answer = self._by_key(request, key) or self._too_many()
            if answer is not None:
                return answer
            snapshot = await present(self._upstream)
            if isinstance(snapshot, OperationError):
                return snapshot
            resolved = resolve(snapshot, request)
            if isinstance(resolved, ModelNotLoaded):
                # It is about to be loaded, which conflicts. Or a deployment was loading it: that has been stopped, or
                # is now, and so it stays unloaded.
                names = resolve_names(snapshot, request)
                if not isinstance(names, OperationError) and (clears or self._about_to_load(names, key)):
                    resolved = names
            if isinstance(resolved, OperationError):
                # The first of two requests with one key may have changed what a name means (unloaded it) by now.
                answer = self._by_key(request, key)
                if answer is None and await self._manager.member_returned(snapshot, resolved):
                    continue
                if answer is None and isinstance(resolved, ModelNotLoaded):
                    _check(shown, request, resolved, clears)
                return answer or resolved
            rival = self._rival(resolved, key)
            if rival is not None:
                # It waits for exo, which is bounded in time; then this request is resolved again.
                await rival.answered.wait()
                continue
            # From here to the registration nothing waits.
            answer = self._by_key(request, key)
            if answer is not None:
                return answer
            begun = self._begun(snapshot, request, resolved)
            if isinstance(begun, Following):
                _check(shown, request, begun, clears)
                return await self._follow(begun.operation, request, key)
            if begun is not None:
                if await self._manager.ends_now(begun.operation_id):
                    continue
                if shown is not None and clears is None and self._precedence.would_clear(request, begun):
                    # Checked before anything is cancelled for it, and again with what is free afterwards.
                    outcome = await self._decide(request, snapshot, resolved, shown, begun.operation_id)
                    _check(shown, request, outcome, begun.operation_id)
                if begun.operation_id == clears:
                    # Cancelled for this request, and still being undone.
                    others = [each for each in self._manager.at_work() if each.id != clears]
                    return conflict(resolved.touched, others) or await self._start_after(
                        request, key, by, snapshot, resolved, begun.operation_id
                    )
                seconds = self._rules.give_way_seconds if shown is None else self._rules.undo_seconds
                if await self._precedence.clears(request, begun, resolved.touched, seconds):
                    clears = begun.operation_id
                    continue
                if shown is None and self._precedence.would_clear(request, begun):
                    clears = begun.operation_id
                    continue
                newest = self._upstream.snapshot
                if newest is not None and newest.stale:
                    unavailable = await present(self._upstream)
                    if isinstance(unavailable, OperationError):
                        return unavailable
                    continue
                _check(shown, request, begun, clears)
                return begun
            started = await self._plan_and_start(request, key, by, snapshot, resolved, shown, clears)
            if isinstance(started, OperationError) and await self._manager.member_returned(snapshot, started):
                continue
            return started

    def _about_to_load(self, names: ResolvedRequest, key: str | None) -> bool:
        """Whether one of the models, which has no instance, is being loaded, or a request for it is being planned."""
        return self._manager.loads(names.touched) or self._rival(names, key) is not None

    def _begun(
        self, snapshot: Snapshot, request: OperationRequest, resolved: ResolvedRequest
    ) -> Following | OperationConflict | None:
        """What is under way already for these models: the same load, which is followed, or a conflict."""
        same = self._manager.same_load(snapshot, request, resolved)
        if same is not None and request.deployment is None:
            return Following(same)
        touched = resolved.touched
        return conflict(touched, self._manager.at_work()) or self._precedence.conflict(request, touched)

    async def _decide(
        self,
        request: OperationRequest,
        snapshot: Snapshot,
        resolved: ResolvedRequest,
        shown: PlanHash,
        clears: str,
    ) -> Plan | OperationError:
        """The plan once the operation `clears` has been undone."""
        others = self._others(clears)
        decision = partial(outcome_of, snapshot, request, resolved, others, shown.preferred(snapshot))
        try:
            return await decide(self._upstream, decision)
        except (Unreachable, Refused) as error:
            return _from_upstream(error, snapshot)

    def _others(self, clears: str | None) -> tuple[Reservation, ...]:
        return tuple(each for each in self._manager.reservations() if each.operation_id != clears)

    async def propose(self, request: OperationRequest, offload: Offload = in_thread) -> Proposal:
        """What a person's request would do, decided as by `admit`. Nothing is started or reserved.

        What would be rejected is a proposal that does not fit, with the error. `offload` runs the search.
        """
        error: OperationError | None = invalid(request, None, self._rules)
        if error is not None:
            return rejected_plan(request, error)
        snapshot = await present(self._upstream, to_act=False)
        if isinstance(snapshot, OperationError):
            return rejected_plan(request, snapshot)
        resolved, error = resolve(snapshot, request), self._too_many()
        if isinstance(resolved, ModelNotLoaded):
            not_loaded, resolved = resolved, resolve_names(snapshot, request)
            if isinstance(resolved, OperationError) or not self._manager.loads(resolved.touched):
                error = not_loaded
        if isinstance(resolved, OperationError):
            return rejected_plan(request, resolved)
        request = in_full_ids(request, resolved)
        begun = error or self._begun(snapshot, request, resolved)
        if isinstance(begun, Following | OperationConflict) and await self._manager.ends_now(begun.operation_id):
            return await self.propose(request, offload)
        clears: str | None = None
        if isinstance(begun, OperationConflict) and self._precedence.would_clear(request, begun):
            clears, begun = begun.operation_id, None
        if isinstance(begun, Following):
            return following_plan(request, begun)
        if begun is not None:
            return rejected_plan(request, begun, snapshot, resolved)
        try:
            outcome, placements = await previewed(
                self._upstream, snapshot, request, resolved, self._others(clears), offload
            )
        except (Unreachable, Refused) as failure:
            return rejected_plan(request, _from_upstream(failure, snapshot), snapshot, resolved)
        if isinstance(outcome, OperationError):
            return rejected_plan(request, outcome, snapshot, resolved, placements, clears)
        return executable_plan(request, outcome, snapshot, resolved, placements, clears)

    def _too_many(self) -> TooManyOperations | None:
        limit = self._rules.max_running
        if len(self._manager) + len(self._pending) < limit:
            return None
        return TooManyOperations(
            message=f"{limit} operations are active.",
            suggestion="Wait for one to end, or cancel one.",
            limit=limit,
        )

    async def _follow(
        self, operation: Operation, request: OperationRequest, key: str | None
    ) -> Operation | OperationError:
        """A mutation states a result, to which an identical load under way leads. So does the key of this request."""
        if key is not None:
            try:
                await self._manager.repository.add_key(self._key(key, request, operation.id))
            except StoreError as error:
                return JournalUnavailable.because(error)
        return operation

    def _rival(self, resolved: ResolvedRequest, key: str | None) -> _Pending | None:
        for pending in self._pending:
            if (key is not None and pending.key == key) or pending.model_ids & resolved.model_ids:
                return pending
        return None

    def _by_key(self, request: OperationRequest, key: str | None) -> Operation | IdempotencyKeyReused | None:
        known = self._manager.repository.key(key)
        operation = self._manager.get(known.operation_id) if known is not None else None
        if known is None or operation is None:
            return None
        if known.fingerprint != request.fingerprint:
            return IdempotencyKeyReused(
                message="This idempotency key was used for an operation with other arguments.",
                suggestion="Use a fresh key for another request.",
                operation_id=operation.id,
            )
        return operation

    def _key(self, key: str, request: OperationRequest, operation_id: str) -> Key:
        return Key(key, request.fingerprint, operation_id, self._now().timestamp())

    async def plan(
        self,
        request: OperationRequest,
        snapshot: Snapshot,
        resolved: ResolvedRequest,
        prefer: Mapping[str, Sequence[str]] | None = None,
    ) -> Plan | OperationError:
        """What the request would do now."""
        try:
            return await planned(self._upstream, snapshot, request, resolved, self._manager.reservations, prefer)
        except (Unreachable, Refused) as error:
            return _from_upstream(error, snapshot)

    async def _plan_and_start(
        self,
        request: OperationRequest,
        key: str | None,
        by: str | None,
        snapshot: Snapshot,
        resolved: ResolvedRequest,
        shown: PlanHash | None,
        clears: str | None,
    ) -> Operation | OperationError:
        pending = _Pending(key, resolved.model_ids, asyncio.Event())
        self._pending.append(pending)
        try:
            prefer = None if shown is None else shown.preferred(snapshot)
            plan = await self.plan(request, snapshot, resolved, prefer)
            _check(shown, request, plan, clears)
            if isinstance(plan, OperationError):
                return plan
            record = self._record(request, key, by, resolved, plan)
            used = None if key is None else self._key(key, request, record.operation.id)
            return await self._manager.begin(record, used)
        finally:
            self._pending.remove(pending)
            pending.answered.set()

    async def _start_after(
        self,
        request: OperationRequest,
        key: str | None,
        by: str | None,
        snapshot: Snapshot,
        resolved: ResolvedRequest,
        rival: str,
    ) -> Operation | OperationError:
        """Starts an operation that waits for the operation `rival` to give way, and plans only then."""
        state = SagaState(only_instances=request.only_instances, members=members_of(snapshot))
        record = self._record(request, key, by, resolved, Plan(state, waiting_for=(rival,)))
        record = replace(record, operation=replace(record.operation, message=gives_way_message(rival)))
        used = None if key is None else self._key(key, request, record.operation.id)
        return await self._manager.begin(record, used)

    def _record(
        self, request: OperationRequest, key: str | None, by: str | None, resolved: ResolvedRequest, plan: Plan
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
                steps=with_plan(step, steps(request.kind, plan.saga_state), waits=waits),
                started_at=now,
                load_ids=resolved.load_ids,
                unload_ids=resolved.unload_ids,
                idempotency_key=key,
                deployment=request.deployment,
                by=by,
                waiting_for=plan.waiting_for,
            ),
            request,
            plan.saga_state,
        )


class _Outdated(Exception):
    """The plan that was shown is not what the request would do."""


def _check(shown: PlanHash | None, request: OperationRequest, outcome: Outcome, clears: str | None) -> None:
    if shown is not None and not shown.matches(signature(request, outcome, clears)):
        raise _Outdated


def _from_upstream(error: Unreachable | Refused, snapshot: Snapshot) -> OperationError:
    return no_answer(error, snapshot.observed_at) if isinstance(error, Unreachable) else refused_by_exo(error)
