"""Work whose client has gone is not computed, however it was asked for; a mutation that has begun is carried out."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from exo_graphql.operations import OperationState
from tests.support.running import A, Running, running, until
from tests.support.wide import WideExo

pytestmark = pytest.mark.anyio

# Each takes some two seconds of a thread, as it is not compiled. `{}` makes each another one.
DEEP = "models {{ nodes {{ models {{ nodes {{ models {{ nodes {{ id }} }} }} }} }} }}"
HEAVY = f"{{{{ nodes {{{{ a{{}}: id b: {DEEP} c: {DEEP} d: {DEEP} }}}} }}}}"
COUNT = 10
# All of them together would take ten times as long, on two threads that take turns.
GIVEN_UP_SECONDS = 1.0
STREAM = "accept: text/event-stream\r\n"
HEADERS = "host: localhost\r\ncontent-type: application/json\r\n"


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    limits: dict[str, Any] = {"max_cost": 10**8, "max_waiting_cost": 10**9, "max_live_cost": 10**9}
    settled: dict[str, Any] = {"max_age": 3600, "normal_pause": 3600, "fast_pause": 3600, "idle_pause": 5}
    async with running(WideExo().simulated, compiled=False, **limits, **settled) as server:
        yield server


def _post(query: str, headers: str = "") -> bytes:
    body = json.dumps({"query": query})
    return f"POST /graphql HTTP/1.1\r\n{HEADERS}{headers}content-length: {len(body)}\r\n\r\n{body}".encode()


def _get(query: str, headers: str = "") -> bytes:
    return f"GET /graphql?query={quote(query)} HTTP/1.1\r\n{HEADERS}{headers}\r\n".encode()


def _under_way(server: Running) -> int:
    return server.components.service._worker_pool.under_way


async def _nothing_is_computed(server: Running) -> None:
    await until(lambda: _under_way(server) == 0, GIVEN_UP_SECONDS)
    assert server.components.service._worker_pool.cost == 0


@pytest.mark.parametrize("broken", [False, True], ids=["closed", "broken"])
@pytest.mark.parametrize("stream", ["", STREAM], ids=["json", "events"])
@pytest.mark.parametrize("write", [_post, _get], ids=["POST", "GET"])
async def test_requests_whose_clients_have_gone(server: Running, write: object, stream: str, *, broken: bool) -> None:
    writers = []
    for number in range(COUNT):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write((_post if write is _post else _get)(HEAVY.format(number), stream))
        writers.append(writer)
    await until(lambda: _under_way(server) == COUNT)
    for writer in writers:
        if broken:
            writer.transport.abort()
        else:
            writer.close()
    await _nothing_is_computed(server)


async def test_operations_that_a_websocket_completes_and_those_of_one_that_closes(server: Running) -> None:
    async with server.socket() as socket:
        ids = [await socket.subscribe(HEAVY.format(number)) for number in range(COUNT)]
        await until(lambda: _under_way(server) == COUNT)
        for id_ in ids:
            await socket.send(id=id_, type="complete")
        await _nothing_is_computed(server)
        for number in range(COUNT):
            await socket.subscribe(HEAVY.format(number))
        await until(lambda: _under_way(server) == COUNT)
    await _nothing_is_computed(server)


async def test_a_live_query_without_a_reader(server: Running) -> None:
    async with server.socket() as socket:
        ids = [await socket.subscribe("subscription " + HEAVY.format(number)) for number in range(3)]
        await until(lambda: _under_way(server) == 1)
        for id_ in ids:
            await socket.send(id=id_, type="complete")
        await _nothing_is_computed(server)
        # The first may have been computed to its end before the last was completed.
        await until(lambda: server.components.service.live.share_count == 0)
        cheap = await socket.subscribe("subscription { cluster { nodeCount } }")
        assert await socket.data(cheap) == {"cluster": {"nodeCount": 32}}


async def test_clients_that_stay_are_answered_while_others_leave(server: Running) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client, AsyncExitStack() as stack:
        for number in range(COUNT):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            stack.callback(writer.close)
            writer.write(_post(HEAVY.format(number)))
        await until(lambda: _under_way(server) == COUNT)
        staying = asyncio.create_task(client.post(server.url, json={"query": HEAVY.format("staying")}))
        await until(lambda: _under_way(server) == COUNT + 1)
        await stack.aclose()
        assert "errors" not in (await staying).json()


@pytest.mark.parametrize("websocket", [False, True], ids=["POST", "websocket"])
async def test_a_mutation_that_has_begun_is_carried_out(*, websocket: bool) -> None:
    mutation = f'mutation {{ loadModel(model: "{A}") {{ operation {{ id }} }} }}'
    async with running() as server:
        server.exo.control.latency = 0.3
        service = server.components.service
        if websocket:
            async with server.socket() as socket:
                await socket.subscribe(mutation)
                await until(lambda: service._changing)
        else:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(_post(mutation))
            await until(lambda: service._changing)
            writer.transport.abort()
        await until(lambda: not server.server.server_state.connections)
        assert service._changing
        await until(lambda: not service._changing)
        (operation,) = server.components.operations.all()
        assert operation.state in (OperationState.RUNNING, OperationState.SUCCEEDED)
