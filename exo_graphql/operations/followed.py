"""What a server shows of an operation that another one executes, read off its record, or that nobody does. Pure."""

from dataclasses import replace

from exo_graphql.operations.operation import Operation, StepState
from exo_graphql.operations.records import Record
from exo_graphql.storage import Leaderless


def deleting(record: Record) -> dict[str, str]:
    """Model by instance id: what exo was asked to delete and whose removal is not finished; see `Run.deleting`."""
    state, operation = record.saga_state, record.operation
    if not operation.at_work:
        return {}
    leaving = [removal.instance for removal in state.removals if removal.deletion_requested]
    # Until the operation has ended, unless they are restored: a server that was stopped, or cut off, may show them yet.
    last = operation.step("restore") if state.undoing is not None else None
    if last is not None and last.state in (StepState.SUCCEEDED, StepState.SKIPPED):
        leaving = []
    removing = operation.step("remove")
    if state.undoing is not None and removing is not None and removing.state is StepState.RUNNING:
        leaving += [target.instance for target in state.targets if target.instance is not None]
    return {instance.id: instance.model_id for instance in leaving}


def as_known(operation: Operation, leaderless: Leaderless | None) -> Operation:
    """The same; where no server leads, one that is under way says that nobody works on it, and why."""
    if leaderless is None or not operation.at_work:
        return operation
    pause = "Paused" if leaderless.is_certain else "Paused, as far as this server knows"
    return replace(operation, message=f"{pause}. {leaderless.message} It was at: {operation.message}")
