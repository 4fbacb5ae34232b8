"""What a caller may see of an error. Internals stay in the log, under an id that the caller is told."""

import logging
import secrets
from collections.abc import Sequence

from graphql import GraphQLError

logger = logging.getLogger("exo_graphql")


def public_errors(errors: Sequence[GraphQLError]) -> list[dict[str, object]]:
    """The errors in the response's format.

    What GraphQL itself raises, and what names itself by `extensions.code`, is told as it is; anything else is a fault
    of ours, logged whole and told as `INTERNAL_ERROR` with the id to look for.
    """
    return [dict((error if _is_public(error) else _hidden(error)).formatted) for error in errors]


def _is_public(error: GraphQLError) -> bool:
    return error.original_error is None or isinstance(error.original_error, GraphQLError)


def _hidden(error: GraphQLError) -> GraphQLError:
    error_id = secrets.token_hex(6)
    logger.error("internal error %s at %s", error_id, error.path, exc_info=error.original_error)
    return GraphQLError(
        "Something went wrong in the server.",
        nodes=error.nodes,
        path=error.path,
        extensions={
            "code": "INTERNAL_ERROR",
            "errorId": error_id,
            "suggestion": "Look for the errorId in the server's log.",
        },
    )
