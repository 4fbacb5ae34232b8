"""A command of a leader that is gone reaches exo after the next leader has ended the operation: nothing of it stays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from exo_graphql.exo.gate import Gate
from exo_graphql.exo.poller import Poller
from exo_graphql.operations import OperationRules, Operations, OperationState
from tests.support.polled_cluster import loop_moment, loop_now
from tests.support.shared_store import SharedState, SharedStore
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, B, SimulatedCluster, begun, world
from tests.support.threaded_time import InlineTimeLoop

pytestmark = pytest.mark.anyio

LEASE = 6.0
LATE = 10.0
"""Seconds after which the command arrives: what it creates, from the end of the operation on; a deletion, from when the
next leader goes on. One that is later than its sender would have waited for the answer cannot be waited for."""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Virtual time."""
    return "asyncio", {"loop_factory": InlineTimeLoop}


class SlowNetwork(httpx.AsyncBaseTransport):
    """Between a server and exo. It delays one command until `release`, whatever becomes of the server."""

    def __init__(self, way: httpx.AsyncBaseTransport, delayed: int | None) -> None:
        """`delayed`: which one of the server's commands, from 0."""
        self._way = way
        self._delayed = delayed
        self.commands = 0
        self.deletes = False
        """Whether the delayed one is a deletion."""
        self.held = asyncio.Event()
        self.release = asyncio.Event()
        self.arrived: asyncio.Task[httpx.Response] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Passes it on."""
        if request.method == "GET":
            return await self._way.handle_async_request(request)
        number, self.commands = self.commands, self.commands + 1
        if number != self._delayed:
            return await self._way.handle_async_request(request)
        self.deletes = request.method == "DELETE"
        self.held.set()
        self.arrived = asyncio.create_task(self._later(request))
        return await asyncio.shield(self.arrived)

    async def _later(self, request: httpx.Request) -> httpx.Response:
        await self.release.wait()
        return await self._way.handle_async_request(request)


@dataclass
class Server:
    """One of the servers."""

    ops: Operations
    store: SharedStore
    network: SlowNetwork


@asynccontextmanager
async def _server(w: SimulatedCluster, state: SharedState, name: str, delayed: int | None) -> AsyncIterator[Server]:
    store = state.store(name)
    await store.open()
    network = SlowNetwork(httpx.ASGITransport(w.sim.app), delayed)
    gate = Gate(lambda: store.leadership.seconds_left)
    poller = Poller(["http://exo"], transport=network, now=loop_moment, gate=gate)
    ops = Operations(poller, store, OperationRules(), clock=asyncio.get_running_loop().time, now=loop_now)
    async with poller:
        await poller.fresh(0.0)
        await ops.follow()
        try:
            yield Server(ops, store, network)
        finally:
            network.release.set()
            await ops.close()


async def _with_late_command(
    number: int, old: str, new: str, *, fault: str | None, cancelled: bool
) -> tuple[OperationState, list[str], list[str], set[bool]] | None:
    """How a swap ended, what is listed and what is ready in the end, and whether anything was, all the time.

    None where the leader sends no more than `number` commands.
    """
    state = SharedState()
    async with world() as w, AsyncExitStack() as stack:
        await w.given(old)
        if fault is not None:
            w.fault(fault)
        first = await stack.enter_async_context(_server(w, state, "first", number))
        second = await stack.enter_async_context(_server(w, state, "second", None))
        state.lead(first.store)
        await first.ops.lead()
        operation = begun(await first.ops.swap([old], [new]))
        ended = asyncio.create_task(w.end(operation, first.ops))
        held = asyncio.create_task(first.network.held.wait())
        await asyncio.wait({ended, held}, return_when=asyncio.FIRST_COMPLETED)
        if not held.done():
            held.cancel()
            return None
        ended.cancel()
        # It is cut off from everything; nobody leads until its lease is over.
        state.lead(None)
        await first.ops.rest()
        await asyncio.sleep(LEASE)
        state.lead(second.store)
        await second.ops.lead()
        if cancelled:
            await second.ops.cancel(operation.id)
        if first.network.deletes:
            asyncio.get_running_loop().call_later(LATE, first.network.release.set)
        result = await w.end(operation, second.ops)
        assert len(await w.serving()) == 1, (number, result)
        await asyncio.sleep(LATE)
        if fault is not None:
            w.sim.control.clear()
        first.network.release.set()
        assert first.network.arrived is not None
        await asyncio.wait([first.network.arrived])
        serves: set[bool] = set()
        with w.poller.listen(lambda s: serves.add(any(s.instance_status(i).ready for i in s.state.instances))):
            await asyncio.sleep(60)
        return result.state, await w.listed(), await w.serving(), serves


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("fault", [None, "load-fails"])
@pytest.mark.parametrize(("old", "new"), [(A, B), (HALF, OTHER_HALF)])
async def test_a_command_that_arrives_late_changes_nothing(
    old: str, new: str, fault: str | None, cancelled: bool
) -> None:
    number = 0
    while True:
        given = None if fault is None else f"{fault}:{new}"
        outcome = await _with_late_command(number, old, new, fault=given, cancelled=cancelled)
        if outcome is None:
            assert number >= 1
            return
        state, listed, serving, served = outcome
        expected = new if state is OperationState.SUCCEEDED else old
        assert (listed, serving) == ([expected], [expected]), (number, state)
        assert served == {True}, (number, state)
        number += 1
