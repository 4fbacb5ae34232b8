"""One exo node over a network that refuses, breaks, hangs or never ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from exo_graphql.cluster.upstream import Unreachable
from exo_graphql.exo import client as client_module
from exo_graphql.exo.client import Erring, ExoClient, NotSent
from tests.support.own_time import OWN_TIME, Backend

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> Backend:
    """Real time: these tests use sockets."""
    return OWN_TIME


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    """The URL of something that listens on loopback and talks like this to each client."""
    talks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()


async def test_a_refused_connection_is_unreachable() -> None:
    async with listening(lambda *_: asyncio.sleep(0)) as url:
        pass
    exo = ExoClient(url)
    with pytest.raises(NotSent, match=r"^exo cannot be reached\.$"):
        await exo.state(1.0)
    await exo.aclose()


async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"topology": ')
    await writer.drain()


async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"this is no HTTP at all\r\n\r\n")
    await writer.drain()


async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Each byte comes in time; the whole never does.
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


@pytest.mark.parametrize("talk", [reset, break_off, babble])
async def test_a_connection_that_breaks_is_unreachable(talk: Talk) -> None:
    async with listening(talk) as url:
        exo = ExoClient(url)
        with pytest.raises(Unreachable) as caught:
            await exo.state(5.0)
        assert not isinstance(caught.value, NotSent), "it may have arrived"
        assert "127.0.0.1" not in str(caught.value)
        await exo.aclose()


@pytest.mark.parametrize("talk", [hang, trickle])
async def test_every_call_is_bounded_as_a_whole(talk: Talk) -> None:
    loop = asyncio.get_running_loop()
    async with listening(talk) as url:
        exo = ExoClient(url, command_timeout=0.2)
        for call in (exo.state(0.2), exo.models(0.2), exo.node_id(0.2), exo.delete("x"), exo.previews("m")):
            before = loop.time()
            with pytest.raises(Unreachable, match=r"^exo did not answer within 0\.2 s\.$"):
                await call
            assert loop.time() - before < 1.0
        await exo.aclose()


async def test_a_body_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_BODY", 1 << 20)
    async with listening(flood) as url:
        exo = ExoClient(url)
        with pytest.raises(Erring, match="larger than 64 MiB"):
            await exo.state(5.0)
        await exo.aclose()


async def test_commands_that_hang_do_not_block_reads() -> None:
    arrived = 0
    full = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == client_module.MAX_COMMANDS:
            full.set()
        if arrived <= client_module.MAX_COMMANDS:
            await hang(reader, writer)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        await writer.drain()

    async with listening(answer) as url:
        exo = ExoClient(url, command_timeout=1.0)
        commands = [asyncio.create_task(exo.delete(str(i))) for i in range(100)]
        await full.wait()
        assert (await exo.state(0.5)).body == b"{}"
        assert arrived == client_module.MAX_COMMANDS + 1
        outcomes = await asyncio.gather(*commands, return_exceptions=True)
        # As these time out, others get their turn in the last moment of their own time.
        assert all(isinstance(outcome, Unreachable) for outcome in outcomes[: client_module.MAX_COMMANDS])
        await exo.aclose()


async def test_a_cancelled_call_frees_its_connection() -> None:
    async with listening(hang) as url:
        exo = ExoClient(url)
        call = asyncio.create_task(exo.state(60.0))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await exo.aclose()
