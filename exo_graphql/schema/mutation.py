"""The type `Mutation`, and its payloads."""

from typing import Annotated

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.operations import (
    DownloadsResult,
    InstanceTypePreference,
    ShardingPreference,
)
from exo_graphql.operations import (
    NodeDownloadResult as NodeDownload,
)
from exo_graphql.operations import Operation as OperationValue
from exo_graphql.operations import (
    OperationError as OperationErrorValue,
)
from exo_graphql.schema.arguments import ModelName, NodeNames, OperationId
from exo_graphql.schema.context import Info
from exo_graphql.schema.enums import described
from exo_graphql.schema.fields import field
from exo_graphql.schema.node import Node
from exo_graphql.schema.operation import Operation
from exo_graphql.schema.operation_error import OperationError
from exo_graphql.schema.task import Task

argument = strawberry.argument

described(
    ShardingPreference,
    "How a model is to be divided.",
    AUTO="TENSOR where the model supports it and it can be placed so, else PIPELINE.",
    PIPELINE="Each node holds some of the layers. exo makes CFG, two pipelines side by side, of some image models.",
    TENSOR="Each node holds a slice of every layer. Needs two nodes or more.",
)
described(
    InstanceTypePreference,
    "Which engine is to join the runners.",
    AUTO="What exo says fits.",
    MLX_RING="Over sockets.",
    MLX_JACCL="Over RDMA (Thunderbolt). Needs two nodes or more.",
)

MinNodes = Annotated[int | None, argument(description="The least number of nodes to spread over, from 1.")]
Shards = Annotated[ShardingPreference | None, argument(description="How to divide the model; met, or refused.")]
Engine = Annotated[
    InstanceTypePreference | None, argument(description="Which engine is to join the runners; met, or refused.")
]
Drain = Annotated[
    int | None,
    argument(description="Seconds to wait, at most, for running inference tasks before unloading; 0 does not wait."),
]
Timeout = Annotated[
    int | None, argument(description="Seconds after which the operation fails, and is undone. Without it: no limit.")
]
Key = Annotated[
    str | None,
    argument(
        description="Any text of your own. The same key with the same arguments gives the same operation for 24 hours, "
        "so a wish may safely be sent again."
    ),
]

Attempts = Annotated[
    int | None,
    argument(
        description="Failed attempts of exo's to start a model after which the operation turns back. Without it: 2 "
        "once something has been unloaded, since no model may be serving, else exo's own five."
    ),
]

Additional = Annotated[bool | None, argument(description="Place another copy, though the model has a sound instance.")]

# What an argument is where a caller writes null, as where it is left out.
_MIN_NODES = 1
_SHARDING = ShardingPreference.AUTO
_INSTANCE_TYPE = InstanceTypePreference.AUTO
_DRAIN_SECONDS = 30

Result = OperationValue | OperationErrorValue


def _operation(root: Parent[Result]) -> OperationValue | None:
    return root if isinstance(root, OperationValue) else None


def _error(root: Parent[Result]) -> OperationErrorValue | None:
    return root if isinstance(root, OperationErrorValue) else None


@strawberry.type(description="Exactly one of operation and error is non-null.")
class LoadModelPayload:
    """`Operation | OperationError`."""

    operation: Operation | None = field(resolver=_operation, description="The operation; null if it was refused.")
    error: OperationError | None = field(resolver=_error, description="Why it was refused; null if it was not.")


@strawberry.type(description="Exactly one of operation and error is non-null.")
class UnloadModelPayload(LoadModelPayload):
    """`Operation | OperationError`."""


@strawberry.type(description="Exactly one of operation and error is non-null.")
class SwapModelsPayload(LoadModelPayload):
    """`Operation | OperationError`."""


@strawberry.type(description="Exactly one of operation and error is non-null.")
class CancelOperationPayload(LoadModelPayload):
    """`Operation | OperationError`."""


@strawberry.type(description="Exactly one of operation and error is non-null.")
class ResumeOperationPayload(LoadModelPayload):
    """`Operation | OperationError`."""


def _node(root: Parent[NodeDownload], info: Info) -> state.Node | None:
    snapshot = info.context.latest
    return None if snapshot is None else snapshot.state.nodes.get(root.node_id)


@strawberry.type(description="What one node was asked.")
class NodeDownloadResult:
    """`operations.NodeDownload`."""

    node: Node | None = field(resolver=_node, description="The node; null if it has left since.")
    accepted: bool = field(description="Whether it was asked. Whether it does it is seen in its downloads.")
    error: str | None = field(description="Why it was not asked, else null.")


def _problem(root: Parent[DownloadsResult]) -> OperationErrorValue | None:
    return root.error


@strawberry.type(description="What each node was asked, or why none was.")
class DownloadPayload:
    """`operations.DownloadsResult`."""

    results: list[NodeDownloadResult] = field(description="One for each node; empty with an error.")
    error: OperationError | None = field(resolver=_problem, description="Why no node was asked, else null.")


TaskResult = state.Task | OperationErrorValue


def _task(root: Parent[TaskResult]) -> state.Task | None:
    return root if isinstance(root, state.Task) else None


def _task_error(root: Parent[TaskResult]) -> OperationErrorValue | None:
    return root if isinstance(root, OperationErrorValue) else None


@strawberry.type(description="Exactly one of task and error is non-null.")
class CancelTaskPayload:
    """`Task | OperationError`."""

    task: Task | None = field(resolver=_task, description="The task whose cancelling was asked for; null if refused.")
    error: OperationError | None = field(resolver=_task_error, description="Why it was refused; null if it was not.")


async def _load_model(
    info: Info,
    model: ModelName,
    min_nodes: MinNodes = _MIN_NODES,
    sharding: Shards = _SHARDING,
    instance_type: Engine = _INSTANCE_TYPE,
    nodes: NodeNames = None,
    additional: Additional = False,  # noqa: FBT002  # a GraphQL argument, always named
    timeout_seconds: Timeout = None,
    idempotency_key: Key = None,
    attempts: Attempts = None,
) -> Result:
    return await info.context.operations.load(
        model,
        min_nodes=_MIN_NODES if min_nodes is None else min_nodes,
        sharding=sharding or _SHARDING,
        instance_type=instance_type or _INSTANCE_TYPE,
        nodes=nodes,
        additional=bool(additional),
        timeout_seconds=timeout_seconds,
        attempts=attempts,
        idempotency_key=idempotency_key,
    )


async def _unload_model(
    info: Info,
    model: ModelName,
    instance: Annotated[
        strawberry.ID | None, argument(description="This instance alone; without it, all of the model's.")
    ] = None,
    drain_seconds: Drain = _DRAIN_SECONDS,
    idempotency_key: Key = None,
) -> Result:
    return await info.context.operations.unload(
        model,
        instance=instance,
        drain_seconds=_DRAIN_SECONDS if drain_seconds is None else drain_seconds,
        idempotency_key=idempotency_key,
    )


async def _swap_models(
    info: Info,
    unload: Annotated[list[str], argument(description="Models to unload; a single name is a list of one.")],
    load: Annotated[list[str], argument(description="Models to load; a single name is a list of one.")],
    min_nodes: MinNodes = _MIN_NODES,
    sharding: Shards = _SHARDING,
    instance_type: Engine = _INSTANCE_TYPE,
    nodes: NodeNames = None,
    drain_seconds: Drain = _DRAIN_SECONDS,
    timeout_seconds: Timeout = None,
    idempotency_key: Key = None,
    attempts: Attempts = None,
) -> Result:
    return await info.context.operations.swap(
        unload,
        load,
        min_nodes=_MIN_NODES if min_nodes is None else min_nodes,
        sharding=sharding or _SHARDING,
        instance_type=instance_type or _INSTANCE_TYPE,
        nodes=nodes,
        drain_seconds=_DRAIN_SECONDS if drain_seconds is None else drain_seconds,
        timeout_seconds=timeout_seconds,
        attempts=attempts,
        idempotency_key=idempotency_key,
    )


async def _start_download(info: Info, model: ModelName, nodes: NodeNames = None) -> DownloadsResult:
    return await info.context.operations.start_download(model, nodes)


async def _cancel_download(info: Info, model: ModelName, nodes: NodeNames = None) -> DownloadsResult:
    return await info.context.operations.cancel_download(model, nodes)


async def _delete_download(info: Info, model: ModelName, nodes: NodeNames = None) -> DownloadsResult:
    return await info.context.operations.delete_download(model, nodes)


async def _cancel_task(
    info: Info,
    id: Annotated[strawberry.ID, argument(description="The task's id.")],  # noqa: A002
) -> TaskResult:
    return await info.context.operations.cancel_task(id)


async def _cancel_operation(
    info: Info,
    id: OperationId,  # noqa: A002
) -> Result:
    return await info.context.operations.cancel(id)


async def _resume_operation(
    info: Info,
    id: OperationId,  # noqa: A002
) -> Result:
    return await info.context.operations.resume(id)


@strawberry.type(
    description="Wishes. A wish states an end and is answered at once with an operation to follow, or with why it is "
    "refused; a refusal is data, not a top-level error. No wish leaves the cluster without the models it had, unless "
    "that was the wish."
)
class Mutation:
    """The root of all wishes."""

    load_model: LoadModelPayload = field(
        resolver=_load_model,
        description="Load a model. If it has a sound instance, the operation follows that one and places nothing, "
        "unless `additional` asks for another copy. The same load asked for again while it is under way gives the same "
        "operation.",
    )
    unload_model: UnloadModelPayload = field(
        resolver=_unload_model,
        description="Unload a model: all its instances, or the one named. It succeeds once they are gone and their "
        "memory is free again.",
    )
    swap_models: SwapModelsPayload = field(
        resolver=_swap_models,
        description="Unload some models and load others. What is to be loaded is known to fit, and its weights are "
        "there, before anything is unloaded; if a later step fails, what was unloaded is restored. What fits side by "
        "side is loaded first. What is already so counts as done.",
    )
    start_download: DownloadPayload = field(
        resolver=_start_download, description="Fetch a model's weights on these nodes; without `nodes` on all."
    )
    cancel_download: DownloadPayload = field(
        resolver=_cancel_download,
        description="Stop fetching a model's weights on these nodes; without `nodes` wherever it is under way. What "
        "has arrived stays.",
    )
    delete_download: DownloadPayload = field(
        resolver=_delete_download,
        description="Delete a model's weights on these nodes; without `nodes` wherever they are. An instance that runs "
        "on them goes on running.",
    )
    cancel_task: CancelTaskPayload = field(resolver=_cancel_task, description="Cancel an inference under way.")
    cancel_operation: CancelOperationPayload = field(
        resolver=_cancel_operation,
        description="Stop an active operation, and undo what it did. A PARKED one is discarded: nothing is undone.",
    )
    resume_operation: ResumeOperationPayload = field(
        resolver=_resume_operation,
        description="Let a PARKED operation go on, on the cluster that is here now. One that is under way goes on "
        "anyway.",
    )
