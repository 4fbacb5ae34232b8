"""`operations`: the loads, unloads and swaps that were requested."""

from typing import Annotated

import typer

from exo_graphql.cli import completion, views
from exo_graphql.cli.failures import Failure
from exo_graphql.cli.group import ListingOrShow
from exo_graphql.cli.help import Typer
from exo_graphql.cli.model_commands import Timeout, Wait
from exo_graphql.cli.session import Session, session_of
from exo_graphql.cli.waiting import operation_failure, wait_for_operation

app = Typer(cls=ListingOrShow, subcommand_metavar="[ID | COMMAND [ARGS]...]")
Id = Annotated[
    str,
    typer.Argument(metavar="ID", help="The operation's id, or its beginning.", autocompletion=completion.operations),
]


@app.callback()
def operations() -> None:
    """The loads, unloads and swaps requested from the server; or one of them by its ID."""


@app.command(name="list")
def list_(
    ctx: typer.Context,
    *,
    active: Annotated[bool, typer.Option("--active", help="Only those under way.")] = False,
) -> None:
    """The operations, newest first. The word `list` may be left out."""
    session = session_of(ctx)
    session.show(session.ask("operations", active=True if active else None), views.operations)


@app.command()
def show(ctx: typer.Context, operation: Id, *, wait: Wait = False, timeout: Timeout = 600.0) -> None:
    """One operation and its steps; exits with 1 if it failed. The word `show` may be left out."""
    session = session_of(ctx)
    operation = _whole(session, operation)
    if wait:
        wait_for_operation(session, operation, timeout)
        return
    data = session.ask("operation", id=operation)
    if data["operation"] is None:
        raise Failure(
            f"No operation {operation!r} was requested from this server, or it ended long ago.",
            "List them with `exo-graphql operations`.",
            "OPERATION_NOT_FOUND",
            data,
        )
    session.show(data, views.operation, operation_failure(data["operation"]))


@app.command()
def cancel(ctx: typer.Context, operation: Id) -> None:
    """Stop an operation and undo what it did."""
    session = session_of(ctx)
    session.show(session.mutate_once("cancel_operation", id=_whole(session, operation)), views.cancelled)


@app.command()
def resume(ctx: typer.Context, operation: Id) -> None:
    """Resume a parked operation on the current cluster."""
    session = session_of(ctx)
    session.show(session.mutate_once("resume_operation", id=_whole(session, operation)), views.accepted)


def _whole(session: Session, operation: str) -> str:
    return session.whole_id(operation, lambda: session.ask("operations")["operations"])
