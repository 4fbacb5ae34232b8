"""A figure, its goal, and the table of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `raw` is for the JSON."""

    name: str
    figure: str
    goal: str
    met: bool
    detail: str
    raw: dict[str, Any] = field(default_factory=dict)


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    cells = [("", "measured", "goal", "met", "how")]
    cells += [(row.name, row.figure, row.goal, "yes" if row.met else "NO", row.detail) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    cells.insert(1, ("-" * widths[0], "-" * widths[1], "-" * widths[2], "-" * widths[3], "-" * widths[4]))
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    )
