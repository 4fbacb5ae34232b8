"""GraphQL over HTTP: POST and GET, JSON answers, event streams, and the page for a browser.

The specification: https://graphql.github.io/graphql-over-http/draft/
"""

import asyncio
from time import perf_counter
from urllib.parse import parse_qs

import orjson
from starlette.responses import RedirectResponse, Response

from exo_graphql.engine.execution import refusal
from exo_graphql.engine.requests import (
    BadRequest,
    GraphQLRequest,
    PersistedQueryNotSupported,
    parse_body,
    parse_request,
)
from exo_graphql.engine.results import Results
from exo_graphql.engine.rights import Rights
from exo_graphql.engine.service import Outcome, Prepared, Reply, Service
from exo_graphql.observability.metrics import Transport
from exo_graphql.transports.asgi import (
    EVENT_STREAM,
    GRAPHQL_JSON,
    HTML,
    JSON,
    Disconnected,
    Receive,
    Scope,
    Send,
    accepted,
    address_of,
    break_off_of,
    has_last_slash,
    headers_of,
    read_body,
    respond,
)
from exo_graphql.transports.auth import Access, TooManyFailures, Unauthorized
from exo_graphql.transports.rules import DEFAULT_TRANSPORT_RULES, TransportRules
from exo_graphql.transports.sse import answer_head, stream_events
from exo_graphql.web import graphiql_page

_CONTENT_TYPES = {
    JSON: b"application/json; charset=utf-8",
    GRAPHQL_JSON: b"application/graphql-response+json; charset=utf-8",
}
# What is answered where nothing was executed; older clients read bodies of 200 alone as GraphQL.
_REFUSED = {JSON: 200, GRAPHQL_JSON: 400}


class HttpEndpoint:
    """The endpoint `/graphql` for HTTP."""

    def __init__(
        self,
        service: Service,
        results: Results,
        access: Access,
        *,
        max_body_bytes: int,
        leaving: asyncio.Event,
        rules: TransportRules = DEFAULT_TRANSPORT_RULES,
    ) -> None:
        """`leaving` is set when the server shuts down."""
        self._service = service
        self._results = results
        self._access = access
        self._max_body_bytes = max_body_bytes
        self._rules = rules
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        began = perf_counter()
        headers = headers_of(scope)
        accept = headers.get(b"accept", b"").decode("latin-1")
        try:
            if scope["method"] == "POST":
                await self._post(scope, headers, accept, receive, send, began)
            else:
                await self._get(scope, headers, accept, receive, send, began)
        except BadRequest as error:
            self._service.metrics.refused(Transport.HTTP)
            kind = accepted(accept, (JSON, GRAPHQL_JSON)) or JSON
            reads = scope["method"] in ("GET", "HEAD")
            allow = [(b"allow", b"POST" if reads else b"GET, HEAD, POST")] if error.status == 405 else []
            await respond(send, error.status, _problem(error.message), _CONTENT_TYPES[kind], allow)
        except PersistedQueryNotSupported as error:
            self._service.metrics.refused(Transport.HTTP)
            kind = accepted(accept, (JSON, GRAPHQL_JSON)) or JSON
            await respond(send, _REFUSED[kind], refusal((error,)), _CONTENT_TYPES[kind])
        except Unauthorized as error:
            self._service.metrics.refused(Transport.HTTP)
            kind = accepted(accept, (JSON, GRAPHQL_JSON)) or JSON
            await respond(send, 401, refusal((error,)), _CONTENT_TYPES[kind], [(b"www-authenticate", b"Bearer")])
        except TooManyFailures as error:
            self._service.metrics.refused(Transport.HTTP)
            kind = accepted(accept, (JSON, GRAPHQL_JSON)) or JSON
            after = [(b"retry-after", str(error.retry_after).encode())]
            await respond(send, 429, refusal((error,)), _CONTENT_TYPES[kind], after)
        except Disconnected:
            return

    async def _post(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        accept: str,
        receive: Receive,
        send: Send,
        began: float,
    ) -> None:
        content_type = headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower()
        if content_type != JSON:
            raise BadRequest("The content type must be application/json.", 415)
        kind = _kind(accept)
        rights = self._rights(scope, headers)
        body = await read_body(receive, self._max_body_bytes, self._rules.body_timeout)
        snapshot = None
        if kind != EVENT_STREAM and self._service.snapshot is not None:
            await self._service.refresh()
            snapshot = self._service.snapshot
            stored = self._results.get(snapshot, (rights, body))
            if stored is not None:
                await respond(send, 200, stored, _CONTENT_TYPES[kind])
                self._answered(began)
                return
        prepared = await self._service.prepare(parse_body(body))
        if _is_streamed(prepared, kind, accept):
            await self._stream(scope, prepared, rights, receive, send)
            return
        reply = await self._answer(prepared, rights, refreshed=snapshot is not None)
        if reply.lasting and snapshot is not None and snapshot == self._service.snapshot:
            self._results.put(snapshot, (rights, body), len(body) + len(reply.payload), reply.payload)
        await self._send(reply, kind, send, began)

    async def _get(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        accept: str,
        receive: Receive,
        send: Send,
        began: float,
    ) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise BadRequest("Use GET, HEAD or POST.", 405)
        parameters = _parameters(scope["query_string"])
        if "query" not in parameters and accepted(accept, (JSON, HTML, EVENT_STREAM)) == HTML:
            # Its addresses are relative, and the last slash would be one step too many.
            page: Response = RedirectResponse("../graphql") if has_last_slash(scope) else graphiql_page()
            await page(scope, receive, send)
            return
        kind = _kind(accept)
        rights = self._rights(scope, headers)
        prepared = await self._service.prepare(_request(parameters))
        if isinstance(prepared, Prepared) and prepared.is_mutation:
            raise BadRequest("A mutation must be sent by POST.", 405)
        if _is_streamed(prepared, kind, accept):
            await self._stream(scope, prepared, rights, receive, send)
            return
        await self._send(await self._answer(prepared, rights), kind, send, began)

    async def _answer(self, prepared: Prepared | Reply, rights: Rights, *, refreshed: bool = False) -> Reply:
        if isinstance(prepared, Reply):
            return prepared
        if prepared.is_subscription:
            raise BadRequest(
                "A subscription is answered by a stream: ask with 'Accept: text/event-stream', or over a websocket.",
                406,
            )
        return await self._service.answer(prepared, rights, refreshed=refreshed)

    async def _stream(
        self, scope: Scope, prepared: Prepared | Reply, rights: Rights, receive: Receive, send: Send
    ) -> None:
        if scope["method"] == "HEAD":
            await answer_head(send)
            return
        rest = self._rules, self._leaving, break_off_of(scope)
        await stream_events(self._service, prepared, rights, receive, send, *rest)

    def _rights(self, scope: Scope, headers: dict[bytes, bytes]) -> Rights:
        authorization = headers.get(b"authorization")
        shown = None if authorization is None else authorization.decode("latin-1")
        return self._access.rights(shown, address_of(scope))

    async def _send(self, reply: Reply, kind: str, send: Send, began: float) -> None:
        status = {
            Outcome.EXECUTED: 200,
            Outcome.REFUSED: _REFUSED[kind],
            Outcome.FORBIDDEN: 403,
            Outcome.OVERLOADED: 503,
            Outcome.FAULT: 500,
        }[reply.outcome]
        await respond(send, status, reply.payload, _CONTENT_TYPES[kind])
        if reply.outcome is Outcome.EXECUTED:
            self._answered(began)
        else:
            self._service.metrics.refused(Transport.HTTP)

    def _answered(self, began: float) -> None:
        self._service.metrics.answered(Transport.HTTP)
        self._service.metrics.observe(perf_counter() - began)


def _kind(accept: str) -> str:
    kind = accepted(accept, (JSON, GRAPHQL_JSON, EVENT_STREAM))
    if kind is None:
        raise BadRequest(f"Accept one of {JSON}, {GRAPHQL_JSON}, {EVENT_STREAM}.", 406)
    return kind


def _is_streamed(prepared: Prepared | Reply, kind: str, accept: str) -> bool:
    """Whether events are the answer: the client likes them best, or asks for what only a stream can tell.

    Whoever accepts just anything is not given a stream that may never end.
    """
    if kind == EVENT_STREAM:
        return True
    asks_for_one = isinstance(prepared, Prepared) and prepared.is_subscription
    return asks_for_one and EVENT_STREAM in accept.lower() and accepted(accept, (EVENT_STREAM,)) is not None


def _parameters(query_string: bytes) -> dict[str, str]:
    try:
        parsed = parse_qs(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise BadRequest("The URL has more than 20 parameters.") from error
    return {name: values[-1] for name, values in parsed.items()}


def _request(parameters: dict[str, str]) -> GraphQLRequest:
    raw: dict[str, object] = dict(parameters)
    for name in ("variables", "extensions"):
        if parameters.get(name):
            try:
                raw[name] = orjson.loads(parameters[name].removeprefix("\ufeff"))
            except orjson.JSONDecodeError as error:
                raise BadRequest(f"{name!r} is not JSON.") from error
        else:
            raw.pop(name, None)
    return parse_request(raw)


def _problem(message: str) -> bytes:
    return orjson.dumps({"errors": [{"message": message, "extensions": {"code": "BAD_REQUEST"}}]})
