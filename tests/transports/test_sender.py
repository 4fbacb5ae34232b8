"""What `Sender` sends in one go is what uvicorn sends, byte for byte, and leaves the collector of cycles nothing."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from exo_graphql.transports.protocols.http import HttpConnection

pytestmark = pytest.mark.anyio

HTTP = partial(HttpConnection, max_connections=10, header_timeout=5.0, send_timeout=5.0)
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
LARGE = bytes(range(256)) * 400


def _response(status: int, headers: Sequence[tuple[bytes, bytes]], *bodies: bytes) -> list[Message]:
    last = len(bodies) - 1
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        *({"type": "http.response.body", "body": body, "more_body": n < last} for n, body in enumerate(bodies)),
    ]


LENGTH = (b"content-length", b"5")
RESPONSES = {
    "whole": _response(200, [LENGTH, (b"etag", b'W/"1"')], b"hello"),
    "empty": _response(204, [(b"content-length", b"0")], b""),
    "large": _response(200, [(b"content-length", b"%d" % len(LARGE))], LARGE),
    "not found": _response(404, [LENGTH], b"hello"),
    "of unknown length": _response(200, [(b"x-a", b"b")], b"hello"),
    "in pieces": _response(200, [LENGTH], b"hel", b"lo"),
    "piece by piece": _response(200, [], b"hel", b"lo"),
    "the last one": _response(200, [LENGTH, (b"connection", b"close")], b"hello"),
    "chunked": _response(200, [(b"transfer-encoding", b"chunked"), LENGTH], b"hello"),
    "in capitals": _response(200, [(b"Content-Length", b"5"), (b"X-A", b"b")], b"hello"),
    "a header twice": _response(200, [LENGTH, (b"vary", b"a"), (b"vary", b"b")], b"hello"),
    "too short": _response(200, [(b"content-length", b"6")], b"hello"),
    "too long": _response(200, [(b"content-length", b"4")], b"hello"),
    "a second line in a header": _response(200, [LENGTH, (b"x-a", b"b\r\nset-cookie: c")], b"hello"),
    "a name that is none": _response(200, [LENGTH, (b"x a", b"b")], b"hello"),
    "nothing": [],
}
REQUESTS = {
    "get": GET,
    "head": GET.replace(b"GET", b"HEAD"),
    "close": GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"),
    "old": GET.replace(b"1.1", b"1.0"),
    "pipelined": GET + GET,
}


@asynccontextmanager
async def _connected(
    http: Callable[..., asyncio.Protocol], messages: Sequence[Message]
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to an application that sends `messages` and nothing else."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    config = uvicorn.Config(app, lifespan="off", access_log=False, log_config=None)
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Thu, 26 Nov 2026 17:00:00 GMT")]
    loop = asyncio.get_running_loop()
    made: Callable[[], asyncio.Protocol] = partial(http, config=config, server_state=state, app_state={})
    async with await loop.create_server(made, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()


async def _all(http: Callable[..., asyncio.Protocol], messages: Sequence[Message], request: bytes) -> bytes:
    """What the server sends until it has closed the connection, which the second request asks for."""
    last = GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    async with _connected(http, messages) as (reader, writer), asyncio.timeout(5):
        writer.write(request + last)
        return await reader.read()


@pytest.mark.parametrize("messages", RESPONSES.values(), ids=RESPONSES)
async def test_it_sends_what_uvicorn_sends(messages: Sequence[Message]) -> None:
    for name, request in REQUESTS.items():
        assert await _all(HTTP, messages, request) == await _all(HttpToolsProtocol, messages, request), name


async def test_an_application_that_sends_no_body_is_answered_for_by_500() -> None:
    # uvicorn has sent the head by then, and can only close the connection.
    assert (await _all(HTTP, _response(200, [LENGTH]), GET)).startswith(b"HTTP/1.1 500")


async def test_an_answered_request_leaves_nothing_that_only_the_collector_can_free() -> None:
    async with _connected(HTTP, RESPONSES["whole"]) as (reader, writer):

        async def answered() -> None:
            writer.write(GET)
            await reader.readuntil(b"hello")

        await answered()
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(3):
                await answered()
            gc.collect()
            left: list[Any] = [each for each in gc.garbage if isinstance(each, RequestResponseCycle)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert not left
