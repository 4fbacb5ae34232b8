"""The recordings: what a real exo answered to `GET /state`, in time order, with most of its download noise left out."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.exo.parse import read_state

_DIRECTORY = Path(__file__).parents[1] / "data" / "recordings"
NAMES = tuple(sorted(path.name.removesuffix(".json.gz") for path in _DIRECTORY.glob("*.json.gz")))

START = datetime(2026, 6, 22, 12, tzinfo=UTC)
EXO = Source("http://exo", "the-node-that-answered")


@dataclass(frozen=True, slots=True)
class Step:
    """A document, and when it was first seen: in seconds of its recording."""

    t: float
    document: dict[str, Any]


@cache
def _text(name: str) -> bytes:
    return gzip.decompress((_DIRECTORY / f"{name}.json.gz").read_bytes())


def steps(name: str) -> list[Step]:
    """A recording, decoded anew: a test may change what it gets."""
    return [Step(step["t"], step["state"]) for step in json.loads(_text(name))]


def at(t: float) -> datetime:
    """The time of the tests' clock."""
    return START + timedelta(seconds=t)


def moment(t: float) -> Moment:
    """Both of the tests' clocks."""
    return Moment(at(t), t)


def walk(name: str) -> Iterator[tuple[float, Snapshot]]:
    """The snapshots that a recording makes, one after the other, at its own times."""
    snapshot = None
    for step in steps(name):
        snapshot, _ = advance(snapshot, read_state(step.document), moment(step.t), EXO)
        assert snapshot is not None
        yield step.t, snapshot
