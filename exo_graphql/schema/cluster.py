"""The type `Cluster`."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import Parent, argument

from exo_graphql.cluster import state
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.schema.arguments import TaskFilter
from exo_graphql.schema.context import Info
from exo_graphql.schema.download import Download
from exo_graphql.schema.fields import field
from exo_graphql.schema.model import Model
from exo_graphql.schema.node import Node
from exo_graphql.schema.operation import Operation
from exo_graphql.schema.task import Task
from exo_graphql.schema.volatile import VolatileNumber, VolatileText, clock_moment


def _models(root: Parent[Snapshot]) -> tuple[state.ModelCard, ...]:
    return root.loaded_models


def _downloads(root: Parent[Snapshot]) -> tuple[state.Download, ...]:
    return root.started_downloads


def _tasks(root: Parent[Snapshot], status: TaskFilter = None) -> tuple[state.Task, ...]:
    return root.tasks if status is None else tuple(task for task in root.all_tasks if task.status in status)


def _operations(
    root: Parent[Snapshot],  # noqa: ARG001  # as Strawberry hands it over
    info: Info,
    ended: Annotated[
        int | None, argument(description="At most so many of those that have ended, the newest; without it all.")
    ] = None,
) -> object:
    operations = info.context.operations
    if ended is None:
        return operations.all()
    left_out = {operation.id for operation in operations.all(active=False)[max(0, ended) :]}
    return tuple(operation for operation in operations.all() if operation.id not in left_out)


def _state_version(root: Parent[Snapshot], info: Info) -> VolatileText:  # noqa: ARG001
    return VolatileText(info.context.version)


def _age(root: Parent[Snapshot], info: Info) -> VolatileNumber:
    return VolatileNumber(max(0.0, round(info.context.now - root.observed.elapsed, 3)))


def _observed_at(root: Parent[Snapshot]) -> VolatileText | None:
    return clock_moment(root.observed_at)


@strawberry.type(description="The whole cluster, at one moment.")
class Cluster:
    """`cluster.snapshot.Snapshot`."""

    healthy: bool = field(
        description="Connected, not stale, at least one node, no node STALE, no loaded model FAILED or UNREACHABLE."
    )
    unhealthy_reasons: list[str] = field(description="Why it is not healthy, a sentence each; empty when it is.")
    node_count: int = field(description="Members of the cluster.")
    online_node_count: int = field(description="Members seen within the last 10 seconds, by exo's own clock.")
    nodes_without_memory: int = field(
        description="Members that have not reported their memory. The totals leave them out."
    )
    ram_total_gb: float | None = field(
        description="Memory of the members that report, in GiB (2^30 bytes), one decimal; null when none does."
    )
    ram_available_gb: float | None = field(description="Their free memory in GiB, one decimal; null when none reports.")
    ram_used_gb: float | None = field(description="Total minus free, in GiB, one decimal; null when none reports.")
    ram_used_percent: float | None = field(description="Share of it in use, 0 to 100; null when none reports.")
    loaded_model_count: int = field(description="Models with an instance, whatever its phase; not instances.")
    active_task_count: int = field(description="Inference tasks, pending or running, of instances that exist.")
    active_download_count: int = field(description="Downloads with status DOWNLOADING, on members.")
    nodes: list[Node] = field(description="The members.")
    models: list[Model] = field(resolver=_models, description="The loaded models: those with an instance.")
    tasks: list[Task] = field(
        resolver=_tasks,
        description="Tasks under way, of the instances that exist; with `status` all that exo keeps with these "
        "statuses.",
    )
    downloads: list[Download] = field(resolver=_downloads, description="Downloads, all but the NOT_STARTED.")
    operations: list[Operation] = field(
        resolver=_operations,
        description="Loads, unloads and swaps asked of this server, newest first. With `ended` all that are "
        "active, and of those that have ended so many, the newest: a live query need not carry a long past.",
    )
    state_version: str = field(
        resolver=_state_version,
        description="Opaque; changes exactly when anything but clock fields does. A clock field itself: it never "
        "causes a message.",
    )
    observed_at: datetime = field(
        resolver=_observed_at,
        description="When the state that this is read off arrived (UTC). A clock field: it never causes a message by "
        "itself.",
    )
    age_seconds: float = field(
        resolver=_age,
        description="Seconds since observedAt, as of this answer. A clock field: it never causes a message by itself.",
    )
    connected: bool = field(description="Whether exo answers.")
    stale: bool = field(
        description="True while this is an older picture: exo does not answer, or its state holds no nodes (an "
        "election)."
    )
    api_node_id: strawberry.ID | None = field(
        description="The exo node that answered; null if it did not say. exo does not publish which node is its master."
    )
    exo_url: str = field(description="The address at which exo answered.")
