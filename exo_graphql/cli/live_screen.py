"""The cluster on one screen of any size: models and operations first, and a line that counts what is left out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions
from rich.text import Text

from exo_graphql.cli.format import count
from exo_graphql.cli.layout import Parts, Prose, wrap
from exo_graphql.cli.tables import download_grid, loaded_grid, node_grid, operation_grid
from exo_graphql.cli.views import overview

Json = Mapping[str, Any]
_ACTIVE = ("PENDING", "RUNNING")
# Of the operations that have ended, as many stay in view.
_ENDED_SHOWN = 3
# Of a screen that is too short, operations take no more than this share before the models have had their part.
_OPERATIONS_SHARE = 0.5


class LiveScreen:
    """The screen of `watch`, from the data of `watch.graphql`. It fits any height."""

    def __init__(self, cluster: Json, warning: str = "", *, wide: bool = False) -> None:
        self._warnings = [Prose.of((warning, "bold yellow"))] if warning else []
        if cluster["stale"]:
            self._warnings.append(Prose.of(("Not current: this is the cluster as it was before.", "yellow")))
        self._overview = list(overview(cluster))
        downloads, operations = downloads_of(cluster), _in_view(cluster["operations"])
        # In the order in which they are shown.
        self._tables = [("Models", "model", loaded_grid(cluster["models"], wide=wide, brief=True))]
        if operations:
            self._tables.append(("Operations", "operation", operation_grid(operations, wide=wide, brief=True)))
        if downloads:
            self._tables.append(("Downloads", "download", download_grid(downloads, wide=wide, brief=True)))
        self._tables.append(("Nodes", "node", node_grid(cluster["nodes"], wide=wide, brief=True)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Draws it."""
        for line in self.lines(options.max_width, options.height or console.height):
            line.no_wrap, line.overflow = True, "ignore"
            yield line

    def lines(self, width: int, height: int) -> list[Text]:
        """At most `height` lines."""
        warnings = [line for prose in self._warnings for line in prose.lines(width)]
        top = [line for prose in self._overview for line in prose.lines(width)]
        sections = [_Section(title, noun, grid.parts(width), width) for title, noun, grid in self._tables]
        whole = [*warnings, *top, *(line for section in sections for line in (Text(), *section.whole()))]
        return whole if len(whole) <= height else _shortened(warnings, top, sections, width, height)


@dataclass
class _Section:
    title: str
    noun: str
    parts: Parts
    width: int
    shown: int = 0

    def head(self) -> list[Text]:
        return [*wrap(Text(self.title, "bold underline"), self.width), *self.parts.head]

    def whole(self) -> list[Text]:
        return [*self.head(), *(line for row in self.parts.rows for line in row)]

    def drawn(self) -> list[Text]:
        return [*self.head(), *(line for row in self.parts.rows[: self.shown] for line in row)] if self.shown else []

    def fill(self, height_left: int) -> None:
        """Shows as many rows as fit into so many lines."""
        used, self.shown = len(self.head()), 0
        for row in self.parts.rows:
            used += len(row)
            if used > height_left:
                return
            self.shown += 1

    @property
    def left_out(self) -> int:
        return len(self.parts.rows) - self.shown


def _shortened(
    warnings: list[Text], top: list[Text], sections: Sequence[_Section], width: int, height: int
) -> list[Text]:
    # Health in its first line; the rest of the overview comes back if lines are left in the end.
    first = [*warnings, *top][: max(1, height // 4)]
    by_title = {section.title: section for section in sections}
    models, operations = by_title["Models"], by_title.get("Operations")
    others = [section for section in sections if section not in (models, operations)]
    notice: list[Text] = []
    # The notice counts what is left out, and takes lines itself: a longer notice leaves space for fewer rows.
    for _ in range(4):
        height_left = height - len(first) - len(notice)
        if operations is not None:
            operations.fill(int(height_left * _OPERATIONS_SHARE))
            models.fill(height_left - len(operations.drawn()))
            operations.fill(height_left - len(models.drawn()))
        else:
            models.fill(height_left)
        for section in others:
            # A section gets no rows while a more important one has no space for any of its own.
            starved = any(other.left_out and not other.shown for other in sections[: sections.index(section)])
            taken = sum(len(other.drawn()) for other in sections if other is not section)
            section.fill(0 if starved else height_left - taken)
        left = [count(section.left_out, section.noun) for section in sections if section.left_out]
        note = Text(f"Left out: {', '.join(left)}." if left else "", "dim")
        needed = wrap(note, width, 2)[: max(1, height // 2)] if left else []
        if len(needed) <= len(notice):
            break
        notice = needed
    notice = needed
    shown = [line for section in sections for line in section.drawn()]
    return [*first, *shown, *notice][:height]


def downloads_of(cluster: Json) -> list[Json]:
    """The downloads of all nodes, each with its node."""
    return [{**entry, "node": node} for node in cluster["nodes"] for entry in node["downloads"]]


def _in_view(operations: Sequence[Json]) -> list[Json]:
    active = [entry for entry in operations if entry["state"] in _ACTIVE]
    ended = [entry for entry in operations if entry["state"] not in _ACTIVE]
    return [*active, *ended[:_ENDED_SHOWN]]
