"""What `--help` prints, at any width: plain text in which no word is broken and nothing is cut off.

Rich's boxes break words from 80 columns downwards ("--idempotency-…"), and take brackets in a text for markup.
"""

import shutil
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

F = TypeVar("F", bound=Callable[..., Any])

# Longer lines are hard to read, however wide the terminal is.
_MAX_COLUMNS = 100
# Names wider than this have their text on the next line.
_NAME_COLUMNS = 30
# Narrower than this, a column of texts holds two or three words a line: the texts go below their names.
_TEXT_COLUMNS = 40
# The heading of options without a panel.
_OPTIONS = "Options"

_Formatter: Any = typer.Context.formatter_class

PANEL = "Use a running server"
"""Heading of the commands that ask or change the cluster at once."""


class Formatter(_Formatter):  # type: ignore[misc]  # where Typer keeps this class depends on its release
    """Wraps differently from Typer's formatter, which breaks words in narrow columns and assumes 50 columns or more."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(width=min(shutil.get_terminal_size().columns, _MAX_COLUMNS))

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Writes how the command is called."""
        self._write(f"{prefix or 'Usage: '}{prog} {args}", hanging=2)

    def write_text(self, text: str) -> None:
        """Writes paragraphs, separated by empty lines."""
        for number, paragraph in enumerate(text.split("\n\n")):
            if number:
                self.write_paragraph()
            self._write(paragraph)

    def write_dl(self, rows: Sequence[tuple[str, str]], *_: int, **__: int) -> None:
        """Writes names and their texts: side by side, or in a narrow terminal one below the other."""
        aside = min(max(len(name) for name, _ in rows), _NAME_COLUMNS) + 2
        if self.width - self.current_indent - aside < _TEXT_COLUMNS:
            aside = 0
        for name, text in rows:
            if aside and len(name) <= aside - 2:
                self._write(text, first=name.ljust(aside), hanging=aside)
            else:
                self._write(name, hanging=2)
                self._write(text, first=" " * (aside or 4), hanging=aside or 4)

    def _write(self, text: str, first: str = "", hanging: int = 0) -> None:
        margin = " " * self.current_indent
        lines = textwrap.wrap(
            " ".join(text.split()),
            self.width,
            initial_indent=margin + first,
            subsequent_indent=margin + " " * hanging,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [(margin + first).rstrip()]
        for line in lines:
            self.write(self._fitted(line) + "\n")

    def _fitted(self, line: str) -> str:
        """The line; if a single word makes it too long, with less indent."""
        bare = line.lstrip()
        return line if len(line) <= self.width else " " * max(self.width - len(bare), 0) + bare


class Context(typer.Context):
    """A command's context, for the sake of its help."""

    formatter_class = Formatter


class Command(TyperCommand):
    """A command whose help fits any width."""

    context_class = Context

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes arguments and options, those of each panel under its name; last those without a panel."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                usual = "Arguments" if parameter.param_type_name == "argument" else _OPTIONS
                panel = getattr(parameter, "rich_help_panel", None)
                panels.setdefault(panel if isinstance(panel, str) else usual, []).append(record)
        for panel in sorted(panels, key=lambda name: name == _OPTIONS):
            with formatter.section(panel):
                formatter.write_dl(panels[panel])


class Group(TyperGroup):
    """A group of commands whose help fits any width, with its commands under the names of their panels."""

    context_class = Context

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the commands, each with the first sentence about it in full."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                panel = getattr(command, "rich_help_panel", None)
                text = command.get_short_help_str(limit=10_000)
                panels.setdefault(panel if isinstance(panel, str) else "Commands", []).append((name, text))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


class Typer(typer.Typer):
    """Commands and groups of the kinds above."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"cls": Group, "rich_markup_mode": None, "pretty_exceptions_enable": False, **settings})

    def command(self, *arguments: Any, **settings: Any) -> Callable[[F], F]:
        """Adds a command."""
        return super().command(*arguments, **{"cls": Command, **settings})
