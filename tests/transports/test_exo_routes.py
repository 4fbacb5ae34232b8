"""One reader: a server that follows another one reads exo's state from there, as fresh and as true as from exo."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from exo_graphql import clock
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Refused, Unreachable
from exo_graphql.exo.mirror import Mirror
from exo_graphql.exo.pacing import PollerRules
from exo_graphql.exo.parse.state import parse_state
from exo_graphql.exo.poller import Poller
from exo_graphql.simulator import Fault, SimulatedExo, tiny_scenario
from tests.support.running import A, Running, running, until

pytestmark = pytest.mark.anyio

HASTY = PollerRules(first_wait=0.5, lost_after=0.5, read_timeout=0.3, retry_every=0.1)


@asynccontextmanager
async def following(*urls: str, token: str | None = None) -> AsyncIterator[Poller]:
    """A follower with a subscriber, which notices sooner than others that nothing comes."""
    async with Poller(urls, token=token, rules=HASTY, now=clock.now) as poller:
        with poller.subscriber():
            yield poller


def copy_of(server: Running) -> str:
    return f"http://127.0.0.1:{server.port}/exo"


def shown(snapshot: Snapshot) -> tuple[object, ...]:
    """What a snapshot says, but for clocks."""
    return snapshot.state.nodes, snapshot.state.instances, snapshot.state.runners, snapshot.state.downloads


async def agree(one: Poller, other: Poller) -> None:
    await until(lambda: one.snapshot and other.snapshot and shown(one.snapshot) == shown(other.snapshot))


async def test_a_follower_shows_what_the_server_shows_that_it_follows_and_asks_exo_for_nothing() -> None:
    exo = SimulatedExo(tiny_scenario(), seed=1)
    async with running(exo, fast_pause=0.05, normal_pause=0.2) as leader, following(copy_of(leader)) as follower:
        with leader.components.poller.subscriber():
            await follower.fresh()
            await agree(follower, leader.components.poller)
            assert follower.snapshot is not None
            assert follower.snapshot.source.api_node_id == leader.components.poller._source.api_node_id
            began = asyncio.get_running_loop().time()
            exo.control.place(A)
            exo.control.advance(30.0)
            await until(lambda: follower.snapshot and follower.snapshot.state.instances)
            assert asyncio.get_running_loop().time() - began < 1.0
            await agree(follower, leader.components.poller)
            assert follower.stats.cost == 0.0


async def test_who_asks_at_the_same_time_gets_the_same_bytes() -> None:
    async with running(normal_pause=30.0, idle_pause=30.0, max_age=30.0) as leader:
        mirror = Mirror(leader.components.poller, clock.elapsed)
        answers = await asyncio.gather(*(mirror.state() for _ in range(20)))
        assert len({id(answer.body) for answer in answers}) == 1


async def test_a_state_is_answered_with_its_age_and_not_twice() -> None:
    async with running(normal_pause=30.0, idle_pause=30.0, max_age=30.0) as leader, httpx.AsyncClient() as client:
        url = f"{copy_of(leader)}/state"
        first = await client.get(url)
        etag = first.headers["etag"]
        assert first.headers["content-type"] == "application/json"
        assert 0.0 <= float(first.headers["x-exo-graphql-age"]) < 2.0
        again = await client.get(url, headers={"if-none-match": etag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        waiting = asyncio.create_task(client.get(url, headers={"if-none-match": etag, "prefer": "wait=20"}))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        leader.exo.control.advance(5.0)
        await leader.components.poller.read_now()
        news = await waiting
        assert news.status_code == 200
        assert news.headers["etag"] != etag
        assert parse_state(news.content).index == leader.components.poller._state.index  # type: ignore[union-attr]


async def test_an_exo_that_is_silent_is_silent_for_followers_too() -> None:
    async with (
        running(read_timeout=0.2, lost_after=0.4, retry_every=0.1) as leader,
        following(copy_of(leader)) as follower,
    ):
        await follower.fresh()
        leader.exo.control.inject(Fault("hang"))
        await until(lambda: follower.snapshot and not follower.snapshot.connected)
        assert follower.snapshot is not None
        (refusal,) = follower.snapshot.source.refusals
        assert refusal.url == copy_of(leader)
        leader.exo.control.clear()
        await until(lambda: follower.snapshot and follower.snapshot.connected)


async def test_exo_itself_is_read_while_the_server_that_is_followed_is_gone() -> None:
    exo = SimulatedExo(tiny_scenario(), seed=1)
    async with running(exo) as own, running(exo) as leader, following(copy_of(leader), copy_of(own)) as follower:
        await follower.fresh()
        assert follower.snapshot is not None
        assert follower.snapshot.exo_url == copy_of(leader)
        await leader.stop()
        await until(lambda: follower.snapshot and follower.snapshot.exo_url == copy_of(own))


async def test_a_copy_needs_the_scope_read_and_takes_no_command() -> None:
    async with running(tokens="read:readers-only") as leader:
        async with following(copy_of(leader)) as stranger:
            with pytest.raises(Unreachable):
                await stranger.fresh()
        async with following(copy_of(leader), token="readers-only") as follower:
            snapshot = await follower.fresh()
            with pytest.raises(Refused):
                await follower.delete(next(iter(snapshot.state.nodes)))
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{copy_of(leader)}/models")).status_code == 401
            allowed = {"authorization": "Bearer readers-only"}
            models = (await client.get(f"{copy_of(leader)}/models", headers=allowed)).json()
            assert {card["id"] for card in models["data"]} >= {A}
            head = await client.head(f"{copy_of(leader)}/state", headers=allowed)
            assert (head.status_code, head.content) == (200, b"")
