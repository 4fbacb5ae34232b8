"""Looks up the name of a receiver's host, in a thread of its own.

The event loop looks names up on a few threads that it shares with everything else, such as decoding exo's state. A
lookup of a host that is off may take half a minute: six of them would stop all of that.
"""

import asyncio
import socket
import threading
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit


class NameLookup:
    """Of one URL; one lookup at a time."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).hostname or ""
        self._lookup: asyncio.Future[None] | None = None

    async def ended(self) -> None:
        """Waits until the host has been looked up, whatever came of it: the request finds the same at once."""
        if _is_address(self._host):
            return
        if self._lookup is None or self._lookup.done():
            self._lookup = asyncio.get_running_loop().create_future()
            arguments = asyncio.get_running_loop(), self._lookup
            # A daemon, since a lookup cannot be broken off, and the server must be able to end.
            threading.Thread(target=self._look, args=arguments, name=f"lookup {self._host}", daemon=True).start()
        await asyncio.shield(self._lookup)

    def _look(self, loop: asyncio.AbstractEventLoop, found: "asyncio.Future[None]") -> None:
        with suppress(OSError, UnicodeError):
            socket.getaddrinfo(self._host, None, type=socket.SOCK_STREAM)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(lambda: None if found.done() else found.set_result(None))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
