"""The commands of the first row: what the cluster is and does."""

from enum import StrEnum
from typing import Annotated

import typer

from exo_graphql.cli import completion, views
from exo_graphql.cli import watch as live
from exo_graphql.cli.failures import Failure
from exo_graphql.cli.model_commands import app as models
from exo_graphql.cli.operation_commands import app as operations
from exo_graphql.cli.session import session_of

PANEL = "Ask a running server"
# Typer sets each paragraph on a line of its own.
EPILOG = """Examples:

exo-graphql status

exo-graphql models load --wait Qwen3-30B-A3B-4bit

exo-graphql models swap --wait DeepSeek-V3.2-8bit Kimi-K2.5

exo-graphql --url studio.local:52416 --json nodes | jq '.nodes[].friendlyName'

Exit codes: 0 done or ready; 1 refused, failed, rolled back, not found, unhealthy; 2 wrong usage; 69 no server there;
124 time-out; 130 Ctrl-C. After 124 and 130 an operation goes on."""

app = typer.Typer()
app.add_typer(models, name="models", rich_help_panel=PANEL)
app.add_typer(operations, name="operations", rich_help_panel=PANEL)


class DownloadStatus(StrEnum):
    """The values of the schema's DownloadStatus that can be asked for."""

    NOT_STARTED = "not_started"
    PENDING = "pending"
    DOWNLOADING = "downloading"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"


class TaskStatus(StrEnum):
    """The values of the schema's TaskStatus that can be asked for."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETE = "complete"
    TIMED_OUT = "timed_out"
    FAILED = "failed"
    CANCELLED = "cancelled"


@app.command(rich_help_panel=PANEL)
def status(ctx: typer.Context) -> None:
    """The cluster at a glance: health, memory, nodes, loaded models."""
    session = session_of(ctx)
    session.show(session.ask("status"), views.status)


@app.command(rich_help_panel=PANEL)
def health(ctx: typer.Context) -> None:
    """Whether the cluster is healthy; exits with 1 when it is not, and says why."""
    session = session_of(ctx)
    data = session.ask("health")
    session.show(data, views.health)
    if not data["cluster"]["healthy"]:
        raise Failure(" ".join(data["cluster"]["unhealthyReasons"]) or "The cluster is not healthy.", code="UNHEALTHY")


@app.command(rich_help_panel=PANEL)
def nodes(
    ctx: typer.Context,
    node: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="One node, by id or friendly name.", autocompletion=completion.nodes),
    ] = None,
) -> None:
    """The nodes of the cluster, or everything about one of them."""
    session = session_of(ctx)
    if node is None:
        session.show(session.ask("nodes"), views.nodes)
    else:
        session.show(session.ask("node", id=node), views.node)


@app.command(rich_help_panel=PANEL)
def downloads(
    ctx: typer.Context,
    status: Annotated[
        list[DownloadStatus] | None,
        typer.Option(case_sensitive=False, help="Only these; may be repeated. Without it all but not_started."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.", autocompletion=completion.models)] = None,
    node: Annotated[str | None, typer.Option(help="Only on this node.", autocompletion=completion.nodes)] = None,
) -> None:
    """Models' weights on the nodes: there, on the way, paused or failed."""
    session = session_of(ctx)
    wanted = [value.name for value in status] if status else None
    session.show(session.ask("downloads", status=wanted, model=model, node=node), views.downloads)


@app.command(rich_help_panel=PANEL)
def tasks(
    ctx: typer.Context,
    status: Annotated[
        list[TaskStatus] | None, typer.Option(case_sensitive=False, help="Only these; may be repeated.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Only of this model.", autocompletion=completion.loaded_models)
    ] = None,
) -> None:
    """What the loaded models are doing."""
    session = session_of(ctx)
    wanted = [value.name for value in status] if status else None
    session.show(session.ask("tasks", status=wanted, model=model), views.tasks)


@app.command(rich_help_panel=PANEL)
def watch(ctx: typer.Context) -> None:
    """The cluster, live, until Ctrl-C.

    On a terminal the whole screen; elsewhere a line whenever the cluster does something else; with --json each
    message on a line. A lost connection is shown and heals by itself.
    """
    live.watch(session_of(ctx))
