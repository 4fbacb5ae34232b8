"""Arguments that several fields take, with their descriptions."""

from typing import Annotated

import strawberry
from strawberry import argument

from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.state import TaskKind, TaskStatus

_NAME = "full id or short name (the part after the last slash); case-insensitive"
# A list that is filtered by status or kind also shows what it leaves out by default.
ENDED_TOO = "including ended ones and those of removed instances."

ModelName = Annotated[str, argument(description=f"The model's {_NAME}.")]
ModelFilter = Annotated[str | None, argument(description=f"Only those of this model, by {_NAME}.")]
NodeFilter = Annotated[strawberry.ID | None, argument(description="Only those on this node, by id or friendly name.")]
NodeNames = Annotated[list[strawberry.ID] | None, argument(description="Exactly these nodes, by id or friendly name.")]
DownloadFilter = Annotated[
    list[DownloadStatus] | None,
    argument(description="Only downloads with these statuses. Default: all except NOT_STARTED."),
]
TaskFilter = Annotated[list[TaskStatus] | None, argument(description=f"Only tasks with these statuses, {ENDED_TOO}")]
KindFilter = Annotated[list[TaskKind] | None, argument(description=f"Only tasks of these kinds, {ENDED_TOO}")]
OperationId = Annotated[strawberry.ID, argument(description="Id of the operation.")]
