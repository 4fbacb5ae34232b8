"""What exo reports, as values: one `State` is one `GET /state`, in the usual terms of the field.

What exo may leave out is None here, never 0. Sizes are bytes, times UTC. Fields marked `compare=False` are clocks,
which change in every document, or copies of exo's own documents: they do not make two states different.

One file a part, as in `exo/parse/`: `cards`, `nodes`, `instances` (with their shards and runners), `downloads`,
`tasks`; `state` is the whole document.
"""

from exo_graphql.cluster.state.cards import ModelCard
from exo_graphql.cluster.state.downloads import Download, DownloadKind
from exo_graphql.cluster.state.instances import (
    Instance,
    InstanceLink,
    InstanceType,
    Runner,
    RunnerStatus,
    Shard,
    Sharding,
)
from exo_graphql.cluster.state.nodes import Connection, Node
from exo_graphql.cluster.state.state import State
from exo_graphql.cluster.state.tasks import INFERENCE, Task, TaskKind, TaskStatus

__all__ = [
    "INFERENCE",
    "Connection",
    "Download",
    "DownloadKind",
    "Instance",
    "InstanceLink",
    "InstanceType",
    "ModelCard",
    "Node",
    "Runner",
    "RunnerStatus",
    "Shard",
    "Sharding",
    "State",
    "Task",
    "TaskKind",
    "TaskStatus",
]
