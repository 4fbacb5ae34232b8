"""Several URLs of one simulated cluster, in process, with a record of every request and what it cost."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import httpx
from starlette.types import ASGIApp

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.rules import DEFAULT_RULES
from exo_graphql.exo.pacing import PollerRules
from exo_graphql.exo.poller import Poller
from exo_graphql.simulator import SimulatedExo, tiny_scenario

# `exo/API.md`: 7.7 ms for the runners alone where a whole state takes 38.7 ms.
CHEAP = 0.2
START = datetime(2026, 6, 22, 12, tzinfo=UTC)


@lru_cache(maxsize=1)
def _moment(elapsed: float) -> Moment:
    """Virtual time stands still while anything is done: several are asked for the same moment."""
    return Moment(START + timedelta(seconds=elapsed), elapsed)


def loop_now() -> datetime:
    """The wall clock of the tests: it moves with the loop's own."""
    return loop_moment().at


def loop_moment() -> Moment:
    """Both clocks of the tests."""
    return _moment(asyncio.get_running_loop().time())


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it passed the wire. `ended` is None where no answer came."""

    host: str
    method: str
    path: str
    started: float
    ended: float | None = None


class Wire(httpx.AsyncBaseTransport):
    """Carries requests to the exo of each host, and remembers them."""

    def __init__(self, apps: Mapping[str, SimulatedExo]) -> None:
        self._ways = {host: httpx.ASGITransport(exo.app) for host, exo in apps.items()}
        self.requests: list[Request] = []
        self.most_at_once = 0
        self.read_cost = 0.0
        """Seconds that exo takes to write down a state, after it has taken it: what is read is as old as that."""
        self.delays: list[float] = []
        """Seconds by which each of the next cheap reads is answered later."""
        self.has_paths = True
        """Whether exo answers `GET /state/{path}`, as it does since v1.0.71."""
        self.missing: set[str] = set()
        """Paths that exo does not have."""
        self._reading = 0

    def lead(self, host: str, app: ASGIApp) -> None:
        """Another application answers behind a host."""
        self._ways[host] = httpx.ASGITransport(app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        loop = asyncio.get_running_loop()
        passed = Request(request.url.host, request.method, request.url.path, loop.time())
        index = len(self.requests)
        self.requests.append(passed)
        is_read = passed.path == "/state"
        self._reading += is_read
        self.most_at_once = max(self.most_at_once, self._reading)
        try:
            if passed.path in self.missing or (passed.path.startswith("/state/") and not self.has_paths):
                return httpx.Response(404, json={"detail": "Not Found"})
            response = await self._ways[passed.host].handle_async_request(request)
            if is_read:
                await asyncio.sleep(self.read_cost)
            elif passed.path.startswith("/state/"):
                await asyncio.sleep(self.read_cost * CHEAP + (self.delays.pop(0) if self.delays else 0.0))
        finally:
            self._reading -= is_read
        self.requests[index] = replace(passed, ended=loop.time())
        return response

    def reads(self, host: str | None = None, since: float = 0.0) -> list[Request]:
        """Reads of the state, of one host or of all."""
        return [r for r in self.requests if r.path == "/state" and host in (None, r.host) and r.started >= since]

    def tries(self, host: str, since: float = 0.0) -> list[Request]:
        """Requests of any kind to one host."""
        return [r for r in self.requests if r.host == host and r.started >= since]

    def share(self, since: float, until: float) -> float:
        """The share of exo's time that reading took between two moments, cheap reads included."""
        reads = [r for r in self.requests if r.path.startswith("/state") and r.started >= since]
        spent = sum(r.ended - r.started for r in reads if r.ended is not None and r.ended <= until)
        return spent / (until - since)

    def notices(self, since: float = 0.0) -> list[Request]:
        """Cheap reads."""
        return [r for r in self.requests if r.path == "/state/runners" and r.started >= since]


class Cluster:
    """Simulated exos behind hosts `a`, `b`, …, the wire to them, and a poller that reads them."""

    def __init__(
        self, hosts: str, rules: PollerRules | None = None, *, cost: float = 0.039, still_after: float = 3600.0
    ) -> None:
        """`still_after`: see `Rules`. The simulated exos do not move with the loop's clock, and would count as hung."""
        self.exos = {host: SimulatedExo(tiny_scenario(), seed=ord(host)) for host in hosts}
        self.cost = cost
        for exo in self.exos.values():
            exo.control.latency = cost
        self.wire = Wire(self.exos)
        self.poller = Poller(
            [f"http://{host}" for host in hosts],
            transport=self.wire,
            rules=rules,
            readiness=replace(DEFAULT_RULES, still_after=still_after),
            now=self._now,
        )
        self._slept = 0.0
        self._wall_clock_off = 0.0

    def _now(self) -> Moment:
        moment = loop_moment()
        return Moment(moment.at + timedelta(seconds=self._wall_clock_off + self._slept), moment.elapsed + self._slept)

    def sleep(self, seconds: float) -> None:
        """The machine sleeps: the loop's clock stops, the one that measures ages does not."""
        self._slept += seconds

    def set_wall_clock(self, by: float) -> None:
        """Somebody sets the wall clock, by so many seconds."""
        self._wall_clock_off = by

    async def until_reading(self) -> None:
        """Waits until a read of the whole state is under way."""
        for _ in range(10_000):
            if self.wire.reads()[-1].ended is None:
                return
            await asyncio.sleep(0.01)
        raise TimeoutError("nothing is read")

    @property
    def time(self) -> float:
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def running(
    hosts: str = "a", rules: PollerRules | None = None, *, cost: float = 0.039, still_after: float = 3600.0
) -> AsyncIterator[Cluster]:
    """A cluster whose poller has its first snapshot."""
    cluster = Cluster(hosts, rules, cost=cost, still_after=still_after)
    async with cluster.poller:
        await cluster.poller.fresh()
        yield cluster


@asynccontextmanager
async def slow(cost: float, hosts: str = "a", rules: PollerRules | None = None) -> AsyncIterator[Cluster]:
    """The same where a read of the state, and that alone, takes exo `cost` seconds, and the poller has learned it."""
    cluster = Cluster(hosts, rules, cost=0.0)
    cluster.cost = cluster.wire.read_cost = cost
    async with cluster.poller:
        await cluster.poller.changed(None)
        for _ in range(2):
            with cluster.poller.operation():
                await cluster.poller.changed(cluster.poller.snapshot)
        yield cluster
