"""The type `Subscription`: queries that are executed again for each new snapshot.

A field resolves exactly as its query does. The engine executes the operation again whenever the snapshot changes, and
sends the result if it differs. So push and query cannot disagree.
"""

from typing import Annotated

import strawberry
from strawberry import argument

from exo_graphql.cluster import state
from exo_graphql.cluster.status import ModelStatus as Status
from exo_graphql.operations import Operation as OperationValue
from exo_graphql.schema import query
from exo_graphql.schema.arguments import ModelFilter, ModelName, NodeFilter, OperationId
from exo_graphql.schema.cluster import Cluster
from exo_graphql.schema.context import Info
from exo_graphql.schema.deployment import Deployment
from exo_graphql.schema.download import Download
from exo_graphql.schema.enums import ModelStatusUntil
from exo_graphql.schema.errors import NamedError, shorten
from exo_graphql.schema.event import Event, resolve_event
from exo_graphql.schema.fields import field
from exo_graphql.schema.model_status import ModelStatus
from exo_graphql.schema.node import Node
from exo_graphql.schema.operation import Operation
from exo_graphql.schema.task import Task
from exo_graphql.schema.until import has_settled


def _model_status(
    info: Info,
    model: ModelName,
    until: Annotated[
        ModelStatusUntil | None, argument(description="When the subscription completes by itself.")
    ] = ModelStatusUntil.NEVER,
) -> Status:
    status = query.model_status(info, model)
    if has_settled(status, until):
        info.context.complete()
    return status


def _operation(info: Info, id: OperationId) -> OperationValue:  # noqa: A002
    operation = info.context.find_operation(id)
    if operation is None:
        raise NamedError(
            "OPERATION_NOT_FOUND",
            f"No operation {shorten(id)!r} was requested from this server, or it ended long ago.",
            "List them with { operations { id state } }.",
        )
    if not operation.active:
        info.context.complete()
    return operation


def _downloads(info: Info, model: ModelFilter = None, node: NodeFilter = None) -> tuple[state.Download, ...]:
    return query.downloads(info, None, model, node)


def _tasks(info: Info, model: ModelFilter = None) -> tuple[state.Task, ...]:
    return query.tasks(info, None, None, model)


@strawberry.type(
    description="Live results: the current result immediately, then a new one whenever one of the selected "
    "fields changes. Clock fields (ageSeconds, observedAt, lastSeen, secondsSinceSeen, "
    "staleSince, stateVersion) are sent along and never cause a message."
)
class Subscription:
    """The root of all live queries."""

    model_status: ModelStatus = field(
        resolver=_model_status,
        description="Readiness of one model: the current status immediately, then each change. With `until: "
        "READY` it completes after the first status that is ready, final or not found, so a script "
        "needs no loop and never hangs; with SETTLED also on NOT_LOADED, unless an operation is "
        "loading the model. A stale status never completes it.",
    )
    cluster: Cluster = field(resolver=query.cluster, description="The whole cluster, live.")
    nodes: list[Node] = field(resolver=query.nodes, description="The nodes of the cluster, live.")
    downloads: list[Download] = field(
        resolver=_downloads, description="Downloads except NOT_STARTED, live; optionally of one model or on one node."
    )
    tasks: list[Task] = field(resolver=_tasks, description="Tasks under way, live; optionally of one model.")
    deployments: list[Deployment] = field(resolver=query.deployments, description="The deployments, live.")
    events: Event = field(
        resolver=resolve_event,
        description="Each event as it happens, one message for each; with `since` first the earlier ones from then on "
        "that are still in memory (the last 5,000).",
    )
    operation: Operation = field(
        resolver=_operation, description="Each step of an operation; completes when the operation has ended."
    )
