"""Clients that read nothing of what they are sent: each is disconnected, no matter what waits for it.

The kernel's buffers are made small, so that it is this process which holds what is not read. The kernel itself gives
up after a minute, on Linux alone: none of these tests is as patient.
"""

import asyncio
import json
import socket

import pytest
from graphql import get_introspection_query

from exo_graphql.transports.protocols.unsent import Unsent
from tests.support.raw import buffered, narrow, raw
from tests.support.running import Running, running, until
from tests.support.virtual_time import VirtualTimeLoop

pytestmark = pytest.mark.anyio

TIMEOUT = 0.5
# More than the 64 kB at which a connection counts as paused.
LONG = get_introspection_query()
# Less than that, and more than the kernel takes.
SHORT = "{ __schema { types { name description fields { name description } } } }"


async def _ask(server: Running, plain: socket.socket, query: str, headers: str = "", times: int = 1) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plain, ("127.0.0.1", server.port))
    body = json.dumps({"query": query})
    request = (
        f"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}"
        f"content-length: {len(body)}\r\n\r\n{body}"
    )
    await loop.sock_sendall(plain, request.encode() * times)


async def _is_disconnected(server: Running) -> None:
    await until(lambda: not server.server.server_state.connections, 4 * TIMEOUT)


@pytest.mark.parametrize("times", [1, 3], ids=["once", "pipelined"])
@pytest.mark.parametrize("headers", ["", "connection: close\r\n", "accept: text/event-stream\r\n"])
@pytest.mark.parametrize("query", [LONG, SHORT], ids=["long", "short"])
async def test_a_client_that_reads_nothing_of_its_answer_is_disconnected(query: str, headers: str, times: int) -> None:
    async with running(send_timeout=TIMEOUT) as server:
        with narrow(server) as plain:
            await _ask(server, plain, query, headers, times)
            await until(lambda: server.server.server_state.connections and buffered(server) > 10_000)
            await _is_disconnected(server)


async def test_a_client_that_reads_slowly_gets_its_whole_answer() -> None:
    async with running(send_timeout=TIMEOUT) as server:
        with narrow(server) as plain:
            await _ask(server, plain, SHORT)
            loop = asyncio.get_running_loop()
            began, received = loop.time(), b""
            while not received.endswith(b"]}}}"):
                received += await loop.sock_recv(plain, 4096)
                await asyncio.sleep(0.3 * TIMEOUT)
                assert received
            assert loop.time() - began > 2 * TIMEOUT
            assert json.loads(received.partition(b"\r\n\r\n")[2])["data"]["__schema"]["types"]


async def test_a_websocket_that_is_closed_does_not_stay_for_what_is_not_read() -> None:
    async with running(send_timeout=TIMEOUT) as server, raw(server) as client:
        await client.send(id="1", type="subscribe", payload={"query": SHORT})
        await until(lambda: buffered(server) > 10_000)
        await client.send(type="nonsense")
        await _is_disconnected(server)


class _Buffer(asyncio.Transport):
    """A write buffer of a size that a test sets."""

    size = 0
    aborted_at: float | None = None

    def get_write_buffer_size(self) -> int:
        return self.size

    def abort(self) -> None:
        self.aborted_at = asyncio.get_running_loop().time()


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"loop_factory": VirtualTimeLoop})], ids=["virtual"])
async def test_the_time_begins_anew_with_each_answer_and_ends_when_the_client_has_read() -> None:
    loop, buffer, seconds = asyncio.get_running_loop(), _Buffer(), 0.05
    unsent = Unsent(buffer, seconds)
    for size in (10, 20):
        buffer.size = size
        unsent.watch()
        watched_at = loop.time()
        await asyncio.sleep(0.6 * seconds)
    await until(lambda: buffer.aborted_at is not None)
    assert (buffer.aborted_at or 0) - watched_at >= seconds - 0.002
    for read in (unsent.forget, unsent.end, lambda: setattr(buffer, "size", 0)):
        buffer.size, buffer.aborted_at = 10, None
        unsent.watch()
        read()
        await asyncio.sleep(1.5 * seconds)
        assert buffer.aborted_at is None
