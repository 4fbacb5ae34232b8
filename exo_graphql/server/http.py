"""GraphQL over HTTP: POST and GET, JSON answers, event streams, and the page for a browser.

The specification: https://graphql.github.io/graphql-over-http/draft/
"""

from urllib.parse import parse_qs

import orjson
from starlette.responses import Response

from exo_graphql.server.access import Access, Rights, Unauthorized
from exo_graphql.server.execution import refusal
from exo_graphql.server.pages import graphiql_page
from exo_graphql.server.requests import BadRequest, GraphQLRequest, parse_body, parse_request
from exo_graphql.server.results import Results
from exo_graphql.server.service import Outcome, Prepared, Reply, Service
from exo_graphql.server.sse import stream_events
from exo_graphql.server.wire import (
    EVENT_STREAM,
    GRAPHQL_JSON,
    HTML,
    JSON,
    Disconnected,
    Receive,
    Scope,
    Send,
    accepted,
    headers_of,
    read_body,
    respond,
)

_CONTENT_TYPES = {
    JSON: b"application/json; charset=utf-8",
    GRAPHQL_JSON: b"application/graphql-response+json; charset=utf-8",
}
# What is answered where nothing was executed; older clients read bodies of 200 alone as GraphQL.
_REFUSED = {JSON: 200, GRAPHQL_JSON: 400}


class HttpEndpoint:
    """The endpoint `/graphql` for HTTP."""

    def __init__(self, service: Service, results: Results, access: Access, *, max_body_bytes: int) -> None:
        self._service = service
        self._results = results
        self._access = access
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        headers = headers_of(scope)
        accept = headers.get(b"accept", b"").decode("latin-1")
        try:
            if scope["method"] == "POST":
                await self._post(headers, accept, receive, send)
            elif scope["method"] in ("GET", "HEAD"):
                await self._get(scope, headers, accept, receive, send)
            else:
                await respond(send, 405, _problem("Use GET or POST."), _CONTENT_TYPES[JSON], [(b"allow", b"GET, POST")])
        except BadRequest as error:
            kind = accepted(accept, (JSON, GRAPHQL_JSON)) or JSON
            await respond(send, error.status, _problem(error.message), _CONTENT_TYPES[kind])
        except Unauthorized as error:
            kind = accepted(accept, (JSON, GRAPHQL_JSON)) or JSON
            await respond(send, 401, refusal((error,)), _CONTENT_TYPES[kind], [(b"www-authenticate", b"Bearer")])
        except Disconnected:
            return

    async def _post(self, headers: dict[bytes, bytes], accept: str, receive: Receive, send: Send) -> None:
        content_type = headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower()
        if content_type != JSON:
            raise BadRequest("The content type must be application/json.", 415)
        kind = _kind(accept)
        body = await read_body(receive, self._max_body_bytes)
        rights = self._rights(headers)
        if kind != EVENT_STREAM:
            await self._service.refresh()
            picture = self._service.picture
            stored = self._results.get(picture, (rights, body))
            if stored is not None:
                await respond(send, 200, stored, _CONTENT_TYPES[kind])
                return
        prepared = self._service.prepare(parse_body(body))
        if kind == EVENT_STREAM:
            await stream_events(self._service, prepared, rights, receive, send)
            return
        reply = await self._answer(prepared, rights)
        if reply.lasting and picture == self._service.picture:
            self._results.put(picture, (rights, body), len(body) + len(reply.payload), reply.payload)
        await self._send(reply, kind, send)

    async def _get(self, scope: Scope, headers: dict[bytes, bytes], accept: str, receive: Receive, send: Send) -> None:
        parameters = _parameters(scope["query_string"])
        if "query" not in parameters and accepted(accept, (JSON, HTML, EVENT_STREAM)) == HTML:
            page: Response = graphiql_page()
            await page(scope, receive, send)
            return
        kind = _kind(accept)
        rights = self._rights(headers)
        prepared = self._service.prepare(_request(parameters))
        if isinstance(prepared, Prepared) and prepared.is_mutation:
            await respond(
                send, 405, _problem("A mutation must be sent by POST."), _CONTENT_TYPES[JSON], [(b"allow", b"POST")]
            )
            return
        if kind == EVENT_STREAM:
            await stream_events(self._service, prepared, rights, receive, send)
            return
        await self._send(await self._answer(prepared, rights), kind, send)

    async def _answer(self, prepared: Prepared | Reply, rights: Rights) -> Reply:
        if isinstance(prepared, Reply):
            return prepared
        if prepared.is_subscription:
            raise BadRequest(
                "A subscription is answered by a stream: ask with 'Accept: text/event-stream', or over a websocket.",
                406,
            )
        return await self._service.answer(prepared, rights)

    def _rights(self, headers: dict[bytes, bytes]) -> Rights:
        authorization = headers.get(b"authorization")
        return self._access.rights(None if authorization is None else authorization.decode("latin-1"))

    @staticmethod
    async def _send(reply: Reply, kind: str, send: Send) -> None:
        status = {Outcome.EXECUTED: 200, Outcome.REFUSED: _REFUSED[kind], Outcome.FORBIDDEN: 403}[reply.outcome]
        await respond(send, status, reply.payload, _CONTENT_TYPES[kind])


def _kind(accept: str) -> str:
    kind = accepted(accept, (JSON, GRAPHQL_JSON, EVENT_STREAM))
    if kind is None:
        raise BadRequest(f"Accept one of {JSON}, {GRAPHQL_JSON}, {EVENT_STREAM}.", 406)
    return kind


def _parameters(query_string: bytes) -> dict[str, str]:
    return {
        name: values[-1]
        for name, values in parse_qs(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=20).items()
    }


def _request(parameters: dict[str, str]) -> GraphQLRequest:
    raw: dict[str, object] = dict(parameters)
    for name in ("variables", "extensions"):
        if parameters.get(name):
            try:
                raw[name] = orjson.loads(parameters[name])
            except orjson.JSONDecodeError as error:
                raise BadRequest(f"{name!r} is not JSON.") from error
        else:
            raw.pop(name, None)
    return parse_request(raw)


def _problem(message: str) -> bytes:
    return orjson.dumps({"errors": [{"message": message, "extensions": {"code": "BAD_REQUEST"}}]})
