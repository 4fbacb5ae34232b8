"""Cancelling an inference."""

from exo_graphql.cluster.state import Task
from exo_graphql.cluster.upstream import Refused, Unreachable, Upstream
from exo_graphql.operations.errors import OperationError, TaskNotCancellable, TaskNotFound, no_answer
from exo_graphql.operations.resolution import present


async def cancel(upstream: Upstream, task_id: str) -> Task | OperationError:
    """The task, once exo has accepted to cancel it. exo drops a cancelled task from its state a little later."""
    snapshot = await present(upstream)
    if isinstance(snapshot, OperationError):
        return snapshot
    task = snapshot.state.tasks.get(task_id)
    if task is None:
        return TaskNotFound(
            message=f"exo lists no task {task_id[:64]!r}; finished ones disappear.", suggestion="List the active tasks."
        )
    if not snapshot.is_active(task) or task.command_id is None:
        return TaskNotCancellable(
            message="Only an inference that is pending or running can be cancelled.",
            suggestion="List the active tasks.",
        )
    try:
        cancelled = await upstream.cancel_task(task.command_id)
    except Unreachable as error:
        return no_answer(error, snapshot.observed_at)
    except Refused as error:
        return TaskNotCancellable(message=f"exo refused: {error}")
    if not cancelled:
        return TaskNotCancellable(
            message="None of the known exo nodes holds the task's stream.",
            suggestion="Cancel it at the exo node that its client is connected to, or in that client.",
        )
    return task
