"""The type `Mutation`."""

from typing import Annotated

import strawberry

from exo_graphql.operations import DownloadsResult, Operation, OperationError
from exo_graphql.schema.arguments import (
    DRAIN_SECONDS,
    INSTANCE_TYPE,
    MIN_NODES,
    SHARDING,
    Additional,
    Attempts,
    Drain,
    Engine,
    Key,
    MinNodes,
    ModelName,
    NodeNames,
    OnlyInstance,
    OperationId,
    Shards,
    Timeout,
)
from exo_graphql.schema.context import Info
from exo_graphql.schema.deployment_mutation import (
    ApplyDeploymentPayload,
    DeleteDeploymentPayload,
    PauseDeploymentPayload,
    ResumeDeploymentPayload,
    apply_deployment,
    delete_deployment,
    pause_deployment,
    resume_deployment,
)
from exo_graphql.schema.event import AcknowledgePayload, acknowledge
from exo_graphql.schema.fields import field
from exo_graphql.schema.filters import model_named
from exo_graphql.schema.hub import AddModelPayload, RemoveModelPayload, add_model, remove_model
from exo_graphql.schema.payloads import (
    ApplyPlanPayload,
    CancelOperationPayload,
    CancelTaskPayload,
    DownloadPayload,
    DownloadResult,
    LoadModelPayload,
    OperationResult,
    ResumeOperationPayload,
    SwapModelsPayload,
    TaskResult,
    UnloadModelPayload,
)
from exo_graphql.schema.webhook import TestWebhooksPayload, send_test_messages

argument = strawberry.argument


async def _load_model(
    info: Info,
    model: ModelName,
    min_nodes: MinNodes = MIN_NODES,
    sharding: Shards = SHARDING,
    instance_type: Engine = INSTANCE_TYPE,
    nodes: NodeNames = None,
    additional: Additional = False,  # noqa: FBT002  # a GraphQL argument, always named
    timeout_seconds: Timeout = None,
    idempotency_key: Key = None,
    attempts: Attempts = None,
) -> OperationResult:
    answer = await info.context.operations.load(
        model,
        min_nodes=MIN_NODES if min_nodes is None else min_nodes,
        sharding=sharding or SHARDING,
        instance_type=instance_type or INSTANCE_TYPE,
        nodes=nodes,
        additional=bool(additional),
        timeout_seconds=timeout_seconds,
        attempts=attempts,
        idempotency_key=idempotency_key,
        by=info.context.by,
    )
    return OperationResult(answer)


async def _unload_model(
    info: Info,
    model: ModelName,
    instance: OnlyInstance = None,
    drain_seconds: Drain = DRAIN_SECONDS,
    idempotency_key: Key = None,
) -> OperationResult:
    answer = await info.context.operations.unload(
        model,
        instance=instance,
        drain_seconds=DRAIN_SECONDS if drain_seconds is None else drain_seconds,
        idempotency_key=idempotency_key,
        by=info.context.by,
    )
    return await _pausing(info, answer)


async def _swap_models(
    info: Info,
    unload: Annotated[list[str], argument(description="Models to unload. A single name is a list of one.")],
    load: Annotated[list[str], argument(description="Models to load. A single name is a list of one.")],
    min_nodes: MinNodes = MIN_NODES,
    sharding: Shards = SHARDING,
    instance_type: Engine = INSTANCE_TYPE,
    nodes: NodeNames = None,
    drain_seconds: Drain = DRAIN_SECONDS,
    timeout_seconds: Timeout = None,
    idempotency_key: Key = None,
    attempts: Attempts = None,
) -> OperationResult:
    answer = await info.context.operations.swap(
        unload,
        load,
        min_nodes=MIN_NODES if min_nodes is None else min_nodes,
        sharding=sharding or SHARDING,
        instance_type=instance_type or INSTANCE_TYPE,
        nodes=nodes,
        drain_seconds=DRAIN_SECONDS if drain_seconds is None else drain_seconds,
        timeout_seconds=timeout_seconds,
        attempts=attempts,
        idempotency_key=idempotency_key,
        by=info.context.by,
    )
    return await _pausing(info, answer)


async def _apply_plan(
    info: Info,
    hash: Annotated[str, argument(description="The hash of a plan, as `plan` returned it.")],  # noqa: A002
    idempotency_key: Annotated[
        str | None,
        argument(description="As of loadModel. Without it, the same hash returns the same operation for 24 hours."),
    ] = None,
) -> OperationResult:
    applied = await info.context.deployments.apply_plan(hash, info.context.by)
    if applied is not None:
        return OperationResult(applied.error, deployment=applied.assessment)
    return await _pausing(info, await info.context.operations.apply(hash, idempotency_key, info.context.by))


async def _pausing(info: Info, answer: Operation | OperationError) -> OperationResult:
    return OperationResult(answer, await info.context.deployments.pauses.touched(answer, info.context.by))


async def _start_download(info: Info, model: ModelName, nodes: NodeNames = None) -> DownloadResult:
    return DownloadResult(await info.context.operations.start_download(model, nodes))


async def _cancel_download(info: Info, model: ModelName, nodes: NodeNames = None) -> DownloadResult:
    result = await info.context.operations.cancel_download(model, nodes)
    return await _pausing_fetch(info, model, result, "A person cancelled the download of its weights.")


async def _delete_download(info: Info, model: ModelName, nodes: NodeNames = None) -> DownloadResult:
    result = await info.context.operations.delete_download(model, nodes)
    return await _pausing_fetch(info, model, result, "A person deleted its weights.")


async def _pausing_fetch(info: Info, model: str, result: DownloadsResult, because: str) -> DownloadResult:
    if not any(each.accepted for each in result.results):
        return DownloadResult(result)
    model_id = model_named(info.context.snapshot, model).id
    return DownloadResult(result, await info.context.deployments.pauses.model(model_id, because, info.context.by))


async def _cancel_task(
    info: Info,
    id: Annotated[strawberry.ID, argument(description="The task's id.")],  # noqa: A002
) -> TaskResult:
    return await info.context.operations.cancel_task(id)


async def _cancel_operation(
    info: Info,
    id: OperationId,  # noqa: A002
) -> OperationResult:
    answer = await info.context.operations.cancel(id, info.context.by)
    if isinstance(answer, Operation) and answer.deployment is None:
        return OperationResult(answer)
    return await _pausing(info, answer)


async def _resume_operation(
    info: Info,
    id: OperationId,  # noqa: A002
) -> OperationResult:
    return OperationResult(await info.context.operations.resume(id))


@strawberry.type(
    description="Changes to the cluster. A mutation states the desired result and answers immediately: with an "
    "operation to follow, or with the reason why the request is rejected, which is data and not a "
    "top-level error. No mutation leaves the cluster without the models it had, unless that was "
    "requested."
)
class Mutation:
    """The root of all changes to the cluster."""

    load_model: LoadModelPayload = field(
        resolver=_load_model,
        description="Load a model. If it has a healthy instance, the operation follows that one and places nothing, "
        "unless `additional` is true. Requesting the same load again while it is under way returns the same operation.",
    )
    unload_model: UnloadModelPayload = field(
        resolver=_unload_model,
        description="Unload a model: all its instances, or only `instance`. It succeeds once they are gone and their "
        "memory is free again.",
    )
    swap_models: SwapModelsPayload = field(
        resolver=_swap_models,
        description="Unload some models and load others. Before anything is unloaded, the new models are known to fit "
        "and their weights are on the nodes; if a later step fails, what was unloaded is restored. Models "
        "that fit side by side are loaded first. What is already loaded or unloaded counts as done.",
    )
    apply_plan: ApplyPlanPayload = field(
        resolver=_apply_plan,
        description="Do exactly what a plan says, of an operation or a deployment. If the cluster has "
        "changed so that other models or nodes, or another order, would result, nothing is done, and the error "
        "PlanOutdated holds the plan as it would be now. Figures may differ.",
    )
    add_model: AddModelPayload = field(
        resolver=add_model,
        description="Add a model of the hub to the catalogue, as a custom model. Nothing is downloaded. It is there "
        "when this is answered; one that is there already is left as it is.",
    )
    remove_model: RemoveModelPayload = field(
        resolver=remove_model,
        description="Remove a custom model from the catalogue. It is gone when this is answered. Its weights stay: see "
        "`deleteDownload`.",
    )
    start_download: DownloadPayload = field(
        resolver=_start_download, description="Download a model's weights to these nodes; without `nodes` to all."
    )
    cancel_download: DownloadPayload = field(
        resolver=_cancel_download,
        description="Stop downloading a model's weights to these nodes; without `nodes` to all that are downloading "
        "them. What has been downloaded is kept.",
    )
    delete_download: DownloadPayload = field(
        resolver=_delete_download,
        description="Delete a model's weights on these nodes; without `nodes` on all that hold them. A running "
        "instance keeps running.",
    )
    cancel_task: CancelTaskPayload = field(resolver=_cancel_task, description="Cancel an inference task under way.")
    cancel_operation: CancelOperationPayload = field(
        resolver=_cancel_operation,
        description="Stop an active operation and undo what it did. A PARKED operation is discarded: nothing is "
        "undone.",
    )
    resume_operation: ResumeOperationPayload = field(
        resolver=_resume_operation,
        description="Resume a PARKED operation on the current cluster. It does not affect an operation that is under "
        "way.",
    )
    apply_deployment: ApplyDeploymentPayload = field(
        resolver=apply_deployment,
        description="Declare a deployment, or change the one of this name: a model that is kept loaded, on a schedule "
        "if it has one. Instances that are loaded already are adopted. A deployment that does not fit waits until it "
        "does. The same request again changes nothing, except that it ends a pause.",
    )
    delete_deployment: DeleteDeploymentPayload = field(
        resolver=delete_deployment,
        description="Delete a deployment and unload the instances that it placed or adopted; with `unload: false` they "
        "stay loaded.",
    )
    pause_deployment: PauseDeploymentPayload = field(
        resolver=pause_deployment,
        description="Pause a deployment: nothing is loaded, unloaded or downloaded for it.",
    )
    resume_deployment: ResumeDeploymentPayload = field(
        resolver=resume_deployment,
        description="End the pause of a deployment, load one that is IDLE again, or try one that is RETRYING at once.",
    )
    acknowledge: AcknowledgePayload = field(
        resolver=acknowledge,
        description="Mark an event as seen. A lost model that is acknowledged no longer makes the cluster unhealthy.",
    )
    test_webhooks: TestWebhooksPayload = field(
        resolver=send_test_messages,
        description="Send a test message to the webhooks, once, and wait for their answers, 15 s at most.",
    )
