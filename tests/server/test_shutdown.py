"""The end: what subscribers are told, how long it takes, and what is left."""

import asyncio
import os
import re
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.server.raw import raw, stuff
from tests.server.running import PHASE, SUBPROTOCOL, Socket, running, until

pytestmark = pytest.mark.anyio

STREAM = {"accept": "text/event-stream"}


async def test_every_subscription_is_completed_and_every_connection_closed() -> None:
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
        await until(lambda: server.house.service.live.subscriber_count == 65)
        began = time.monotonic()
        await server.stop()
        took = time.monotonic() - began
        for client in sockets:
            ends = [await client.receive() for _ in range(3)]
            assert sorted(ends, key=lambda end: end["id"]) == [{"id": str(n), "type": "complete"} for n in (1, 2, 3)]
            assert await client.closed() == (1001, "Server is shutting down")
        for stream in streams:
            text = (await stream.aread()).decode()
            assert text.startswith('event: next\ndata: {"data":')
            assert text.endswith("event: complete\ndata:\n\n")
        assert took < 1.5
        assert server.house.service.live.share_count == 0
    assert asyncio.all_tasks() == before


async def test_a_query_that_waits_for_exo_does_not_hold_up_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with running(demo=False, exo_url=url) as server, server.socket() as client:
            id_ = await client.subscribe("{ cluster { nodeCount } }")
            await until(lambda: server.house.websocket.connection_count == 1)
            began = time.monotonic()
            await server.stop()
            assert time.monotonic() - began < 2
            assert await client.receive() == {"id": id_, "type": "complete"}
            assert (await client.closed())[0] == 1001


async def test_a_client_that_reads_nothing_does_not_hold_up_the_end() -> None:
    before = asyncio.all_tasks()
    async with running() as server, raw(server) as stuck, server.socket() as client:
        await stuff(stuck, server)
        id_ = await client.subscribe(PHASE)
        await client.data(id_)
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 4.5
        assert await client.receive() == {"id": id_, "type": "complete"}
        assert (await client.closed())[0] == 1001
    assert asyncio.all_tasks() == before


@asynccontextmanager
async def _served(folder: Path) -> AsyncIterator[tuple[Process, str]]:
    """The command itself, in a process of its own, and where it answers."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-X", "dev", "-W", "error", "-c", "from exo_graphql.main import app; app()"),
        *("serve", "--demo", "--port", "0", "--state-dir", str(folder)),
        stderr=PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("EXO_GRAPHQL_")},
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            async for line in process.stderr:
                if found := re.search(rb"//(127\.0\.0\.1:\d+/graphql)", line):
                    yield process, found.group(1).decode()
                    break
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_with_200_subscribers_in_time_and_without_complaint(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with _served(tmp_path) as (process, address), AsyncExitStack() as stack:
        assert process.stderr is not None
        clients = []
        for _ in range(200):
            connecting = connect(f"ws://{address}", subprotocols=[SUBPROTOCOL], proxy=None)
            client = Socket(await stack.enter_async_context(connecting))
            await client.send(type="connection_init")
            assert (await client.receive())["type"] == "connection_ack"
            await client.data(await client.subscribe('subscription { modelStatus(model: "nobody") { phase } }'))
            clients.append(client)
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        stream = await stack.enter_async_context(
            http.stream("POST", f"http://{address}", json={"query": PHASE}, headers=STREAM)
        )
        began = time.monotonic()
        process.send_signal(number)
        for client in clients:
            assert (await client.receive())["type"] == "complete"
            assert (await client.closed())[0] == 1001
        assert (await stream.aread()).endswith(b"event: complete\ndata:\n\n")
        said = await asyncio.wait_for(process.stderr.read(), 5)
        code = await asyncio.wait_for(process.wait(), 5)
        assert time.monotonic() - began < 5
        assert code == 0
        assert not re.search(rb"Traceback|ERROR|Warning|never awaited|was destroyed", said), said.decode()
