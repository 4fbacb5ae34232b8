"""What was sent to a client and waits for it to read, in this process: for how long.

Who reads nothing keeps what it was sent in our memory. The kernel gives such a connection up by itself on Linux alone,
and after longer.
"""

import asyncio


class Unsent:
    """Watches one transport's buffer. A client that reads nothing of it for `seconds` is let go."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Nothing more is written for now: the client has `seconds` from here on to read some of what is there."""
        self.forget()
        self._size = self._transport.get_write_buffer_size()
        if self._size:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look)

    def forget(self) -> None:
        """The client has read, or has gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._transport.get_write_buffer_size() < self._size:
            self.watch()
        else:
            self._transport.abort()
