"""A GraphQL request, the same for every transport."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from exo_graphql.schema.errors import NamedError

# The byte order mark that some programs write before UTF-8. RFC 8259, section 8.1 allows skipping it.
_BOM = b"\xef\xbb\xbf"


class BadRequest(Exception):
    """The request is malformed. `status` is HTTP's; `message` is fit for the caller."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class PersistedQueryNotSupported(NamedError):
    """The request holds a hash instead of a query. Clients know this message and code, and send the query then."""

    def __init__(self) -> None:
        super().__init__(
            "PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported", "Send the query itself, without its hash."
        )


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """What the specification of GraphQL over HTTP calls the request parameters."""

    query: str
    operation_name: str | None = None
    variables: Mapping[str, Any] | None = None

    @property
    def key(self) -> tuple[str, str | None, bytes]:
        """Equal for equal requests; variables as sorted JSON."""
        variables = b"" if not self.variables else orjson.dumps(self.variables, option=orjson.OPT_SORT_KEYS)
        return self.query, self.operation_name, variables


def parse_request(raw: object) -> GraphQLRequest:
    """Reads the parameters from decoded JSON. Raises `BadRequest` or `PersistedQueryNotSupported`."""
    if isinstance(raw, list):
        raise BadRequest("Batched requests are not supported; send one request at a time.")
    if not isinstance(raw, dict):
        raise BadRequest("The request must be a JSON object.")
    query, extensions = raw.get("query"), raw.get("extensions")
    if query is None and isinstance(extensions, dict) and isinstance(extensions.get("persistedQuery"), dict):
        raise PersistedQueryNotSupported
    if not isinstance(query, str):
        raise BadRequest("The request must have a string 'query'.")
    name = raw.get("operationName")
    if name is not None and not isinstance(name, str):
        raise BadRequest("'operationName' must be a string.")
    variables = raw.get("variables")
    if variables is not None and not isinstance(variables, dict):
        raise BadRequest("'variables' must be an object.")
    if extensions is not None and not isinstance(extensions, dict):
        raise BadRequest("'extensions' must be an object.")
    return GraphQLRequest(query, name or None, variables)


def parse_body(body: bytes) -> GraphQLRequest:
    """Reads the parameters from a JSON body. Raises what `parse_request` raises."""
    try:
        raw = orjson.loads(body.removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        raise BadRequest("The body is not JSON.") from error
    return parse_request(raw)
