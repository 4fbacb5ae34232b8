"""Sends the responses of one request: what is whole, in one go.

uvicorn writes a response's head and its body by two coroutines, and searches each header twice for characters that do
not belong there: a third of what an answer from memory takes. Most headers are the same in all answers, so their lines
are made once. Where the head does not say that the whole body follows, uvicorn sends both.
"""

from functools import lru_cache

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, RequestResponseCycle

# Bytes of a body that are copied behind its head. A larger one is written as it is: copying it would take longer.
_COPIED = 16 * 1024


class Sender:
    """ASGI's `send` for one request."""

    __slots__ = ("_cycle", "_head")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._head: Message | None = None
        """The start of a response whose whole body is to follow; nothing of it was sent."""

    async def __call__(self, message: Message) -> None:
        """Sends, or keeps the start of a response until its body is there (ASGI lets a server do so)."""
        cycle, head = self._cycle, self._head
        if head is None:
            if message["type"] == "http.response.start":
                if cycle.waiting_for_100_continue:
                    # The client was not asked for the body, and need not send it: what comes next could be either.
                    cycle.keep_alive = False
                if self._may_wait(message):
                    self._head = message
                    return
        else:
            self._head = None
            if self._send_whole(head, message):
                return
            await cycle.send(head)  # type: ignore[arg-type]  # as the application wrote it
        await cycle.send(message)  # type: ignore[arg-type]

    def _may_wait(self, head: Message) -> bool:
        """Whether the body follows at once, of a length that is known, and the connection goes on after it.

        It also goes on where the request's body is still to come: `HttpConnection` ends it then.
        """
        cycle = self._cycle
        if cycle.access_log or cycle.scope["method"] == "HEAD" or cycle.response_started:
            return False
        if not cycle.keep_alive and (not cycle.more_body or cycle.waiting_for_100_continue):
            return False
        return b"content-length" in dict(head.get("headers", ()))

    def _send_whole(self, head: Message, message: Message) -> bool:
        """Sends the whole response, if `message` is its whole body and the client reads fast enough."""
        cycle = self._cycle
        body: bytes = message.get("body", b"")
        if message["type"] != "http.response.body" or message.get("more_body", False):
            return False
        if cycle.disconnected or cycle.flow.write_paused:
            return False
        lines = [STATUS_LINE[head["status"]]]
        for name, value in (*cycle.default_headers, *head["headers"]):
            line = _line(name, value)
            if line is None or (name == b"content-length" and int(value) != len(body)):
                return False
            lines.append(line)
        lines.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        if len(body) <= _COPIED:
            lines.append(body)
            cycle.transport.write(b"".join(lines))
        else:
            cycle.transport.writelines((b"".join(lines), body))
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        cycle.on_response()
        return True


@lru_cache(maxsize=512)
def _line(name: bytes, value: bytes) -> bytes | None:
    """A header as it is sent; None for what uvicorn has to look at: a wrong one, or one about the connection."""
    if name.lower() in (b"connection", b"transfer-encoding") or HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        return None
    return name.lower() + b": " + value + b"\r\n"
