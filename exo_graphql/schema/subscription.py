"""The type `Subscription`: questions that are asked again at each new picture.

A field here resolves exactly as its query does; the server executes the operation again whenever the picture changes
and sends what differs. So push and query cannot disagree.
"""

from typing import Annotated

import strawberry
from strawberry import argument

from exo_graphql.cluster import state
from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.status import ModelStatus as Status
from exo_graphql.operations import Operation as OperationValue
from exo_graphql.schema import query
from exo_graphql.schema.arguments import ModelFilter, ModelName, NodeFilter, OperationId
from exo_graphql.schema.cluster import Cluster
from exo_graphql.schema.context import Info
from exo_graphql.schema.download import Download
from exo_graphql.schema.enums import ModelStatusUntil
from exo_graphql.schema.errors import NamedError, shorten
from exo_graphql.schema.fields import field
from exo_graphql.schema.model_status import ModelStatus
from exo_graphql.schema.node import Node
from exo_graphql.schema.operation import Operation
from exo_graphql.schema.task import Task


def _model_status(
    info: Info,
    model: ModelName,
    until: Annotated[
        ModelStatusUntil | None, argument(description="When it completes by itself.")
    ] = ModelStatusUntil.NEVER,
) -> Status:
    status = query.model_status(info, model)
    settled = status.ready or status.final or not status.found
    ends = (until in (ModelStatusUntil.READY, ModelStatusUntil.SETTLED) and settled) or (
        until is ModelStatusUntil.SETTLED and status.phase is Phase.NOT_LOADED
    )
    # What an older picture says may no longer be so: nobody's loop ends on it.
    if ends and not status.stale:
        info.context.complete()
    return status


def _operation(info: Info, id: OperationId) -> OperationValue:  # noqa: A002
    operation = info.context.find_operation(id)
    if operation is None:
        raise NamedError(
            "OPERATION_NOT_FOUND",
            f"No operation {shorten(id)!r} was asked of this server, or it ended long ago.",
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
    description="What is pushed: the present result at once, then again whenever the selected fields change, and only "
    "then. Clock fields (ageSeconds, observedAt, lastSeen, secondsSinceSeen, stateVersion) ride along and never cause "
    "a message."
)
class Subscription:
    """The root of all live queries."""

    model_status: ModelStatus = field(
        resolver=_model_status,
        description="Readiness of one model: the present status at once, then each change. With `until: READY` it "
        "completes after the first status that is ready, final or not found, so a script needs no loop and never "
        "hangs; SETTLED also on NOT_LOADED. A stale status ends nothing.",
    )
    cluster: Cluster = field(resolver=query.cluster, description="The whole cluster, live.")
    nodes: list[Node] = field(resolver=query.nodes, description="The members, live.")
    downloads: list[Download] = field(
        resolver=_downloads, description="Downloads, all but the NOT_STARTED, live; of one model or one node if asked."
    )
    tasks: list[Task] = field(resolver=_tasks, description="Tasks, live; of one model if asked.")
    operation: Operation = field(
        resolver=_operation, description="Each step of an operation until it ends; then the subscription completes."
    )
