"""The two ends of the terminal: results on stdout, whatever else there is to say on stderr."""

import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from exo_graphql.cli.failures import Failure

# Where nobody looks, a line is as long as what it says.
_PIPE_WIDTH = 10_000


def console(stream: TextIO) -> Console:
    """A console that never takes text for markup, and writes no control codes unless `stream` is a terminal."""
    interactive = stream.isatty()
    return Console(
        file=stream,
        force_terminal=interactive,
        width=None if interactive else _PIPE_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )


class Terminal:
    """Where a command writes. With `as_json`, stdout is for JSON alone."""

    def __init__(self, *, as_json: bool = False) -> None:
        for stream in (sys.stdout, sys.stderr):
            # What a terminal cannot show is no reason to fail.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        self.as_json = as_json
        self.out = console(sys.stdout)
        self.err = console(sys.stderr)

    @property
    def interactive(self) -> bool:
        """Whether somebody looks at stdout, and it is not for JSON."""
        return self.out.is_terminal and not self.out.is_dumb_terminal and not self.as_json

    def print_json(self, data: Mapping[str, Any] | None, *, indent: int | None = 2) -> None:
        """One JSON document."""
        # Not through the console, which would wrap it; a closed pipe shows here, not when the process ends.
        self.out.file.write(json.dumps(data, indent=indent) + "\n")
        self.out.file.flush()

    def report(self, failure: Failure) -> None:
        """Says what went wrong and how to go on."""
        code = f" [{clean(failure.code)}]" if failure.code else ""
        self.err.print(Text.assemble(("error: ", "bold red"), clean(failure.message), (code, "dim")))
        if failure.suggestion:
            self.err.print(Text.assemble(("hint: ", "bold"), clean(failure.suggestion)))

    def note(self, text: str) -> None:
        """Says something beside the result."""
        self.err.print(Text(clean(text), "dim"))


def clean(value: Any) -> Any:
    """The same JSON value without control characters: what a node calls itself must not drive the terminal."""
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in value)
    if isinstance(value, Mapping):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [clean(item) for item in value]
    return value
