"""Text for people at any width: paragraphs and tables in which no word is broken.

A table that is too wide drops its least important columns; if it still does not fit, each row becomes a block with a
line for each value. Widths are in terminal cells: an ideograph takes two.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from exo_graphql.cli.format import UNKNOWN

GAP = 2
# Narrower than this, a column of sentences would have one or two words per line.
_SENTENCE_CELLS = 24
# A name that is too long for a line may be split after one of these: mlx-community/ Qwen3-235B-, but never GLM-4. 7
_SEAM = re.compile(r"(?<=[/\-_@])(?=.)")
_WORD = re.compile(r"\S+\s*")


Page = Iterator[RenderableType]
"""What a command shows, part after part."""


class Lines(ABC):
    """Content that can be laid out in lines of a given width."""

    @abstractmethod
    def lines(self, width: int) -> list[Text]:
        """The lines; longer than `width` only where a single word is."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Draws it."""
        for line in self.lines(options.max_width):
            line.no_wrap, line.overflow = True, "ignore"
            yield line


@dataclass(frozen=True)
class Prose(Lines):
    """A paragraph. Lines after the first are indented by `hanging` cells."""

    text: Text
    hanging: int = 0

    @classmethod
    def of(cls, *parts: str | Text | tuple[str, str], hanging: int = 0) -> Self:
        """A paragraph made of parts, as for `Text.assemble`."""
        return cls(Text.assemble(*parts), hanging)

    def lines(self, width: int) -> list[Text]:
        """The paragraph, wrapped."""
        return wrap(self.text, width, self.hanging)


@dataclass(frozen=True)
class Column:
    """A column. `drop` says how early it is dropped if the table is too wide: 0 never, else the highest number first.

    `sentence`: its cells may be wrapped. `wide`: it is shown only with --wide.
    """

    head: str
    drop: int = 0
    sentence: bool = False
    wide: bool = False


Cell = str | Text


@dataclass(frozen=True)
class Grid(Lines):
    """A table: columns under heads, without rules. The first column names the subject of the row.

    `whole` keeps every column, whatever the width; `brief` makes blocks of two lines, of the columns never dropped.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    empty: str = "Nothing."
    whole: bool = False
    heads: bool = True
    brief: bool = False
    _parts: dict[int, "Parts"] = field(default_factory=dict, compare=False, repr=False)

    def lines(self, width: int) -> list[Text]:
        """The table, or its blocks."""
        parts = self.parts(width)
        return [*parts.head, *(line for row in parts.rows for line in row)]

    def parts(self, width: int) -> "Parts":
        """The same, row by row."""
        if width not in self._parts:
            self._parts[width] = self._laid_out(width)
        return self._parts[width]

    def _laid_out(self, width: int) -> "Parts":
        if not self.rows:
            return Parts(wrap(Text(self.empty, "dim"), width), [])
        kept = [
            index
            for index, column in enumerate(self.columns)
            if (self.whole or not column.wide) and (index == 0 or any(_has_text(row[index]) for row in self.rows))
        ]
        shown = list(kept)
        while (widths := self._widths(shown, width)) is None:
            least = max(shown, key=lambda index: self.columns[index].drop)
            if self.whole or self.columns[least].drop == 0:
                return Parts([], [self._block(row, kept, width) for row in self.rows])
            shown.remove(least)
        # A column that was dropped before a wider one may fit after all.
        for index in sorted(set(kept) - set(shown), key=lambda index: self.columns[index].drop):
            more = sorted([*shown, index])
            if (fitting := self._widths(more, width)) is not None:
                shown, widths = more, fitting
        head = _row([Text(self.columns[index].head, "bold") for index in shown], widths)
        rows = [_row([_text(row[index]) for index in shown], widths) for row in self.rows]
        return Parts(head if self.heads else [], rows)

    def _widths(self, shown: Sequence[int], width: int) -> list[int] | None:
        """How wide each column is; None if these do not fit."""
        natural = [
            max(cell_len(self.columns[index].head) * self.heads, *(_text(row[index]).cell_len for row in self.rows))
            for index in shown
        ]
        over = sum(natural) + GAP * (len(shown) - 1) - width
        for place in sorted(range(len(shown)), key=lambda place: -natural[place]):
            if over > 0 and self.columns[shown[place]].sentence:
                least = max(_SENTENCE_CELLS, *(_longest_word(_text(row[shown[place]])) for row in self.rows))
                taken = max(0, min(over, natural[place] - least))
                natural[place] -= taken
                over -= taken
        return natural if over <= 0 else None

    def _block(self, row: Sequence[Cell], kept: Sequence[int], width: int) -> list[Text]:
        title = _text(row[kept[0]])
        if not title.style:
            title.stylize("bold")
        lines = wrap(title, width, 1)
        if self.brief:
            essential = (row[index] for index in kept[1:] if self.columns[index].drop == 0)
            texts = [_text(cell) for cell in essential if _has_text(cell)]
            return [*lines, *wrap(Text("  ") + Text("  ").join(texts), width, 2)] if texts else lines
        for index in kept[1:]:
            if _has_text(row[index]):
                name = f"  {self.columns[index].head.lower()} " if self.columns[index].head else "  "
                lines += wrap(Text.assemble((name, "dim"), _text(row[index])), width, 4)
        return lines


@dataclass(frozen=True)
class Parts:
    """A table's lines: those above its rows, and those of each row."""

    head: list[Text]
    rows: list[list[Text]]


def facts(values: Mapping[str, str]) -> Grid:
    """Names and values."""
    columns = [Column(""), Column("", sentence=True)]
    return Grid(columns, [[Text(name, "dim"), value] for name, value in values.items()], heads=False)


def section(title: str, content: RenderableType) -> RenderableType:
    """Something under a title, after an empty line."""
    return Group("", Text(title, "bold underline"), content)


def wrap(text: Text, width: int, hanging: int = 0) -> list[Text]:
    """The lines of a text, broken between words, or at the seams of a name that is too long for a line by itself."""
    breaks, used = list[int](), cell_len(text.plain) - cell_len(text.plain.lstrip())
    for word in _WORD.finditer(text.plain):
        size = cell_len(word[0].rstrip())
        if used + size > width and used > hanging and text.plain[: word.start()].strip():
            breaks.append(word.start())
            used = hanging
        if used + size <= width:
            used += cell_len(word[0])
            continue
        start = word.start()
        for piece in _SEAM.split(word[0]):
            length = cell_len(piece.rstrip())
            if used + length > width and start > word.start():
                breaks.append(start)
                used = hanging
            used += cell_len(piece)
            start += len(piece)
    lines = list(text.divide(breaks))
    for place, line in enumerate(lines):
        line.rstrip()
        if place and hanging:
            lines[place] = Text(" " * hanging) + line
    return lines


def _row(cells: Sequence[Text], widths: Sequence[int]) -> list[Text]:
    columns = [wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for number in range(max(len(column) for column in columns)):
        line = Text()
        for column, width in zip(columns, widths, strict=True):
            cell = column[number] if number < len(column) else Text()
            line += cell
            line += Text(" " * (width - cell.cell_len + GAP))
        line.rstrip()
        lines.append(line)
    return lines


def _text(cell: Cell) -> Text:
    return Text(cell) if isinstance(cell, str) else cell.copy()


def _has_text(cell: Cell) -> bool:
    return str(cell) not in ("", UNKNOWN)


def _longest_word(text: Text) -> int:
    return max((cell_len(word) for word in text.plain.split()), default=0)
