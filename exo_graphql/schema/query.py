"""The type `Query`."""

from functools import partial
from typing import Annotated

import strawberry
from strawberry import argument

from exo_graphql.cluster import state
from exo_graphql.cluster.names import Ambiguous, Unknown, find_model
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.status import ModelStatus as Status
from exo_graphql.operations import OperationError as OperationErrorValue
from exo_graphql.operations import PlacementView
from exo_graphql.schema.arguments import (
    TASKS_UNDER_WAY,
    DownloadFilter,
    ModelFilter,
    ModelName,
    NodeFilter,
    NodeNames,
    OperationId,
    TaskFilter,
)
from exo_graphql.schema.cluster import Cluster
from exo_graphql.schema.context import Info
from exo_graphql.schema.download import Download
from exo_graphql.schema.downloads import select_downloads
from exo_graphql.schema.errors import model_error, shorten
from exo_graphql.schema.fields import field
from exo_graphql.schema.filters import model_named, node_named
from exo_graphql.schema.model import Model
from exo_graphql.schema.model_status import ModelStatus
from exo_graphql.schema.node import Node
from exo_graphql.schema.operation import Operation
from exo_graphql.schema.operation_error import problem_error
from exo_graphql.schema.placement import Placement
from exo_graphql.schema.task import Task


def cluster(info: Info) -> Snapshot:
    """The picture itself."""
    return info.context.snapshot


def nodes(info: Info) -> tuple[state.Node, ...]:
    """The members."""
    return info.context.snapshot.nodes


def _node(
    info: Info,
    id: Annotated[strawberry.ID, argument(description="The node's id or its friendly name.")],  # noqa: A002
) -> state.Node:
    return node_named(info.context.snapshot, id)


def _models(
    info: Info,
    loaded: Annotated[
        bool | None, argument(description="Only those with (true) or without (false) an instance; without it all.")
    ] = None,
    search: Annotated[
        str | None,
        argument(description="Only those whose id, family, base model or quantization contains this text."),
    ] = None,
) -> tuple[state.ModelCard, ...]:
    snapshot = info.context.snapshot
    wanted = search.strip().lower() if search is not None else ""
    return tuple(
        card
        for card in snapshot.models.values()
        if (loaded is None or bool(snapshot.instances_of(card.id)) is loaded) and wanted in _searchable(card)
    )


def _searchable(card: state.ModelCard) -> str:
    return "\n".join(text for text in (card.id, card.family, card.base_model, card.quantization) if text).lower()


def _model(
    info: Info,
    id: Annotated[strawberry.ID, argument(description="The model's full id or short name.")],  # noqa: A002
) -> state.ModelCard:
    return model_named(info.context.snapshot, id)


def model_status(info: Info, model: ModelName) -> Status:
    """Readiness by name; an unknown name is a status that says so, an ambiguous one an error."""
    snapshot = info.context.snapshot
    found = find_model(snapshot.models, model)
    if isinstance(found, Unknown):
        # A model that left the catalogue with its instance still has its failure and its verdict.
        found = find_model(snapshot.remembered_models, model)
    if isinstance(found, Unknown):
        return snapshot.status(shorten(model))
    if isinstance(found, Ambiguous):
        raise model_error(found)
    return snapshot.status(found.id)


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
    kind: Annotated[list[state.TaskKind] | None, argument(description=f"Only these kinds{TASKS_UNDER_WAY}")] = None,
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
        int | None, argument(description="The least number of nodes to spread over, from 1; without it 1.")
    ] = None,
    nodes: NodeNames = None,
    unload: Annotated[list[str] | None, argument(description="Models that are taken to be gone.")] = None,
) -> tuple[PlacementView, ...]:
    # Unknown names are told here as everywhere among the questions; the operations would tell of them as refusals.
    # What is like an unknown name takes milliseconds to find.
    snapshot, offload = info.context.snapshot, info.context.offload
    model_id, node_ids, unload_ids = await offload(partial(_ids, snapshot, model, nodes, unload))
    answer = await info.context.operations.placements(
        model_id, min_nodes=min_nodes, nodes=node_ids, unload=unload_ids, offload=offload
    )
    if isinstance(answer, OperationErrorValue):
        raise problem_error(answer)
    return answer


def _ids(
    snapshot: Snapshot, model: str, nodes: list[strawberry.ID] | None, unload: list[str] | None
) -> tuple[str, list[str] | None, list[str] | None]:
    return (
        model_named(snapshot, model).id,
        None if nodes is None else [node_named(snapshot, name).id for name in dict.fromkeys(nodes)],
        None if unload is None else [model_named(snapshot, name).id for name in dict.fromkeys(unload)],
    )


def _operation(info: Info, id: OperationId) -> object:  # noqa: A002
    return info.context.find_operation(id)


def _operations(
    info: Info,
    active: Annotated[
        bool | None, argument(description="Only those that are active (true) or have ended (false); without it all.")
    ] = None,
) -> object:
    return info.context.operations.all(active)


@strawberry.type(description="What can be asked. One immutable picture of the cluster answers the whole operation.")
class Query:
    """The root of all questions."""

    cluster: Cluster = field(resolver=cluster, description="The whole cluster in one call.")
    nodes: list[Node] = field(resolver=nodes, description="The members of the cluster.")
    node: Node | None = field(
        resolver=_node,
        description="One member, by node id or friendly name. An unknown one is null, with an error NODE_NOT_FOUND "
        "whose extensions.available lists those that exist.",
    )
    models: list[Model] = field(
        resolver=_models,
        description="Every model the cluster knows, by id: the catalogue, and what is loaded. `loaded` keeps those "
        "with (true) or without (false) an instance; `search` those whose id, family, base model or quantization "
        "contains it.",
    )
    model: Model | None = field(
        resolver=_model,
        description="One model, by full id or short name (after the last slash), case-insensitively. Several matches "
        "are null with MODEL_AMBIGUOUS and the candidates; none is null with MODEL_NOT_FOUND and close matches.",
    )
    model_status: ModelStatus = field(
        resolver=model_status,
        description="Readiness of one model now. A name that nothing knows is `found: false`, not an error.",
    )
    downloads: list[Download] | None = field(
        resolver=downloads,
        description="Downloads; without `status` all but the NOT_STARTED. An unknown model or node is null with an "
        "error.",
    )
    tasks: list[Task] | None = field(
        resolver=tasks,
        description="Tasks under way, of the instances that exist. With `status` or `kind` all that exo keeps and that "
        "match: those that ended or never will, and those of instances that are gone. An unknown model is null with an "
        "error.",
    )
    placements: list[Placement] | None = field(
        resolver=_placements,
        description="What-if: where exo would put the model, for each sharding and instance type, with memory per "
        "node, or why it would not fit. `minNodes` is the least number of nodes; `nodes` means exactly these (ids or "
        "friendly names); `unload` names models that are taken to be gone.",
    )
    operation: Operation | None = field(
        resolver=_operation, description="A load, unload or swap asked of this server; null for an unknown id."
    )
    operations: list[Operation] = field(
        resolver=_operations,
        description="Loads, unloads and swaps asked of this server, newest first: the last 1,000 that ended, and all "
        "that are active. `active` keeps those that are (true) or are not (false).",
    )
