"""The type `Deployment`: what should be loaded, how and when, and whether it is."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.deployment import DeploymentState, ManagedBy
from exo_graphql.operations import InstanceTypePreference, ShardingPreference
from exo_graphql.operations import Operation as OperationValue
from exo_graphql.schema.context import Info
from exo_graphql.schema.enums import described
from exo_graphql.schema.fields import field
from exo_graphql.schema.instance import Instance
from exo_graphql.schema.model import Model
from exo_graphql.schema.operation import Operation
from exo_graphql.schema.window import Window

described(
    DeploymentState,
    "State of a deployment. The first that applies: PAUSED, PROGRESSING, IDLE or OFF, READY, and then the reason why "
    "it is not ready.",
    READY="Every replica is ready.",
    PROGRESSING="An operation for it is under way (see `operation`), or its weights are being downloaded.",
    RETRYING="The last attempt failed; the next one is made at `retryAt`.",
    UNSATISFIABLE="It does not fit, or names nodes that are not in the cluster. `reason` says what is needed, what is "
    "free, and what uses the memory. It reserves nothing, and is loaded once it has fitted for ten seconds.",
    PAUSED="Nothing is loaded, unloaded or downloaded for it; see `pausedBecause`.",
    IDLE="Unloaded because it was not used for idleUnloadSeconds. It is loaded again at its next opening, by a resume, "
    "an apply, or any load of its model. It does not make the cluster unhealthy.",
    OFF="No window is open. If the deployment that takes its place is not loaded yet, it still serves until then.",
    WAITING="For a newer state of exo, for the membership to settle, for what exo is doing already, or for another "
    "deployment that comes first.",
)
described(ManagedBy, "Who declares a deployment.", API="applyDeployment.", FILE="A file that the server reads.")


def _name(root: Parent[Assessment]) -> str:
    return root.deployment.name


def _of_spec(attribute: str) -> Callable[[Assessment], Any]:
    def resolve(root: Parent[Assessment]) -> Any:
        return getattr(root.deployment.spec, attribute)

    return resolve


def _stored(attribute: str) -> Callable[[Assessment], Any]:
    def resolve(root: Parent[Assessment]) -> Any:
        return getattr(root.deployment, attribute)

    return resolve


def _scheduled(attribute: str) -> Callable[[Assessment], Any]:
    def resolve(root: Parent[Assessment]) -> Any:
        return getattr(root.timetable, attribute)

    return resolve


def _model(root: Parent[Assessment], info: Info) -> state.ModelCard:
    model_id = root.deployment.spec.model_id
    return info.context.models((model_id,))[0]


def _instances(root: Parent[Assessment], info: Info) -> tuple[state.Instance, ...]:
    listed = info.context.latest.state.instances if info.context.latest is not None else {}
    return tuple(listed[id_] for id_ in root.instance_ids if id_ in listed)


def _own_instances(root: Parent[Assessment], info: Info) -> tuple[state.Instance, ...]:
    listed = info.context.latest.state.instances if info.context.latest is not None else {}
    models = {each.deployment.spec.model_id for each in info.context.deployments.all()}
    mine = root.deployment.spec.model_id
    # One of a model that it had before belongs to the deployment that has this model now.
    own = (listed[id_] for id_ in root.deployment.owned if id_ in listed)
    return tuple(each for each in own if each.model_id == mine or each.model_id not in models)


def _operation(root: Parent[Assessment], info: Info) -> OperationValue | None:
    return None if root.operation_id is None else info.context.find_operation(root.operation_id)


def _paused_until(root: Parent[Assessment]) -> datetime | None:
    paused = root.state is DeploymentState.PAUSED and root.deployment.pause is not None
    return root.deployment.pause.until if paused and root.deployment.pause is not None else None


def _paused_because(root: Parent[Assessment]) -> str | None:
    paused = root.state is DeploymentState.PAUSED and root.deployment.pause is not None
    return root.deployment.pause.because if paused and root.deployment.pause is not None else None


def _changed_at(root: Parent[Assessment], info: Info) -> datetime | None:
    return info.context.deployments.changed_at(root.deployment.name)


@strawberry.type(description="Why an attempt failed.")
class DeploymentFailure:
    """`deployments.deployment.AttemptFailure`."""

    at: datetime = field(description="When it failed (UTC).")
    message: str = field(description="What went wrong, as a sentence.")


@strawberry.type(
    description="Declares what should be loaded, how, and when. The server continuously compares it with the cluster "
    "and corrects differences by operations, one at a time; after a loss it loads the model again."
)
class Deployment:
    """`deployments.assess.Assessment`."""

    name: str = field(resolver=_name, description="Its name, as given to applyDeployment.")
    model: Model = field(resolver=_model, description="The model that it keeps loaded.")
    model_id: str = field(resolver=_of_spec("model_id"), description="The model's full id.")
    replicas: int = field(resolver=_of_spec("replicas"), description="Number of copies, each on nodes of its own.")
    min_nodes: int = field(
        resolver=_of_spec("min_nodes"), description="Minimum number of nodes that a copy spreads over."
    )
    sharding: ShardingPreference = field(resolver=_of_spec("sharding"), description="How to divide the model.")
    instance_type: InstanceTypePreference = field(
        resolver=_of_spec("instance_type"), description="How the runners are to communicate."
    )
    nodes: list[str] | None = field(
        resolver=_of_spec("nodes"),
        description="Exactly these nodes, by friendly name (ids change when exo is started again); null: any.",
    )
    priority: int = field(
        resolver=_of_spec("priority"),
        description="A higher priority may displace a lower one. Among equals, what is loaded stays.",
    )
    schedule: list[Window] = field(
        resolver=_of_spec("schedule"), description="When it is wanted: while one of these is open; empty: always."
    )
    idle_unload_seconds: int | None = field(
        resolver=_of_spec("idle_unload_seconds"),
        description="It is unloaded after this many seconds without an inference; null: never. Requests that are "
        "shorter than the interval between two reads of the state (about a second) can be missed.",
    )
    drain_seconds: int = field(
        resolver=_of_spec("drain_seconds"),
        description="Maximum seconds to wait for running requests before it is unloaded.",
    )
    managed_by: ManagedBy = field(resolver=_stored("managed_by"), description="Who declares it.")
    generation: int = field(resolver=_stored("generation"), description="Number of the current declaration, from 1.")
    observed_generation: int = field(
        resolver=_stored("generation"), description="The generation that state and reason refer to."
    )
    wanted: bool = field(description="Whether it should be loaded now.")
    state: DeploymentState = field(description="Its state.")
    reason: str = field(description="Why it is in this state, in one or more sentences.")
    ready: bool = field(description="Whether every replica is ready.")
    ready_replicas: int = field(description="Number of copies that are ready.")
    instances: list[Instance] = field(
        resolver=_instances, description="Its copies that exo lists, and its instances that are to be unloaded."
    )
    own_instances: list[Instance] = field(
        resolver=_own_instances,
        description="Those that it placed or adopted and that exo lists: deleting it unloads exactly these.",
    )
    operation: Operation | None = field(
        resolver=_operation, description="The operation that is under way for it; null if there is none."
    )
    last_failure: DeploymentFailure | None = field(
        resolver=_stored("last_failure"),
        description="Why the last failed attempt failed; null when a load has succeeded since.",
    )
    attempts: int = field(
        resolver=_stored("attempts"),
        description="Loads started since it was last READY for ten minutes, or was last changed; the further copies of "
        "several replicas do not count.",
    )
    retry_at: datetime | None = field(description="When the next attempt is made (UTC); null unless it is RETRYING.")
    paused_until: datetime | None = field(
        resolver=_paused_until, description="Until when it is PAUSED (UTC); null: until it is resumed, or not paused."
    )
    paused_because: str | None = field(resolver=_paused_because, description="Why it is PAUSED; null while it is not.")
    open_until: datetime | None = field(
        resolver=_scheduled("open_until"),
        description="When the current opening ends (UTC); null while no window is open, or if no end is known.",
    )
    next_opening: datetime | None = field(
        resolver=_scheduled("next_opening"),
        description="When it opens next (UTC), after the current opening; null if no opening is known.",
    )
    changed_at: datetime | None = field(
        resolver=_changed_at, description="When its state last changed (UTC), also before a restart of this server."
    )
