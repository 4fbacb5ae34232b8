"""The commands without a group: `status`, `health` and `watch`; and the groups of the others."""

import typer

from exo_graphql.cli import views
from exo_graphql.cli import watch as live
from exo_graphql.cli.deployment_commands import app as deployments
from exo_graphql.cli.event_commands import app as events
from exo_graphql.cli.failures import Failure
from exo_graphql.cli.help import PANEL, Typer
from exo_graphql.cli.mcp_command import serve as serve_mcp
from exo_graphql.cli.member_commands import downloads, nodes, tasks
from exo_graphql.cli.model_commands import app as models
from exo_graphql.cli.operation_commands import app as operations
from exo_graphql.cli.session import session_of
from exo_graphql.cli.webhook_commands import app as webhooks

# Typer joins the lines of a paragraph, so each example is a paragraph of its own.
EPILOG = """Examples:

exo-graphql status

exo-graphql models load --wait Qwen3-30B-A3B-4bit

exo-graphql models swap --wait DeepSeek-V3.2-8bit Kimi-K2.5

exo-graphql deploy night Kimi-K2.5 --window '0 23 * * * 7h Europe/Berlin'

exo-graphql --url studio.local:52416 --json nodes | jq '.nodes[].friendlyName'

Exit codes: 0 done or ready; 1 rejected, failed, rolled back, not found, unhealthy, or the output cannot be written;
2 wrong usage (apply: 2 changes, 64 wrong usage); 69 no server at that address; 124 time-out; 130 Ctrl-C;
141 the reader closed the pipe. After 124, 130 and 141 the operation continues."""

app = Typer()
app.add_typer(nodes, name="nodes", rich_help_panel=PANEL)
app.add_typer(models, name="models", rich_help_panel=PANEL)
app.add_typer(downloads, name="downloads", rich_help_panel=PANEL)
app.add_typer(tasks, name="tasks", rich_help_panel=PANEL)
app.add_typer(operations, name="operations", rich_help_panel=PANEL)
app.add_typer(deployments)
app.add_typer(events)
app.add_typer(webhooks, name="webhooks", rich_help_panel=PANEL)


@app.command(rich_help_panel=PANEL)
def status(ctx: typer.Context) -> None:
    """The cluster at a glance: health, memory, nodes, loaded models."""
    session = session_of(ctx)
    session.show(session.ask("status"), views.status)


@app.command(rich_help_panel=PANEL)
def health(ctx: typer.Context) -> None:
    """Whether the cluster is healthy; if not, why, and exit code 1."""
    session = session_of(ctx)
    data = session.ask("health")
    reasons = " ".join(data["cluster"]["unhealthyReasons"])
    failure = Failure(reasons or "The cluster is not healthy.", code="UNHEALTHY")
    session.show(data, views.health, None if data["cluster"]["healthy"] else failure)


@app.command(
    rich_help_panel=PANEL,
    epilog="Example: claude mcp add exo -- exo-graphql --url http://studio.local:52416 mcp\n\n"
    "Needs the package mcp: pip install 'exo-graphql[mcp]'. The server itself also serves MCP, at /mcp.",
)
def mcp(ctx: typer.Context) -> None:
    """The Model Context Protocol over stdin and stdout, for programs that start their MCP servers themselves."""
    serve_mcp(session_of(ctx).client())


@app.command(rich_help_panel=PANEL)
def watch(ctx: typer.Context) -> None:
    """The cluster, live, until Ctrl-C.

    On a terminal it uses the whole screen; otherwise it prints a line at each change; with --json each message on a
    line. A lost connection is shown and restored automatically.
    """
    live.watch(session_of(ctx))
