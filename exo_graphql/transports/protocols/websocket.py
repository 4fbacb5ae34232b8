"""A websocket with bounds; the package's docstring lists them."""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from exo_graphql.transports.protocols.slices import Slices
from exo_graphql.transports.protocols.unsent import Unsent

# Bytes in the write buffer from which on nothing is read: twice the largest answer that is usual.
_MAX_UNSENT = 256 * 1024
# No client sends one message in more pieces. Each takes memory, an empty one too, which `ws_max_size` does not count.
_MAX_PIECES = 1_000


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A websocket. While much of what was sent waits for its client, nothing is read from it, not even pings.

    uvicorn answers every ping at once: a client that sends pings and reads nothing would fill memory with pongs.
    """

    def __init__(self, *arguments: Any, send_timeout: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._send_timeout = send_timeout
        self._unsent: Unsent | None = None
        self._slices = Slices(self.loop, self._read_slice)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake begins."""
        super().connection_made(transport)
        self._unsent = Unsent(self.transport, self._send_timeout)

    async def run_asgi(self) -> None:
        """Serves the connection; then the client has its time to read what was sent last."""
        await super().run_asgi()
        self._watch_unsent()

    def _watch_unsent(self) -> None:
        if self._unsent is not None:
            self._unsent.watch()

    def pause_writing(self) -> None:
        """The write buffer is full: the client does not read fast enough."""
        super().pause_writing()
        self._watch_unsent()

    def resume_writing(self) -> None:
        """The client has read most of the buffer."""
        super().resume_writing()
        if self._unsent is not None:
            self._unsent.forget()
        self._continue_reading()

    def data_received(self, data: bytes) -> None:
        """Reads in slices: uvicorn would parse all that has arrived at once, such as 40,000 empty frames."""
        self._slices.add(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drops what was not read."""
        self._slices.end()
        if self._unsent is not None:
            self._unsent.end()
        super().connection_lost(exc)

    async def receive(self) -> Any:
        """The next message. Once the application has received all of them, more are read."""
        event = await super().receive()
        self._continue_reading()
        return event

    async def send(self, message: Any) -> None:
        """Sends. After a close the client's own close is still to be read."""
        await super().send(message)
        if message["type"] == "websocket.close":
            self._continue_reading()

    def _read_slice(self) -> None:
        if self._slices and self._may_read and not self.disconnected:
            super().data_received(self._slices.pop())
        self._continue_reading()

    @property
    def _may_read(self) -> bool:
        return not self.read_paused and self.transport.get_write_buffer_size() < _MAX_UNSENT

    def _continue_reading(self) -> None:
        """Reads the next slice, or from the network, or pauses reading, as the buffers allow."""
        if self.transport.is_closing():
            return
        if self._slices or not self._may_read:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()
        if self._slices and self._may_read:
            self._slices.schedule()

    def handle_cont(self, event: Frame) -> None:
        """Another piece of a message."""
        if len(self.frames) >= _MAX_PIECES:
            self.conn.fail(1009, "too many pieces")
            self.handle_parser_exception()
            return
        super().handle_cont(event)
