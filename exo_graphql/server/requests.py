"""A GraphQL request as it arrives, whatever carried it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson


class BadRequest(Exception):
    """The request is malformed. `status` is HTTP's; `message` is fit for the caller."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """What the specification of GraphQL over HTTP calls the request parameters."""

    query: str
    operation_name: str | None = None
    variables: Mapping[str, Any] | None = None

    @property
    def key(self) -> tuple[str, str | None, bytes]:
        """Equal for requests that mean the same; variables by their sorted JSON."""
        variables = b"" if not self.variables else orjson.dumps(self.variables, option=orjson.OPT_SORT_KEYS)
        return self.query, self.operation_name, variables


def parse_request(raw: object) -> GraphQLRequest:
    """Reads the parameters from decoded JSON. Raises `BadRequest` for what is none."""
    if isinstance(raw, list):
        raise BadRequest("Batched requests are not supported; send one request at a time.")
    if not isinstance(raw, dict):
        raise BadRequest("The request must be a JSON object.")
    query = raw.get("query")
    if not isinstance(query, str):
        raise BadRequest("The request must have a string 'query'.")
    name = raw.get("operationName")
    if name is not None and not isinstance(name, str):
        raise BadRequest("'operationName' must be a string.")
    variables = raw.get("variables")
    if variables is not None and not isinstance(variables, dict):
        raise BadRequest("'variables' must be an object.")
    extensions = raw.get("extensions")
    if extensions is not None and not isinstance(extensions, dict):
        raise BadRequest("'extensions' must be an object.")
    return GraphQLRequest(query, name or None, variables)


def parse_body(body: bytes) -> GraphQLRequest:
    """Reads the parameters from a JSON body."""
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest("The body is not JSON.") from error
    return parse_request(raw)
