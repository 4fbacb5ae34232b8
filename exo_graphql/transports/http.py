"""The endpoint `/graphql` for HTTP: it reads a request and chooses the handler that answers it.

`/graphql/ID` is the same for the persisted document of that id: such a request needs no query.

`JsonHandler` answers by one response, `EventStreamHandler` by a stream, and a browser without a query gets GraphiQL.
"""

import asyncio
from functools import lru_cache
from urllib.parse import parse_qs

import orjson
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from exo_graphql.engine.prepared import Prepared
from exo_graphql.engine.requests import (
    BadRequest,
    GraphQLRequest,
    parse_body,
    parse_request,
)
from exo_graphql.engine.rights import Caller
from exo_graphql.engine.service import Service
from exo_graphql.transports.asgi import Disconnected, address_of, has_last_slash, read_body
from exo_graphql.transports.auth import Access, TooManyFailures, Unauthorized
from exo_graphql.transports.compression import Compressor
from exo_graphql.transports.content_types import (
    EVENT_STREAM,
    HTML,
    JSON,
    accepted,
    answer_type,
    check_encoding,
    is_streamed,
)
from exo_graphql.transports.exchange import Exchange
from exo_graphql.transports.json_handler import JsonHandler
from exo_graphql.transports.rules import DEFAULT_TRANSPORT_RULES, TransportRules
from exo_graphql.transports.sse import EventStreamHandler
from exo_graphql.transports.stored import StoredAnswers
from exo_graphql.web import graphiql_page

ENDPOINT = "/graphql"
# Parameters of one URL: GraphQL has five.
_MAX_PARAMETERS = 20


class HttpEndpoint:
    """The endpoint `/graphql` for HTTP."""

    def __init__(
        self,
        service: Service,
        stored: StoredAnswers,
        access: Access,
        compressor: Compressor,
        *,
        max_body_bytes: int,
        leaving: asyncio.Event,
        rules: TransportRules = DEFAULT_TRANSPORT_RULES,
    ) -> None:
        """`leaving` is set when the server shuts down."""
        self._service = service
        self._access = access
        self._max_body_bytes = max_body_bytes
        self._body_timeout = rules.body_timeout
        self._stored = stored
        self._json = JsonHandler(service, compressor)
        self._events = EventStreamHandler(service, rules, leaving)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        exchange = Exchange.of(scope, receive, send)
        try:
            if exchange.method == "POST":
                await self._post(exchange)
            else:
                await self._get(exchange)
        except (BadRequest, Unauthorized, TooManyFailures) as error:
            await self._json.refuse(exchange, error)
        except Disconnected:
            return

    async def _post(self, exchange: Exchange) -> None:
        if not _is_json(exchange.headers.get(b"content-type", b"")):
            raise BadRequest("The content type must be application/json.", 415)
        check_encoding(exchange.headers)
        kind = answer_type(exchange.accept)
        caller = self._caller(exchange)
        body = await read_body(exchange.scope, exchange.receive, self._max_body_bytes, self._body_timeout)
        document_id = _document_id(exchange)
        # The answer depends on these alone, so the same bytes are answered without being parsed.
        key = (caller.rights, body) if document_id is None else (caller.rights, body, document_id)
        snapshot: object = None
        if kind != EVENT_STREAM:
            snapshot, stored = await self._stored.get(key)
            if stored is not None:
                await self._json.send_stored(exchange, kind, stored)
                return
        prepared = await self._service.prepare(parse_body(body, document_id))
        if is_streamed(prepared, kind, exchange.accept):
            await self._events.answer(exchange, prepared, caller)
            return
        reply = await self._json.execute(prepared, caller, refreshed=snapshot is not None)
        self._stored.put(snapshot, key, len(body), reply)
        await self._json.send(exchange, kind, reply)

    async def _get(self, exchange: Exchange) -> None:
        if exchange.method not in ("GET", "HEAD"):
            raise BadRequest("Use GET, HEAD or POST.", 405)
        scope = exchange.scope
        query_string: bytes = scope["query_string"]
        parameters, document_id = _parameters(query_string), _document_id(exchange)
        names_document = document_id is not None or not _DOCUMENT_PARAMETERS.isdisjoint(parameters)
        if not names_document and accepted(exchange.accept, (JSON, HTML, EVENT_STREAM)) == HTML:
            # The page's links are relative: below `/graphql/` they would lead one level too deep.
            page: Response = RedirectResponse("../graphql") if has_last_slash(scope) else graphiql_page()
            await page(scope, exchange.receive, exchange.send)
            return
        kind = answer_type(exchange.accept)
        caller = self._caller(exchange)
        key = caller.rights, document_id, query_string, "GET"
        snapshot: object = None
        if kind != EVENT_STREAM:
            snapshot, stored = await self._stored.get(key)
            if stored is not None:
                await self._json.send_stored(exchange, kind, stored, self._stored.etag(snapshot, key))
                return
        prepared = await self._service.prepare(_request(parameters, document_id))
        if isinstance(prepared, Prepared) and prepared.is_mutation:
            raise BadRequest("A mutation must be sent by POST.", 405)
        if is_streamed(prepared, kind, exchange.accept):
            await self._events.answer(exchange, prepared, caller)
            return
        reply = await self._json.execute(prepared, caller, refreshed=snapshot is not None)
        self._stored.put(snapshot, key, len(query_string), reply)
        await self._json.send(exchange, kind, reply, self._stored.put_etag(snapshot, key, reply))

    def _caller(self, exchange: Exchange) -> Caller:
        header = exchange.headers.get(b"authorization")
        authorization = None if header is None else header.decode("latin-1")
        return self._access.caller(authorization, address_of(exchange.scope))


@lru_cache(maxsize=64)
def _is_json(content_type: bytes) -> bool:
    return content_type.decode("latin-1").split(";")[0].strip().lower() == JSON


# Any of these says which document is meant: a request without is one for GraphiQL, if it accepts HTML.
_DOCUMENT_PARAMETERS = frozenset({"query", "documentId", "extensions"})


def _document_id(exchange: Exchange) -> str | None:
    path: str = exchange.scope["path"]  # `/graphql`, or below it
    return None if len(path) == len(ENDPOINT) else path[len(ENDPOINT) + 1 :]


def _parameters(query_string: bytes) -> dict[str, str]:
    # Not Starlette's `QueryParams`, which has no bound on their number.
    try:
        parsed = parse_qs(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError as error:
        raise BadRequest(f"The URL has more than {_MAX_PARAMETERS} parameters.") from error
    return {name: values[-1] for name, values in parsed.items()}


def _request(parameters: dict[str, str], document_id: str | None) -> GraphQLRequest:
    raw: dict[str, object] = dict(parameters)
    for name in ("variables", "extensions"):
        if parameters.get(name):
            try:
                raw[name] = orjson.loads(parameters[name].removeprefix("\ufeff"))
            except orjson.JSONDecodeError as error:
                raise BadRequest(f"{name!r} is not JSON.") from error
        else:
            raw.pop(name, None)
    return parse_request(raw, document_id)
