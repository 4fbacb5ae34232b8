"""Connections, bounded: how many, how long until a request's headers are there, how much waits for who does not read.

uvicorn's own protocols wait for ever for a first request, and answer every ping of a websocket whose client reads
nothing. These are the same, with an end to it.
"""

import asyncio
from functools import partial
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from exo_graphql.server.errors import Code, public_errors
from exo_graphql.server.limits import LimitExceeded

# The longest request line and headers, together; a longer document has to be posted.
_MOST_HEADER_BYTES = 64 * 1024
# A message in more pieces is nobody's honest one: each piece costs memory, an empty one too.
_MOST_PIECES = 1_000


class HttpConnection(HttpToolsProtocol):
    """A connection until it becomes a websocket."""

    def __init__(self, *arguments: Any, max_connections: int, header_timeout: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._max_connections = max_connections
        self._header_timeout = header_timeout
        self._deadline: asyncio.TimerHandle | None = None
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Refuses the connection if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            transport.write(_refusal(self._max_connections))
            transport.close()
            return
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the deadline."""
        self._headers_are_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Passes it on, as long as headers come to an end."""
        self._header_bytes += len(data)
        super().data_received(data)
        if self._deadline is not None and self._header_bytes > _MOST_HEADER_BYTES:
            self._give_up()

    def on_message_begin(self) -> None:
        """The next request begins: its headers have as long as the first one's."""
        super().on_message_begin()
        if self._deadline is None:
            self._await_headers()

    def on_headers_complete(self) -> None:
        """A request, or a handshake, is there."""
        self._headers_are_there()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Ends a connection whose client was answered before it had sent its whole request: it may never end that."""
        super().on_response_complete()
        if self.cycle.more_body and not self.transport.is_closing():
            self.transport.close()

    def _await_headers(self) -> None:
        self._header_bytes = 0
        self._deadline = self.loop.call_later(self._header_timeout, self._give_up)

    def _headers_are_there(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A websocket. While its client reads nothing, nothing is read from it either, not even pings."""

    def pause_writing(self) -> None:
        """The client does not read: what it sends would only fill memory with answers."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if not (self.read_paused or self.transport.is_closing()):
            self.transport.resume_reading()

    async def receive(self) -> Any:
        """As uvicorn's; what it resumes is paused again while the client does not read."""
        event = await super().receive()
        if not self.writable.is_set() and not self.transport.is_closing():
            self.transport.pause_reading()
        return event

    def handle_cont(self, event: Frame) -> None:
        """Another piece of a message."""
        if len(self.frames) >= _MOST_PIECES:
            self.conn.fail(1009, "too many pieces")
            self.handle_parser_exception()
            return
        super().handle_cont(event)


def http_connections(max_connections: int, header_timeout: float) -> partial[HttpConnection]:
    """What uvicorn makes a protocol of for each connection. Seconds."""
    return partial(HttpConnection, max_connections=max_connections, header_timeout=header_timeout)


def _refusal(limit: int) -> bytes:
    error = LimitExceeded("max_connections", limit, "come by one connection too many", "Try again in a few seconds.")
    body = orjson.dumps({"errors": public_errors([error], Code.INTERNAL)})
    head = (
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
