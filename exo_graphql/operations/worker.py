"""From start to verdict: one operation's way through waiting, the saga, and undoing where it must be."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from exo_graphql.cluster.upstream import UpstreamError
from exo_graphql.operations import verdict
from exo_graphql.operations.admission import understand
from exo_graphql.operations.errors import (
    Cancelled,
    InternalFault,
    PlacementRefused,
    Problem,
)
from exo_graphql.operations.membership import members_of
from exo_graphql.operations.operation import OperationKind, OperationState, StepState
from exo_graphql.operations.plan import Waiting, draft, plan, steps
from exo_graphql.operations.reservations import Claim
from exo_graphql.operations.run import Halt, Parked, Run
from exo_graphql.operations.saga import forward
from exo_graphql.operations.saga_state import Undoing
from exo_graphql.operations.undo import undo

log = logging.getLogger(__name__)

Claims = Callable[[], Sequence[Claim]]


async def execute(run: Run, claims: Claims) -> None:
    """Brings the operation to an end. Nothing but a cancelled task (the server stops) leaves it unfinished."""
    while True:
        try:
            with run.upstream.watching():
                await _execute(run, claims)
        except Parked as parked:
            if not await _park(run, str(parked)):
                return
        else:
            return


async def _execute(run: Run, claims: Claims) -> None:
    if run.memo.undoing is None:
        try:
            await _wait_turn(run, claims)
            said = await forward(run, claims)
        except Parked:
            raise
        except Halt as halt:
            problem = halt.problem
        except UpstreamError as error:
            problem = PlacementRefused(
                message=f"exo refused: {error}", suggestion="See exo's log, then ask again.", reason=str(error)
            )
        except Exception:
            log.exception("Operation %s met a fault of this server.", run.operation.id)
            problem = fault()
        else:
            await _end(run, OperationState.SUCCEEDED, said)
            return
        await _turn_back(run, problem)
    await _undo(run, claims)


async def _park(run: Run, why: str) -> bool:
    """Waits until it may go on; returns False if it was discarded instead."""
    log.warning("Operation %s is parked: %s", run.operation.id, why)
    run.tell(state=OperationState.PARKED, message=f"{why} Resume it to go on here, or cancel it to discard it.")
    # Whether this can be written or not: after a restart it would be parked again.
    with suppress(Halt):
        await run.save()
    try:
        resumed = await run.parked()
    except Halt as halt:
        run.fail_open_steps("Discarded.")
        run.tell(problem=halt.problem)
        await _end(run, OperationState.CANCELLED, f"Discarded while parked; nothing was undone. {why}")
        return False
    snapshot = run.upstream.snapshot
    if resumed and snapshot is not None:
        run.memo.members = members_of(snapshot)
    log.info("Operation %s goes on.", run.operation.id)
    planned = run.operation.step("plan")
    waiting = planned is not None and planned.state is StepState.RUNNING and run.memo.undoing is None
    run.tell(state=OperationState.PENDING if waiting else OperationState.RUNNING, message="Going on.")
    with suppress(Halt):
        await run.save()
    return True


async def _wait_turn(run: Run, claims: Claims) -> None:
    """While PENDING: plans anew whenever what it waits for has changed, and from time to time."""
    if run.operation.state is not OperationState.PENDING:
        return
    snapshot = await run.look()
    planned_at, known = run.clock(), _ahead(claims)
    while True:
        ahead = _ahead(claims)
        run.progressed((ahead, [claim.missing for claim in claims()]))
        if ahead != known or run.clock() - planned_at >= run.rules.replan_seconds:
            planned_at, known = run.clock(), ahead
            if await _plan_again(run, claims):
                return
        snapshot = await run.next(snapshot)


async def _plan_again(run: Run, claims: Claims) -> bool:
    snapshot = await run.look()
    meaning = understand(snapshot, replace(run.wish, kind=OperationKind.SWAP))
    if isinstance(meaning, Problem):
        raise Halt(meaning)
    memo = draft(snapshot, run.wish, meaning.load_ids, meaning.unload_ids)
    outcome = await run.ask(lambda: plan(run.upstream, snapshot, run.wish, memo, meaning.node_ids, claims))
    if isinstance(outcome, Problem):
        raise Halt(outcome)
    memo.cancelling = run.memo.cancelling
    run.record = replace(run.record, memo=memo)
    if isinstance(outcome, Waiting):
        run.tell(waiting_for=outcome.operation_ids)
        run.report("plan", waiting_message(outcome))
        return False
    plan_step = run.operation.step("plan")
    planned = steps(run.operation.kind, memo)
    run.tell(
        state=OperationState.RUNNING,
        waiting_for=(),
        steps=tuple(plan_step if plan_step is not None and step.name == "plan" else step for step in planned),
    )
    await run.finish("plan", "It fits now.")
    return True


def waiting_message(waiting: Waiting) -> str:
    """What a PENDING operation says."""
    return f"Fits once memory has been released by {', '.join(waiting.operation_ids)}: waiting for it."


def _ahead(claims: Claims) -> tuple[tuple[str, bool], ...]:
    return tuple((claim.operation_id, claim.waiting) for claim in claims())


async def _turn_back(run: Run, problem: Problem) -> None:
    """From here on the operation can only be undone, after a restart too."""
    run.memo.undoing = Undoing(problem.message, isinstance(problem, Cancelled))
    run.fail_open_steps(problem.message)
    run.tell(
        problem=problem,
        message=problem.message,
        state=OperationState.RUNNING,
        waiting_for=(),
        progress_percent=None,
    )
    run.progressed()
    await run.save()


async def _undo(run: Run, claims: Claims) -> None:
    """Undoes, and says what the last snapshot shows, whether undoing went well or not."""
    undoing = run.memo.undoing
    problem = run.operation.problem or fault()
    cancelled = undoing is not None and undoing.cancelled
    reason: str | None = None
    try:
        await undo(run, claims)
    except Parked:
        raise
    except Halt as halt:
        reason = halt.problem.message
    except UpstreamError as error:
        reason = f"exo refused: {error}"
    except Exception:
        log.exception("Undoing operation %s met a fault of this server.", run.operation.id)
        reason = "A fault of this server; its log tells more."
    said = [_sentence(problem.message)]
    if reason is not None:
        run.fail_open_steps(reason)
        log.error("Operation %s could not be undone: %s", run.operation.id, reason)
        advice = "See what is loaded, and load what is missing."
        run.tell(problem=replace(problem, suggestion=f"{problem.suggestion or ''} {advice}".strip()))
        said.append(f"It could not be undone: {_sentence(reason)}")
    run.progressed()
    try:
        shown = verdict.undone(run.memo, await run.look())
    except (Halt, UpstreamError):
        said.append("exo cannot be asked what is loaded now.")
        await _end(run, OperationState.FAILED, " ".join(said))
        return
    state = verdict.ended(run.operation, shown, cancelled=cancelled)
    if reason is not None and not shown.complete:
        state = OperationState.FAILED
    await _end(run, state, " ".join([*said, verdict.told(shown)]))


def _sentence(text: str) -> str:
    """exo's own words end as they like."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


async def _end(run: Run, state: OperationState, message: str) -> None:
    operation = run.operation
    run.deleting.clear()
    run.tell(
        state=state,
        message=message,
        progress_percent=100.0 if state is OperationState.SUCCEEDED else None,
        finished_at=max(run.now(), operation.started_at),
    )
    # It has happened all the same; the archive writes it once it can.
    with suppress(Halt):
        await run.save()


def fault() -> InternalFault:
    """What an operation ends with that this server could not bring to its end."""
    return InternalFault(message="A fault of this server; its log tells more.", suggestion="Report it with the log.")
