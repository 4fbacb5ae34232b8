"""Sends a body that may be large, or that the client may have already: as gzip where it may, as 304 where it has it."""

from collections.abc import Sequence

from starlette.types import Send

from exo_graphql.transports.asgi import NO_STORE, respond
from exo_graphql.transports.compression import MIN_COMPRESSED, Compressor, accepts_gzip
from exo_graphql.transports.conditional import is_unchanged
from exo_graphql.transports.exchange import Exchange

# A client may keep what has an ETag, and must ask before it uses it again. Caches between may keep nothing.
_REVALIDATE = b"cache-control", b"private, no-cache"
_VARIES = b"vary", b"Accept, Accept-Encoding"


async def send_body(
    exchange: Exchange,
    status: int,
    body: bytes,
    content_type: bytes,
    compressor: Compressor,
    *,
    etag: bytes | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """Sends `body`, or only that it is unchanged. `etag`: see `etag_of`."""
    given = exchange.headers
    more = list(headers)
    if etag is not None:
        if status == 200 and is_unchanged(given.get(b"if-none-match"), etag):
            await _send_unchanged(exchange.send, etag)
            return
        more += [(b"etag", etag), _VARIES]
    if len(body) >= MIN_COMPRESSED:
        if etag is None:
            more.append(_VARIES)
        if accepts_gzip(given.get(b"accept-encoding")):
            compressed = await compressor.compressed(body)
            if compressed is not None:
                body = compressed
                more.append((b"content-encoding", b"gzip"))
    await respond(exchange.send, status, body, content_type, more, NO_STORE if etag is None else _REVALIDATE)


async def _send_unchanged(send: Send, etag: bytes) -> None:
    headers = [(b"etag", etag), _REVALIDATE, _VARIES]
    await send({"type": "http.response.start", "status": 304, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
