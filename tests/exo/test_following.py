"""One reader for several servers: those that follow read the leader's copy, and exo itself while there is none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count, pairwise
from types import SimpleNamespace
from unittest.mock import patch

import httpx
import pytest
from starlette.applications import Starlette

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Unreachable
from exo_graphql.exo import mirror
from exo_graphql.exo.copied import Copied
from exo_graphql.exo.copied import copied as parse_copied
from exo_graphql.exo.mirror import Mirror
from exo_graphql.exo.parse.state import parse_state
from exo_graphql.exo.poller import Poller
from exo_graphql.simulator import Fault, SimulatedExo, tiny_scenario
from exo_graphql.simulator import clock as demo_clock
from exo_graphql.transports.auth import Access, parse_tokens
from exo_graphql.transports.exo_routes import exo_routes
from tests.support.polled_cluster import loop_moment
from tests.support.simulated_cluster import A
from tests.support.threaded_time import ThreadedTimeLoop

pytestmark = pytest.mark.anyio

SECRET = "what-replicas-share"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": ThreadedTimeLoop}


def now() -> float:
    return asyncio.get_running_loop().time()


def ticking() -> Moment:
    """The loop's clock, of which no two moments are the same, as of a real one."""
    moment = loop_moment()
    return Moment(moment.at + timedelta(microseconds=next(_TICKS)), moment.elapsed)


_TICKS = count()


class Way(httpx.AsyncBaseTransport):
    """Leads to an application, remembers what is requested, and can be broken."""

    def __init__(self, app: object) -> None:
        self.app = httpx.ASGITransport(app)  # type: ignore[arg-type]
        self.requests: list[tuple[float, str]] = []
        self.hangs = self.refuses = False
        self.hangs_after: int | None = None
        """So many requests are answered yet."""
        self.slow = 0.0
        """Seconds until a request arrives."""
        self.lag = 0.0
        """Seconds by which the states are old that come this way, or more."""
        self._bodies: list[tuple[float, bytes]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append((now(), request.url.path))
        if self.refuses:
            raise httpx.ConnectError("refused")
        if self.hangs or self.hangs_after == 0:
            await asyncio.Event().wait()
        if self.hangs_after is not None:
            self.hangs_after -= 1
        if self.slow:
            await asyncio.sleep(self.slow)
        if self.lag and request.url.path.endswith("/state"):
            body = await (await self.app.handle_async_request(request)).aread()
            self._bodies.append((now(), body))
            late = [body for at, body in self._bodies if at <= now() - self.lag]
            return httpx.Response(200, content=late[-1] if late else self._bodies[0][1])
        return await self.app.handle_async_request(request)

    def reads(self, since: float = 0.0) -> int:
        return sum(at >= since and path.endswith("/state") for at, path in self.requests)

    def since(self, moment: float) -> list[str]:
        return [path for at, path in self.requests if at >= moment]


@dataclass
class Server:
    """One of the servers."""

    poller: Poller
    exo: Way
    """Its own way to exo."""
    leader: Way | None
    """Its way to the leader."""
    app: Starlette
    seen: list[Snapshot] = field(default_factory=list)

    @property
    def snapshot(self) -> Snapshot:
        assert self.poller.snapshot is not None
        return self.poller.snapshot

    @property
    def index(self) -> int:
        """Of the event that its newest snapshot shows."""
        index = self.snapshot.state.index
        assert index is not None
        return index


@asynccontextmanager
async def server(exo: SimulatedExo, leader: Server | None = None, *, watched: bool = True) -> AsyncIterator[Server]:
    """`watched`: it has a subscriber."""
    way = Way(exo.app)
    to_leader = None if leader is None else Way(leader.app)
    poller = Poller(["http://exo"], transport=way, followed_transport=to_leader, now=ticking)
    access = Access(parse_tokens("read:only-for-readers"))
    app = Starlette(routes=exo_routes(Mirror(poller, lambda: loop_moment().elapsed), access, lambda: SECRET))
    found = Server(poller, way, to_leader, app)
    async with poller:
        with poller.subscriber() if watched else nullcontext(), poller.listen(found.seen.append):
            await poller.fresh()
            if leader is not None:
                poller.follow("http://leader", SECRET)
                await copied(found, 20.0)
            yield found


async def copied(follower: Server, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not follower.poller.has_a_copy:
            await follower.poller.changed(follower.poller.snapshot)


@asynccontextmanager
async def exo() -> AsyncIterator[SimulatedExo]:
    loop_time = SimpleNamespace(monotonic=asyncio.get_running_loop().time)
    with patch.object(demo_clock, "time", loop_time):
        sim = SimulatedExo(tiny_scenario(), seed=1)
        sim.control.latency = 0.02
        async with sim:
            yield sim


@asynccontextmanager
async def two() -> AsyncIterator[tuple[SimulatedExo, Server, Server]]:
    """exo, a leader and a follower."""
    async with exo() as sim, server(sim) as leader, server(sim, leader) as follower:
        await asyncio.sleep(2)
        yield sim, leader, follower


def never_goes_back(follower: Server) -> None:
    """Nothing that a follower has shown was older than what it had shown before, stale, or said that exo is lost."""
    shows_nothing_older(follower)
    assert not any(snapshot.stale or not snapshot.connected for snapshot in follower.seen)


def shows_nothing_older(follower: Server) -> None:
    indexes = [snapshot.state.index for snapshot in follower.seen]
    assert all(one is not None and other is not None and one <= other for one, other in pairwise(indexes)), indexes


async def test_exo_is_read_by_the_leader_alone() -> None:
    async with two() as (sim, leader, follower):
        began, before = now(), leader.exo.reads()
        await asyncio.sleep(60)
        assert follower.exo.since(began) == []
        # A follower makes the leader read no more often than a subscriber of its own.
        assert leader.exo.reads() - before <= 62
        sim.control.place(A)
        await asyncio.sleep(1.0)
        assert follower.snapshot.state.instances
        assert follower.exo.since(began) == []
        never_goes_back(follower)


async def test_who_asks_a_follower_waits_no_longer_than_who_asks_the_leader() -> None:
    """A state that came as soon as there was news is not as old as the request for it."""
    async with two() as (_, leader, follower):
        waited = dict.fromkeys((leader.poller, follower.poller), 0.0)
        for _ in range(40):
            for poller in waited:
                began = now()
                snapshot = await poller.fresh(1.0)
                waited[poller] += now() - began
                assert (loop_moment().at - snapshot.observed_at).total_seconds() <= 1.1
            await asyncio.sleep(0.27)
        assert waited[follower.poller] <= waited[leader.poller] + 0.1


@pytest.mark.parametrize(
    ("waited", "asked_at", "now", "at"),
    [
        (0.0, 10.0, 10.02, 9.6),  # answered at once, with what was read before
        (0.9, 10.0, 10.92, 10.5),  # read while the request waited
        (0.9, 10.0, 14.0, 10.5),  # the follower was stopped before it read the answer
        (7.0, 10.0, 10.92, 10.52),  # a server that counts wrongly: nothing is read in the future
    ],
)
def test_a_copy_seems_no_newer_than_it_is(waited: float, asked_at: float, now: float, at: float) -> None:
    sent = Copied(0.4, waited=waited)
    received = parse_copied(sent.headers())
    assert received == sent
    assert received.read_at(asked_at, now) == pytest.approx(at)


@pytest.mark.parametrize("waited", ["", "-1", "nan", "inf", "soon"])
def test_a_leader_that_does_not_say_how_long_it_waited_is_taken_for_one_that_did_not(waited: str) -> None:
    received = parse_copied({"x-exo-graphql-age": "0.4", "x-exo-graphql-waited": waited})
    assert received is not None
    assert received.read_at(10.0, 10.9) == pytest.approx(9.6)


async def test_followers_that_nobody_asks_cost_exo_no_reads() -> None:
    async with exo() as sim, server(sim, watched=False) as leader, server(sim, leader, watched=False) as one:
        await asyncio.sleep(1.7)
        async with server(sim, leader, watched=False) as other:
            await asyncio.sleep(10)
            began, before = now(), leader.exo.reads()
            await asyncio.sleep(300)
            assert leader.exo.reads() - before <= 61
            assert one.exo.since(began) == other.exo.since(began) == []
            # What one asks is answered as fresh as by the leader.
            await one.poller.fresh(1.0)
            assert loop_moment().elapsed - one.poller._asked_at <= 1.0
            never_goes_back(one)


async def test_both_say_the_same_of_when_a_phase_changed() -> None:
    async with two() as (sim, leader, follower):
        sim.control.place(A)
        phases = set()
        for _ in range(300):
            await asyncio.sleep(0.1)
            one, other = leader.snapshot.status(A), follower.snapshot.status(A)
            if one.phase is other.phase:
                assert one.changed_at == other.changed_at
                phases.add(one.phase)
        assert leader.snapshot.status(A).ready
        assert len(phases) > 3


@pytest.mark.parametrize(("fault", "seconds"), [("refuses", 1.5), ("hangs", 4.0)])
async def test_exo_itself_is_read_while_the_leader_does_not_answer(fault: str, seconds: float) -> None:
    async with two() as (_, _leader, follower):
        assert follower.leader is not None
        setattr(follower.leader, fault, True)
        broke = now()
        async with asyncio.timeout(seconds):
            while follower.poller.has_a_copy:
                await follower.poller.changed(follower.poller.snapshot)
        # From then on a leader that hangs holds nothing up.
        for _ in range(50):
            await asyncio.sleep(0.1)
            assert loop_moment().elapsed - follower.poller._asked_at < 1.5
        assert follower.exo.reads(broke) >= 4
        setattr(follower.leader, fault, False)
        await copied(follower, 3.0)
        again = now()
        await asyncio.sleep(20)
        assert follower.exo.since(again) == []
        never_goes_back(follower)
        assert max(b.observed.elapsed - a.observed.elapsed for a, b in pairwise(follower.seen)) < seconds


@pytest.mark.parametrize("cost", [0.02, 0.4])
async def test_exo_is_not_silent_while_a_leader_hangs_that_was_just_found(cost: float) -> None:
    async with two() as (sim, _leader, follower):
        assert follower.leader is not None
        sim.control.latency = cost
        await asyncio.sleep(20)
        for _ in range(5):
            # It hangs as soon as it has answered that it is there.
            follower.leader.refuses = True
            await asyncio.sleep(3.3)
            follower.leader.refuses = False
            follower.leader.hangs_after = 1
            await asyncio.sleep(15)
            follower.leader.hangs_after = None
            await copied(follower, 30.0)
        never_goes_back(follower)


async def test_exo_that_is_silent_is_noticed_as_soon_as_the_leader_says_so() -> None:
    async with two() as (sim, leader, follower):
        sim.control.inject(Fault("hang"))
        async with asyncio.timeout(6.0):
            shown = follower.snapshot
            while shown.connected:
                shown = await follower.poller.changed(shown)
        assert not leader.snapshot.connected


async def test_nothing_older_is_shown_when_the_own_node_of_exo_is_late() -> None:
    async with two() as (_, _leader, follower):
        assert follower.leader is not None
        follower.exo.lag = 0.7
        for _ in range(3):
            follower.leader.refuses = True
            await asyncio.sleep(8)
            assert not follower.poller.has_a_copy
            follower.leader.refuses = False
            await asyncio.sleep(8)
            assert follower.poller.has_a_copy
        never_goes_back(follower)


async def test_a_leader_that_is_late_is_not_followed() -> None:
    async with two() as (_, leader, follower):
        assert follower.leader is not None
        follower.leader.refuses = True
        await asyncio.sleep(3)
        leader.exo.lag = 1.4
        await asyncio.sleep(5)
        follower.leader.refuses = False
        await asyncio.sleep(10)
        assert not follower.poller.has_a_copy
        leader.exo.lag = 0.0
        await copied(follower)
        never_goes_back(follower)


async def test_a_leader_whose_node_of_exo_falls_behind_is_left() -> None:
    async with two() as (sim, leader, follower):
        leader.exo.lag = 25.0
        await asyncio.sleep(60)
        assert leader.snapshot.stale
        assert not follower.snapshot.stale
        assert not follower.poller.has_a_copy
        sim.control.place(A)
        await asyncio.sleep(2)
        assert follower.snapshot.state.instances
        leader.exo.lag = 0.0
        await copied(follower)
        shows_nothing_older(follower)


async def test_a_leader_that_started_again_is_followed_on() -> None:
    async with exo() as sim, server(sim) as leader, server(sim, leader) as follower:
        assert follower.leader is not None
        follower.leader.refuses = True
        await asyncio.sleep(1)
        async with server(sim) as next_one:
            # The numbers of its bodies begin at 1 again.
            with patch.object(mirror, "_BOOT", "another"):
                follower.leader.app = httpx.ASGITransport(next_one.app)
                follower.leader.refuses = False
                await copied(follower)
                sim.control.place(A)
                await asyncio.sleep(1.5)
                assert follower.poller.has_a_copy
                assert follower.snapshot.state.instances
        never_goes_back(follower)


async def test_what_is_acted_upon_is_read_from_exo_itself() -> None:
    async with two() as (sim, _leader, follower):
        sim.control.place(A)
        began = now()
        snapshot = await follower.poller.read_now()
        assert snapshot.state.instances
        assert follower.exo.reads(began) == 1
        assert not follower.poller.has_a_copy
        await copied(follower)
        # The same once nobody is followed: the copy that was shown before is not enough.
        follower.poller.follow(None)
        began = now()
        await follower.poller.read_now()
        assert follower.exo.reads(began) == 1
        never_goes_back(follower)


async def test_a_read_that_was_under_way_from_the_last_leader_is_not_taken() -> None:
    async with two() as (_, _leader, follower):
        assert follower.leader is not None
        follower.leader.slow = 1.0
        await asyncio.sleep(1.7)
        sent, shown = len(follower.leader.requests), len(follower.seen)
        follower.poller.follow(None)
        await asyncio.sleep(5)
        assert len(follower.leader.requests) == sent
        assert {each.exo_url for each in follower.seen[shown:]} == {"http://exo"}
        never_goes_back(follower)


async def test_two_servers_that_each_believe_the_other_to_lead_read_exo() -> None:
    async with two() as (sim, leader, follower):
        leader.poller._followed._transport = Way(follower.app)
        leader.poller.follow("http://follower", SECRET)
        await asyncio.sleep(10)
        # One of them follows the other at most; what both show is of the present.
        assert not (leader.poller.has_a_copy and follower.poller.has_a_copy)
        sim.control.place(A)
        await asyncio.sleep(2)
        assert leader.snapshot.state.instances
        assert follower.snapshot.state.instances


async def test_a_copy_of_a_copy_is_for_servers_that_share_nothing() -> None:
    async with (
        two() as (_, _leader, follower),
        httpx.AsyncClient(transport=httpx.ASGITransport(follower.app), base_url="http://f") as client,
    ):
        read = {"authorization": "Bearer only-for-readers"}
        replica = {"authorization": f"Bearer {SECRET}"}
        assert (await client.get("/exo/state", headers=replica)).status_code == 503
        assert (await client.get("/exo/node_id", headers=replica)).status_code == 503
        answer = await client.get("/exo/state", headers=read)
        assert parse_state(answer.content).index == follower.index
        assert (await client.get("/exo/state", headers={"authorization": "Bearer wrong-one"})).status_code == 401


@pytest.mark.parametrize("watched", [False, True])
async def test_a_model_that_is_added_is_known_to_followers_at_once(watched: bool) -> None:
    async with exo() as sim, server(sim) as leader, server(sim, leader, watched=watched) as follower:
        await asyncio.sleep(2)
        assert follower.poller.catalogue_body is not None
        model = "mlx-community/Phi-4-mini-instruct-4bit"
        await leader.poller.add_model(model)
        shown = leader.snapshot
        leader.poller.reread_catalogue()
        while model not in shown.models:
            shown = await leader.poller.changed(shown)
        began = now()
        await follower.poller.catch_up()
        assert model.encode() in follower.poller.catalogue_body
        assert now() - began < 0.3


@pytest.mark.parametrize("watched", [False, True])
async def test_what_the_leader_shows_is_shown_here_after_catching_up(watched: bool) -> None:
    async with exo() as sim, server(sim) as leader, server(sim, leader, watched=watched) as follower:
        await asyncio.sleep(2.3)
        sim.control.place(A)
        await leader.poller.read_now()
        assert leader.snapshot.state.instances
        began = now()
        await follower.poller.catch_up()
        assert follower.snapshot.state.instances
        assert now() - began < 0.3


async def test_without_any_leader_exo_that_is_silent_is_silent() -> None:
    async with two() as (sim, _leader, follower):
        sim.control.drop_connections = True
        await asyncio.sleep(5)
        assert not follower.snapshot.connected
        with pytest.raises(Unreachable):
            await follower.poller.read_now()
        sim.control.drop_connections = False
        await asyncio.sleep(4)
        assert follower.seen[-1].connected
        assert follower.seen[-1].exo_url == "http://leader/exo"


async def test_what_was_read_from_the_leader_does_not_slow_down_the_reading_of_exo_after_it() -> None:
    async with two() as (_, _leader, follower):
        with follower.poller.operation():
            await asyncio.sleep(60)  # of reads that wait for news
            assert follower.leader is not None
            follower.leader.refuses = True
            await asyncio.sleep(2)
            began = now()
            await asyncio.sleep(3)
        assert follower.exo.reads(began) >= 6
