"""Live queries to clients that read slowly, not at all, or go away without a word."""

import asyncio
import socket
from contextlib import suppress

import orjson
import pytest

from exo_graphql.serve import UNREAD_SECONDS
from exo_graphql.simulator import SimulatedExo, default_scenario, tiny_scenario
from tests.support.raw import LONG, buffered, narrow, raw, stuff
from tests.support.running import PHASE, A, running, until

pytestmark = pytest.mark.anyio

UNTIL_READY = f'subscription {{ modelStatus(model: "{A}", until: READY) {{ phase }} }}'
# What uvicorn lets a connection's buffer grow to before the sender waits, and one message on top.
MOST_BUFFERED = 64 * 1024 + 100_000


async def test_a_client_that_does_not_read_delays_no_other_and_its_buffer_is_bounded() -> None:
    exo = SimulatedExo(tiny_scenario(), seed=1, speed=5)
    async with running(exo) as server, raw(server) as stuck, server.socket() as bystander:
        await stuff(stuck, server)
        id_ = await bystander.subscribe(UNTIL_READY)
        await bystander.data(id_)
        exo.control.place(A)
        clock = asyncio.get_running_loop().time
        began, phases = clock(), []
        while (message := await bystander.receive())["type"] == "next":
            phases.append(message["payload"]["data"]["modelStatus"]["phase"])
            assert buffered(server) < MOST_BUFFERED
        assert phases[-1] == "READY"
        assert clock() - began < 3
        await bystander.send(type="ping")
        assert await bystander.receive() == {"type": "pong"}


async def test_a_client_that_reads_again_gets_what_is_newest() -> None:
    async with running(SimulatedExo(tiny_scenario(), seed=1, speed=5)) as server, server.socket(max_queue=1) as slow:
        id_ = await slow.subscribe(UNTIL_READY)
        assert await slow.data(id_) == {"modelStatus": {"phase": "NOT_LOADED"}}
        server.exo.control.place(A)
        async with server.socket() as quick:
            other = await quick.subscribe(UNTIL_READY)
            while (await quick.receive())["type"] == "next":
                pass
            assert other
        phases = []
        while (message := await slow.receive())["type"] == "next":
            phases.append(message["payload"]["data"]["modelStatus"]["phase"])
        assert phases[-1] == "READY"
        assert len(phases) == len(set(phases))


async def test_a_websocket_that_reads_nothing_for_too_long_is_let_go() -> None:
    async with running(send_timeout=0.3) as server, raw(server) as stuck:
        with suppress(OSError):  # it may be let go before it has asked for everything
            for number in range(90):
                await stuck.send(id=str(number), type="subscribe", payload={"query": LONG.format(number)})
        await until(lambda: server.components.websocket.connection_count == 0)
        assert server.components.service.live.share_count == 0


async def test_an_event_stream_that_is_not_read_for_too_long_is_let_go() -> None:
    # Telemetry that moves all the time, read without a pause: there is always something to send.
    exo = SimulatedExo(default_scenario(), seed=1, speed=20)
    async with running(exo, send_timeout=0.3, normal_pause=0.01, normal_share=0.9) as server:
        loop = asyncio.get_running_loop()
        with narrow(server) as plain:
            await loop.sock_connect(plain, ("127.0.0.1", server.port))
            query = "subscription { cluster { nodes { id temperatureC powerWatts } downloads { id model { id } } } }"
            body = orjson.dumps({"query": query})
            await loop.sock_sendall(
                plain,
                b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
            )
            await until(lambda: server.components.service.live.subscriber_count == 1)
            await until(lambda: server.components.service.live.subscriber_count == 0)


async def test_clients_that_are_reset_leave_nothing_behind() -> None:
    async with running() as server:
        before = asyncio.all_tasks()
        for _ in range(40):
            async with raw(server) as client:
                await client.send(id="1", type="subscribe", payload={"query": PHASE})
                client.reset()
        await until(lambda: server.components.websocket.connection_count == 0)
        await until(lambda: server.components.service.live.share_count == 0)
        await until(lambda: not asyncio.all_tasks() - before)  # the server's own come and go


async def test_a_client_that_answers_no_ping_is_let_go() -> None:
    async with running() as server:
        # The numbers are uvicorn's, 20 s each; what it does when they are over is what counts here.
        server.server.config.ws_ping_interval = server.server.config.ws_ping_timeout = 0.1
        async with raw(server) as silent:
            await silent.send(id="1", type="subscribe", payload={"query": PHASE})
            await until(lambda: server.components.service.live.subscriber_count == 1)
            await until(lambda: server.components.websocket.connection_count == 0)
            assert server.components.service.live.share_count == 0


@pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux alone cuts dead connections when reported to"
)
async def test_the_kernel_cuts_a_connection_on_which_nothing_is_received() -> None:
    async with running() as server, server.socket():
        (connection,) = server.server.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNREAD_SECONDS * 1000


async def test_many_clients_that_come_and_go_leave_nothing_behind() -> None:
    async with running() as server:
        before = asyncio.all_tasks()

        async def come_and_go() -> None:
            for _ in range(15):
                async with server.socket() as client:
                    await client.data(await client.subscribe(PHASE))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(come_and_go())
        await until(lambda: server.components.websocket.connection_count == 0)
        await until(lambda: not asyncio.all_tasks() - before)  # the server's own come and go
        assert server.components.service.live.share_count == 0
