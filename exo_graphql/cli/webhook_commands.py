"""`webhooks`: the URLs that get events."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from exo_graphql.cli.failures import Failure
from exo_graphql.cli.format import UNKNOWN, age, ago, duration
from exo_graphql.cli.group import Listing
from exo_graphql.cli.help import Typer
from exo_graphql.cli.layout import Column, Grid, Page, Prose
from exo_graphql.cli.session import session_of
from exo_graphql.cli.tables import styled

Json = Mapping[str, Any]

app = Typer(cls=Listing, subcommand_metavar="[COMMAND [ARGS]...]")


@app.callback()
def webhooks() -> None:
    """The URLs that get events (serve --webhook-url), and how the deliveries are doing."""


@app.command(name="list")
def list_(ctx: typer.Context) -> None:
    """The webhooks: what each has taken, and since when and why it fails. The word `list` may be left out."""
    session = session_of(ctx)
    session.show(session.ask("webhooks"), _webhooks)


@app.command(name="test")
def send_test(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only the webhook of this name, as `webhooks list` shows it.")
    ] = None,
) -> None:
    """Let the server send a test message to the webhooks; exits with 1 if one of them does not take it."""
    session = session_of(ctx)
    data = session.mutate_once("test_webhooks", name=name)
    failed = [each for each in data["testWebhooks"]["results"] if not each["delivered"]]
    reasons = " ".join(f"{each['webhook']['name']}: {each['error']}" for each in failed)
    session.show(data, _tested, Failure(reasons, code="WEBHOOK_FAILED") if failed else None)


def _webhooks(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    columns = [
        Column("WEBHOOK"),
        Column("STATE"),
        Column("DELIVERED", drop=1),
        Column("PENDING", drop=2),
        Column("GIVEN UP", drop=4),
        Column("EVENTS", drop=5, sentence=True),
        Column("NOTE", drop=3, sentence=True),
    ]
    rows = [
        [
            each["name"],
            styled(each["state"]),
            f"{each['delivered']:,}",
            f"{each['pending']:,}",
            f"{each['givenUp']:,}",
            _selection(each),
            _note(each),
        ]
        for each in data["webhooks"]
    ]
    yield Grid(columns, rows, "No webhooks. Start the server with --webhook-url URL.", wide)


def _selection(webhook: Json) -> str:
    severity = "" if webhook["severity"] == "INFO" else f" from {webhook['severity']} on"
    return (", ".join(webhook["kinds"]) if webhook["kinds"] is not None else "all") + severity


def _note(webhook: Json) -> str:
    if webhook["failingSince"] is None:
        return UNKNOWN if webhook["deliveredAt"] is None else f"last {ago(webhook['deliveredAt'])}"
    again = "" if webhook["secondsToNext"] is None else f" Next attempt in {duration(webhook['secondsToNext'])}."
    return f"failing for {age(webhook['failingSince'])}: {webhook['lastError']}{again}"


def _tested(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    for each in data["testWebhooks"]["results"]:
        mark = ("Delivered", "bold") if each["delivered"] else ("Failed", "bold red")
        yield Prose.of(mark, f"  {each['webhook']['name']}  {each['error'] or each['status']}", hanging=2)
