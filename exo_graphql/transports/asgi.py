"""HTTP on the wire: reading a body within its limit, sending a response, saying what a client accepts.

Plain ASGI, since an endpoint that gives stored bytes again spends most of its time in whatever stands before it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

from exo_graphql.engine.requests import BadRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"
HTML = "text/html"
# Our own extension of ASGI: its value, without arguments, ends the connection within a response.
BREAK_OFF = "exo_graphql.break_off"


class Disconnected(Exception):
    """The client went away, or has not read for so long that it counts as gone."""


def break_off_of(scope: Scope) -> Callable[[], None]:
    """What ends a connection within its response, so that the client sees a broken one and not the end."""
    break_off: Callable[[], None] = scope.get("extensions", {}).get(BREAK_OFF, _cannot_break_off)
    return break_off


def _cannot_break_off() -> None:
    raise RuntimeError("the server below cannot break a response off")


def has_last_slash(scope: Scope) -> bool:
    """Whether the path that was asked for ended in a slash, whatever it has been made into since."""
    return bytes(scope.get("raw_path") or b"").endswith(b"/")


def address_of(scope: Scope) -> str | None:
    """Who speaks: the peer's address, or what a proxy on this machine says of it. None where there is no network."""
    client = scope.get("client")
    return client[0] if client else None


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """Headers by lower-case name; of repeated ones the last."""
    return dict(scope["headers"])


async def read_body(receive: Receive, limit: int, timeout: float) -> bytes:  # noqa: ASYNC109  # the caller's setting
    """The whole body. Raises `BadRequest` if it is longer than `limit` bytes (413) or takes `timeout` seconds (408)."""
    chunks = []
    size = 0
    try:
        async with asyncio.timeout(timeout):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > limit:
                    raise _too_large(limit)
                if not message.get("more_body"):
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
    except TimeoutError:
        raise BadRequest(f"The body did not arrive within {timeout:g} seconds.", 408) from None


async def send_within(seconds: float, send: Send, message: Message) -> None:
    """Sends. Raises `Disconnected` where the client has gone, or does not read for as long."""
    try:
        async with asyncio.timeout(seconds):
            await send(message)
    except OSError as error:  # TimeoutError is one
        raise Disconnected from error


def _too_large(limit: int) -> BadRequest:
    return BadRequest(f"The body is larger than {limit} bytes (the limit max_body_bytes).", 413)


# What the answers say is nobody's to keep, and they are nothing but what they say they are.
_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


async def respond(
    send: Send, status: int, body: bytes, content_type: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Sends a whole response."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type),
                (b"content-length", str(len(body)).encode()),
                *_ALWAYS,
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


def accepted(accept: str | None, offers: Sequence[str]) -> str | None:
    """The first of `offers` that the client likes best; None if it accepts none of them.

    An absent header accepts everything (RFC 9110, section 12.5.1).
    """
    if not accept:
        return offers[0]
    ranges = [_media_range(text) for text in accept.split(",") if text.strip()]
    best: tuple[float, str] | None = None
    for offer in offers:
        quality = _quality(offer, ranges)
        if quality > 0 and (best is None or quality > best[0]):
            best = quality, offer
    return best[1] if best else None


def _media_range(text: str) -> tuple[str, float]:
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return kind, float(value)
            except ValueError:
                return kind, 0.0
    return kind, 1.0


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The quality that the most specific matching range gives."""
    group = offer.split("/", 1)[0] + "/*"
    given: Mapping[str, float] = dict(ranges)
    return next((given[kind] for kind in (offer, group, "*/*") if kind in given), 0.0)
