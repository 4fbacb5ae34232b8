"""What the mutations answer: one payload type for each."""

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.operations import DownloadsResult
from exo_graphql.operations import NodeDownloadResult as NodeDownload
from exo_graphql.operations import Operation as OperationValue
from exo_graphql.operations import OperationError as OperationErrorValue
from exo_graphql.schema.context import Info
from exo_graphql.schema.fields import field
from exo_graphql.schema.node import Node
from exo_graphql.schema.operation import Operation
from exo_graphql.schema.operation_error import OperationError
from exo_graphql.schema.task import Task

OperationResult = OperationValue | OperationErrorValue


def _operation(root: Parent[OperationResult]) -> OperationValue | None:
    return root if isinstance(root, OperationValue) else None


def _error(root: Parent[OperationResult]) -> OperationErrorValue | None:
    return root if isinstance(root, OperationErrorValue) else None


@strawberry.type(description="Exactly one of operation and error is non-null.")
class LoadModelPayload:
    """`Operation | OperationError`."""

    operation: Operation | None = field(
        resolver=_operation, description="The operation; null if the request was refused."
    )
    error: OperationError | None = field(
        resolver=_error, description="Why the request was refused; null if it was accepted."
    )


@strawberry.type(description="Exactly one of operation and error is non-null.")
class UnloadModelPayload(LoadModelPayload):
    """`Operation | OperationError`."""


@strawberry.type(description="Exactly one of operation and error is non-null.")
class SwapModelsPayload(LoadModelPayload):
    """`Operation | OperationError`."""


@strawberry.type(description="Exactly one of operation and error is non-null.")
class CancelOperationPayload(LoadModelPayload):
    """`Operation | OperationError`."""


@strawberry.type(description="Exactly one of operation and error is non-null.")
class ResumeOperationPayload(LoadModelPayload):
    """`Operation | OperationError`."""


def _node(root: Parent[NodeDownload], info: Info) -> state.Node | None:
    snapshot = info.context.latest
    return None if snapshot is None else snapshot.state.nodes.get(root.node_id)


@strawberry.type(description="What came of a download request on one node.")
class NodeDownloadResult:
    """`operations.NodeDownloadResult`."""

    node: Node | None = field(resolver=_node, description="The node; null if it has left the cluster.")
    accepted: bool = field(
        description="Whether exo was sent the command for this node. Its effect shows in the downloads of the node."
    )
    error: str | None = field(description="Why it was not sent; null if it was.")


def _downloads_error(root: Parent[DownloadsResult]) -> OperationErrorValue | None:
    return root.error


@strawberry.type(description="What came of a download request on each node, or why it was refused.")
class DownloadPayload:
    """`operations.DownloadsResult`."""

    results: list[NodeDownloadResult] = field(description="One result for each node; empty if the request was refused.")
    error: OperationError | None = field(
        resolver=_downloads_error, description="Why the request was refused; null if it was accepted."
    )


TaskResult = state.Task | OperationErrorValue


def _task(root: Parent[TaskResult]) -> state.Task | None:
    return root if isinstance(root, state.Task) else None


def _task_error(root: Parent[TaskResult]) -> OperationErrorValue | None:
    return root if isinstance(root, OperationErrorValue) else None


@strawberry.type(description="Exactly one of task and error is non-null.")
class CancelTaskPayload:
    """`Task | OperationError`."""

    task: Task | None = field(
        resolver=_task, description="The task that is to be cancelled; null if the request was refused."
    )
    error: OperationError | None = field(
        resolver=_task_error, description="Why the request was refused; null if it was accepted."
    )
