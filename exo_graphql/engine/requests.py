"""A GraphQL request, the same for every transport."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from exo_graphql.trimmed import trimmed

# The byte order mark that some programs write before UTF-8. RFC 8259, section 8.1 allows skipping it.
BOM = b"\xef\xbb\xbf"


class BadRequest(Exception):
    """The request is malformed. `status` is HTTP's; `message` is fit for the caller."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """What the specification of GraphQL over HTTP calls the request parameters."""

    query: str | None
    """The text; None in a request that names it by `document_id` or `sha256`, until `PersistedDocuments.resolve`."""
    operation_name: str | None = None
    variables: Mapping[str, Any] | None = None
    document_id: str | None = None
    """The id of a persisted document."""
    sha256: str | None = None
    """The hash of Apollo's automatic persisted queries; with a `query`, it is to be registered."""
    own: bool = False
    """Whether the text is this server's own, and no client's."""

    @property
    def key(self) -> tuple[str | None, str | None, bytes]:
        """Equal for equal requests; variables as sorted JSON."""
        if not self.variables:
            return self.query, self.operation_name, b""
        return self.query, self.operation_name, trimmed(orjson.dumps(self.variables, option=orjson.OPT_SORT_KEYS))


def parse_request(raw: object, document_id: str | None = None) -> GraphQLRequest:
    """Reads the parameters from decoded JSON; `document_id` is the one in the URL. Raises `BadRequest`."""
    if isinstance(raw, list):
        raise BadRequest("Batched requests are not supported; send one request at a time.")
    if not isinstance(raw, dict):
        raise BadRequest("The request must be a JSON object.")
    query, extensions = raw.get("query"), raw.get("extensions")
    document_id = _document_id(raw, document_id)
    sha256 = _sha256(extensions) if isinstance(extensions, dict) else None
    if document_id is not None and (query is not None or sha256 is not None):
        raise BadRequest("The request names a persisted document, and must have no 'query' and no hash besides.")
    if not isinstance(query, str) and (query is not None or (document_id is None and sha256 is None)):
        raise BadRequest("The request must have a string 'query'.")
    name = raw.get("operationName")
    if name is not None and not isinstance(name, str):
        raise BadRequest("'operationName' must be a string.")
    variables = raw.get("variables")
    if variables is not None and not isinstance(variables, dict):
        raise BadRequest("'variables' must be an object.")
    if extensions is not None and not isinstance(extensions, dict):
        raise BadRequest("'extensions' must be an object.")
    return GraphQLRequest(query, name or None, variables, document_id, sha256)


def _document_id(raw: Mapping[str, Any], in_url: str | None) -> str | None:
    given = raw.get("documentId")
    if given is None:
        return in_url
    if not isinstance(given, str):
        raise BadRequest("'documentId' must be a string.")
    if in_url is not None and given != in_url:
        raise BadRequest("'documentId' names another document than the URL.")
    return given


def _sha256(extensions: Mapping[str, Any]) -> str | None:
    persisted = extensions.get("persistedQuery")
    if not isinstance(persisted, dict):
        return None
    sha256 = persisted.get("sha256Hash")
    if persisted.get("version", 1) != 1 or not isinstance(sha256, str):
        raise BadRequest("'persistedQuery' must have the version 1 and a string 'sha256Hash'.")
    return sha256.lower()


def parse_body(body: bytes, document_id: str | None = None) -> GraphQLRequest:
    """Reads the parameters from a JSON body. Raises what `parse_request` raises."""
    try:
        raw = orjson.loads(body.removeprefix(BOM))
    except orjson.JSONDecodeError as error:
        raise BadRequest("The body is not JSON.") from error
    return parse_request(raw, document_id)
