"""What has arrived on a connection, read a slice at a time, with a turn for all other connections in between.

uvicorn parses everything that has arrived in one go. A client that sends 250 kB of the smallest frames (the most that
the kernel delivers at once) holds the event loop for 240 ms; in slices of 4 kB it holds it for 4 ms, 60 times.
"""

import asyncio
from collections.abc import Callable

# Bytes: 4 ms of the smallest frames or requests. An ordinary request is one slice.
_SLICE = 4 * 1024


class Slices:
    """The bytes of one connection that are not read yet. `read` reads the next slice, by `pop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, read: Callable[[], None]) -> None:
        self._loop = loop
        self._read = read
        self._unread = bytearray()
        self._scheduled: asyncio.Handle | None = None
        """The next call of `read`, if one is due."""

    def __bool__(self) -> bool:
        return bool(self._unread)

    def add(self, data: bytes) -> None:
        """Appends what has arrived, and reads a slice unless others have their turn first."""
        self._unread += data
        if self._scheduled is None:
            self._read()

    def pop(self) -> bytes:
        """Removes the next slice."""
        data = bytes(self._unread[:_SLICE])
        del self._unread[:_SLICE]
        return data

    def schedule(self) -> None:
        """Reads the next slice after everybody else's turn."""
        if self._scheduled is None:
            self._scheduled = self._loop.call_soon(self._run)

    def end(self) -> None:
        """Nothing is read any more. Drops what was not read, and `read`, which leads to who has these slices."""
        self._unread.clear()
        self._read = _nothing

    def _run(self) -> None:
        self._scheduled = None
        self._read()


def _nothing() -> None:
    """What is read once the connection has ended."""
