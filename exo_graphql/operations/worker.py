"""One operation from start to end: waiting, the saga, and undoing where it fails."""

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from exo_graphql.cluster.upstream import UpstreamError
from exo_graphql.operations import result
from exo_graphql.operations.abort import Abort, Parked
from exo_graphql.operations.errors import Cancelled, InternalFault, OperationError, refused_by_exo
from exo_graphql.operations.fetch import Reservations, planned
from exo_graphql.operations.membership import members_of
from exo_graphql.operations.operation import OperationKind, OperationState, Step, StepState
from exo_graphql.operations.plan import Plan, steps
from exo_graphql.operations.reservations import Reservation
from exo_graphql.operations.resolution import resolve
from exo_graphql.operations.run import Run
from exo_graphql.operations.saga import forward
from exo_graphql.operations.saga_state import Undoing
from exo_graphql.operations.undo import undo

log = logging.getLogger(__name__)


async def execute(run: Run, reservations: Reservations) -> None:
    """Executes the operation to its end. Only a cancelled task (the server stops) leaves it unfinished."""
    while True:
        try:
            with run.upstream.operation():
                await _execute(run, reservations)
        except Parked as parked:
            if not await _park(run, str(parked)):
                return
        else:
            return


async def _execute(run: Run, reservations: Reservations) -> None:
    if run.saga_state.undoing is None:
        try:
            await _wait_turn(run, reservations)
            reached = await forward(run, reservations)
        except Parked:
            raise
        except Abort as abort:
            error = abort.error
        except UpstreamError as refusal:
            error = refused_by_exo(refusal)
        except Exception:
            log.exception("Operation %s hit an internal error.", run.operation.id)
            error = fault()
        else:
            await _end(run, OperationState.SUCCEEDED, reached)
            return
        await _turn_back(run, error)
    await _undo(run, reservations)


async def _park(run: Run, why: str) -> bool:
    """Parks the operation until it may continue; returns False if it was discarded instead."""
    log.warning("Operation %s is parked: %s", run.operation.id, why)
    run.update(state=OperationState.PARKED, message=f"{why} Resume it to continue here, or cancel it to discard it.")
    # Whether this can be written or not: after a restart it would be parked again.
    with suppress(Abort):
        await run.save()
    try:
        resumed = await run.parked()
    except Abort as abort:
        run.fail_open_steps("Discarded.")
        run.decide(error=abort.error)
        await _end(run, OperationState.CANCELLED, f"Discarded while parked; nothing was undone. {why}")
        return False
    snapshot = run.upstream.snapshot
    if resumed and snapshot is not None:
        run.saga_state.members = members_of(snapshot)
    log.info("Operation %s continues.", run.operation.id)
    planned = run.operation.step("plan")
    waiting = planned is not None and planned.state is StepState.RUNNING and run.saga_state.undoing is None
    run.update(state=OperationState.PENDING if waiting else OperationState.RUNNING, message="Continuing.")
    with suppress(Abort):
        await run.save()
    return True


async def _wait_turn(run: Run, reservations: Reservations) -> None:
    """While PENDING: plans anew whenever what it waits for has changed, and from time to time."""
    if run.operation.state is not OperationState.PENDING:
        return
    snapshot = await run.read_now()
    planned_at, known = run.clock(), None if _rival(run, reservations) else _ahead(reservations)
    while True:
        rival = _rival(run, reservations)
        if rival is not None:
            # A deployment's operation that gives way. Planned once it has been undone, on what is loaded by then.
            known = None
            message = gives_way_message(rival.operation_id, rival.message)
            run.progressed((message,))
            run.report("plan", message)
            snapshot = await run.next(snapshot)
            continue
        ahead = _ahead(reservations)
        run.progressed((ahead, [reservation.missing for reservation in reservations()]))
        if ahead != known or run.clock() - planned_at >= run.rules.replan_seconds:
            planned_at, known = run.clock(), ahead
            if await _plan_again(run, reservations):
                return
        snapshot = await run.next(snapshot)


async def _plan_again(run: Run, reservations: Reservations) -> bool:
    snapshot = await run.read_now()
    resolved = resolve(snapshot, replace(run.request, kind=OperationKind.SWAP))
    if isinstance(resolved, OperationError):
        raise Abort(resolved)
    plan = await run.call_exo(lambda: planned(run.upstream, snapshot, run.request, resolved, reservations))
    if isinstance(plan, OperationError):
        raise Abort(plan)
    saga_state = plan.saga_state
    saga_state.cancelling = run.saga_state.cancelling
    run.record = replace(run.record, saga_state=saga_state)
    if plan.waiting_for:
        run.update(waiting_for=plan.waiting_for)
        run.report("plan", waiting_message(plan))
        return False
    plan_step = run.operation.step("plan")
    plan_steps = steps(run.operation.kind, saga_state)
    run.decide(
        state=OperationState.RUNNING,
        waiting_for=(),
        steps=plan_steps if plan_step is None else with_plan(plan_step, plan_steps, waits=True),
    )
    await run.finish("plan", "It fits now.")
    return True


def waiting_message(plan: Plan) -> str:
    """The message of a PENDING operation."""
    return f"Fits once memory has been released by {', '.join(plan.waiting_for)}: waiting for it."


def gives_way_message(operation_id: str, doing: str = "") -> str:
    """The message of a PENDING operation of a person that comes before a deployment's."""
    return f"Waiting for operation {operation_id} of a deployment to give way.{doing and f' That one: {doing}'}"


def with_plan(plan: Step, others: tuple[Step, ...], *, waits: bool) -> tuple[Step, ...]:
    """The steps of an operation with this one for its plan. An unload has none, unless it has to wait."""
    if any(step.name == "plan" for step in others):
        return tuple(plan if step.name == "plan" else step for step in others)
    return (plan, *others) if waits else others


def _rival(run: Run, reservations: Reservations) -> Reservation | None:
    """An earlier operation that still acts on one of its models."""
    return next((each for each in reservations() if not each.model_ids.isdisjoint(run.operation.model_ids)), None)


def _ahead(reservations: Reservations) -> tuple[tuple[str, bool], ...]:
    return tuple((reservation.operation_id, reservation.waiting) for reservation in reservations())


async def _turn_back(run: Run, error: OperationError) -> None:
    """From here on the operation can only be undone, after a restart too."""
    run.saga_state.undoing = Undoing(error.message, isinstance(error, Cancelled))
    run.fail_open_steps(error.message)
    run.decide(
        error=error,
        message=error.message,
        state=OperationState.RUNNING,
        waiting_for=(),
        progress_percent=None,
    )
    run.progressed()
    await run.save()


async def _undo(run: Run, reservations: Reservations) -> None:
    """Undoes, and reports what the last snapshot shows, whether undoing succeeded or not."""
    undoing = run.saga_state.undoing
    error = run.operation.error or fault()
    cancelled = undoing is not None and undoing.cancelled
    reason: str | None = None
    try:
        await undo(run, reservations)
    except Parked:
        raise
    except Abort as abort:
        reason = abort.error.message
    except UpstreamError as refusal:
        reason = f"exo refused: {refusal}"
    except Exception:
        log.exception("Undoing operation %s hit an internal error.", run.operation.id)
        reason = "An internal error of this server; see its log."
    parts = [_sentence(error.message)]
    if reason is not None:
        run.fail_open_steps(reason)
        log.error("Operation %s could not be undone: %s", run.operation.id, reason)
        advice = "Check what is loaded, and load what is missing."
        run.decide(error=replace(error, suggestion=f"{error.suggestion or ''} {advice}".strip()))
        parts.append(f"It could not be undone: {_sentence(reason)}")
    run.progressed()
    try:
        snapshot = await run.read_now()
    except (Abort, UpstreamError):
        parts.append("exo does not answer, so what is loaded now is unknown.")
        await _end(run, OperationState.FAILED, " ".join(parts))
        return
    shown = result.undone(run.saga_state, snapshot)
    state = result.ended(run.operation, shown, cancelled=cancelled)
    if reason is not None and not shown.complete:
        state = OperationState.FAILED
    await _end(run, state, " ".join([*parts, result.sentences(shown)]), result.unclaimed(run.saga_state, snapshot))


def _sentence(text: str) -> str:
    """exo's own messages may end without a full stop."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


async def _end(run: Run, state: OperationState, message: str, unclaimed: Iterable[str] = ()) -> None:
    operation = run.operation
    run.saga_state.requested = list(unclaimed)
    run.deleting.clear()
    run.decide(
        state=state,
        message=message,
        progress_percent=100.0 if state is OperationState.SUCCEEDED else None,
        finished_at=max(run.now(), operation.started_at),
        placed=run.saga_state.placed,
    )
    # It has ended even so; the repository writes it once it can.
    with suppress(Abort):
        await run.save()
    run.show()


def fault() -> InternalFault:
    """The error of an operation that an exception in this server ended."""
    return InternalFault(message="An internal error of this server; see its log.", suggestion="Report it with the log.")
