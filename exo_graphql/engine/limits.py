"""What one client may ask at once, so that it cannot hurt others. Each limit is a setting of the same name."""

from dataclasses import dataclass

from exo_graphql.schema.errors import NamedError


class LimitExceeded(NamedError):
    """A request goes beyond a limit: `extensions` hold its name, the value allowed and, where known, the actual."""

    def __init__(self, limit: str, value: float, asked: str, suggestion: str, *, actual: float | None = None) -> None:
        """`asked` completes "The request has …"; `limit` is the setting's name."""
        super().__init__(
            "LIMIT_EXCEEDED",
            f"The request has {asked}; {value:,.15g} are allowed (the limit {limit}).",
            suggestion,
            limit=limit,
            value=value,
            **({} if actual is None else {"actual": actual}),
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a document, of its variables, and of what it asks for. Counts, unless a name says otherwise."""

    max_document_characters: int = 100_000
    max_tokens: int = 10_000
    max_depth: int = 25
    """Selection sets within one another, those of fragments included."""
    max_fields: int = 5_000
    """Fields after the fragments have been expanded."""
    max_pairs: int = 2_000
    """Pairs of fields, or of fragments, at one place of the response. Validation compares each."""
    max_aliases: int = 500
    max_directives: int = 100
    max_definitions: int = 100
    max_list_items: int = 500
    max_variables_bytes: int = 100_000
    max_errors: int = 20
    """Validation errors that are told; looking for what was meant instead costs time for each."""
    max_wishes: int = 20
    """Fields of one request that ask exo itself: mutations and placements."""
    max_cost: int = 400_000
    """Of one operation, as estimated before it is executed; see `cost`."""
    max_wish_cost: int = 5_000
    """Of one with fields that ask exo: these cannot give way to others."""
    max_live_cost: int = 2_000_000
    """Of all live queries together, those that are shared counted once."""
