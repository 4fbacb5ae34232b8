"""`nodes`, `downloads` and `tasks`: the parts of the cluster, their downloads and their work."""

from enum import StrEnum
from typing import Annotated

import typer

from exo_graphql.cli import completion, views
from exo_graphql.cli.group import Listing, ListingOrShow
from exo_graphql.cli.help import Typer
from exo_graphql.cli.model_commands import Name, Nodes, node_answers
from exo_graphql.cli.session import session_of

nodes = Typer(cls=ListingOrShow, subcommand_metavar="[NODE | COMMAND [ARGS]...]")
downloads = Typer(cls=Listing, subcommand_metavar="[COMMAND [ARGS]...]")
tasks = Typer(cls=Listing, subcommand_metavar="[COMMAND [ARGS]...]")


class DownloadStatus(StrEnum):
    """The values of the schema's DownloadStatus that --status takes."""

    NOT_STARTED = "not_started"
    PENDING = "pending"
    DOWNLOADING = "downloading"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"


class TaskStatus(StrEnum):
    """The values of the schema's TaskStatus that --status takes."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETE = "complete"
    TIMED_OUT = "timed_out"
    FAILED = "failed"
    CANCELLED = "cancelled"


@nodes.callback()
def _nodes() -> None:
    """The nodes of the cluster; or everything about one of them, by id or friendly name."""


@nodes.command(name="list")
def list_nodes(ctx: typer.Context) -> None:
    """The nodes. The word `list` may be left out."""
    session = session_of(ctx)
    session.show(session.ask("nodes"), views.nodes)


@nodes.command(name="show")
def show_node(
    ctx: typer.Context,
    node: Annotated[
        str, typer.Argument(metavar="NODE", help="Its id or friendly name.", autocompletion=completion.nodes)
    ],
) -> None:
    """Everything about one node. The word `show` may be left out."""
    session = session_of(ctx)
    session.show(session.ask("node", id=node), views.node)


@downloads.callback()
def _downloads() -> None:
    """Weights on the nodes: complete, being downloaded, paused or failed."""


@downloads.command(name="list")
def list_downloads(
    ctx: typer.Context,
    status: Annotated[
        list[DownloadStatus] | None,
        typer.Option(case_sensitive=False, help="Only these; may be repeated. Without it, all except not_started."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.", autocompletion=completion.models)] = None,
    node: Annotated[str | None, typer.Option(help="Only on this node.", autocompletion=completion.nodes)] = None,
) -> None:
    """The downloads. The word `list` may be left out."""
    session = session_of(ctx)
    wanted = [value.name for value in status] if status else None
    session.show(session.ask("downloads", status=wanted, model=model, node=node), views.downloads)


@downloads.command(name="cancel", epilog="To start one: exo-graphql models download NAME")
def cancel_download(ctx: typer.Context, name: Name, *, node: Nodes = None) -> None:
    """Stop downloading a model's weights. What has been downloaded is kept."""
    session = session_of(ctx)
    node_answers(session, session.mutate_once("cancel_download", model=name, nodes=node or None))


@tasks.callback()
def _tasks() -> None:
    """What the loaded models are doing."""


@tasks.command(name="list")
def list_tasks(
    ctx: typer.Context,
    status: Annotated[
        list[TaskStatus] | None, typer.Option(case_sensitive=False, help="Only these; may be repeated.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Only of this model.", autocompletion=completion.loaded_models)
    ] = None,
) -> None:
    """The tasks. The word `list` may be left out."""
    session = session_of(ctx)
    wanted = [value.name for value in status] if status else None
    session.show(session.ask("tasks", status=wanted, model=model), views.tasks)


@tasks.command(name="cancel")
def cancel_task(
    ctx: typer.Context,
    task: Annotated[
        str, typer.Argument(metavar="ID", help="The task's id, or its beginning.", autocompletion=completion.tasks)
    ],
) -> None:
    """Cancel an inference under way."""
    session = session_of(ctx)
    id_ = session.whole_id(task, lambda: session.ask("tasks")["tasks"])
    session.show(session.mutate_once("cancel_task", id=id_), views.task_cancelled)
