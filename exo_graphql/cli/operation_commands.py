"""`operations`: the loads, unloads and swaps that were asked for."""

from typing import Annotated

import typer

from exo_graphql.cli import completion, views
from exo_graphql.cli.failures import Failure
from exo_graphql.cli.group import CommandsOrShow
from exo_graphql.cli.model_commands import Timeout, Wait
from exo_graphql.cli.session import session_of
from exo_graphql.cli.waiting import operation_failure, wait_for_operation

app = typer.Typer(cls=CommandsOrShow, invoke_without_command=True, subcommand_metavar="[ID | COMMAND [ARGS]...]")
Id = Annotated[str, typer.Argument(metavar="ID", help="The operation's id.", autocompletion=completion.operations)]


@app.callback()
def operations(
    ctx: typer.Context,
    *,
    active: Annotated[bool, typer.Option("--active", help="Only those under way.")] = False,
) -> None:
    """The loads, unloads and swaps asked of the server; or one of them by its ID."""
    if ctx.invoked_subcommand is None:
        session = session_of(ctx)
        session.show(session.ask("operations", active=True if active else None), views.operations)


@app.command()
def show(ctx: typer.Context, operation: Id, *, wait: Wait = False, timeout: Timeout = 600.0) -> None:
    """One operation and its steps; exits with 1 if it failed. The word `show` may be left out."""
    session = session_of(ctx)
    if wait:
        wait_for_operation(session, operation, timeout)
        return
    data = session.ask("operation", id=operation)
    if data["operation"] is None:
        if session.terminal.as_json:
            session.terminal.print_json(data)
        raise Failure(
            f"No operation {operation!r} was asked of this server, or it ended long ago.",
            "List them with `exo-graphql operations`.",
            "OPERATION_NOT_FOUND",
        )
    session.show(data, views.operation)
    failure = operation_failure(data["operation"])
    if failure is not None:
        raise failure


@app.command()
def cancel(ctx: typer.Context, operation: Id) -> None:
    """Stop an operation and undo what it did."""
    session = session_of(ctx)
    session.show(session.act("cancel_operation", id=operation), views.cancelled)
