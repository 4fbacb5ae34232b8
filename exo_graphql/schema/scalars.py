"""The scalars that GraphQL lacks."""

from datetime import datetime
from typing import NewType

import strawberry
from graphql import GraphQLFloat
from strawberry.types.scalar import ScalarDefinition

from exo_graphql.schema.volatile import VolatileNumber, VolatileText, moment

Bytes = NewType("Bytes", int)


def _moment(value: datetime | VolatileText) -> str:
    return value if isinstance(value, VolatileText) else moment(value)


SCALARS: dict[object, ScalarDefinition] = {
    Bytes: strawberry.scalar(
        name="Bytes",
        description="Exact size in bytes, as a JSON number (GraphQL's Int ends at 2^31).",
        serialize=int,
        parse_value=int,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="Point in time in UTC, ISO 8601, for example 2026-01-31T23:00:00.123456Z.",
        serialize=_moment,
        parse_value=datetime.fromisoformat,
    ),
}


_coerce_float = GraphQLFloat.coerce_output_value


def _number(value: object) -> object:
    return value if isinstance(value, VolatileNumber) else _coerce_float(value)


def keep_clocks() -> None:
    """Keeps `VolatileNumber` through serialization: GraphQL's Float would turn it into a plain float."""
    GraphQLFloat.coerce_output_value = _number
