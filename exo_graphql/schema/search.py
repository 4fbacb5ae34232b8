"""The type `SchemaMatch`, and how the schema is searched."""

from collections.abc import Awaitable
from functools import partial
from typing import Annotated

import strawberry
from strawberry import argument

from exo_graphql.schema.context import Info
from exo_graphql.schema.errors import IntrospectionDisabledError, NamedError
from exo_graphql.schema.fields import field
from exo_graphql.schema.schema_index import Match, SchemaIndex

# Matches of one answer. The best ten hold what a question asks for, if anything does.
MAX_MATCHES = 50
# Characters of a query.
MAX_QUERY = 1_000


@strawberry.type(description="A part of this schema that matches a search.")
class SchemaMatch:
    """`schema_index.Match`."""

    coordinate: str = field(
        description="Its schema coordinate, for example Node.models, Query.placements(model:) or Phase.READY."
    )
    definition: str = field(description="As in the schema's text, without descriptions, for example models: [Model!]!.")
    description: str = field(description="What it is, its unit, and what null means.")
    score: float = field(description="How well it matches, 0 to 1.")
    paths_from_root: list[list[str]] = field(
        description="The shortest ways to it, each the coordinates of the fields to select, outermost first: "
        "[Query.nodes, Node.temperatureC] is { nodes { temperatureC } }. A type's name among them is a fragment."
    )


def resolve_search(
    info: Info,
    query: Annotated[str, argument(description="What is looked for, in words or as a name: free memory, swapModels.")],
    first: Annotated[int | None, argument(description=f"How many, 1 to {MAX_MATCHES}.")] = 10,
) -> tuple[Match, ...] | Awaitable[tuple[Match, ...]]:
    """The best matches, best first. Only the first search waits, for the index, which is made on a thread."""
    index, count = info.context.schema_index, 10 if first is None else first
    if index is None:
        raise IntrospectionDisabledError
    if not 1 <= count <= MAX_MATCHES:
        raise NamedError("INVALID_ARGUMENT", f"{count} matches cannot be listed.", f"Request 1 to {MAX_MATCHES}.")
    if len(query) > MAX_QUERY:
        raise NamedError(
            "INVALID_ARGUMENT",
            f"The query has {len(query)} characters.",
            f"Search with a few words, {MAX_QUERY} characters at most.",
        )
    return index.search(query, count) if index.is_built else _built(info, index, query, count)


async def _built(info: Info, index: SchemaIndex, query: str, count: int) -> tuple[Match, ...]:
    return await info.context.offload(partial(index.search, query, count))
