"""The mutations that declare deployments, and their payloads."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import strawberry
from strawberry import Parent

from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.differences import Difference
from exo_graphql.deployments.service import Applied
from exo_graphql.deployments.validation import MIN_IDLE_SECONDS, Declaration
from exo_graphql.operations import InstanceTypePreference, Proposal, ShardingPreference
from exo_graphql.operations import OperationError as OperationErrorValue
from exo_graphql.schema.arguments import ModelName, NodeNames
from exo_graphql.schema.context import Info
from exo_graphql.schema.deployment import Deployment
from exo_graphql.schema.deployment_error import DeploymentNotFound as DeploymentNotFound
from exo_graphql.schema.fields import field
from exo_graphql.schema.operation_error import OperationError
from exo_graphql.schema.plan import Plan
from exo_graphql.schema.window import WindowInput

argument = strawberry.argument

DeploymentName = Annotated[strawberry.ID, argument(description="The deployment's name.")]
Result = Assessment | OperationErrorValue


def _applied(root: Parent[Applied]) -> Assessment | None:
    return root.assessment


def _plan(root: Parent[Applied]) -> Proposal | None:
    return root.proposal


def _changes(root: Parent[Applied]) -> tuple[Difference, ...]:
    return root.differences


def _scheduled(attribute: str) -> Callable[[Applied], datetime | None]:
    def resolve(root: Parent[Applied]) -> datetime | None:
        return None if root.timetable is None else getattr(root.timetable, attribute)

    return resolve


@strawberry.type(description="An argument of `applyDeployment` that differs from what was declared before.")
class DeploymentChange:
    """`deployments.differences.Difference`."""

    argument: str = field(description="The argument's name, such as priority.")
    before: str | None = field(description="Its value before, as JSON; null for a deployment that is new.")
    after: str = field(description="Its value from now on, as JSON: a model by its full id, nodes by their names.")


@strawberry.type(description="With `dryRun` the plan alone; else the deployment with its plan; or an error alone.")
class ApplyDeploymentPayload:
    """`deployments.service.Applied`."""

    deployment: Deployment | None = field(
        resolver=_applied, description="The deployment as it is now; null for a dry run, and with an error."
    )
    plan: Plan | None = field(resolver=_plan, description="What it will do, or would do; null with an error.")
    changes: list[DeploymentChange] = field(
        resolver=_changes,
        description="The arguments that change, or with `dryRun` would change; empty if none. For a new deployment: "
        "its model, and the arguments that are not their defaults.",
    )
    open_until: datetime | None = field(
        resolver=_scheduled("open_until"),
        description="When the current opening will end (UTC); null while no window is open, or if no end is known.",
    )
    next_opening: datetime | None = field(
        resolver=_scheduled("next_opening"),
        description="When it will open next (UTC), after the current opening; null if no opening is known.",
    )
    error: OperationError | None = field(description="Why it was not accepted; null if it was.")


def _deployment(root: Parent[Result]) -> Assessment | None:
    return root if isinstance(root, Assessment) else None


def _error(root: Parent[Result]) -> OperationErrorValue | None:
    return root if isinstance(root, OperationErrorValue) else None


@strawberry.type(description="Exactly one of deployment and error is non-null.")
class DeleteDeploymentPayload:
    """`Assessment | OperationError`."""

    deployment: Deployment | None = field(resolver=_deployment, description="The deployment; null with an error.")
    error: OperationError | None = field(resolver=_error, description="Why it was rejected; null if it was not.")


@strawberry.type(description="Exactly one of deployment and error is non-null.")
class PauseDeploymentPayload(DeleteDeploymentPayload):
    """`Assessment | OperationError`."""


@strawberry.type(description="Exactly one of deployment and error is non-null.")
class ResumeDeploymentPayload(DeleteDeploymentPayload):
    """`Assessment | OperationError`."""


async def apply_deployment(
    info: Info,
    name: Annotated[
        strawberry.ID, argument(description="A name of your choice: letters, digits, hyphens, dots and underscores.")
    ],
    model: ModelName,
    replicas: Annotated[int | None, argument(description="Number of copies, each on nodes of its own.")] = 1,
    min_nodes: Annotated[int | None, argument(description="Minimum number of nodes to spread over, from 1.")] = 1,
    sharding: Annotated[ShardingPreference | None, argument(description="How to divide the model.")] = (
        ShardingPreference.AUTO
    ),
    instance_type: Annotated[
        InstanceTypePreference | None, argument(description="How the runners are to communicate.")
    ] = InstanceTypePreference.AUTO,
    nodes: NodeNames = None,
    priority: Annotated[
        int | None,
        argument(description="A higher priority may displace a lower one. Among equals, what is loaded stays."),
    ] = 0,
    schedule: Annotated[
        list[WindowInput] | None, argument(description="When it is wanted: while a window is open; empty: always.")
    ] = (),  # type: ignore[assignment]  # a list for GraphQL, which prints it as []
    idle_unload_seconds: Annotated[
        int | None,
        argument(
            description=f"Unload it after this many seconds without an inference, {MIN_IDLE_SECONDS} or more. Requests "
            "shorter than about a second can be missed."
        ),
    ] = None,
    drain_seconds: Annotated[
        int | None, argument(description="Maximum seconds to wait for running requests before it is unloaded.")
    ] = 30,
    dry_run: Annotated[bool | None, argument(description="Only report what it would do.")] = False,  # noqa: FBT002
    if_generation: Annotated[
        int | None, argument(description="Only if the deployment is of this generation; 0: only if there is none.")
    ] = None,
) -> Applied:
    """Declares a deployment. A null argument has its default."""
    declared = Declaration(
        name=name,
        model=model,
        replicas=1 if replicas is None else replicas,
        min_nodes=1 if min_nodes is None else min_nodes,
        sharding=sharding or ShardingPreference.AUTO,
        instance_type=instance_type or InstanceTypePreference.AUTO,
        nodes=nodes,
        priority=priority or 0,
        schedule=[window.value() for window in schedule or ()],
        idle_unload_seconds=idle_unload_seconds,
        drain_seconds=30 if drain_seconds is None else drain_seconds,
    )
    return await info.context.deployments.apply(
        declared, dry_run=bool(dry_run), if_generation=if_generation, by=info.context.by
    )


async def delete_deployment(
    info: Info,
    name: DeploymentName,
    unload: Annotated[bool | None, argument(description="Also unload what it placed or adopted.")] = True,  # noqa: FBT002
) -> Result:
    """Deletes one."""
    return await info.context.deployments.delete(name, unload=unload is not False, by=info.context.by)


async def pause_deployment(
    info: Info,
    name: DeploymentName,
    until: Annotated[datetime | None, argument(description="When the pause ends by itself. Default: never.")] = None,
) -> Result:
    """Pauses one."""
    aware = until if until is None or until.tzinfo is not None else until.replace(tzinfo=UTC)
    return await info.context.deployments.pause(name, aware, info.context.by)


async def resume_deployment(info: Info, name: DeploymentName) -> Result:
    """Ends a pause."""
    return await info.context.deployments.resume(name, info.context.by)
