"""Commands are sent only while this server may act, and reads in any case."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from exo_graphql.cluster.upstream import NotLeading
from exo_graphql.exo.client import ExoClient
from exo_graphql.exo.gate import Gate, least_seconds
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.support.own_time import OWN_TIME, Backend
from tests.support.polled_cluster import Wire
from tests.support.running import PATIENCE

pytestmark = pytest.mark.anyio

Call = Callable[[ExoClient], Awaitable[object]]
COMMANDS: dict[str, Call] = {
    "create": lambda exo: exo.create({"MlxRingInstance": {}}),
    "delete": lambda exo: exo.delete("i"),
    "start_download": lambda exo: exo.start_download("n", {}),
    "cancel_download": lambda exo: exo.cancel_download("n", "m"),
    "delete_download": lambda exo: exo.delete_download("n", "m"),
    "cancel_task": lambda exo: exo.cancel_task("t"),
    "add_model": lambda exo: exo.add_model("m"),
    "remove_model": lambda exo: exo.remove_model("m"),
}
READS: dict[str, Call] = {
    "state": lambda exo: exo.state(5.0),
    "runners": lambda exo: exo.runners(5.0),
    "is_there": lambda exo: exo.is_there(5.0),
    "node_id": lambda exo: exo.node_id(5.0),
    "models": lambda exo: exo.models(5.0),
    "placement": lambda exo: exo.placement("test/tiny-a", "Pipeline", "MlxRing", 1),
    "previews": lambda exo: exo.previews("test/tiny-a"),
    "search_hub": lambda exo: exo.search_hub("a", 1),
}


@pytest.fixture
def anyio_backend() -> Backend:
    """Real time: these tests use sockets."""
    return OWN_TIME


@asynccontextmanager
async def _listening() -> AsyncIterator[tuple[str, bytearray, asyncio.Event]]:
    """A URL, what its clients have sent, and whether the last of them has gone."""
    received, gone = bytearray(), asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(65536):
            received.extend(part)
        writer.close()
        gone.set()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", received, gone
    finally:
        server.close()
        await server.wait_closed()


def _after(looks: int) -> Callable[[], float]:
    """A lease that is over when it is looked at once more than `looks` times."""
    left: Iterator[float] = iter([9.0] * looks)
    return lambda: next(left, 0.0)


def test_every_call_of_exo_is_listed_here() -> None:
    calls = {name for name, value in vars(ExoClient).items() if callable(value) and not name.startswith("_")}
    assert calls - {"aclose"} == COMMANDS.keys() | READS.keys()


@pytest.mark.parametrize("name", COMMANDS)
async def test_no_command_is_sent_in_the_last_second_of_a_lease(name: str) -> None:
    wire = Wire({"exo": SimulatedExo(tiny_scenario(), seed=1)})
    with pytest.raises(NotLeading):
        await COMMANDS[name](ExoClient("http://exo", wire, gate=Gate(lambda: 0.9)))
    assert wire.requests == []


@pytest.mark.parametrize("name", READS)
async def test_a_server_that_may_not_act_still_reads(name: str) -> None:
    wire = Wire({"exo": SimulatedExo(tiny_scenario(), seed=1)})
    await READS[name](ExoClient("http://exo", wire, gate=Gate(lambda: 0.0)))
    assert len(wire.requests) == 1


@pytest.mark.parametrize(("lease", "renewed"), [(0.5, 0.2), (1.0, 0.4), (2.0, 0.9), (6.0, 2.0), (60.0, 20.0)])
async def test_commands_are_sent_until_the_lease_is_renewed_however_short_it_is(lease: float, renewed: float) -> None:
    wire = Wire({"exo": SimulatedExo(tiny_scenario(), seed=1)})
    gate = Gate(lambda: lease - renewed, least_seconds(lease))
    await COMMANDS["cancel_download"](ExoClient("http://exo", wire, gate=gate))
    assert len(wire.requests) == 1


async def test_a_lease_that_ends_while_the_connection_is_made_stops_the_command() -> None:
    async with _listening() as (url, received, gone), asyncio.timeout(PATIENCE):
        exo = ExoClient(url, gate=Gate(_after(1)))
        with pytest.raises(NotLeading):
            await exo.delete("i")
        await gone.wait()
        await exo.aclose()
    assert received == b""


async def test_a_lease_that_ends_between_headers_and_body_stops_the_command() -> None:
    async with _listening() as (url, received, gone), asyncio.timeout(PATIENCE):
        exo = ExoClient(url, gate=Gate(_after(2)))
        with pytest.raises(NotLeading):
            await exo.create({"MlxRingInstance": {}})
        await gone.wait()
        await exo.aclose()
    assert received.startswith(b"POST /instance ")
    assert b"MlxRing" not in received
