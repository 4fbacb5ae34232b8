"""What belongs to a connection is freed when it ends, and does not wait for the collector of cycles."""

import asyncio
import gc
import itertools
import json
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import pytest
from graphql import DocumentNode

from exo_graphql.transports.protocols.http import HttpConnection
from exo_graphql.transports.protocols.websocket import WebSocketConnection
from exo_graphql.transports.websocket_connection import Connection
from tests.support.own_time import OWN_TIME, Backend
from tests.support.running import Running, running, until

pytestmark = pytest.mark.anyio

# Each time another text: one that is seen again is kept.
QUERIES = (f"subscription {{ unseen{number}: nodes {{ id }} }}" for number in itertools.count())
KINDS = (HttpConnection, WebSocketConnection, Connection, DocumentNode)


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    """One loop for all tests, so that they share a server."""
    return OWN_TIME


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


@pytest.fixture
def made() -> Iterator[Callable[[], list[object]]]:
    """The connections and documents that were made since. Meanwhile the collector does nothing."""
    gc.collect()
    before = set(map(id, _found()))
    gc.disable()
    yield lambda: [one for one in _found() if id(one) not in before]
    gc.enable()


def _found() -> list[object]:
    return [one for one in gc.get_objects() if isinstance(one, KINDS)]


@asynccontextmanager
async def _websocket(server: Running, end: str) -> AsyncIterator[None]:
    async with server.socket() as socket:
        await socket.send(type="subscribe", id="1", payload={"query": next(QUERIES)})
        await socket.receive()
        yield
        match end:
            case "completed":
                await socket.send(type="complete", id="1")
            case "aborted":
                socket.connection.transport.abort()
            case "refused":
                await socket.connection.send("nonsense")
                await socket.closed()


@asynccontextmanager
async def _http(server: Running, request: str, answer: bytes) -> AsyncIterator[None]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request.replace("\n", "\r\n").encode())
    await reader.readuntil(answer)
    yield
    writer.close()
    await writer.wait_closed()


def _request(server: Running) -> AbstractAsyncContextManager[None]:
    return _http(server, "GET /healthz HTTP/1.1\nhost: localhost\n\n", b"ok")


def _events(server: Running) -> AbstractAsyncContextManager[None]:
    body = json.dumps({"query": next(QUERIES)})
    head = "host: localhost\ncontent-type: application/json\naccept: text/event-stream"
    return _http(server, f"POST /graphql HTTP/1.1\n{head}\ncontent-length: {len(body)}\n\n{body}", b"event: next")


USES: dict[str, tuple[Callable[[Running], AbstractAsyncContextManager[None]], set[type]]] = {
    "request": (_request, {HttpConnection}),
    "events": (_events, {HttpConnection, DocumentNode}),
    **{
        f"websocket, {end}": (partial(_websocket, end=end), {WebSocketConnection, Connection, DocumentNode})
        for end in ("closed", "completed", "aborted", "refused")
    },
}


@pytest.mark.parametrize("use", USES)
async def test_nothing_of_a_connection_waits_for_the_collector(
    server: Running, made: Callable[[], list[object]], use: str
) -> None:
    uses, kinds = USES[use]
    async with uses(server):
        assert set(map(type, made())) >= kinds
        references = [weakref.ref(one) for one in made()]
    await until(lambda: not any(reference() for reference in references))
