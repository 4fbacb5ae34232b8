"""What the mutations answer: one payload type for each."""

from dataclasses import dataclass

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.deployments.assess import Assessment
from exo_graphql.operations import DownloadsResult
from exo_graphql.operations import NodeDownloadResult as NodeDownload
from exo_graphql.operations import Operation as OperationValue
from exo_graphql.operations import OperationError as OperationErrorValue
from exo_graphql.schema.context import Info
from exo_graphql.schema.deployment import Deployment
from exo_graphql.schema.fields import field
from exo_graphql.schema.node import Node
from exo_graphql.schema.operation import Operation
from exo_graphql.schema.operation_error import OperationError
from exo_graphql.schema.task import Task


@dataclass(frozen=True, slots=True)
class OperationResult:
    """The answer to a mutation, and the deployments that it has paused."""

    answer: OperationValue | OperationErrorValue | None
    paused: tuple[Assessment, ...] = ()
    deployment: Assessment | None = None
    """Where the plan of a deployment was applied, which is no operation."""


def _operation(root: Parent[OperationResult]) -> OperationValue | None:
    return root.answer if isinstance(root.answer, OperationValue) else None


def _error(root: Parent[OperationResult]) -> OperationErrorValue | None:
    return root.answer if isinstance(root.answer, OperationErrorValue) else None


_PAUSED = (
    "Deployments that this request has paused, because it unloads their model, cancels their operation, or stops or "
    "deletes their download. Each stays paused until its next opening, or, without a schedule, until resumeDeployment."
)


@strawberry.type(description="Exactly one of operation and error is non-null.")
class ResumeOperationPayload:
    """`OperationResult`."""

    operation: Operation | None = field(
        resolver=_operation, description="The operation; null if the request was rejected."
    )
    error: OperationError | None = field(
        resolver=_error, description="Why the request was rejected; null if it was accepted."
    )


@strawberry.type(description="Exactly one of operation and error is non-null.")
class LoadModelPayload(ResumeOperationPayload):
    """`OperationResult`."""

    paused: list[Deployment] = field(description=_PAUSED)


@strawberry.type(description="Exactly one of operation and error is non-null.")
class UnloadModelPayload(LoadModelPayload):
    """`OperationResult`."""


@strawberry.type(description="Exactly one of operation and error is non-null.")
class SwapModelsPayload(LoadModelPayload):
    """`OperationResult`."""


@strawberry.type(description="Exactly one of operation, deployment and error is non-null.")
class ApplyPlanPayload(LoadModelPayload):
    """`OperationResult`."""

    deployment: Deployment | None = field(description="The deployment, if it was the plan of one.")


@strawberry.type(description="Exactly one of operation and error is non-null.")
class CancelOperationPayload(LoadModelPayload):
    """`OperationResult`."""


def _node(root: Parent[NodeDownload], info: Info) -> state.Node | None:
    snapshot = info.context.latest
    return None if snapshot is None else snapshot.state.nodes.get(root.node_id)


@strawberry.type(description="The result of a download request on one node.")
class NodeDownloadResult:
    """`operations.NodeDownloadResult`."""

    node: Node | None = field(resolver=_node, description="The node; null if it has left the cluster.")
    accepted: bool = field(
        description="Whether exo was sent the command for this node. Its effect shows in the downloads of the node."
    )
    error: str | None = field(description="Why it was not sent; null if it was.")


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """The answer to a mutation of downloads, and the deployments that it has paused."""

    answer: DownloadsResult
    paused: tuple[Assessment, ...] = ()


def _results(root: Parent[DownloadResult]) -> tuple[NodeDownload, ...]:
    return root.answer.results


def _downloads_error(root: Parent[DownloadResult]) -> OperationErrorValue | None:
    return root.answer.error


@strawberry.type(description="The result of a download request on each node, or why it was rejected.")
class DownloadPayload:
    """`DownloadResult`."""

    results: list[NodeDownloadResult] = field(
        resolver=_results, description="One result for each node; empty if the request was rejected."
    )
    error: OperationError | None = field(
        resolver=_downloads_error, description="Why the request was rejected; null if it was accepted."
    )
    paused: list[Deployment] = field(description=_PAUSED)


TaskResult = state.Task | OperationErrorValue


def _task(root: Parent[TaskResult]) -> state.Task | None:
    return root if isinstance(root, state.Task) else None


def _task_error(root: Parent[TaskResult]) -> OperationErrorValue | None:
    return root if isinstance(root, OperationErrorValue) else None


@strawberry.type(description="Exactly one of task and error is non-null.")
class CancelTaskPayload:
    """`Task | OperationError`."""

    task: Task | None = field(
        resolver=_task, description="The task that is to be cancelled; null if the request was rejected."
    )
    error: OperationError | None = field(
        resolver=_task_error, description="Why the request was rejected; null if it was accepted."
    )
