"""The type `Task`."""

from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.cluster.readiness import one_line
from exo_graphql.schema.context import Info
from exo_graphql.schema.fields import field

if TYPE_CHECKING:
    from exo_graphql.schema.instance import Instance
    from exo_graphql.schema.model import Model


def _active(root: Parent[state.Task], info: Info) -> bool:
    return info.context.snapshot.is_active(root)


def _instance(root: Parent[state.Task], info: Info) -> state.Instance | None:
    return info.context.snapshot.state.instances.get(root.instance_id or "")


def _model(root: Parent[state.Task], info: Info) -> state.ModelCard | None:
    snapshot = info.context.snapshot
    instance = snapshot.state.instances.get(root.instance_id or "")
    return None if instance is None else snapshot.models[instance.model_id]


def _error(root: Parent[state.Task]) -> str | None:
    return None if root.error_message is None else one_line(root.error_message)


@strawberry.type(
    description="A piece of work of an instance. Prompts and images are never shown. Lists leave out those that have "
    "ended, those of instances that are gone, and what exo never completes (DOWNLOAD_MODEL, SHUTDOWN, what a failed "
    "attempt left behind), unless they are asked for by status or kind."
)
class Task:
    """`cluster.state.Task`, with its neighbours."""

    id: strawberry.ID = field(description="exo's task id.")
    kind: state.TaskKind = field(description="What it does.")
    status: state.TaskStatus = field(description="Where it stands, as exo says.")
    active: bool = field(
        resolver=_active,
        description="True for a pending or running inference task of an instance that exists. "
        "Cluster.activeTaskCount counts these.",
    )
    model: Annotated["Model", strawberry.lazy("exo_graphql.schema.model")] | None = field(
        resolver=_model, description="The model of its instance."
    )
    instance: Annotated["Instance", strawberry.lazy("exo_graphql.schema.instance")] | None = field(
        resolver=_instance, description="The instance that does it."
    )
    command_id: str | None = field(description="The command that asked for it; null for exo's own work.")
    error_type: str | None = field(description="exo's class of error, else null.")
    error_message: str | None = field(resolver=_error, description="What went wrong, in one line, else null.")
