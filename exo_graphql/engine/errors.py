"""What callers see of an error: always a code. Internals stay in the log, under an id that the caller gets too."""

import logging
import secrets
from collections.abc import Collection, Iterable
from enum import StrEnum, unique
from typing import Any

from graphql import GraphQLError, Node

logger = logging.getLogger("exo_graphql")


@unique
class Code(StrEnum):
    """`extensions.code` of errors that GraphQL itself raises. Other errors have their own (`NamedError`)."""

    PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    OPERATION_UNKNOWN = "OPERATION_RESOLUTION_FAILURE"
    """The document has no operation, several, or none of that name."""
    BAD_USER_INPUT = "BAD_USER_INPUT"
    """A variable or argument whose value does not fit its type."""
    INTERNAL = "INTERNAL_ERROR"


def public_errors(errors: Iterable[GraphQLError], code: Code) -> list[dict[str, Any]]:
    """The errors in the response's format; `code` is that of errors that have none.

    Errors that GraphQL itself raises stay as they are. Any other is a fault of ours: it is logged whole, and becomes
    `INTERNAL_ERROR` with the id of its log entry.
    """
    return [_formatted(_hidden(error) if _is_fault(error) else error, code) for error in errors]


def _formatted(error: GraphQLError, code: Code) -> dict[str, Any]:
    formatted: dict[str, Any] = dict(error.formatted)
    formatted["extensions"] = {"code": code.value, **(error.extensions or {})}
    return formatted


def _is_fault(error: GraphQLError) -> bool:
    original = error.original_error
    if original is None or (error.extensions and "code" in error.extensions):
        return False
    # A scalar raises a GraphQLError both for a value of ours that it cannot write and for an argument that it rejects;
    # the latter has nodes, the place in the caller's text.
    return not isinstance(original, GraphQLError) or (error.path is not None and not original.nodes)


def _hidden(error: GraphQLError) -> GraphQLError:
    error_id = new_error_id()
    logger.error("internal error %s at %s", error_id, error.path, exc_info=error.original_error)
    return internal_error(error_id, error.nodes, error.path)


def new_error_id() -> str:
    """An id for a fault, for the log and for the caller."""
    return secrets.token_hex(6)


def internal_error(
    error_id: str, nodes: Collection[Node] | None = None, path: Collection[str | int] | None = None
) -> GraphQLError:
    """What the caller sees of a fault that is logged under `error_id`."""
    return GraphQLError(
        "Something went wrong in the server.",
        nodes=nodes,
        path=path,
        extensions={
            "code": Code.INTERNAL.value,
            "errorId": error_id,
            "suggestion": "Search the server's log for the errorId.",
        },
    )
