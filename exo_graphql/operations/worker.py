"""From start to verdict: one operation's way through waiting, the saga, and undoing where it must be."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from exo_graphql.cluster.upstream import UpstreamError
from exo_graphql.operations.admission import understand
from exo_graphql.operations.claims import Claim
from exo_graphql.operations.memo import Undoing
from exo_graphql.operations.operation import OperationKind, OperationState, StepState
from exo_graphql.operations.plan import Waiting, draft, plan, steps
from exo_graphql.operations.problems import (
    Cancelled,
    ClusterUnavailable,
    InternalFault,
    PlacementRefused,
    Problem,
)
from exo_graphql.operations.run import Halt, Run
from exo_graphql.operations.saga import forward
from exo_graphql.operations.undo import undo

log = logging.getLogger(__name__)

Claims = Callable[[], Sequence[Claim]]


async def execute(run: Run, claims: Claims) -> None:
    """Brings the operation to an end. Nothing but a cancelled task (the server stops) leaves it unfinished."""
    with run.upstream.watching():
        if run.memo.undoing is None:
            try:
                await _wait_turn(run, claims)
                verdict = await forward(run, claims)
            except Halt as halt:
                problem = halt.problem
            except UpstreamError as error:
                problem = PlacementRefused(
                    message=f"exo refused: {error}", suggestion="See exo's log, then ask again.", reason=str(error)
                )
            except Exception:
                log.exception("Operation %s met a fault of this server.", run.operation.id)
                problem = _fault()
            else:
                await _end(run, OperationState.SUCCEEDED, verdict)
                return
            await _turn_back(run, problem)
        await _undo(run, claims)


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
    run.tell(problem=problem, message=problem.message, state=OperationState.RUNNING, waiting_for=())
    run.progressed()
    await run.save()


async def _undo(run: Run, claims: Claims) -> None:
    undoing = run.memo.undoing
    problem = run.operation.problem or _fault()
    cancelled = undoing is not None and undoing.cancelled
    ended = OperationState.CANCELLED if cancelled else OperationState.FAILED
    try:
        undone = await undo(run, claims)
    except Halt as halt:
        reason = halt.problem.message
    except UpstreamError as error:
        reason = f"exo refused: {error}"
    except Exception:
        log.exception("Undoing operation %s met a fault of this server.", run.operation.id)
        reason = "A fault of this server; its log tells more."
    else:
        if undone and not cancelled and run.operation.kind is not OperationKind.LOAD:
            ended = OperationState.ROLLED_BACK
        await _end(run, ended, f"{_sentence(problem.message)} {_left(run, undone=undone)}")
        return
    run.fail_open_steps(reason)
    log.error("Operation %s could not be undone: %s", run.operation.id, reason)
    advice = "See what is loaded, and load what is missing."
    run.tell(problem=replace(problem, suggestion=f"{problem.suggestion or ''} {advice}".strip()))
    await _end(run, OperationState.FAILED, f"{_sentence(problem.message)} It could not be undone: {reason}")


def _sentence(text: str) -> str:
    """exo's own words end as they like."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _left(run: Run, *, undone: bool) -> str:
    restore = run.operation.step("restore")
    if restore is not None and restore.state is StepState.SUCCEEDED:
        return f"Rolled back: {restore.message}"
    if undone:
        return "What had been placed is removed again."
    return "The cluster is as it was before."


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


def _fault() -> InternalFault:
    return InternalFault(message="A fault of this server; its log tells more.", suggestion="Report it with the log.")


__all__ = ["ClusterUnavailable", "execute", "waiting_message"]
