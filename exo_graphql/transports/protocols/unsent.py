"""What was written to a client and waits in this process until the client reads: for how long.

No uvicorn setting ends such a wait. A client that does not read keeps what was written to it in our memory, and closing
its connection keeps it there, since a transport closes only after it has written everything. The kernel gives up by
itself on Linux alone (TCP_USER_TIMEOUT, see `serve`), and later.
"""

import asyncio


class Unsent:
    """Watches one transport's write buffer. A client that reads nothing of it for `seconds` is disconnected."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._size = 0
        """Bytes in the buffer when the timer was started."""
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Nothing more is written for now: the client has `seconds` from here on to read some of the buffer."""
        self.forget()
        self._size = self._transport.get_write_buffer_size()
        if self._size:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._check)

    def forget(self) -> None:
        """The client has read, or has gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        if self._transport.get_write_buffer_size() < self._size:
            self.watch()
        else:
            self._transport.abort()
