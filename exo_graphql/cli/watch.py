"""`watch`: the cluster, live, until Ctrl-C."""

from collections.abc import Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Any

from rich.live import Live
from rich.text import Text

from exo_graphql.cli import interrupts
from exo_graphql.cli.following import newest
from exo_graphql.cli.format import count, percent
from exo_graphql.cli.live_screen import LiveScreen, downloads_of
from exo_graphql.cli.session import Session
from exo_graphql.cli.terminal import Terminal, clean
from exo_graphql.cli.unique_names import with_unique_names
from exo_graphql.documents import document

Json = Mapping[str, Any]
ACTIVE = ("PENDING", "RUNNING")


def watch(session: Session) -> None:
    """Shows the cluster until Ctrl-C: on a terminal the whole screen, redrawn; otherwise a line at each change; with
    --json a line of JSON for each message. A broken connection is shown and restored.
    """
    terminal = session.terminal
    screen: Screen
    if terminal.as_json:
        screen = JsonLines(terminal)
    else:
        screen = WholeScreen(terminal, wide=session.wide) if terminal.interactive else Lines(terminal)
    interrupts.run(_watch(session, screen))


async def _watch(session: Session, screen: "Screen") -> None:
    async with session.client() as client:
        try:
            messages = client.follow(document("watch"), {})
            async with aclosing(newest(messages, screen.lost)) as snapshots:
                async for data in snapshots:
                    screen.show(data)
        finally:
            screen.stop()


class Screen:
    """A way to show the cluster."""

    def show(self, data: Json) -> None:
        """Shows the newest data."""

    def lost(self, reason: str) -> None:
        """Shows that no data arrive now, and that the client is reconnecting."""

    def stop(self) -> None:
        """Leaves the terminal as it was."""


class JsonLines(Screen):
    """Each message on a line."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def show(self, data: Json) -> None:
        """Prints it."""
        self._terminal.print_json(data, indent=None)

    def lost(self, reason: str) -> None:
        """Prints that the connection was lost."""
        self._terminal.note(reason)


class Lines(Screen):
    """A line at each change of the cluster; a change of telemetry alone prints none."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._last_line = ""

    def show(self, data: Json) -> None:
        """Prints a line if it says something new."""
        self._say(summary(with_unique_names(clean(data["cluster"]))))

    def lost(self, reason: str) -> None:
        """Prints a line, once for each interruption."""
        self._say(reason)

    def _say(self, text: str) -> None:
        if text != self._last_line:
            self._last_line = text
            self._terminal.out.print(Text(f"{datetime.now().astimezone():%H:%M:%S} {text}"))


class WholeScreen(Screen):
    """The whole screen, redrawn at each message. It is taken over when the first data arrive."""

    def __init__(self, terminal: Terminal, *, wide: bool = False) -> None:
        self._terminal = terminal
        self._wide = wide
        self._live = Live(console=terminal.out, screen=True, auto_refresh=False)
        self._cluster: Json | None = None

    def show(self, data: Json) -> None:
        """Draws it."""
        if self._cluster is None:
            self._live.start()
        self._cluster = with_unique_names(clean(data["cluster"]))
        self._draw("")

    def lost(self, reason: str) -> None:
        """Keeps the last data, with a warning above."""
        if self._cluster is None:
            self._terminal.note(reason)
        else:
            self._draw(f"{clean(reason)} The data below are the last received.")

    def stop(self) -> None:
        """Leaves the terminal as it was."""
        self._live.stop()

    def _draw(self, warning: str) -> None:
        if self._cluster is not None:
            self._live.update(LiveScreen(self._cluster, warning, wide=self._wide), refresh=True)


def summary(cluster: Json) -> str:
    """The cluster on one line. Progress in steps of 10 %, so that the line changes seldom."""
    parts = [
        "healthy" if cluster["healthy"] else "unhealthy",
        f"{cluster['onlineNodeCount']}/{count(cluster['nodeCount'], 'node')}",
    ]
    parts += [f"{m['name']} {m['status']['phase']}{_tens(m['status'])}" for m in cluster["models"]]
    parts += [
        f"download {e['model']['name']} {e['status']}{_tens(e)}"
        for e in downloads_of(cluster)
        if e["status"] in ("DOWNLOADING", "FAILED")
    ]
    parts += [f"{o['kind'].lower()} {o['state']}" for o in cluster["operations"] if o["state"] in ACTIVE]
    return ", ".join(parts)


def _tens(entry: Json) -> str:
    done = entry["progressPercent"]
    return "" if done is None or done >= 100 else f" {percent(done // 10 * 10)}"
