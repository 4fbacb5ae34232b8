"""Command groups: where a failure becomes an exit code, and which words may be left out."""

import contextlib
from typing import Any, NoReturn

import typer

from exo_graphql.cli.failures import Failure, WrongUsage
from exo_graphql.cli.help import Group
from exo_graphql.cli.session import Session
from exo_graphql.cli.streams import OutputFailed
from exo_graphql.cli.terminal import Terminal

# Options that may come after the command as well.
_ANYWHERE = ("--json", "--wide")
# What Typer raises for every kind of wrong usage; where it keeps this class depends on its release.
_UsageError: Any = typer.BadParameter.__base__


class Commands(Group):
    """The root of all commands: says what failed, on stderr, and exits with its code."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Reads the global options. Without any argument the help is printed."""
        if not args or extra.get("resilient_parsing"):
            return super().make_context(info_name, args, parent, **extra)
        try:
            return super().make_context(info_name, list(args), parent, **extra)
        except _UsageError as error:
            options = _options(args)
            _report(self._wrong_usage(error, options), Terminal(as_json="--json" in options))

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except (Failure, _UsageError) as error:
            words = [ctx.invoked_subcommand] if ctx.invoked_subcommand else []
            failure = error if isinstance(error, Failure) else self._wrong_usage(error, words)
            # Before the command is known there is no session.
            session = ctx.obj if isinstance(ctx.obj, Session) else None
            _report(failure, session.terminal if session else Terminal(as_json=bool(ctx.params.get("json"))))
        except KeyboardInterrupt as interrupt:
            raise typer.Exit(130) from interrupt

    def _wrong_usage(self, error: Any, words: list[str]) -> WrongUsage:
        """`words` hold the name of the command, which may have an exit code of its own for wrong usage."""
        failure = _wrong_usage(error)
        for word in words:
            command = self.commands.get(word)
            if command is not None:
                failure.exit_code = getattr(command, "usage_exit_code", failure.exit_code)
                break
        return failure

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the global options; --json and --wide may come after the command as well."""
        options = _options(args)
        moved = [option for option in _ANYWHERE if option in options]
        args = [*moved, *(arg for arg in options if arg not in _ANYWHERE), *args[len(options) :]]
        return super().parse_args(ctx, args)


def _options(args: list[str]) -> list[str]:
    """The arguments that can be options: those before "--"."""
    return args[: args.index("--")] if "--" in args else args


def _wrong_usage(error: Any) -> WrongUsage:
    message = error.format_message().replace(": Value error, ", ": ")
    if error.ctx is None:
        return WrongUsage(_sentence(message))
    usage = " ".join(error.ctx.command.get_usage(error.ctx).split())
    return WrongUsage(_sentence(message), f"{usage} (see {error.ctx.command_path} --help)")


def _sentence(message: str) -> str:
    return message if message.endswith((".", ")", "?")) else f"{message}."


def _report(failure: Failure, terminal: Terminal) -> NoReturn:
    with contextlib.suppress(OutputFailed):  # what went wrong has been said, and has its own exit code
        terminal.report(failure)
    raise typer.Exit(failure.exit_code) from failure


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
