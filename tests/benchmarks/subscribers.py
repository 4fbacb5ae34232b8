"""Many websocket subscribers in one process, so lean that what is measured is the server: they look for two marks."""

import asyncio
import base64
import json
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

Request = Mapping[str, object]
"""A GraphQL request: query and variables."""

_AT_ONCE = 50  # connections that are opened at the same time
_MARK = b'"observedAt":"'
_HANDSHAKE = (
    "GET /graphql HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    "sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\nsec-websocket-protocol: graphql-transport-ws\r\n\r\n"
)


@dataclass
class Received:
    """What arrived at all subscribers: when, by the state that it describes."""

    messages: int = 0
    payload_bytes: int = 0
    arrivals: defaultdict[bytes, list[float]] = field(default_factory=lambda: defaultdict(list))

    def delays(self, subscribers: int) -> list[float]:
        """Seconds from the arrival of each state in the server to its last subscriber's message."""
        return [
            max(times) - datetime.fromisoformat(state.decode()).timestamp()
            for state, times in list(self.arrivals.items())[:-1]  # the last may be under way still
            if len(times) == subscribers
        ]


class Subscriber(asyncio.Protocol):
    """One connection with one subscription."""

    def __init__(self, port: int, request: Request, received: Received, ready: asyncio.Future[None]) -> None:
        self._port = port
        self._request = request
        self._received = received
        self._ready = ready
        self._buffer = b""
        self._open = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shakes hands."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(_HANDSHAKE.format(port=self._port, key=key).encode())

    def data_received(self, data: bytes) -> None:
        """Takes whole frames off what has arrived."""
        self._buffer += data
        if not self._open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head:
                self._ready.set_exception(ConnectionError(head.decode()))
                return
            self._open, self._buffer = True, rest
            self._send({"type": "connection_init"})
            self._send({"type": "subscribe", "id": "1", "payload": self._request})
        while (frame := self._frame()) is not None:
            self._message(frame)

    def _frame(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        start, length = 2, buffer[1] & 127
        if length > 125:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + length:
            return None
        self._buffer = buffer[start + length :]
        return buffer[start : start + length]

    def _message(self, message: bytes) -> None:
        at = message.find(_MARK)
        if at < 0:
            return
        state = message[at + len(_MARK) : message.index(b'"', at + len(_MARK))]
        self._received.arrivals[state].append(time.time())
        self._received.messages += 1
        self._received.payload_bytes += len(message)
        if not self._ready.done():
            self._ready.set_result(None)

    def _send(self, message: dict[str, object]) -> None:
        text = json.dumps(message).encode()
        length = bytes([128 | len(text)]) if len(text) < 126 else bytes([128 | 126, *len(text).to_bytes(2, "big")])
        assert self.transport is not None
        self.transport.write(b"\x81" + length + bytes(4) + text)  # a mask of zeros leaves the text as it is


@asynccontextmanager
async def subscribed(port: int, requests: Sequence[Request]) -> AsyncIterator[Received]:
    """A subscriber for each of `requests`, every one with its first message."""
    received = Received()
    loop = asyncio.get_running_loop()
    made: list[Subscriber] = []

    async def subscribe(request: Request) -> None:
        ready = loop.create_future()
        _, subscriber = await loop.create_connection(
            lambda: Subscriber(port, request, received, ready), "127.0.0.1", port
        )
        made.append(subscriber)
        await asyncio.wait_for(ready, 60)

    try:
        for batch in batched(requests, _AT_ONCE):
            await asyncio.gather(*map(subscribe, batch))
        yield received
    finally:
        for subscriber in made:
            if subscriber.transport is not None:
                subscriber.transport.abort()


def batched(requests: Sequence[Request], size: int) -> Iterator[Sequence[Request]]:
    """Slices of that size; `itertools` has it from Python 3.12 on."""
    return (requests[begin : begin + size] for begin in range(0, len(requests), size))
