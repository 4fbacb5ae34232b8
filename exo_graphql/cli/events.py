"""Server-sent events as they come in: bytes to events.

The format: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `data` is UTF-8, as sent."""

    name: str
    data: bytes


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    """The events of a stream, without comments, ids and retry times, and without an event cut off at the end."""
    name, data = "message", list[bytes]()
    async for line in _lines(chunks):
        if not line:
            if data or name != "message":
                yield Event(name, b"\n".join(data))
            name, data = "message", []
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"data":
            data.append(value)


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    # Text may hold characters at which str.splitlines would break a line; only these bytes end one.
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            yield line
