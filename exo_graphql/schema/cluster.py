"""The type `Cluster`."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import Parent, argument

from exo_graphql import events
from exo_graphql.cluster import state
from exo_graphql.cluster.snapshot import Refusal, Snapshot
from exo_graphql.deployments.assess import Assessment
from exo_graphql.schema.arguments import TaskFilter
from exo_graphql.schema.context import Info
from exo_graphql.schema.deployment import Deployment
from exo_graphql.schema.download import Download
from exo_graphql.schema.event import Event
from exo_graphql.schema.fields import field
from exo_graphql.schema.history import History, cluster_history
from exo_graphql.schema.link import Link
from exo_graphql.schema.model import Model
from exo_graphql.schema.node import Node
from exo_graphql.schema.operation import Operation
from exo_graphql.schema.replica import Replica
from exo_graphql.schema.task import Task
from exo_graphql.schema.volatile import VolatileNumber, VolatileText, clock_moment
from exo_graphql.storage import leadership


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
        int | None, argument(description="Maximum number of ended operations; the newest are kept. Default: all.")
    ] = None,
) -> object:
    operations = info.context.operations
    if ended is None:
        return operations.all()
    left_out = {operation.id for operation in operations.all(active=False)[max(0, ended) :]}
    return tuple(operation for operation in operations.all() if operation.id not in left_out)


def _deployments(root: Parent[Snapshot], info: Info) -> tuple[Assessment, ...]:  # noqa: ARG001
    return info.context.deployments.all()


def _losses(root: Parent[Snapshot], info: Info) -> tuple[events.Event, ...]:
    log = info.context.events
    if log is None or not root.lost:
        return ()
    return tuple(loss for loss in log.open_losses() if loss.model_id in root.lost)


def _last_event(root: Parent[Snapshot], info: Info) -> events.Event | None:  # noqa: ARG001
    newest = () if info.context.events is None else info.context.events.newest(1)
    return newest[0] if newest else None


def _events_version(root: Parent[Snapshot], info: Info) -> int:  # noqa: ARG001
    return 0 if info.context.events is None else info.context.events.version


def _exo_errors(root: Parent[Snapshot]) -> tuple[Refusal, ...]:
    return root.source.refusals


def _stale_since(root: Parent[Snapshot]) -> VolatileText | None:
    return clock_moment(root.stale_since)


def _demo(root: Parent[Snapshot], info: Info) -> bool:  # noqa: ARG001
    return info.context.demo


def _state_version(root: Parent[Snapshot], info: Info) -> VolatileText:  # noqa: ARG001
    return VolatileText(info.context.version)


def _hints(root: Parent[Snapshot], info: Info) -> tuple[str, ...]:
    leaderless = None if info.context.membership is None else info.context.membership.leaderless
    return root.hints if leaderless is None else (leaderless.hint, *root.hints)


def _replicas(root: Parent[Snapshot], info: Info) -> tuple[leadership.Replica, ...]:  # noqa: ARG001
    return () if info.context.membership is None else info.context.membership.all


def _age(root: Parent[Snapshot], info: Info) -> VolatileNumber:
    return VolatileNumber(max(0.0, round(info.context.now - root.observed.elapsed, 3)))


def _observed_at(root: Parent[Snapshot]) -> VolatileText | None:
    return clock_moment(root.observed_at)


@strawberry.type(description="Why one URL of exo does not answer.")
class ExoError:
    """`cluster.snapshot.Refusal`."""

    url: str = field(description="The URL, without credentials.")
    message: str = field(description="What came back, in a sentence.")
    suggestion: str | None = field(description="What to check; null if nothing is known.")


@strawberry.type(description="The whole cluster at one moment.")
class Cluster:
    """`cluster.snapshot.Snapshot`."""

    healthy: bool = field(
        description="True when exo answers, the state is not stale, there is at least one node, no node is STALE, "
        "and no loaded model is FAILED or UNREACHABLE."
    )
    unhealthy_reasons: list[str] = field(
        description="Why the cluster is not healthy, one sentence for each reason; empty when it is healthy."
    )
    node_count: int = field(description="Number of nodes in the cluster.")
    online_node_count: int = field(description="Number of nodes seen within the last 10 seconds, by exo's clock.")
    nodes_without_memory: int = field(
        description="Number of nodes that have not reported their memory. The memory totals leave them out."
    )
    ram_total_gb: float | None = field(
        description="Total memory of the nodes that report it, in GiB (2^30 bytes), one decimal; null when none does."
    )
    ram_available_gb: float | None = field(
        description="Free memory of these nodes in GiB, one decimal; null when none reports it."
    )
    ram_used_gb: float | None = field(
        description="Total minus free memory of these nodes in GiB, one decimal; null when none reports it."
    )
    ram_used_percent: float | None = field(
        description="Used share of their memory, 0 to 100; null when none reports it."
    )
    loaded_model_count: int = field(
        description="Number of models that have an instance, in any phase. A model with two instances counts once."
    )
    active_task_count: int = field(description="Number of pending and running inference tasks of existing instances.")
    active_download_count: int = field(
        description="Number of downloads with status DOWNLOADING on nodes of the cluster."
    )
    nodes: list[Node] = field(description="The nodes of the cluster.")
    models: list[Model] = field(
        resolver=_models, description="The loaded models: those that have an instance, in any phase."
    )
    tasks: list[Task] = field(
        resolver=_tasks,
        description="Tasks under way of existing instances. With `status`: all tasks with these statuses that exo "
        "still lists.",
    )
    downloads: list[Download] = field(resolver=_downloads, description="Downloads, except those that are NOT_STARTED.")
    operations: list[Operation] = field(
        resolver=_operations,
        description="Loads, unloads and swaps requested from this server, newest first. With `ended`: all active "
        "ones and at most that many ended ones, so that a live query does not send a long history.",
    )
    deployments: list[Deployment] = field(
        resolver=_deployments,
        description="What is kept loaded, by name: the models, their schedules and their state.",
    )
    hints: list[str] = field(
        resolver=_hints,
        description="What could be better about the machines, one sentence for each: different versions of macOS, RDMA "
        "that is off, a cable in a port without RDMA. And why no server leads (see `replicas`), while none does. Not a "
        "reason to be unhealthy.",
    )
    losses: list[Event] = field(
        resolver=_losses,
        description="Models that were lost in the last hour, and that nobody has loaded, unloaded or acknowledged "
        "since: the MODEL_LOST events behind `unhealthyReasons`.",
    )
    last_event: Event | None = field(
        resolver=_last_event,
        description="The newest event; null before the first one.",
    )
    events_version: int = field(
        resolver=_events_version,
        description="Increases with every event and every acknowledgement. A live query that selects it learns of them "
        "without listing them.",
    )
    links: list[Link] = field(description="The links between the nodes, those that were lost included.")
    links_version: int = field(
        description="Increases whenever `links` changes. A live query that selects it learns that without listing "
        "them: 32 nodes that all reach each other have 496.",
    )
    replicas: list[Replica] = field(
        resolver=_replicas,
        description="The servers of this kind that share a database, by name; one entry where there is one server.",
    )
    history: History = field(
        resolver=cluster_history,
        description="What the nodes have reported over the last `minutes`, in `points` entries: sums over the nodes "
        "that reported, but of GPU usage their mean, and of the temperature the highest. A subscription sends it again "
        "when its values change, every 5 seconds at most.",
    )
    state_version: str = field(
        resolver=_state_version,
        description="Opaque version of the state; it changes exactly when anything but a clock field does. Clock "
        "field: never causes a message.",
    )
    observed_at: datetime = field(
        resolver=_observed_at,
        description="When this server received the state that it answers from (UTC). Clock field: never causes a "
        "message.",
    )
    age_seconds: float = field(
        resolver=_age,
        description="Seconds between observedAt and this answer. Clock field: never causes a message.",
    )
    connected: bool = field(description="Whether exo answers.")
    stale: bool = field(
        description="True while an older state is shown: exo does not answer, its master has stopped updating its "
        "state, or the state is incomplete (an election, or a node that lags behind)."
    )
    stale_since: datetime | None = field(
        resolver=_stale_since,
        description="Until when the shown state was current (UTC): until it was received or, where exo's master hangs, "
        "until it last changed; null while it is current. Clock field: never causes a message.",
    )
    api_node_id: strawberry.ID | None = field(
        description="The exo node that answered; null if it did not give its id. exo does not publish which node "
        "is its master."
    )
    exo_errors: list[ExoError] = field(
        resolver=_exo_errors,
        description="While exo does not answer: each URL that was tried, what came back, and what to check. Empty "
        "while it answers.",
    )
    exo_url: str = field(description="URL at which exo answered.")
    demo: bool = field(resolver=_demo, description="Whether this is a simulated cluster (--demo): nothing is real.")
