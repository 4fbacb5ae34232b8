"""A websocket client down to its socket, for what no library would do: not to read, not to answer, to break off."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from tests.support.running import SUBPROTOCOL, Running, until

# Some kB in a tiny cluster; `{}` makes each its own share.
LONG = "subscription {{ a{}: cluster {{ nodes {{ id downloads {{ id model {{ id family }} node {{ id }} }} }} "
LONG += "downloads {{ id model {{ id family }} node {{ id friendlyName chip osVersion }} }} }} }}"


@dataclass
class Raw:
    """It does nothing by itself: no reading, no pongs."""

    socket: socket.socket
    protocol: ClientProtocol

    async def send(self, **message: object) -> None:
        self.protocol.send_text(orjson.dumps(message))
        for data in self.protocol.data_to_send():
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    def reset(self) -> None:
        """Leaves without a close frame: the kernel sends the other side an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def narrow(server: Running) -> socket.socket:
    """A socket for a connection to which little can be sent before it is read: the kernel's buffers are small."""
    for listener in server.server.servers[0].sockets:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    plain = socket.socket()
    plain.setblocking(False)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return plain


@asynccontextmanager
async def raw(server: Running) -> AsyncIterator[Raw]:
    """Such a client, initialised, that has read its acknowledgement and will read nothing more."""
    loop = asyncio.get_running_loop()
    with narrow(server) as plain:
        await loop.sock_connect(plain, ("127.0.0.1", server.port))
        client = Raw(plain, ClientProtocol(parse_uri(server.websocket_url), subprotocols=[SUBPROTOCOL]))
        client.protocol.send_request(client.protocol.connect())
        for data in client.protocol.data_to_send():
            await loop.sock_sendall(plain, data)
        received = b""
        while b"\r\n\r\n" not in received:
            received += await loop.sock_recv(plain, 4096)
        client.protocol.receive_data(received)
        await client.send(type="connection_init")
        assert b"connection_ack" in await loop.sock_recv(plain, 4096)
        yield client


def buffered(server: Running) -> int:
    """The largest number of bytes that wait in the server's process for one connection."""
    return max(each.transport.get_write_buffer_size() for each in server.server.server_state.connections)


async def stuff(client: Raw, server: Running, count: int = 90) -> None:
    """Subscribes to so much that the kernel's buffers are full and the server waits."""
    for number in range(count):
        await client.send(id=str(number), type="subscribe", payload={"query": LONG.format(number)})
    await until(lambda: server.components.service.live.subscriber_count >= count)
    await until(lambda: buffered(server) > 64 * 1024)
