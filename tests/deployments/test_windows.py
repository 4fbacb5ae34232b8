"""Schedules on the simulated exo: what is wanted is loaded when it opens, and the earlier model serves until then."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from exo_graphql.deployments.schedule import Window
from exo_graphql.simulator import tiny_scenario
from tests.support.deployed_cluster import Deployed, deployed
from tests.support.polled_cluster import START
from tests.support.simulated_cluster import ABSENT, HALF, OTHER_HALF, A

pytestmark = pytest.mark.anyio

# The tests begin at 12:00 UTC. A day of an hour: what happens once a day is long to wait for.
DAY, NIGHT = Window("0 * * * *", 40, "UTC"), Window("40 * * * *", 20, "UTC")


def _clock() -> str:
    return f"{START + timedelta(seconds=asyncio.get_running_loop().time()):%d %H:%M}"


async def _day_and_night(d: Deployed, **night: object) -> None:
    await d.applied("day", HALF, schedule=[DAY])
    await d.applied("night", OTHER_HALF, schedule=[NIGHT], **night)
    await d.until_state("day", "READY", 120)
    assert d.state("night").value == "OFF"


async def test_the_night_replaces_the_day_and_the_day_the_night() -> None:
    async with deployed() as d:
        await _day_and_night(d)
        await d.until_state("night", "READY", 7_200)
        assert _clock() == "22 12:40"
        assert d.state("day").value == "OFF"
        assert await d.w.listed() == [OTHER_HALF]
        await d.until_state("day", "READY", 7_200)
        assert _clock() == "22 13:00"
        assert await d.w.listed() == [HALF]
        assert d.creations == 3


async def test_a_night_that_cannot_be_loaded_leaves_the_day_serving_until_it_can() -> None:
    async with deployed() as d:
        await _day_and_night(d)
        d.w.fault(f"load-fails:{OTHER_HALF}")
        await d.until_state("night", "RETRYING", 7_200)
        assert d.state("day").value == "OFF"
        assert "night" in d.assessment("day").reason
        assert await d.w.serving() == [HALF]
        d.w.sim.control.clear()
        await d.until_state("night", "READY", 1200)
        assert await d.w.listed() == [OTHER_HALF]


async def test_a_night_that_is_deleted_lets_the_day_go() -> None:
    async with deployed() as d:
        await _day_and_night(d)
        d.w.fault(f"load-fails:{OTHER_HALF}")
        await d.until_state("night", "RETRYING", 7_200)
        await d.deployments.delete("night")
        await d.w.until(lambda snapshot: not snapshot.state.instances, 200)


async def test_what_closes_alone_is_unloaded() -> None:
    async with deployed() as d:
        await d.applied("a", A, schedule=[Window("0 12 * * *", 30, "UTC")])
        await d.until_state("a", "READY", 60)
        await d.until_state("a", "OFF", 2000)
        await d.w.until(lambda snapshot: not snapshot.state.instances, 60)
        assert _clock() == "22 12:30"


async def test_a_load_whose_window_closes_is_cancelled() -> None:
    async with deployed() as d:
        await d.applied("absent", ABSENT, schedule=[Window("0 12 * * *", 1, "UTC")])
        await d.until_state("absent", "OFF", 120)


async def test_a_server_that_starts_within_a_window_is_in_it() -> None:
    async with deployed() as d:
        await d.applied("a", A, schedule=[Window("40 11 * * *", 60, "UTC")])
        await d.until_state("a", "READY", 60)


async def test_ready_by_is_ready_at_the_opening_and_not_begun_much_earlier() -> None:
    async with deployed() as d:
        await d.applied("day", HALF, schedule=[replace(DAY, ready_by=True)])
        await d.applied("night", OTHER_HALF, schedule=[NIGHT])
        await d.until_state("day", "READY", 120)
        await d.until_state("night", "READY", 7_200)
        await d.until_state("day", "READY", 7_200)
        # Before its first load that counts, the lead is a guess.
        assert "22 12:56" <= _clock() <= "22 13:00"
        assert await d.w.listed() == [HALF]
        for _ in range(3):
            await d.until_state("night", "READY", 7_200)
            await d.until_state("day", "READY", 7_200)
        # By 16:00 the load of 13:00 counts: it took seconds.
        assert _clock() == "22 15:59"


async def test_weights_are_fetched_before_the_window_opens() -> None:
    async with deployed(tiny_scenario(1)) as d:
        await d.applied("absent", ABSENT, schedule=[Window("0 18 * * *", 60, "UTC")])
        snapshot = await d.w.until(
            lambda s: any(x.model_id == ABSENT and x.kind.name == "COMPLETED" for x in s.all_downloads), 600
        )
        assert not snapshot.state.instances
        assert d.state("absent").value == "OFF"
        assert d.commands["POST", "/download/start"] == 1


async def test_an_idle_model_is_unloaded_until_somebody_loads_it() -> None:
    async with deployed() as d:
        await d.applied("a", A, idle_unload_seconds=60)
        await d.until_state("a", "READY", 60)
        seconds = await d.until_state("a", "IDLE", 200)
        assert 50 <= seconds <= 70
        await d.w.until(lambda snapshot: not snapshot.state.instances, 60)
        await d.w.end(await d.w.ops.load(A))
        await d.until_state("a", "READY", 60)
