"""Connections that are slow, many, or never read: each comes to an end, and delays no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import pytest

from exo_graphql.transports.protocols.slices import Slices
from tests.support.running import Running, running, until

pytestmark = pytest.mark.anyio

HEAD = b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
QUERY = b'{"query":"{ __typename }"}'
WHOLE = HEAD + b"content-length: %d\r\n\r\n" % len(QUERY) + QUERY
HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
)


@asynccontextmanager
async def _connection(server: Running) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """All until the server closes."""
    async with asyncio.timeout(5):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


def _open(server: Running) -> int:
    return len(server.server.server_state.connections)


@pytest.mark.parametrize("sent", [b"", b"POST /graphql HTTP/1.1\r\n", HEAD, HANDSHAKE[:-2]])
async def test_a_connection_whose_headers_do_not_come_is_closed(sent: bytes) -> None:
    async with running(header_timeout=0.1) as server, _connection(server) as (reader, writer):
        writer.write(sent)
        assert await _rest(reader) == b""
        await until(lambda: _open(server) == 0)


async def test_headers_that_drip_do_not_put_the_end_off() -> None:
    async with running(header_timeout=0.2) as server, _connection(server) as (reader, writer):

        async def drip() -> None:
            writer.write(HEAD)
            while True:
                writer.write(b"x-a: b\r\n")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert await _rest(reader) == b""
        dripping.cancel()


async def test_the_second_requests_headers_have_as_long() -> None:
    async with running(header_timeout=0.2) as server, _connection(server) as (reader, writer):
        writer.write(WHOLE)
        await reader.readuntil(b'{"data":{"__typename":"Query"}}')
        writer.write(HEAD)
        assert await _rest(reader) == b""


async def test_headers_without_end_are_cut_off() -> None:
    async with running() as server, _connection(server) as (reader, writer):
        writer.write(HEAD + b"x-a: " + b"a" * 70_000)
        assert (await _rest(reader)).startswith(b"HTTP/1.1 431")
        await until(lambda: _open(server) == 0)


async def test_a_body_that_does_not_come_is_answered_by_408_and_the_connection_ends() -> None:
    async with running(body_timeout=0.1) as server, _connection(server) as (reader, writer):
        writer.write(HEAD + b"content-length: 1000\r\n\r\n{")
        answer = await _rest(reader)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"body_timeout" in answer or b"0.1 seconds" in answer


REFUSED = HEAD.replace(b"application/json", b"text/plain")


async def test_a_body_without_end_does_not_put_the_end_off_after_its_refusal() -> None:
    async with running(header_timeout=0.2) as server, _connection(server) as (reader, writer):
        writer.write(REFUSED + b"content-length: 1000000000\r\n\r\n")

        async def drip() -> None:
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert (await _rest(reader)).startswith(b"HTTP/1.1 415")
        dripping.cancel()


async def test_a_connection_continues_after_a_refusal_that_came_before_its_body() -> None:
    """As with a wrong token: most libraries send the body by itself, after the headers."""
    async with running() as server, _connection(server) as (reader, writer):
        for last in (WHOLE, WHOLE[:40]):
            writer.write(REFUSED + b"content-length: 900000\r\n\r\n")
            await reader.readuntil(b"application/json.")
            writer.write(b"x" * 900_000 + last)
            if last == WHOLE:
                await reader.readuntil(b'{"data":{"__typename":"Query"}}')
                writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                await reader.readuntil(b'"ok"}')
        connection: Any = next(iter(server.server.server_state.connections))
        await until(lambda: connection._in_headers)
        assert connection.timeout_keep_alive_task is None


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_the_last_answer_is_not_lost_with_the_connection(version: bytes) -> None:
    refused = REFUSED.replace(b"1.1", version) + b"connection: close\r\ncontent-length: 900000\r\n\r\n"
    async with running() as server, _connection(server) as (reader, writer):
        writer.write(refused)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"connection: close\r\n" in head
        writer.write(b"x" * 900_000)
        await writer.drain()
        assert b"application/json" in await _rest(reader)


@pytest.mark.parametrize(
    ("head", "length", "status"), [(REFUSED, 10, b"415"), (HEAD, 10**9, b"413"), (HEAD, 2, b"100")]
)
async def test_only_a_body_that_is_to_be_read_is_asked_for(head: bytes, length: int, status: bytes) -> None:
    async with running() as server, _connection(server) as (reader, writer):
        writer.write(head + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % length)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 " + status)
        if status != b"100":
            assert b"connection: close\r\n" in answer
            await _rest(reader)


async def test_a_kept_alive_connection_continues() -> None:
    async with running(header_timeout=0.4) as server, _connection(server) as (reader, writer):
        for _ in range(3):
            writer.write(WHOLE)
            await reader.readuntil(b'{"data":{"__typename":"Query"}}')
            await asyncio.sleep(0.25)


async def test_a_connection_beyond_the_limit_gets_an_error_and_is_closed() -> None:
    async with running(max_connections=2) as server:
        async with _connection(server) as first, _connection(server) as second:
            for reader, writer in (first, second):
                writer.write(WHOLE)
                await reader.readuntil(b'{"data":{"__typename":"Query"}}')
            async with _connection(server) as (reader, _):
                head, _, body = (await _rest(reader)).partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 503")
                (error,) = orjson.loads(body)["errors"]
                assert (error["extensions"]["limit"], error["extensions"]["value"]) == ("max_connections", 2)
        await until(lambda: _open(server) == 0)
        async with _connection(server) as (reader, writer):
            writer.write(WHOLE)
            await reader.readuntil(b'{"data":{"__typename":"Query"}}')


async def test_a_websocket_counts_as_a_connection() -> None:
    async with running(max_connections=1) as server, server.socket(), _connection(server) as (reader, _):
        assert (await _rest(reader)).startswith(b"HTTP/1.1 503")


async def test_pings_of_a_client_that_reads_nothing_do_not_fill_memory() -> None:
    # A ping of 125 bytes, masked by zeros; its answer is as long.
    pings = (b"\x89\xfd\x00\x00\x00\x00" + b"p" * 125) * 500
    async with running() as server, _connection(server) as (reader, writer):
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own transports can
        # 60 MB: far more than the kernel holds for the two of us.
        with suppress(TimeoutError):
            for _ in range(1000):
                writer.write(pings)
                async with asyncio.timeout(0.5):
                    await writer.drain()
        (connection,) = server.server.server_state.connections
        assert connection.transport.get_write_buffer_size() < 1_000_000
        assert writer.transport.get_write_buffer_size() > 0
        writer.transport.abort()


async def test_a_message_in_pieces_without_end_is_closed_by_1009() -> None:
    async with running() as server, _connection(server) as (reader, writer):
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        empty = b"\x00\x80\x00\x00\x00\x00"
        writer.write(b"\x01\x80\x00\x00\x00\x00" + empty * 2000)
        answer = await _rest(reader)
        assert answer[:1] == b"\x88"
        assert int.from_bytes(answer[2:4], "big") == 1009


async def test_a_message_beyond_the_limit_is_closed_by_1009() -> None:
    async with running(max_message_bytes=2000) as server, server.socket() as socket:
        await socket.send(type="ping", payload={"a": "x" * 1900})
        assert (await socket.receive())["type"] == "pong"
        await socket.send(type="ping", payload={"a": "x" * 2100})
        code, _ = await socket.closed()
        assert code == 1009


async def test_more_operations_than_a_websocket_may_have_are_refused_by_the_limits_name() -> None:
    async with running(max_subscriptions=2) as server, server.socket() as socket:
        for number in range(2):
            id_ = await socket.subscribe(f"subscription {{ nodes {{ a{number}: id }} }}")
            await socket.data(id_)
        id_ = await socket.subscribe("subscription { nodes { id } }")
        refused = await socket.receive()
        assert (refused["id"], refused["type"]) == (id_, "error")
        (error,) = refused["payload"]
        assert (error["extensions"]["limit"], error["extensions"]["value"]) == ("max_subscriptions", 2)
        await socket.send(type="complete", id="1")
        id_ = await socket.subscribe("subscription { nodes { id } }")
        await socket.data(id_)


async def test_a_pong_that_cannot_be_written_is_a_broken_message() -> None:
    async with running() as server, server.socket() as socket:
        await socket.connection.send('{"type":"ping","payload":' + '{"a":' * 300 + "1" + "}" * 301)
        code, _ = await socket.closed()
        assert code == 4400


PONG = b"\x8a\x80\x00\x00\x00\x00"
SAID = b'{"type":"pong"}'
TEXT = b"\x81\x8f\x00\x00\x00\x00" + SAID


@pytest.mark.parametrize(
    ("opening", "piece"),
    [(HANDSHAKE, PONG), (HANDSHAKE, TEXT), (b"", b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")],
    ids=["frames", "messages", "requests"],
)
async def test_what_arrives_at_once_is_read_in_slices(opening: bytes, piece: bytes) -> None:
    async with running() as server, _connection(server) as (reader, writer):
        if opening:
            writer.write(opening)
            await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.01)  # the acceptance has been handled: from here on each turn is the flood's
        protocol: Any = next(iter(server.server.server_state.connections))
        slices: Slices = protocol._slices
        turns, most = 0, 0
        read_slice = slices._read

        def counted() -> None:
            nonlocal turns, most
            before = len(slices._unread)
            read_slice()
            turns += 1
            most = max(most, before - len(slices._unread))

        slices._read = counted
        writer.write(piece * (200_000 // len(piece)))
        await until(lambda: turns >= 40)
        assert most <= 4096


async def test_a_client_that_leaves_its_pipelined_requests_behind_leaves_no_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as server:
        async with _connection(server) as (_, writer):
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n" * 2000)
            await writer.drain()
            writer.transport.abort()
        await until(lambda: _open(server) == 0 and not server.server.server_state.tasks)
    assert "Exception in ASGI" not in caplog.text


async def test_an_answer_does_not_close_on_the_next_request_whose_body_is_on_its_way() -> None:
    async with running() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            body = b'{"query": "{ __typename }"}'
            request = (
                b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(body), body)
            )
            writer.write(request + request[:-5])
            async with asyncio.timeout(5):
                assert b'"Query"' in await reader.readuntil(b"}}")
                writer.write(request[-5:])
                assert b'"Query"' in await reader.readuntil(b"}}")
        finally:
            writer.close()
