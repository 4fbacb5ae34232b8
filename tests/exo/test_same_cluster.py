"""A server that shares a store, and whose exo is of another cluster, neither shows nor acts on it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import patch

import httpx
import pytest
from starlette.applications import Starlette

from exo_graphql.cluster.past import Past
from exo_graphql.cluster.upstream import Unreachable
from exo_graphql.exo.mirror import Mirror
from exo_graphql.exo.poller import Poller
from exo_graphql.exo.same_cluster import names
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from exo_graphql.simulator import clock as demo_clock
from exo_graphql.simulator.scenario import Scenario
from exo_graphql.transports.auth import Access
from exo_graphql.transports.exo_routes import exo_routes
from tests.support.polled_cluster import loop_moment
from tests.support.threaded_time import ThreadedTimeLoop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": ThreadedTimeLoop}


def elsewhere() -> Scenario:
    """The same machines, of other names."""
    scenario = tiny_scenario()
    machines = tuple(replace(machine, name=f"other-{machine.name}") for machine in scenario.machines)
    renamed = {before.name: after.name for before, after in zip(scenario.machines, machines, strict=True)}
    return replace(
        scenario,
        machines=machines,
        api=renamed[scenario.api],
        master=renamed[scenario.master],
        weights={model: tuple(renamed[name] for name in nodes) for model, nodes in scenario.weights.items()},
    )


@asynccontextmanager
async def exos(*scenarios: Scenario) -> AsyncIterator[list[SimulatedExo]]:
    loop_time = SimpleNamespace(monotonic=asyncio.get_running_loop().time)
    with patch.object(demo_clock, "time", loop_time):
        found = [SimulatedExo(scenario, seed=seed) for seed, scenario in enumerate(scenarios, 1)]
        async with found[0], found[-1]:
            yield found


def poller_of(exo: SimulatedExo, leader: Poller | None = None) -> Poller:
    way = None
    if leader is not None:
        routes = exo_routes(Mirror(leader, lambda: loop_moment().elapsed), Access([]), lambda: "secret")
        way = httpx.ASGITransport(Starlette(routes=routes))
    exo_itself = httpx.ASGITransport(exo.app)
    poller = Poller(["http://exo"], transport=exo_itself, followed_transport=way, now=loop_moment, shared=True)
    poller.resigned = 0  # type: ignore[attr-defined]
    poller.same_cluster.on_another = lambda: setattr(poller, "resigned", poller.resigned + 1)  # type: ignore[attr-defined]
    return poller


async def members(exo: SimulatedExo) -> Mapping[str, str | None]:
    async with poller_of(exo) as poller:
        return names((await poller.fresh()).state)


async def test_a_server_of_another_cluster_shows_no_state_and_resigns() -> None:
    async with exos(tiny_scenario(), elsewhere()) as (ours, other):
        known = await members(ours)
        poller = poller_of(other)
        poller.members_are(known)
        poller.recall(Past(known))
        async with poller:
            with pytest.raises(Unreachable, match=r"serve another exo cluster: .* Give .* or another --namespace\."):
                await poller.fresh()
            assert poller.same_cluster.is_another
            assert poller.resigned == 1  # type: ignore[attr-defined]
            assert poller.past_is_open  # nothing is written over what the others know


async def test_it_is_found_before_the_start() -> None:
    async with exos(tiny_scenario(), elsewhere()) as (ours, other):
        known = await members(ours)
        assert await poller_of(ours).another_cluster(known) is None
        refused = await poller_of(other).another_cluster(known)
        assert refused is not None
        assert "its nodes are node-1, node-2, and those of --exo-url are other-node-1, other-node-2." in refused
        other.control.drop_connections = True
        assert await poller_of(other).another_cluster(known) is None


async def test_one_that_starts_before_the_others_have_noted_their_members_finds_it_later() -> None:
    async with exos(tiny_scenario(), elsewhere()) as (ours, other), poller_of(other) as poller:
        await poller.fresh()
        assert poller.resigned == 0  # type: ignore[attr-defined]
        poller.members_are(await members(ours))
        assert poller.same_cluster.is_another
        await asyncio.sleep(30)
        assert poller.snapshot is not None
        assert not poller.snapshot.connected


async def test_a_copy_of_another_cluster_is_not_taken() -> None:
    async with exos(tiny_scenario(), elsewhere()) as (ours, other), poller_of(ours) as leader:
        await leader.fresh()
        async with poller_of(other, leader) as poller:
            await poller.fresh()
            poller.follow("http://leader", "secret")
            await asyncio.sleep(10)
            assert poller.snapshot is not None
            assert not poller.has_a_copy
            assert poller.snapshot.state.nodes.keys().isdisjoint(leader.snapshot.state.nodes)  # type: ignore[union-attr]
            assert poller.same_cluster.is_another


async def test_one_whose_exo_did_not_answer_at_the_start_finds_it_when_the_leader_is_gone() -> None:
    async with exos(tiny_scenario(), elsewhere()) as (ours, other):
        other.control.drop_connections = True
        async with poller_of(ours) as leader:
            await leader.fresh()
            poller = poller_of(other, leader)
            async with poller:
                poller.follow("http://leader", "secret")
                copied = await poller.fresh()
                assert poller.has_a_copy
                other.control.drop_connections = False
                poller.follow(None)
                with pytest.raises(Unreachable):
                    await poller.read_now()
                assert poller.same_cluster.is_another
                assert poller.snapshot is not None
                assert poller.snapshot.state.nodes.keys() == copied.state.nodes.keys()


async def test_a_cluster_that_was_restarted_as_a_whole_is_the_same() -> None:
    async with exos(tiny_scenario()) as (exo,):
        known = await members(exo)
        exo.control.restart(1.0)
        await asyncio.sleep(60)
        poller = poller_of(exo)
        poller.members_are(known)
        async with poller:
            assert (await poller.fresh()).state.nodes.keys().isdisjoint(known)
        assert not poller.same_cluster.is_another


async def test_one_that_shares_nothing_may_change_its_cluster() -> None:
    async with exos(tiny_scenario(), elsewhere()) as (ours, other):
        poller = Poller(["http://exo"], transport=httpx.ASGITransport(other.app), now=loop_moment)
        poller.members_are(await members(ours))
        async with poller:
            assert (await poller.fresh()).state.nodes
