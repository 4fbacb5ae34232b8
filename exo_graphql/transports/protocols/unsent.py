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
        self._loop = asyncio.get_running_loop()
        self._size = 0
        """Bytes that were in the buffer at `_since`."""
        self._since: float | None = None
        """From when on (`loop.time`) the client has had its time to read some of them; None where it need not."""
        self._timer: asyncio.TimerHandle | None = None
        """Due at the end of that time or before. Most clients read at once: a timer of its own for each answer would
        take longer than all else about it, and so it is neither cancelled nor set anew for each."""

    def watch(self) -> None:
        """Nothing more is written for now: the client has `seconds` from here on to read some of the buffer."""
        self._size = self._transport.get_write_buffer_size()
        if not self._size:
            self._since = None
            return
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._check)

    def forget(self) -> None:
        """The client has read."""
        self._since = None

    def end(self) -> None:
        """The client has gone."""
        self._since = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        if self._since is None:
            return
        left = self._since + self._seconds - self._loop.time()
        # Timers of a millisecond's precision may come that much too early.
        if left > 0.001:
            self._timer = self._loop.call_later(left, self._check)
        elif self._transport.get_write_buffer_size() < self._size:
            self.watch()
        else:
            self._transport.abort()
