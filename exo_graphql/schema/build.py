"""The executable schema, and its text."""

from dataclasses import replace
from functools import cache

import strawberry
from graphql import (
    GraphQLObjectType,
    GraphQLSchema,
    Node,
    Undefined,
    Visitor,
    lexicographic_sort_schema,
    parse,
    print_ast,
    print_schema,
    visit,
)
from graphql import build_schema as parse_schema
from strawberry.schema.config import StrawberryConfig

from exo_graphql.schema import operation_error as error
from exo_graphql.schema.mutation import Mutation
from exo_graphql.schema.query import Query
from exo_graphql.schema.scalars import SCALARS, keep_clocks
from exo_graphql.schema.subscription import Subscription


@cache  # nothing changes a schema once it is made
def build_schema(*, read_only: bool = False) -> GraphQLSchema:
    """The executable schema; with `read_only` without mutations."""
    keep_clocks()
    strawberry_schema = strawberry.Schema(
        query=Query,
        mutation=None if read_only else Mutation,
        subscription=Subscription,
        types=error.ERROR_TYPES,
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    schema = strawberry_schema._schema  # noqa: SLF001  # its public API hides the GraphQLSchema that it made
    _forget_null_defaults(schema)
    return schema


def _forget_null_defaults(schema: GraphQLSchema) -> None:
    """Removes `= null` from optional arguments: Strawberry takes Python's None for a GraphQL default."""
    for type_ in schema.type_map.values():
        for field in type_.fields.values() if isinstance(type_, GraphQLObjectType) else ():
            for argument in field.args.values():
                if argument.default_value is None:
                    argument.default_value = Undefined


def print_sorted(schema: GraphQLSchema) -> str:
    """The schema's text, sorted, so that two versions can be compared line by line."""
    # Sorted is the parsed text, not the schema itself: sorting copies types, and the copies of Strawberry's enums could
    # not print default values such as `until: ModelStatusUntil = NEVER`.
    plain = parse_schema(print_schema(schema))
    return print_schema(lexicographic_sort_schema(plain)) + "\n"


def print_compact(schema: GraphQLSchema) -> str:
    """The schema's text, sorted, without descriptions: a third as long."""
    document = parse(print_sorted(schema), no_location=True)
    return print_ast(visit(document, _Undescribed())) + "\n"


class _Undescribed(Visitor):
    def enter(self, node: Node, *_: object) -> Node | None:
        """The node without its description; None leaves it as it is."""
        described = getattr(node, "description", None) is not None
        return replace(node, description=None) if described else None  # type: ignore[call-arg]  # such a node has it
