"""An HTTP connection with bounds; the package's docstring lists them."""

import asyncio
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from exo_graphql.engine.execution import refusal
from exo_graphql.engine.limits import LimitExceeded
from exo_graphql.transports.asgi import ARRIVED_BODY, BREAK_OFF
from exo_graphql.transports.protocols.sender import Sender
from exo_graphql.transports.protocols.slices import Slices
from exo_graphql.transports.protocols.unsent import Unsent

# The longest request line and headers, together. A document that does not fit into a URL has to be posted.
_MAX_HEADER_BYTES = 64 * 1024


class HttpConnection(HttpToolsProtocol):
    """A connection until it ends or becomes a websocket."""

    def __init__(
        self, *arguments: Any, max_connections: int, header_timeout: float, send_timeout: float, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._max_connections = max_connections
        self._header_timeout = header_timeout
        self._send_timeout = send_timeout
        self._unsent: Unsent | None = None
        self._deadline: asyncio.TimerHandle | None = None
        """Ends the connection unless a request's headers are there before."""
        self._in_headers = False
        """Whether a request has begun whose headers are not there yet."""
        self._header_bytes = 0
        """Bytes read since `_deadline` was set."""
        self._rest: asyncio.TimerHandle | None = None
        """Ends the connection unless the rest of a body is there before whose request is answered already."""
        self._slices = Slices(self.loop, self._read_slice)
        self._running: RequestResponseCycle | None = None
        """The request being answered; `cycle` is the newest one, which may wait for it (pipelining)."""
        self._task: asyncio.Task[None] | None = None
        """Answers `_running`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Refuses the connection if there are too many."""
        super().connection_made(transport)
        self._unsent = Unsent(transport, self._send_timeout)
        # Not `limit_concurrency`: it would be checked when the headers are there, which a client may never send.
        if len(self.connections) > self._max_connections:
            transport.write(_too_many(self._max_connections))
            transport.close()
            return
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels the deadlines, and the work that nobody waits for any more."""
        self._headers_arrived()
        self._rest_arrived()
        if self._unsent is not None:
            self._unsent.end()
        self._slices.end()
        # uvicorn informs the newest of pipelined requests alone, which is not the one being answered, and lets its
        # task run on: a query of 8 s would be computed for nobody.
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
            if self._task is not None:
                self._task.cancel()
        self.pipeline.clear()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The write buffer is full: the client does not read fast enough."""
        super().pause_writing()
        self._watch_unsent()

    def resume_writing(self) -> None:
        """The client has read most of the buffer."""
        super().resume_writing()
        if self._running is not None and self._running.response_complete:
            self._watch_unsent()
        elif self._unsent is not None:
            self._unsent.forget()  # the buffer grows with what is written next, as if the client read nothing

    def _watch_unsent(self) -> None:
        if self._unsent is not None:
            self._unsent.watch()

    def data_received(self, data: bytes) -> None:
        """Reads in slices: uvicorn would parse all that has arrived at once, such as 10,000 pipelined requests."""
        self._slices.add(data)

    def _read_slice(self) -> None:
        if self.transport.is_closing() or not self._slices:
            return
        data = self._slices.pop()
        self._header_bytes += len(data)
        super().data_received(data)
        # Set here and not as a request begins: most headers are there at once, and need no timer.
        if self._in_headers and self._deadline is None:
            self._await_headers()
        if self._deadline is not None and self._header_bytes > _MAX_HEADER_BYTES and not self.transport.is_closing():
            if self._running is None or self._running.response_complete:
                self.transport.write(_TOO_LONG)
            self._give_up()
        if self.transport.is_closing():
            return
        if self._slices:
            self.transport.pause_reading()
            self._slices.schedule()
        elif not self.flow.read_paused:
            self.transport.resume_reading()

    def handle_websocket_upgrade(self) -> None:
        """The websocket has the connection from here on, and watches what it sends itself."""
        if self._unsent is not None:
            self._unsent.end()
        super().handle_websocket_upgrade()
        # As uvicorn does when a connection is lost, which nothing reports to this object: the parser refers to it.
        self.parser = None  # type: ignore[assignment]
        self._slices.end()

    def on_message_begin(self) -> None:
        """The next request begins: its headers have as long as the first one's."""
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self._in_headers = True

    def on_headers_complete(self) -> None:
        """A request's headers, or a handshake's, are there."""
        self._headers_arrived()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is there as a whole: perhaps long after its answer."""
        super().on_message_complete()
        if self._rest is None or self._running is None:
            return
        self._rest_arrived()
        if self._running.keep_alive:
            # uvicorn starts it after the answer, and has ended it when the rest of the body came.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        else:
            self.transport.close()

    def on_response_complete(self) -> None:
        """Goes on to the next request, or waits for the rest of this one's body, if it was answered before.

        A connection that is closed while its client still sends is reset, and then the client may never see the answer:
        measured with 1 MB and a wrong token, a quarter of them. uvicorn would read the body for as long as it comes:
        each byte ends `timeout_keep_alive`.
        """
        self._watch_unsent()
        # Not `cycle`, which is the last request that has begun to arrive: a pipelined one whose body is on its way.
        answered = self._running
        if answered is not None and not answered.keep_alive and not answered.more_body:
            self.transport.close()
        super().on_response_complete()
        if answered is not None and answered.more_body and not self.transport.is_closing():
            # A body has as long to arrive as headers have; nothing of it is kept.
            self._rest = self.loop.call_later(self._header_timeout, self._give_up)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        extensions: dict[str, Any] = {
            BREAK_OFF: partial(self._break_off, cycle),
            ARRIVED_BODY: partial(_arrived_body, cycle),
        }
        cycle.scope["extensions"] = extensions
        # As uvicorn does it, which keeps the task to itself.
        self._task = self.loop.create_task(cycle.run_asgi(partial(self._answer, app, cycle)))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)

    async def _answer(self, app: ASGIApp, cycle: RequestResponseCycle, scope: Scope, receive: Receive, _: Send) -> None:
        try:
            await app(scope, receive, Sender(cycle))
        except asyncio.CancelledError:
            # The client has gone, or the server shuts down and has waited long enough. uvicorn would log a fault.
            self._break_off(cycle)
        finally:
            # The scope refers to `cycle`, which has the scope: a ring of 13 objects for each request. To find and free
            # them took the collector as long as a quarter of an answer from memory.
            scope["extensions"].clear()

    def _break_off(self, cycle: RequestResponseCycle) -> None:
        """Ends the connection within the response, so that the client sees that it is incomplete."""
        if cycle.response_complete:
            return
        cycle.disconnected = True
        cycle.message_event.set()
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # closing would wait for the client to read
        else:
            self.transport.close()

    def _await_headers(self) -> None:
        self._header_bytes = 0
        # Not `timeout_keep_alive`: it starts after a response, and the first byte of the next request ends it.
        self._deadline = self.loop.call_later(self._header_timeout, self._give_up)

    def _headers_arrived(self) -> None:
        self._in_headers = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _rest_arrived(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def _arrived_body(cycle: RequestResponseCycle) -> bytes | None:
    """The body, if all of it has arrived; else nothing is taken."""
    if cycle.more_body or cycle.disconnected or cycle.response_complete:
        return None
    body = bytes(cycle.body)
    cycle.body.clear()
    return body


def _refusal(status: int, error: LimitExceeded, *more: bytes) -> bytes:
    """A whole response to what did not become a request. `more`: further headers."""
    body = refusal([error])
    lines = [
        STATUS_LINE[status].removesuffix(b"\r\n"),
        b"content-type: application/json; charset=utf-8",
        b"content-length: %d" % len(body),
        b"connection: close",
        *more,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _too_many(limit: int) -> bytes:
    error = LimitExceeded("max_connections", limit, "come by one connection too many", "Try again in a few seconds.")
    return _refusal(503, error, b"retry-after: 5")


_TOO_LONG = _refusal(
    431,
    LimitExceeded(
        "max_header_bytes", _MAX_HEADER_BYTES, "more bytes in its URL and headers", "Send the document by POST."
    ),
)
