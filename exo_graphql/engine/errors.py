"""What a caller may see of an error: always a code; internals stay in the log, under an id that the caller is told."""

import logging
import secrets
from collections.abc import Collection, Iterable
from enum import StrEnum, unique
from typing import Any

from graphql import GraphQLError, Node

logger = logging.getLogger("exo_graphql")


@unique
class Code(StrEnum):
    """`extensions.code` of what GraphQL itself refuses. Other errors name themselves (`NamedError`)."""

    PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    OPERATION_UNKNOWN = "OPERATION_RESOLUTION_FAILURE"
    """Which of the document's operations is meant cannot be told."""
    BAD_USER_INPUT = "BAD_USER_INPUT"
    """A variable or argument whose value does not fit its type."""
    INTERNAL = "INTERNAL_ERROR"


def public_errors(errors: Iterable[GraphQLError], code: Code) -> list[dict[str, Any]]:
    """The errors in the response's format; `code` is that of those which do not name themselves.

    What GraphQL itself refuses is told as it is; anything else is a fault of ours, logged whole and told as
    `INTERNAL_ERROR` with the id to look for.
    """
    return [_formatted(_hidden(error) if _is_fault(error) else error, code) for error in errors]


def _formatted(error: GraphQLError, code: Code) -> dict[str, Any]:
    told: dict[str, Any] = dict(error.formatted)
    told["extensions"] = {"code": code.value, **(error.extensions or {})}
    return told


def _is_fault(error: GraphQLError) -> bool:
    original = error.original_error
    if original is None or (error.extensions and "code" in error.extensions):
        return False
    # A value of ours that its scalar cannot write raises a GraphQLError too; one that refuses a caller's names the
    # place in the caller's text.
    return not isinstance(original, GraphQLError) or (error.path is not None and not original.nodes)


def _hidden(error: GraphQLError) -> GraphQLError:
    error_id = new_error_id()
    logger.error("internal error %s at %s", error_id, error.path, exc_info=error.original_error)
    return internal_error(error_id, error.nodes, error.path)


def new_error_id() -> str:
    """What a fault is called in the log and to the caller."""
    return secrets.token_hex(6)


def internal_error(
    error_id: str, nodes: Collection[Node] | None = None, path: Collection[str | int] | None = None
) -> GraphQLError:
    """What a caller is told of a fault that is in the log under `error_id`."""
    return GraphQLError(
        "Something went wrong in the server.",
        nodes=nodes,
        path=path,
        extensions={
            "code": Code.INTERNAL.value,
            "errorId": error_id,
            "suggestion": "Look for the errorId in the server's log.",
        },
    )
