"""The end: what subscribers are reported, how long it takes, and what is left."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.process import served
from tests.support.raw import raw, stuff
from tests.support.running import PATIENCE, PHASE, SUBPROTOCOL, A, Socket, running, until

pytestmark = pytest.mark.anyio

STREAM = {"accept": "text/event-stream"}


async def _left_over(client: Socket) -> list[str | bytes]:
    """What was received and not yet read."""
    messages = []
    with suppress(ConnectionClosed):
        while True:
            messages.append(await client.connection.recv())
    return messages


async def _broken_off(stream: httpx.Response) -> str:
    """What was received of a stream, whose end must be none."""
    received = b""
    chunks = aiter(stream.aiter_bytes())
    try:
        while True:
            received += await anext(chunks)
    except httpx.RemoteProtocolError as error:
        assert "incomplete chunked read" in str(error)  # noqa: PT017  # what came before counts, too
    return received.decode()


async def test_every_subscription_is_broken_off_without_a_complete_and_every_connection_closed() -> None:
    before = asyncio.all_tasks()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running())
        sockets = [await stack.enter_async_context(server.socket()) for _ in range(20)]
        for client in sockets:
            for _ in range(3):
                await client.data(await client.subscribe(PHASE))
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        streams = [
            await stack.enter_async_context(http.stream("POST", server.url, json={"query": PHASE}, headers=STREAM))
            for _ in range(5)
        ]
        await until(lambda: server.components.service.live.subscriber_count == 65)
        began = asyncio.get_running_loop().time()
        await server.stop()
        took = asyncio.get_running_loop().time() - began
        for client in sockets:
            assert await client.closed() == (1001, "Server is shutting down")
            assert await _left_over(client) == []
        for stream in streams:
            assert re.fullmatch(r'event: next\ndata: {"data":.*}\n\n', await _broken_off(stream))
        assert took < 1.5
        assert server.components.service.live.share_count == 0
    assert asyncio.all_tasks() == before


async def test_a_query_that_waits_for_exo_does_not_hold_up_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with running(demo=False, exo_url=url) as server, server.socket() as client:
            await client.subscribe("{ cluster { nodeCount } }")
            await until(lambda: server.components.websocket.connection_count == 1)
            began = asyncio.get_running_loop().time()
            await server.stop()
            assert asyncio.get_running_loop().time() - began < 2
            assert (await client.closed())[0] == 1001
            assert await _left_over(client) == []


async def test_an_operation_that_is_answered_in_time_is_and_one_that_ends_by_itself_completes() -> None:
    async with running() as server, server.socket() as client:
        server.exo.control.latency = 0.1  # three requests to exo: 0.3 s of the 0.5 s that an answer is given
        await client.data(await client.subscribe(PHASE))
        waits = await client.subscribe(f'{{ placements(model: "{A}") {{ fits }} }}')
        await until(lambda: any(each._answering for each in server.components.websocket._connections))
        await server.stop()
        answer = await client.receive()
        assert (answer["id"], answer["type"], "errors" in answer["payload"]) == (waits, "next", False)
        assert await client.receive() == {"id": waits, "type": "complete"}
        assert (await client.closed())[0] == 1001
        assert await _left_over(client) == []


async def test_a_client_that_reads_nothing_does_not_hold_up_the_end() -> None:
    before = asyncio.all_tasks()
    async with running() as server, raw(server) as stuck, server.socket() as client:
        await stuff(stuck, server)
        id_ = await client.subscribe(PHASE)
        await client.data(id_)
        began = asyncio.get_running_loop().time()
        await server.stop()
        assert asyncio.get_running_loop().time() - began < 4.5
        assert (await client.closed())[0] == 1001
        assert await _left_over(client) == []
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_with_200_subscribers_in_time_and_without_complaint(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with served(tmp_path) as (process, address), AsyncExitStack() as stack:
        assert process.stderr is not None
        clients = []
        for _ in range(200):
            connecting = connect(f"ws://{address}", subprotocols=[SUBPROTOCOL], proxy=None)
            client = Socket(await stack.enter_async_context(connecting))
            await client.send(type="connection_init")
            assert (await client.receive(PATIENCE))["type"] == "connection_ack"
            id_ = await client.subscribe('subscription { modelStatus(model: "nobody") { phase } }')
            await client.data(id_, PATIENCE)
            clients.append(client)
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=PATIENCE))
        stream = await stack.enter_async_context(
            http.stream("POST", f"http://{address}", json={"query": PHASE}, headers=STREAM)
        )
        process.send_signal(number)
        for client in clients:
            assert (await client.closed(PATIENCE))[0] == 1001
            assert await _left_over(client) == []
        assert "complete" not in await _broken_off(stream)
        said = await asyncio.wait_for(process.stderr.read(), PATIENCE)
        code = await asyncio.wait_for(process.wait(), PATIENCE)
        assert code == 0  # it ends itself with 1 where that takes 10 s
        assert not re.search(rb"Traceback|ERROR|Warning|never awaited|was destroyed", said), said.decode()


HANGING = """
import sys, threading, time
from exo_graphql.observability.logs import configure
from exo_graphql.serve import Server, block_on, server_config, _serve

async def app(scope, receive, send):
    pass

def hang():
    time.sleep(600)

async def goodbye():
    threading.Thread(target=hang, name="looks a name up").start()
    hang()

configure()
server = Server(server_config(app, "127.0.0.1", 0), "listening on {port}", goodbye, end_seconds=0.5)
sys.exit(block_on(_serve(server)))
"""


def test_what_hangs_at_the_end_is_not_waited_for() -> None:
    """Neither a thread nor the event loop itself; the log says where both are."""
    process = subprocess.Popen([sys.executable, "-c", HANGING], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert "listening on" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "Not stopped within 0.5 s: ended at once." in err
    assert "MainThread: hang (<string>:" in err
    assert "looks a name up: hang (<string>:" in err
