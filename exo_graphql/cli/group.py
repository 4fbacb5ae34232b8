"""How the commands hang together: where a failure becomes an exit code, and small kindnesses in reading them."""

from typing import Any

import typer
from typer.core import TyperGroup

from exo_graphql.cli.failures import Failure
from exo_graphql.cli.terminal import Terminal


class Commands(TyperGroup):
    """The root of all commands: says what failed, on stderr, and exits with its code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except Failure as failure:
            Terminal().report(failure)
            raise typer.Exit(failure.exit_code) from failure
        except KeyboardInterrupt as interrupt:
            raise typer.Exit(130) from interrupt

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the global options; --json may come after the command as well."""
        end = args.index("--") if "--" in args else len(args)
        if "--json" in args[1:end]:
            args = ["--json", *(arg for arg in args[:end] if arg != "--json"), *args[end:]]
        return super().parse_args(ctx, args)


class CommandsOrShow(TyperGroup):
    """Commands of which the one called `show` may be left out: what is no command is its argument."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command that is meant."""
        if args and args[0] not in self.commands:
            args = ["show", *args]
        return super().resolve_command(ctx, args)
