"""What one client may ask for at once, so that it cannot slow down others. Two of the limits are settings."""

from dataclasses import dataclass

from exo_graphql.schema.errors import NamedError


class LimitExceeded(NamedError):
    """A request exceeds a limit: `extensions` hold its name, the value allowed and, where known, the actual value."""

    def __init__(self, limit: str, value: float, found: str, suggestion: str, *, actual: float | None = None) -> None:
        """`found` completes "The request has …"; `limit` is the limit's name."""
        super().__init__(
            "LIMIT_EXCEEDED",
            f"The request has {found}; {value:,.15g} are allowed (the limit {limit}).",
            suggestion,
            limit=limit,
            value=value,
            **({} if actual is None else {"actual": actual}),
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a document, of its variables, and of what it asks for. Counts, unless a name says otherwise.

    For comparison: GraphiQL's introspection query, the longest document in common use, has 1,600 characters, 180 tokens
    and 18 levels.
    """

    max_document_characters: int = 100_000
    """60 times the introspection query."""
    max_tokens: int = 10_000
    """50 times the introspection query; comments are counted too."""
    max_depth: int = 25
    """Nested selection sets, those of fragments included; nested lists in variables, too. Each further level of
    `models { nodes { … } }` multiplies the answer."""
    max_fields: int = 5_000
    """Fields after the fragments have been expanded: a few fragments that spread one another double at each level."""
    max_pairs: int = 2_000
    """Pairs of fields, or of fragments, at one place of the response. Validation compares each with each: 63 times the
    same field are 1,953 pairs."""
    max_aliases: int = 500
    """A query for each of 32 nodes, with a dozen aliases each, fits. An alias repeats work under another name."""
    max_directives: int = 100
    """Every `@include` with another variable doubles the forms of an operation that could be compiled."""
    max_definitions: int = 100
    """Operations and fragments. A client that sends all of its own in one document has some dozens."""
    max_list_items: int = 500
    """Of one list in arguments or variables. The longest useful one names each node of a cluster."""
    max_variables_bytes: int = 100_000
    """About as many as the document may have characters."""
    max_errors: int = 20
    """Validation errors that are reported. Each may search the schema for similar names, which takes time."""
    max_mutations: int = 20
    """Fields of one request that call exo: mutations and placements."""
    max_cost: int = 400_000
    """Of one operation, as estimated before it is executed; see `cost`."""
    max_mutation_cost: int = 5_000
    """Of an operation that calls exo: it is executed on the event loop, in one go."""
    max_calendar_cost: int = 40_000
    """Of an operation with a calendar: its result, too, is completed on the event loop. All changes with names cost
    20,000 at most, for any number of deployments; `deployments`, which each entry repeats, 40,000 for 40 of them."""
    max_live_cost: int = 2_000_000
    """Of all live queries together, shared ones counted once."""


DEFAULT_LIMITS = Limits()
