"""Errors before anything is executed: with which status and headers HTTP reports them."""

from graphql import GraphQLError

from exo_graphql.engine.requests import BadRequest
from exo_graphql.transports.auth import TooManyFailures, Unauthorized

Refused = BadRequest | Unauthorized | TooManyFailures
"""What `refusal_of` reports."""

Headers = list[tuple[bytes, bytes]]


def refusal_of(error: Refused, allow: bytes) -> tuple[int, GraphQLError, Headers]:
    """The status, the error for the body, and further headers. `allow`: the methods to name where it was the method."""
    if isinstance(error, Unauthorized):
        return 401, error, [(b"www-authenticate", b"Bearer")]
    if isinstance(error, TooManyFailures):
        return 429, error, [(b"retry-after", str(error.retry_after).encode())]
    reported = GraphQLError(error.message, extensions={"code": "BAD_REQUEST"})
    if error.status == 408:
        return error.status, reported, [(b"connection", b"close")]  # its body is not waited for any longer
    return error.status, reported, [(b"allow", allow)] if error.status == 405 else []
