"""Connections, bounded: how many, how long until a request's headers are there, how much waits for who does not read.

uvicorn's own protocols wait for ever for a first request and for an answer to be read, answer every ping of a websocket
whose client reads nothing, compute an answer whose client has gone, and read all that has arrived at once, be it ten
thousand requests or frames. These are the same, with an end to it.
"""

import asyncio
from functools import partial
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from exo_graphql.engine.errors import Code, public_errors
from exo_graphql.engine.limits import LimitExceeded
from exo_graphql.transports.asgi import BREAK_OFF, ASGIApp, Receive, Scope, Send
from exo_graphql.transports.unsent import Unsent

# The longest request line and headers, together; a longer document has to be posted.
_MOST_HEADER_BYTES = 64 * 1024
# Bytes that are read before others have their turn. The smallest frames and requests that fill it take 4 ms; 250 kB of
# them, which is what arrives at once at most, 240 ms.
_SLICE = 4 * 1024
_MOST_UNSENT = 256 * 1024
# A message in more pieces is nobody's honest one: each piece costs memory, an empty one too.
_MOST_PIECES = 1_000


class HttpConnection(HttpToolsProtocol):
    """A connection until it becomes a websocket."""

    def __init__(
        self, *arguments: Any, max_connections: int, header_timeout: float, send_timeout: float, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._max_connections = max_connections
        self._header_timeout = header_timeout
        self._send_timeout = send_timeout
        self._unsent: Unsent | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._unread = bytearray()
        self._taking: asyncio.Handle | None = None
        self._running: RequestResponseCycle | None = None
        self._task: asyncio.Task[None] | None = None
        """Answers `_running`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Refuses the connection if there are too many."""
        super().connection_made(transport)
        self._unsent = Unsent(transport, self._send_timeout)
        if len(self.connections) > self._max_connections:
            transport.write(_refusal(self._max_connections))
            transport.close()
            return
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the deadlines, what was not read, and what nobody waits for any more."""
        self._headers_are_there()
        if self._unsent is not None:
            self._unsent.forget()
        self._unread.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
            if self._task is not None:
                self._task.cancel()
        self.pipeline.clear()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Much waits for the client to read."""
        super().pause_writing()
        self._watch_unsent()

    def resume_writing(self) -> None:
        """The client has read most of it."""
        super().resume_writing()
        if self._running is not None and self._running.response_complete:
            self._watch_unsent()
        elif self._unsent is not None:
            self._unsent.forget()  # what is written next would look like something that is not read

    def _watch_unsent(self) -> None:
        if self._unsent is not None:
            self._unsent.watch()

    def data_received(self, data: bytes) -> None:
        """Reads a slice, and the rest when others have had their turn."""
        self._unread += data
        if self._taking is None:
            self._take()

    def _take(self) -> None:
        self._taking = None
        if self.transport.is_closing() or not self._unread:
            return
        data = bytes(self._unread[:_SLICE])
        del self._unread[:_SLICE]
        self._header_bytes += len(data)
        super().data_received(data)
        if self._deadline is not None and self._header_bytes > _MOST_HEADER_BYTES:
            self._give_up()
        if self.transport.is_closing():
            return
        if self._unread:
            self.transport.pause_reading()
            self._taking = self.loop.call_soon(self._take)
        elif not self.flow.read_paused:
            self.transport.resume_reading()

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
        self._watch_unsent()
        super().on_response_complete()
        if self.cycle.more_body and not self.transport.is_closing():
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # uvicorn tells the newest of pipelined requests alone that the client has gone.
        self._running = cycle
        cycle.scope["extensions"] = {BREAK_OFF: partial(self._break_off, cycle)}  # type: ignore[dict-item]  # a call
        super()._start_asgi_task(cycle, partial(self._answer, app, cycle))

    async def _answer(
        self, app: ASGIApp, cycle: RequestResponseCycle, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._task = asyncio.current_task()
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            # The client has gone, or the server does and has waited long enough. uvicorn would log a fault.
            self._break_off(cycle)

    def _break_off(self, cycle: RequestResponseCycle) -> None:
        """Ends the connection within the response, so that the client sees that it is not whole."""
        if cycle.response_complete:
            return
        cycle.disconnected = True
        cycle.message_event.set()
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # its client may never read
        else:
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
    """A websocket. While much that was sent waits for its client, nothing is read from it, not even pings."""

    def __init__(self, *arguments: Any, send_timeout: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._send_timeout = send_timeout
        self._unsent: Unsent | None = None
        self._unread = bytearray()
        self._taking: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake begins."""
        super().connection_made(transport)
        self._unsent = Unsent(self.transport, self._send_timeout)

    async def run_asgi(self) -> None:
        """Serves the connection; then what was sent last has its time to be read."""
        await super().run_asgi()
        self._watch_unsent()

    def _watch_unsent(self) -> None:
        if self._unsent is not None:
            self._unsent.watch()

    def pause_writing(self) -> None:
        """Much waits for the client to read."""
        super().pause_writing()
        self._watch_unsent()

    def data_received(self, data: bytes) -> None:
        """Reads a slice, and the rest when others have had their turn."""
        self._unread += data
        if self._taking is None:
            self._take()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets what was not read."""
        self._unread.clear()
        if self._unsent is not None:
            self._unsent.forget()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._unsent is not None:
            self._unsent.forget()
        self._go_on()

    async def receive(self) -> Any:
        """The next message. Once the application has had all, more are read."""
        event = await super().receive()
        self._go_on()
        return event

    async def send(self, message: Any) -> None:
        """Sends. After a close the client's own close is still to be read."""
        await super().send(message)
        if message["type"] == "websocket.close":
            self._go_on()

    def _take(self) -> None:
        self._taking = None
        if self._unread and self._may_read and not self.disconnected:
            data = bytes(self._unread[:_SLICE])
            del self._unread[:_SLICE]
            super().data_received(data)
        self._go_on()

    @property
    def _may_read(self) -> bool:
        # What a client that does not read sends would fill memory with answers.
        return not self.read_paused and self.transport.get_write_buffer_size() < _MOST_UNSENT

    def _go_on(self) -> None:
        """Reads on, or not, as things stand."""
        if self.transport.is_closing():
            return
        if self._unread or not self._may_read:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
        if self._unread and self._may_read and self._taking is None:
            self._taking = self.loop.call_soon(self._take)

    def handle_cont(self, event: Frame) -> None:
        """Another piece of a message."""
        if len(self.frames) >= _MOST_PIECES:
            self.conn.fail(1009, "too many pieces")
            self.handle_parser_exception()
            return
        super().handle_cont(event)


def http_connections(max_connections: int, header_timeout: float, send_timeout: float) -> partial[HttpConnection]:
    """What uvicorn makes a protocol of for each connection. Seconds."""
    return partial(
        HttpConnection, max_connections=max_connections, header_timeout=header_timeout, send_timeout=send_timeout
    )


def websocket_connections(send_timeout: float) -> partial[WebSocketConnection]:
    """What uvicorn makes a protocol of for each websocket. Seconds."""
    return partial(WebSocketConnection, send_timeout=send_timeout)


def _refusal(limit: int) -> bytes:
    error = LimitExceeded("max_connections", limit, "come by one connection too many", "Try again in a few seconds.")
    body = orjson.dumps({"errors": public_errors([error], Code.INTERNAL)})
    head = (
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
