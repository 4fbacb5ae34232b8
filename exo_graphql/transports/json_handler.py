"""GraphQL over HTTP, answered by one JSON response.

The specification: https://graphql.github.io/graphql-over-http/draft/
"""

from time import perf_counter

from exo_graphql.engine.execution import refusal
from exo_graphql.engine.prepared import Prepared
from exo_graphql.engine.reply import Outcome, Reply
from exo_graphql.engine.requests import BadRequest
from exo_graphql.engine.rights import Caller
from exo_graphql.engine.service import Service
from exo_graphql.observability.metrics import Transport
from exo_graphql.transports.asgi import respond
from exo_graphql.transports.compression import MIN_COMPRESSED, Compressor
from exo_graphql.transports.content_types import GRAPHQL_JSON, JSON, refusal_type
from exo_graphql.transports.exchange import Exchange
from exo_graphql.transports.refusals import Refused, refusal_of
from exo_graphql.transports.sending import send_body

_CONTENT_TYPES = {
    JSON: b"application/json; charset=utf-8",
    GRAPHQL_JSON: b"application/graphql-response+json; charset=utf-8",
}
# The status of a request error. Older clients, which accept `application/json`, read GraphQL in a body of 200 alone.
_REFUSED = {JSON: 200, GRAPHQL_JSON: 400}
_STATUS = {
    Outcome.EXECUTED: 200,
    Outcome.FORBIDDEN: 403,
    Outcome.DOCUMENT_UNKNOWN: 404,
    Outcome.OVERLOADED: 503,
    Outcome.UNAVAILABLE: 503,
    Outcome.UNKNOWN: 504,
    Outcome.FAULT: 500,
}


class JsonHandler:
    """Answers by one JSON response."""

    def __init__(self, service: Service, compressor: Compressor) -> None:
        self._service = service
        self._compressor = compressor

    async def execute(self, prepared: Prepared | Reply, caller: Caller, *, refreshed: bool = False) -> Reply:
        """The reply to a query or mutation. Raises `BadRequest` for a subscription."""
        if isinstance(prepared, Reply):
            return prepared
        if prepared.is_subscription:
            raise BadRequest(
                "A subscription is answered by a stream: send 'Accept: text/event-stream', or use a websocket.", 406
            )
        return await self._service.answer(prepared, caller, refreshed=refreshed)

    async def send_stored(self, exchange: Exchange, kind: str, payload: bytes, etag: bytes | None = None) -> None:
        """Sends a stored result."""
        if etag is None and len(payload) < MIN_COMPRESSED:
            await respond(exchange.send, 200, payload, _CONTENT_TYPES[kind])
        else:
            await send_body(exchange, 200, payload, _CONTENT_TYPES[kind], self._compressor, etag=etag)
        self._answered(exchange)

    async def send(self, exchange: Exchange, kind: str, reply: Reply, etag: bytes | None = None) -> None:
        """Sends a reply as `kind`."""
        status = _REFUSED[kind] if reply.outcome is Outcome.REFUSED else _STATUS[reply.outcome]
        if reply.outcome is Outcome.EXECUTED:
            await send_body(exchange, status, reply.payload, _CONTENT_TYPES[kind], self._compressor, etag=etag)
            self._answered(exchange)
        else:
            await respond(exchange.send, status, reply.payload, _CONTENT_TYPES[kind])
            self._service.metrics.refused(Transport.HTTP)

    async def refuse(self, exchange: Exchange, error: Refused) -> None:
        """Answers a request that was refused before it was executed."""
        self._service.metrics.refused(Transport.HTTP)
        reads = exchange.method in ("GET", "HEAD")
        status, reported, headers = refusal_of(error, b"POST" if reads else b"GET, HEAD, POST")
        content_type = _CONTENT_TYPES[refusal_type(exchange.accept)]
        await respond(exchange.send, status, refusal((reported,)), content_type, headers)

    def _answered(self, exchange: Exchange) -> None:
        self._service.metrics.answered(Transport.HTTP)
        self._service.metrics.observe(perf_counter() - exchange.began)
