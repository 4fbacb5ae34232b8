"""How the commands hang together: where a failure becomes an exit code, and small kindnesses in reading them."""

import contextlib
from typing import Any

import typer

from exo_graphql.cli.failures import Failure
from exo_graphql.cli.help import Group
from exo_graphql.cli.session import Session
from exo_graphql.cli.streams import OutputFailed
from exo_graphql.cli.terminal import Terminal

# Options that may come after the command as well.
_ANYWHERE = ("--json", "--wide")


class Commands(Group):
    """The root of all commands: says what failed, on stderr, and exits with its code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except Failure as failure:
            terminal = ctx.obj.terminal if isinstance(ctx.obj, Session) else Terminal()
            with contextlib.suppress(OutputFailed):  # what went wrong has been said, and has its own exit code
                terminal.report(failure)
            raise typer.Exit(failure.exit_code) from failure
        except KeyboardInterrupt as interrupt:
            raise typer.Exit(130) from interrupt

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the global options; --json and --wide may come after the command as well."""
        end = args.index("--") if "--" in args else len(args)
        moved = [option for option in _ANYWHERE if option in args[:end]]
        args = [*moved, *(arg for arg in args[:end] if arg not in _ANYWHERE), *args[end:]]
        return super().parse_args(ctx, args)


class Listing(Group):
    """Commands of which `list` may be left out: `models --all` is `models list --all`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts in what was left out. While the shell completes, what comes next is not known yet."""
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        return super().parse_args(ctx, self._completed(args, set(ctx.help_option_names)))

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """The commands, and the options of `list`."""
        items = super().shell_complete(ctx, incomplete)
        return [*items, *self._of("list", ctx, incomplete)] if incomplete.startswith("-") else items

    def _of(self, name: str, ctx: Any, incomplete: str) -> Any:
        command = self.commands[name]
        with command.make_context(name, [], parent=ctx, resilient_parsing=True) as inner:
            if incomplete.startswith("-"):
                return command.shell_complete(inner, incomplete)
            arguments = (param for param in command.params if param.param_type_name == "argument")
            return [item for argument in arguments for item in argument.shell_complete(inner, incomplete)]

    def _completed(self, args: list[str], helping: set[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in helping and args[0] != "--"):
            return ["list", *args]
        return args


class ListingOrShow(Listing):
    """Of these `show` may be left out as well: `nodes "Mac mini"` is `nodes show "Mac mini"`."""

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """The commands, and what can be shown."""
        return [*super().shell_complete(ctx, incomplete), *self._of("show", ctx, incomplete)]

    def _completed(self, args: list[str], helping: set[str]) -> list[str]:
        args = super()._completed(args, helping)
        return args if args[0] in self.commands or args[0] in helping else ["show", *args]
