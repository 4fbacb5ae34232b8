"""The type `Task`."""

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.cluster.error_text import one_line
from exo_graphql.schema.context import Info
from exo_graphql.schema.fields import field
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
    description="A unit of work of an instance. Prompts and images are never exposed. Unless `status` or "
    "`kind` is given, lists leave out ended tasks, tasks of removed instances, and tasks that exo "
    "never marks complete (DOWNLOAD_MODEL, SHUTDOWN and leftovers of failed attempts)."
)
class Task:
    """`cluster.state.Task`, with its neighbours."""

    id: strawberry.ID = field(description="exo's task id.")
    kind: state.TaskKind = field(description="What the task does.")
    status: state.TaskStatus = field(description="Status of the task, as exo reports it.")
    active: bool = field(
        resolver=_active,
        description="True for a pending or running inference task of an existing instance. "
        "Cluster.activeTaskCount counts these.",
    )
    model: Model | None = field(resolver=_model, description="The model of its instance; null if the instance is gone.")
    instance: Instance | None = field(
        resolver=_instance, description="The instance that runs it; null if the instance is gone."
    )
    command_id: str | None = field(description="Id of the exo command that created it; null for exo's own tasks.")
    error_type: str | None = field(description="exo's error class; null without an error.")
    error_message: str | None = field(
        resolver=_error, description="What went wrong, on one line; null without an error."
    )
