"""A stored interval: as JSON and back."""

import logging
from typing import Annotated

import orjson
from annotated_types import Len
from pydantic import TypeAdapter, ValidationError

from exo_graphql.series.quantities import QUANTITIES, Values
from exo_graphql.series.samples import Sample
from exo_graphql.storage import Entry

log = logging.getLogger(__name__)

_Values = Annotated[list[float | None], Len(len(QUANTITIES), len(QUANTITIES))]
_Row = tuple[_Values, list[tuple[str, str | None, _Values]]]


def encode(number: int, cluster: Values, nodes: list[Sample]) -> Entry:
    """The values of the cluster, then id, name and values of each node. The number is the entry's id too."""
    row = cluster, [(sample.node_id, sample.name, sample.values) for sample in nodes]
    return Entry(number, str(number), active=False, record=orjson.dumps(row))


def decode(entry: Entry) -> tuple[Values, list[Sample]] | None:
    """The values; None where this version cannot read them, such as those of other quantities."""
    try:
        cluster, nodes = _ROW.validate_json(entry.record)
    except ValidationError:
        log.warning("A stored interval of the history (%s) cannot be read; it is left out.", entry.id)
        return None
    return cluster, [Sample(*node) for node in nodes]


_ROW: TypeAdapter[_Row] = TypeAdapter(_Row)
