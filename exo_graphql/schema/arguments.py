"""Arguments that several fields take, with their descriptions."""

from typing import Annotated

import strawberry
from strawberry import argument

from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.state import TaskKind, TaskStatus
from exo_graphql.operations import InstanceTypePreference, ShardingPreference

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
MinNodes = Annotated[int | None, argument(description="Minimum number of nodes to spread over, from 1.")]
Shards = Annotated[
    ShardingPreference | None,
    argument(description="How to divide the model. The request is rejected if this is impossible."),
]
Engine = Annotated[
    InstanceTypePreference | None,
    argument(description="How the runners are to communicate. The request is rejected if this is impossible."),
]
Drain = Annotated[
    int | None,
    argument(description="Maximum seconds to wait for running inference tasks before unloading; 0 does not wait."),
]
Timeout = Annotated[
    int | None, argument(description="Seconds after which the operation fails and is undone. Default: no limit.")
]
Attempts = Annotated[
    int | None,
    argument(
        description="Number of exo's failed attempts to start a model after which the operation gives up and undoes "
        "what it did. Default: 2 once a model has been unloaded, because none may be serving; otherwise exo's own 5."
    ),
]
Additional = Annotated[
    bool | None, argument(description="Place another copy even if the model has a healthy instance.")
]
OnlyInstance = Annotated[
    strawberry.ID | None, argument(description="Only this instance. Default: all instances of the model.")
]
Key = Annotated[
    str | None,
    argument(
        description="Any text of your choice. For 24 hours, the same key with the same arguments returns the same "
        "operation, so it is safe to send a request again."
    ),
]

# The defaults hold for an explicit null as well: `minNodes: null` is `minNodes: 1`.
MIN_NODES = 1
SHARDING = ShardingPreference.AUTO
INSTANCE_TYPE = InstanceTypePreference.AUTO
DRAIN_SECONDS = 30

OperationId = Annotated[strawberry.ID, argument(description="Id of the operation.")]
WaitSeconds = Annotated[
    int | None,
    argument(
        description="Wait for up to this many seconds, 300 at most, and answer then what is true. One field of a "
        "request may wait. Default: do not wait."
    ),
]
