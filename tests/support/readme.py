"""The README as data: its fenced blocks, and the parts of it that are made from the code.

`python -m tests.support.readme [BENCHMARKS.json]` writes those parts anew: the table of settings always, the table of
measurements when it is given what `python -m tests.benchmarks` has written.
"""

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from exo_graphql.settings import Settings, group_of

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

_FENCED = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, without its indentation. `section` is the heading that it stands under."""

    language: str
    text: str
    section: str


def blocks(readme: str) -> tuple[Block, ...]:
    """All fenced blocks, in their order."""
    fenced = list(_FENCED.finditer(readme))
    headings = [
        (heading.start(), heading[1])
        for heading in _HEADING.finditer(readme)
        # A comment in a shell's block looks like a heading.
        if not any(block.start() < heading.start() < block.end() for block in fenced)
    ]
    return tuple(
        Block(
            block["language"],
            textwrap.dedent(block["text"]),
            [name for start, name in headings if start < block.start()][-1],
        )
        for block in fenced
    )


def part(readme: str, name: str) -> str:
    """What stands between `<!-- name -->` and `<!-- /name -->`, without the empty lines around it."""
    return _part(name).search(readme)[2].strip()  # type: ignore[index]  # a README without the marks is an error


def with_part(readme: str, name: str, text: str) -> str:
    """The README with another text between these marks."""
    written, count = _part(name).subn(lambda marks: f"{marks[1]}\n{text}\n{marks[3]}", readme)
    if count != 1:
        raise ValueError(f"the README has {count} parts {name}")
    return written


def _part(name: str) -> "re.Pattern[str]":
    return re.compile(rf"(<!-- {name} -->)(.*?)(<!-- /{name} -->)", re.DOTALL)


def settings_tables() -> str:
    """A table for each group of settings, folded away."""
    tables = [
        f"**{group}**\n\n" + _table(("flag", "default", "description"), [_row(name, field) for name, field in fields])
        for group, fields in groupby(Settings.model_fields.items(), lambda item: group_of(item[1]))
    ]
    summary = f"<summary>All {len(Settings.model_fields)} flags of <code>serve</code></summary>"
    return "\n\n".join(("<details>", summary, *tables, "</details>"))


def _row(name: str, field: FieldInfo) -> tuple[str, str, str]:
    flag = "--" + name.replace("_", "-")
    if field.default is True:
        flag += f"`, `--no-{flag[2:]}"
    return f"`{flag}`", _default(field), (field.description or "").replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    match field.default:
        case bool(value):
            return "on" if value else "off"
        case float(value):
            return f"{value:g}"
        case int(value):
            return str(value)
        case str(value) if value:
            return f"`{value}`"
        case _:
            return ""


def benchmarks_part(report: Mapping[str, Any]) -> str:
    """What each measurement means for an operator of a cluster, and the table folded away, with the machine.

    `report` is what the benchmarks write: `machine`, a sentence, and `rows`, each with `name`, `figure` (as measured),
    `goal`, `met` and `detail` (how it was measured).
    """
    meanings = [f"- **{row['name']}, {row['figure']}**: {MEANINGS[row['name']]}" for row in report["rows"]]
    rows = [
        (row["name"], f"**{row['figure']}**{'' if row['met'] else ' (not met)'}", row["goal"], row["detail"])
        for row in report["rows"]
    ]
    table = _table(("", "measured", "goal", "how"), rows)
    summary = "<summary>Figures, what each means, and how it was measured</summary>"
    return "\n\n".join(("<details>", summary, "\n".join(meanings), table, report["machine"], "</details>"))


MEANINGS = {
    "repeated query": "a query that many dashboards repeat, against exo PR #1727's summary. Its result is sent from "
    "memory until the cluster changes.",
    "fresh results": "the same query when its variables differ each time; its parts are sent from memory.",
    "unseen documents": "the same when its text is new to the server, and has to be parsed and validated first. "
    "Programs that put what differs into variables have that once.",
    "unseen documents of clients": "the same for texts with variables, fragments, conditions and `__typename`, as "
    "Apollo, urql or Relay send them.",
    "fresh results, by hand": "the same against a route written by hand for this one answer: the price of choosing the "
    "fields.",
    "small question": "an agent that only asks whether a model is ready, against a route that returns a constant.",
    "fan-out": "the time until the last of a thousand open dashboards has a change (99 of 100 changes), and the CPU "
    "time of one message.",
    "watchers of 100 texts": "the same for the last of 10,000 open dashboards with 100 different queries, and the "
    "server's memory.",
    "distinct live queries": "the same where each of the 10,000 follows something else.",
    "push": "how soon a script learns that its model is ready, half of the time: with 3 nodes, and with 15, or 3 that "
    "have run for hours. One that polls every 5 s learns it after 2.5 s on average. What that costs is exo's time, "
    "which is bounded; the number of reads is not.",
    "upstream": "how often exo is read for 500 clients, against one of its own dashboards. More clients do not slow "
    "down inference.",
    "ingest at rest": "a read of exo's state while only time stamps change, against decoding its JSON alone.",
    "ingest, telemetry": "the same while every node reports new memory, GPU and temperature figures.",
    "ingest, downloads": "the same while every fourth node downloads as well.",
    "ingest, held up": "how long reading the state of a very large cluster delays all other requests at most: the "
    "first time, and later.",
    "bystander": "how long a small query takes (99 of 100) while the state of 32 nodes is read once a second.",
    "history, memory": "what 30 days of figures of 32 nodes take.",
    "history, cost": "what sampling them every 5 seconds takes.",
    "idle": "memory on a machine that may also run exo, alone and with 1,000 subscribers, and the time from the start "
    "to the first answer.",
}
"""What each row of the benchmarks means for an operator of a cluster."""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines).replace("|  |", "| |")


def main(arguments: Sequence[str]) -> None:
    """Writes the made parts of the README anew."""
    readme = with_part(README.read_text(encoding="utf-8"), "settings", settings_tables())
    for path in arguments:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
        readme = with_part(readme, "benchmarks", benchmarks_part(report))
    README.write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
