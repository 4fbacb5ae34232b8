"""States that were once read wrongly: bodies of `GET /state`, from public bug reports and from live clusters."""

import gzip
import json
from pathlib import Path

from exo_graphql.cluster.snapshot import Snapshot
from tests.support.documents import Json, snapshot_of

_DIRECTORY = Path(__file__).parents[1] / "data" / "cases"


def case(name: str) -> Json:
    """The document, decoded anew: a test may change what it gets."""
    document: Json = json.loads(gzip.decompress((_DIRECTORY / f"{name}.json.gz").read_bytes()))
    return document


def seen(name: str) -> Snapshot:
    """The first snapshot that the document makes."""
    return snapshot_of(case(name))
