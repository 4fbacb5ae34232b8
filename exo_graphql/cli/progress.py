"""Shows the progress of --wait: a bar on a terminal, lines in a log, nothing with --json."""

from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from exo_graphql.cli.format import percent
from exo_graphql.cli.layout import Column, Grid, Prose
from exo_graphql.cli.progress_view import ProgressView
from exo_graphql.cli.terminal import Terminal

_BAR_CELLS = 30
# Beside the bar, with the space between.
_PERCENT_CELLS = 8
_MARKS = {
    "SUCCEEDED": ("done", "green"),
    "FAILED": ("failed", "red"),
    "RUNNING": ("now", "cyan"),
    "SKIPPED": ("skipped", "dim"),
    "PENDING": ("", "dim"),
}


class Progress(Protocol):
    """Shows the views of an operation or a model, one after the other."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, view: ProgressView) -> None:
        """Shows the newest view."""

    def lost(self, reason: str) -> None:
        """Shows why no data arrive now, and that the client is reconnecting."""


def progress(terminal: Terminal) -> Progress:
    """The kind of output that fits stdout."""
    if terminal.as_json:
        return Silent()
    return Bar(terminal.out) if terminal.interactive else Lines(terminal)


class Silent:
    """Shows nothing: stdout is for the result alone."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, view: ProgressView) -> None:
        """Shows nothing."""

    def lost(self, reason: str) -> None:
        """Shows nothing."""


class Lines:
    """A line for each stage, for each 10 %, and for each message where the progress is unknown."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._last: object = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, view: ProgressView) -> None:
        """Prints a line if it says something new."""
        line_of = (view.stage, view.message if view.percent is None else view.percent // 10)
        if line_of == self._last:
            return
        self._last = line_of
        share = f"{percent(view.percent)} " if view.percent is not None else ""
        pace = f" ({view.pace})" if view.pace else ""
        self._terminal.out.print(Text(f"{view.stage}: {share}{view.message}{pace}"))

    def lost(self, reason: str) -> None:
        """Prints a line, once for each interruption."""
        if self._last != reason:
            self._last = reason
            self._terminal.note(reason)


class Bar:
    """A bar, and above it the steps, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8)
        self._view: ProgressView | None = None

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, view: ProgressView) -> None:
        """Draws the newest view."""
        self._view = view
        self._live.update(self._drawn(view))

    def lost(self, reason: str) -> None:
        """Keeps the last view, with a warning below."""
        warning = Prose.of((reason, "yellow"), hanging=2)
        self._live.update(warning if self._view is None else Group(self._drawn(self._view), warning))

    def _drawn(self, view: ProgressView) -> RenderableType:
        columns = [Column(""), Column(""), Column("", drop=1, sentence=True)]
        rows = []
        for step in view.steps:
            mark, style = _MARKS.get(step["state"], (step["state"].lower(), ""))
            message = step["message"] if step["state"] != "RUNNING" else None
            rows.append([Text("  " + step["name"], style), Text(mark, style), Text(message or "", "dim")])
        pulse = view.percent is None
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            ProgressBar(
                total=None if pulse else 100,
                completed=view.percent or 0,
                pulse=pulse,
                width=min(_BAR_CELLS, max(1, self._console.width - _PERCENT_CELLS)),
            ),
            Text("" if pulse else percent(view.percent), justify="right"),
        )
        pace = f"  {view.pace}" if view.pace else ""
        return Group(
            Prose.of((view.title, "bold"), hanging=2),
            *([Grid(columns, rows, heads=False)] if rows else []),
            bar,
            Prose.of((view.stage, "bold"), pace, hanging=2),
            Prose.of(view.message, hanging=2),
        )
