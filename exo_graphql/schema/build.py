"""The schema, put together."""

import strawberry
from graphql import GraphQLSchema, lexicographic_sort_schema, print_schema
from graphql import build_schema as parse_schema
from strawberry.schema.config import StrawberryConfig

from exo_graphql.schema import problem
from exo_graphql.schema.mutation import Mutation
from exo_graphql.schema.query import Query
from exo_graphql.schema.scalars import SCALARS
from exo_graphql.schema.subscription import Subscription


def build_schema(*, read_only: bool = False) -> GraphQLSchema:
    """The executable schema; with `read_only` without anything that changes the cluster."""
    schema = strawberry.Schema(
        query=Query,
        mutation=None if read_only else Mutation,
        subscription=Subscription,
        types=problem.ERROR_TYPES,
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    return schema._schema  # noqa: SLF001  # Strawberry's public face hides the GraphQLSchema that it made


def print_sorted(schema: GraphQLSchema) -> str:
    """The schema's text, sorted, so that a difference is a difference."""
    # Sorting makes new types, which would lose how Strawberry's enums write their defaults: text has none to lose.
    plain = parse_schema(print_schema(schema))
    return print_schema(lexicographic_sort_schema(plain)) + "\n"
