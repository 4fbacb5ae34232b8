"""The output of a command: results on stdout, everything else on stderr."""

import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console, RenderableType

from exo_graphql.cli.failures import Failure
from exo_graphql.cli.layout import Prose

# Outside a terminal lines are not wrapped.
_PIPE_WIDTH = 10_000


def console(stream: TextIO) -> Console:
    """A console that never takes text for markup, and writes no control codes unless `stream` is a terminal."""
    interactive = stream.isatty()
    return _Console(
        file=stream,
        force_terminal=interactive,
        width=None if interactive else _PIPE_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )


class _Console(Console):
    """Raises where a pipe is closed: Rich would end the process, and close stdout when stderr is closed."""

    def on_broken_pipe(self) -> None:
        """Raises it again."""
        raise  # called while the error is handled


class Terminal:
    """Where a command writes. With `as_json`, stdout is for JSON alone."""

    def __init__(self, *, as_json: bool = False) -> None:
        for stream in (sys.stdout, sys.stderr):
            # A character that the terminal cannot show is replaced.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        self.as_json = as_json
        self.out = console(sys.stdout)
        self.err = console(sys.stderr)

    @property
    def interactive(self) -> bool:
        """Whether stdout is a terminal and not for JSON."""
        return self.out.is_terminal and not self.out.is_dumb_terminal and not self.as_json

    @property
    def can_ask(self) -> bool:
        """Whether a question can be shown and answered."""
        return self.interactive and sys.stdin is not None and sys.stdin.isatty()

    def print_json(self, data: Mapping[str, Any], *, indent: int | None = 2) -> None:
        """One JSON document."""
        # Not through the console, which would wrap it; a closed pipe shows here, not when the process ends.
        self.out.file.write(json.dumps(data, indent=indent) + "\n")
        self.out.file.flush()

    def print_text(self, text: str) -> None:
        """Text for machines, as it is: a terminal's width breaks no line of it."""
        self.out.file.write(text)
        self.out.file.flush()

    def show(self, content: RenderableType) -> None:
        """Writes to stdout. A word that is longer than a line is not cut off."""
        self.out.print(content, crop=False)

    def report(self, failure: Failure) -> None:
        """Writes what went wrong and what to do about it; with `as_json` also an object to stdout."""
        if failure.silent:
            return
        code = f" [{clean(failure.code)}]" if failure.code else ""
        self._say(Prose.of(("error: ", "bold red"), clean(failure.message), (code, "dim"), hanging=2))
        if failure.suggestion:
            self._say(Prose.of(("hint: ", "bold"), clean(failure.suggestion), hanging=2))
        if self.as_json:
            self.print_json(failure.as_json())

    def note(self, text: str) -> None:
        """Writes a remark to stderr."""
        self._say(Prose.of((clean(text), "dim"), hanging=2))

    def _say(self, content: Prose) -> None:
        self.err.print(content, crop=False)


def clean(value: Any) -> Any:
    """The same JSON value without control characters: the name of a node must not control the terminal."""
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in value)
    if isinstance(value, Mapping):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [clean(item) for item in value]
    return value
