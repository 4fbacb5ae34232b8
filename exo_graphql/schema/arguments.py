"""Arguments that several fields take, with their descriptions."""

from typing import Annotated

import strawberry
from strawberry import argument

from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.state import TaskStatus

_MODEL = "A model: full id or short name (after the last slash), case-insensitively."
_NODE = "A node: id or friendly name."

ModelName = Annotated[str, argument(description=_MODEL)]
ModelFilter = Annotated[str | None, argument(description=f"{_MODEL} Only what belongs to it.")]
NodeFilter = Annotated[strawberry.ID | None, argument(description=f"{_NODE} Only what belongs to it.")]
NodeNames = Annotated[list[strawberry.ID] | None, argument(description="Exactly these nodes, by id or friendly name.")]
DownloadFilter = Annotated[
    list[DownloadStatus] | None, argument(description="Only these; without it all but the NOT_STARTED.")
]
TASKS_UNDER_WAY = "; without `status` and `kind` only tasks under way, of instances that exist."
TaskFilter = Annotated[
    list[TaskStatus] | None, argument(description=f"Only those with these statuses{TASKS_UNDER_WAY}")
]
OperationId = Annotated[strawberry.ID, argument(description="The operation's id.")]
