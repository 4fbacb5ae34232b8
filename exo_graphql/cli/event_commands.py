"""`events` and `acknowledge`: what has happened."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from exo_graphql.cli import completion
from exo_graphql.cli.event_follow import follow as follow_events
from exo_graphql.cli.format import when
from exo_graphql.cli.help import PANEL, Typer
from exo_graphql.cli.layout import Column, Grid, Page, Prose
from exo_graphql.cli.session import session_of
from exo_graphql.cli.tables import styled

Json = Mapping[str, Any]

app = Typer()


class Severity(StrEnum):
    """The minimum severity to list."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_ORDER = list(Severity)


@app.command(rich_help_panel=PANEL)
def events(
    ctx: typer.Context,
    *,
    last: Annotated[int, typer.Option("--last", min=1, max=500, help="How many.")] = 20,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Then show each event as it happens, oldest first; with --json one object a line."
        ),
    ] = False,
    severity: Annotated[
        Severity, typer.Option("--severity", help="Only events of this severity or a worse one.")
    ] = Severity.INFO,
    model: Annotated[
        str | None, typer.Option("--model", help="Only events of this model.", autocompletion=completion.models)
    ] = None,
    node: Annotated[
        str | None,
        typer.Option("--node", help="Only events of this node, by name or id.", autocompletion=completion.nodes),
    ] = None,
) -> None:
    """What has happened to the cluster, and what the server has done; newest first."""
    session = session_of(ctx)
    severities = [each.name for each in _ORDER[_ORDER.index(severity) :]]
    wanted = {"severity": severities, "model": model, "node": node}
    if follow:
        follow_events(session, last, wanted)
    else:
        session.show(session.ask("events", last=last, **wanted), _events)


@app.command(rich_help_panel=PANEL)
def acknowledge(
    ctx: typer.Context, event: Annotated[str, typer.Argument(metavar="ID", help="The event's id.")]
) -> None:
    """Acknowledge an event: mark it as seen."""
    session = session_of(ctx)
    session.show(session.mutate_once("acknowledge", event=event), _acknowledged)


def _events(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    columns = [
        Column("AT"),
        Column("SEVERITY", drop=1),
        Column("EVENT", sentence=True),
        Column("KIND", drop=2),
        Column("ID", drop=3),
    ]
    rows = [
        [when(event["at"]), styled(event["severity"]), event["message"], event["kind"], event["id"]]
        for event in data["events"]
    ]
    yield Grid(columns, rows, "Nothing has happened.", wide)


def _acknowledged(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    yield Prose.of(("Acknowledged", "bold"), f"  {data['acknowledge']['event']['message']}", hanging=2)
