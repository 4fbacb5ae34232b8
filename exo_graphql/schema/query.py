"""The type `Query`."""

from collections.abc import Collection
from functools import partial
from typing import Annotated

import strawberry
from strawberry import argument

from exo_graphql.cluster import state
from exo_graphql.cluster.names import Ambiguous
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.status import ModelStatus as Status
from exo_graphql.deployments.assess import Assessment
from exo_graphql.operations import OperationError as OperationErrorValue
from exo_graphql.operations import PlacementView
from exo_graphql.schema.arguments import (
    DownloadFilter,
    KindFilter,
    ModelFilter,
    ModelName,
    NodeFilter,
    NodeNames,
    OperationId,
    TaskFilter,
    WaitSeconds,
)
from exo_graphql.schema.calendar import CalendarEntry, resolve_calendar
from exo_graphql.schema.cluster import Cluster
from exo_graphql.schema.context import Info
from exo_graphql.schema.deployment import Deployment
from exo_graphql.schema.download import Download
from exo_graphql.schema.downloads import select_downloads
from exo_graphql.schema.enums import ModelStatusUntil
from exo_graphql.schema.errors import model_error
from exo_graphql.schema.event import Event, resolve_events
from exo_graphql.schema.fields import field
from exo_graphql.schema.filters import model_named, node_named
from exo_graphql.schema.hub import HubModel, resolve_hub
from exo_graphql.schema.instance import InstanceLink
from exo_graphql.schema.model import Model
from exo_graphql.schema.model_status import ModelStatus
from exo_graphql.schema.node import Node
from exo_graphql.schema.operation import Operation
from exo_graphql.schema.operation_error import top_level_error
from exo_graphql.schema.placement import Placement
from exo_graphql.schema.plan import Plan, resolve_plan
from exo_graphql.schema.search import SchemaMatch, resolve_search
from exo_graphql.schema.task import Task
from exo_graphql.schema.until import check_seconds, named_status
from exo_graphql.schema.webhook import Webhook, resolve_webhooks


def cluster(info: Info) -> Snapshot:
    """The snapshot itself: each field of `Cluster` reads it."""
    return info.context.snapshot


def nodes(info: Info) -> tuple[state.Node, ...]:
    """The nodes of the cluster."""
    return info.context.snapshot.nodes


def _node(
    info: Info,
    id: Annotated[strawberry.ID, argument(description="The node's id or friendly name.")],  # noqa: A002
) -> state.Node:
    return node_named(info.context.snapshot, id)


def _models(
    info: Info,
    loaded: Annotated[
        bool | None, argument(description="Only models with (true) or without (false) an instance. Default: all.")
    ] = None,
    search: Annotated[
        str | None,
        argument(
            description="Only models whose id, family, base model or quantization contains this text; case-insensitive."
        ),
    ] = None,
    downloaded: Annotated[
        bool | None,
        argument(description="Only models whose weights are complete on some node (true), or on none (false)."),
    ] = None,
    fits: Annotated[
        bool | None,
        argument(
            description="Only models that loadModel could place now beside what is loaded (true), or could not. "
            "Of a loaded model another copy is meant. In a large cluster the largest models may count as not fitting, "
            "because the search is bounded: `plan` is exact."
        ),
    ] = None,
) -> tuple[state.ModelCard, ...]:
    snapshot = info.context.snapshot
    text = search.strip().lower() if search is not None else ""
    complete: Collection[str] = () if downloaded is None else _downloaded(snapshot)
    fitting: Collection[str] = () if fits is None else info.context.operations.fitting(snapshot)
    return tuple(
        card
        for card in snapshot.models.values()
        if (loaded is None or bool(snapshot.instances_of(card.id)) is loaded)
        and (downloaded is None or (card.id in complete) is downloaded)
        and (fits is None or (card.id in fitting) is fits)
        and text in _searchable(card)
    )


def _downloaded(snapshot: Snapshot) -> frozenset[str]:
    return frozenset(d.model_id for d in snapshot.started_downloads if d.kind is state.DownloadKind.COMPLETED)


def _searchable(card: state.ModelCard) -> str:
    return "\n".join(text for text in (card.id, card.family, card.base_model, card.quantization) if text).lower()


def _model(
    info: Info,
    id: Annotated[strawberry.ID, argument(description="The model's full id or short name.")],  # noqa: A002
) -> state.ModelCard:
    return model_named(info.context.snapshot, id)


def model_status(info: Info, model: ModelName) -> Status:
    """Readiness by name. `found` is false for an unknown name; an ambiguous one raises MODEL_AMBIGUOUS."""
    status = named_status(info.context.snapshot, model)
    if isinstance(status, Ambiguous):
        raise model_error(status)
    return status


def _model_status(
    info: Info,
    model: ModelName,
    until: Annotated[
        ModelStatusUntil | None, argument(description="What `waitSeconds` waits for.")
    ] = ModelStatusUntil.READY,
    wait_seconds: WaitSeconds = None,
) -> Status:
    del until  # the engine has waited before it executes this
    check_seconds(wait_seconds)
    return model_status(info, model)


def downloads(
    info: Info,
    status: DownloadFilter = None,
    model: ModelFilter = None,
    node: NodeFilter = None,
) -> tuple[state.Download, ...]:
    """Downloads by status, model and node."""
    snapshot = info.context.snapshot
    return select_downloads(
        snapshot,
        status,
        model_id=None if model is None else model_named(snapshot, model).id,
        node_id=None if node is None else node_named(snapshot, node).id,
    )


def tasks(
    info: Info,
    status: TaskFilter = None,
    kind: KindFilter = None,
    model: ModelFilter = None,
) -> tuple[state.Task, ...]:
    """Tasks by status, kind and model; without status and kind those under way."""
    snapshot = info.context.snapshot
    listed = snapshot.tasks if status is None and kind is None else snapshot.all_tasks
    if model is not None:
        listed = snapshot.tasks_of(model_named(snapshot, model).id, listed)
    return tuple(
        task for task in listed if (status is None or task.status in status) and (kind is None or task.kind in kind)
    )


async def _placements(
    info: Info,
    model: ModelName,
    min_nodes: Annotated[
        int | None, argument(description="Minimum number of nodes to spread over, from 1. Default: 1.")
    ] = None,
    nodes: NodeNames = None,
    unload: Annotated[list[str] | None, argument(description="Models to unload for it, as by swapModels.")] = None,
) -> tuple[PlacementView, ...]:
    # Names are resolved here, so that an unknown one is a top-level error as in every query: the operations would
    # answer with an error. In a thread, because finding names similar to an unknown one takes milliseconds.
    snapshot, offload = info.context.snapshot, info.context.offload
    model_id, node_ids, unload_ids = await offload(partial(_ids, snapshot, model, nodes, unload))
    answer = await info.context.operations.placements(
        model_id, min_nodes=min_nodes, nodes=node_ids, unload=unload_ids, offload=offload
    )
    if isinstance(answer, OperationErrorValue):
        raise top_level_error(answer)
    return answer


def _ids(
    snapshot: Snapshot, model: str, nodes: list[strawberry.ID] | None, unload: list[str] | None
) -> tuple[str, list[str] | None, list[str] | None]:
    return (
        model_named(snapshot, model).id,
        None if nodes is None else [node_named(snapshot, name).id for name in dict.fromkeys(nodes)],
        None if unload is None else [model_named(snapshot, name).id for name in dict.fromkeys(unload)],
    )


def _instance_links(info: Info) -> tuple[state.InstanceLink, ...]:
    return tuple(info.context.snapshot.state.links.values())


def deployments(info: Info) -> tuple[Assessment, ...]:
    """Every deployment."""
    return info.context.deployments.all()


def _deployment(
    info: Info, name: Annotated[strawberry.ID, argument(description="The deployment's name.")]
) -> Assessment | None:
    return info.context.deployments.get(name)


def _operation(
    info: Info,
    id: OperationId,  # noqa: A002
    wait_seconds: WaitSeconds = None,
) -> object:
    check_seconds(wait_seconds)
    return info.context.find_operation(id)


def _operations(
    info: Info,
    active: Annotated[
        bool | None, argument(description="Only active (true) or ended (false) operations. Default: all.")
    ] = None,
) -> object:
    return info.context.operations.all(active)


@strawberry.type(
    description="One immutable snapshot of the cluster answers a whole operation, so its fields always agree."
)
class Query:
    """The root of all queries."""

    cluster: Cluster = field(resolver=cluster, description="The whole cluster in one query.")
    nodes: list[Node] = field(resolver=nodes, description="The nodes of the cluster.")
    node: Node | None = field(
        resolver=_node,
        description="One node, by id or friendly name. An unknown one gives null and the error NODE_NOT_FOUND, "
        "whose extensions.available lists the existing nodes.",
    )
    models: list[Model] = field(
        resolver=_models,
        description="All models that the cluster knows, sorted by id: exo's catalogue, and the loaded ones.",
    )
    model: Model | None = field(
        resolver=_model,
        description="One model, by full id or short name (the part after the last slash); case-insensitive. "
        "Several matches give null and MODEL_AMBIGUOUS with the candidates; no match gives null and "
        "MODEL_NOT_FOUND with the closest ids.",
    )
    model_status: ModelStatus = field(
        resolver=_model_status,
        description="Readiness of one model now, or with `waitSeconds` once it is as `until` says. An unknown name is "
        "no error: it gives `found: false`.",
    )
    downloads: list[Download] | None = field(
        resolver=downloads,
        description="Downloads. Without `status`: all except NOT_STARTED. An unknown model or node gives null and "
        "an error.",
    )
    tasks: list[Task] | None = field(
        resolver=tasks,
        description="Tasks under way of existing instances. With `status` or `kind`: all matching tasks that exo "
        "still lists, including ended ones, ones that exo never marks complete, and those of removed "
        "instances. An unknown model gives null and an error.",
    )
    placements: list[Placement] | None = field(
        resolver=_placements,
        description="What-if: where a model would be placed, for each sharding and instance type, with the memory "
        "on each node, or why it would not fit. Changes nothing. An unknown model or node gives null "
        "and an error.",
    )
    plan: Plan = field(
        resolver=resolve_plan,
        description="What loadModel, unloadModel or swapModels with these arguments would do, and the hash by which "
        "`applyPlan` does exactly that. One model to load or to unload is that mutation, anything else a swap. Changes "
        "nothing. What would be rejected has `fits: false`, and the `error` that the mutation would answer.",
    )
    instance_links: list[InstanceLink] = field(
        resolver=_instance_links,
        description="Which instances read prompts and which generate answers; empty where exo splits no requests.",
    )
    search_hub: list[HubModel] = field(
        resolver=resolve_hub,
        description="Models on the hub that exo downloads from: those of mlx-community, or if none is found, all "
        "others; the most downloaded first. `addModel` adds one to the catalogue.",
    )
    deployments: list[Deployment] = field(
        resolver=deployments, description="The deployments, by name: their models, schedules and states."
    )
    deployment: Deployment | None = field(resolver=_deployment, description="One deployment; null for an unknown name.")
    calendar: list[CalendarEntry] = field(
        resolver=resolve_calendar,
        description="Which deployments are wanted when over the coming days, what changes in between, and whether "
        "they fit together. With very many changes it ends sooner than requested: after 1,000 entries, or 5,000 loads "
        "and unloads.",
    )
    operation: Operation | None = field(
        resolver=_operation,
        description="A load, unload or swap requested from this server, with `waitSeconds` once it has ended; null for "
        "an unknown id.",
    )
    events: list[Event] = field(
        resolver=resolve_events,
        description="What has happened to the cluster and what this server has done, newest first. By default the "
        "server keeps them for 30 days, and at most 100,000.",
    )
    webhooks: list[Webhook] = field(
        resolver=resolve_webhooks, description="The URLs that get events, and how the deliveries are doing."
    )
    operations: list[Operation] = field(
        resolver=_operations,
        description="Loads, unloads and swaps requested from this server, newest first: all active ones, and the "
        "last 1,000 that ended.",
    )
    search_schema: list[SchemaMatch] = field(
        resolver=resolve_search,
        description="Search this schema itself: types, fields, arguments and values whose names or descriptions match, "
        "best first, with the way to each from the root. Much smaller than introspection.",
    )
