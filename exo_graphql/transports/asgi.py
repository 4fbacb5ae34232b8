"""HTTP on the wire: headers, reading a body within its limits, sending a response.

Plain ASGI with Starlette's types. Its `Request` and `Response` serve the pages, not `/graphql`: sending a
`Response` takes 1.8 µs and `respond` 0.4 µs, and a stored answer needs little else.
"""

import asyncio
import traceback
from collections.abc import Callable, Sequence

from starlette.types import Message, Receive, Scope, Send

from exo_graphql.engine.requests import BadRequest

# An ASGI extension of ours: its value is a function that ends the connection within a response.
BREAK_OFF = "exo_graphql.break_off"
# Another one: a function that takes the request's body if all of it has arrived; None if not.
ARRIVED_BODY = "exo_graphql.arrived_body"


class Disconnected(Exception):
    """The client has gone, or has not read for so long that it counts as gone."""


def clear_frames(group: BaseExceptionGroup) -> None:
    """Forgets the variables of the functions that have raised it: one of `TaskGroup` (before Python 3.13) holds itself.

    Such a ring keeps the connection, its documents and its answers until the collector has looked at all that is kept.
    With 100 clients that came and went, that was 50 MB.
    """
    traceback.clear_frames(group.__traceback__)


def break_off_of(scope: Scope) -> Callable[[], None]:
    """The function that ends a connection within its response: the client sees a broken response, not its end."""
    break_off: Callable[[], None] = scope.get("extensions", {}).get(BREAK_OFF, _cannot_break_off)
    return break_off


def _cannot_break_off() -> None:
    raise RuntimeError("the server cannot break off a response")


def has_last_slash(scope: Scope) -> bool:
    """Whether the requested path ends in a slash, before `Application` removed it."""
    return bytes(scope.get("raw_path") or b"").endswith(b"/")


def address_of(scope: Scope) -> str | None:
    """The client's address, as a proxy on this machine reports it if there is one. None where there is no network."""
    client = scope.get("client")
    return client[0] if client else None


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """Headers by lower-case name; of repeated headers the last."""
    return dict(scope["headers"])


async def read_body(
    scope: Scope,
    receive: Receive,
    limit: int,
    timeout: float,  # noqa: ASYNC109  # the caller's setting
) -> bytes:
    """The whole body. Raises `BadRequest` if it is longer than `limit` bytes (413) or takes `timeout` seconds (408)."""
    arrived: Callable[[], bytes | None] | None = scope.get("extensions", {}).get(ARRIVED_BODY)
    # Most bodies have arrived with their headers: then nothing can time out, and a timeout takes 3 µs.
    body = None if arrived is None else arrived()
    if body is not None:
        if len(body) > limit:
            raise _too_large(limit)
        return body
    if int(headers_of(scope).get(b"content-length", b"0")) > limit:
        raise _too_large(limit)  # before the client has sent all of it
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


# No browser may guess another content type.
_NO_SNIFFING = b"x-content-type-options", b"nosniff"
NO_STORE = b"cache-control", b"no-store"
"""No cache may keep the answer."""


async def respond(
    send: Send,
    status: int,
    body: bytes,
    content_type: bytes,
    headers: Sequence[tuple[bytes, bytes]] = (),
    cache: tuple[bytes, bytes] = NO_STORE,
) -> None:
    """Sends a whole response."""
    described = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    if status == 204:
        described.clear()  # it has no content (RFC 9110, section 8.6)
    started = [*described, _NO_SNIFFING, cache, *headers]
    await send({"type": "http.response.start", "status": status, "headers": started})
    await send({"type": "http.response.body", "body": body})
