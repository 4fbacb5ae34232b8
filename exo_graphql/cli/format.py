"""Formats figures, times and names. What is unknown is a dash, never 0."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

UNKNOWN = "-"
# 8 random hexadecimal digits have 4 billion values: enough to distinguish the 1,000 operations that are listed.
SHORT_ID = 8


def number(value: float | None, unit: str = "", digits: int = 0) -> str:
    """A figure with its unit."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}{unit}"


def percent(value: float | None) -> str:
    """A share, given as 0 to 100."""
    return number(value, " %")


def part(done: float | None, whole: float | None) -> str:
    """A part of a whole, in GiB: 1.5 / 4.0 GiB; only the part where the whole is unknown."""
    if whole is None:
        return number(done, " GiB", 1)
    return f"{number(done, digits=1)} / {number(whole, ' GiB', 1)}"


def duration(seconds: float | None) -> str:
    """Seconds as a duration: 42 s, 3 min 20 s, 1 h 5 min."""
    if seconds is None:
        return UNKNOWN
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def age(moment: str | None, now: datetime | None = None) -> str:
    """How long ago a time of the API (ISO 8601) was: 12s, 3m, 5h, 2d."""
    if moment is None:
        return UNKNOWN
    passed = ((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds()
    seconds = max(0, int(passed))  # the server's clock may be ahead of ours
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def ago(moment: str | None) -> str:
    """The same in a sentence: 3m ago."""
    return UNKNOWN if moment is None else f"{age(moment)} ago"


def when(moment: str | None, now: datetime | None = None) -> str:
    """A time of the API as local time: Thu 26 Nov 23:00; with its year if that is another one."""
    if moment is None:
        return UNKNOWN
    local = datetime.fromisoformat(moment).astimezone()
    this_year = local.year == (now or datetime.now(UTC)).astimezone().year
    return f"{local:%a} {local.day} {local:%b}{'' if this_year else f' {local.year}'} {local:%H:%M}"


def short(id_: str, *, wide: bool) -> str:
    """The beginning of an id, which commands accept in place of the whole; with `wide` the whole."""
    return id_ if wide else id_[:SHORT_ID]


def count(amount: int, noun: str) -> str:
    """An amount of things: 1 node, 2 nodes."""
    return f"{amount} {noun}{'' if amount == 1 else 's'}"


def label(node: Mapping[str, Any] | None) -> str:
    """The name of a node: its friendly name, or its id."""
    return UNKNOWN if node is None else str(node.get("friendlyName") or node["id"])


def labels(nodes: Iterable[Mapping[str, Any]]) -> str:
    """The names of several nodes."""
    return ", ".join(label(node) for node in nodes) or UNKNOWN


def names(models: Iterable[Mapping[str, Any]]) -> str:
    """Several models by their short names."""
    return ", ".join(model["name"] for model in models) or UNKNOWN
