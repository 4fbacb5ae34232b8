"""The parts of several servers that share a store, over one simulated exo, in virtual time and without sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from unittest.mock import patch

import httpx

from exo_graphql.deployments.file import Source
from exo_graphql.deployments.service import Deployments
from exo_graphql.events import Event
from exo_graphql.events.log import EventLog
from exo_graphql.exo.gate import Gate
from exo_graphql.exo.past_keeper import PastKeeper
from exo_graphql.exo.poller import Poller
from exo_graphql.observability.recorder import Recorder
from exo_graphql.operations import Operation, OperationRules, Operations
from exo_graphql.replicas import Roles
from exo_graphql.simulator import Scenario, SimulatedExo, tiny_scenario
from exo_graphql.simulator import clock as demo_clock
from tests.support.polled_cluster import loop_moment, loop_now
from tests.support.shared_store import SharedState, SharedStore
from tests.support.simulated_cluster import LATENCY, SimulatedCluster


@dataclass
class Server:
    """One server. What its subscribers of events were sent is in `seen`."""

    store: SharedStore
    poller: Poller
    operations: Operations
    deployments: Deployments
    events: EventLog
    roles: Roles
    ending: AsyncExitStack
    """Ends it when it is closed."""
    seen: list[Event] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        """Of the events that its subscribers were sent."""
        return [event.id for event in self.seen]

    async def until(self, holds: Callable[[], object], seconds: float = 300.0) -> None:
        """Waits for anything that operations, deployments, events or roles announce."""
        changed = asyncio.Event()
        async with AsyncExitStack() as stack:
            for listen in (
                self.operations.listen,
                self.deployments.listen,
                self.events.watch,
                self.roles.listen,
            ):
                stack.callback(listen(changed.set))
            stack.enter_context(self.poller.listen(lambda _: changed.set()))
            async with asyncio.timeout(seconds):
                while not holds():
                    changed.clear()
                    await changed.wait()

    async def end(self, operation_id: str) -> Operation:
        """The operation once this server shows that it has ended."""
        await self.until(lambda: (found := self.operations.get(operation_id)) is not None and not found.active)
        ended = self.operations.get(operation_id)
        assert ended is not None
        return ended


@dataclass
class Servers:
    """The first one leads until the test says otherwise."""

    sim: SimulatedExo
    state: SharedState
    each: list[Server]
    rules: OperationRules | None
    file: Source | None

    async def restart(self, number: int) -> Server:
        """Ends this server, and starts it again with the same store."""
        await self.each[number].ending.aclose()
        self.each[number] = await _server(self.sim, self.each[number].store, self.rules, self.file)
        return self.each[number]

    @property
    def cluster(self) -> SimulatedCluster:
        """The cluster as the first server sees it."""
        return SimulatedCluster(self.sim, self.each[0].poller, self.each[0].operations)

    async def lead(self, number: int | None) -> None:
        """From now on this one leads; returns once it does. None: nobody does."""
        self.state.lead(None if number is None else self.each[number].store)
        for place, server in enumerate(self.each):
            await server.until(lambda s=server, leads=place == number: s.roles.leading is leads)  # type: ignore[misc]

    async def settled(self, seconds: float = 2.0) -> None:
        """Some time later: what is to be pushed within a second has been."""
        await asyncio.sleep(seconds)


@asynccontextmanager
async def servers(
    count: int = 2,
    *,
    scenario: Scenario | None = None,
    rules: OperationRules | None = None,
    file: Source | None = None,
) -> AsyncIterator[Servers]:
    """So many of them, with the first snapshot read by each."""
    loop_time = SimpleNamespace(monotonic=asyncio.get_running_loop().time)
    state = SharedState()
    scenario = scenario or tiny_scenario()
    with patch.object(demo_clock, "time", loop_time):
        sim = SimulatedExo(scenario, seed=1)
        sim.control.latency = LATENCY * len(scenario.machines)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(sim)
            stores = [state.store(f"server-{number}") for number in range(count)]
            state.leader = stores[0]
            made: list[Server] = []
            stack.push_async_callback(_end, made)
            for store in stores:
                made.append(await _server(sim, store, rules, file))  # noqa: PERF401  # ended even if the next one fails
            yield Servers(sim, state, made, rules, file)
    await state.sqlite.close()


async def _end(made: list[Server]) -> None:
    for server in reversed(made):
        await server.ending.aclose()


async def _server(sim: SimulatedExo, store: SharedStore, rules: OperationRules | None, file: Source | None) -> Server:
    stack = AsyncExitStack()
    gate = Gate(lambda: store.leadership.seconds_left)
    poller = Poller(["http://exo"], transport=httpx.ASGITransport(sim.app), now=loop_moment, gate=gate)
    await stack.enter_async_context(poller)
    await store.open()
    elapsed = asyncio.get_running_loop().time
    operations = Operations(poller, store, rules or OperationRules(), clock=elapsed, now=loop_now)
    deployments = Deployments(poller, operations, store, file=file, now=loop_moment)
    events = EventLog(store, now=loop_now)
    recorder = Recorder(events, poller, operations, deployments)
    past = PastKeeper(poller, store, now=loop_moment)
    roles = Roles(store, [events, operations, deployments, recorder, past])
    await stack.enter_async_context(roles)
    server = Server(store, poller, operations, deployments, events, roles, stack)
    stack.enter_context(events.listen(server.seen.append))
    await poller.fresh(0.0)
    return server
