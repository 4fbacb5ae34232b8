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
        description="An exact size in bytes, as a JSON number (GraphQL's Int stops at 2^31).",
        serialize=int,
        parse_value=int,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="A moment in UTC, ISO 8601, such as 2026-01-31T23:00:00.123456Z.",
        serialize=_moment,
        parse_value=datetime.fromisoformat,
    ),
}


_coerce_float = GraphQLFloat.coerce_output_value


def _number(value: object) -> object:
    return value if isinstance(value, VolatileNumber) else _coerce_float(value)


def keep_clocks() -> None:
    """Lets a number in a clock field reach the result marked as one: GraphQL's Float makes plain numbers of all."""
    GraphQLFloat.coerce_output_value = _number
