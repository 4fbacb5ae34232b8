"""Recorded timelines of a real exo at their real pace, with its real latency, watched over websockets.

`python -m tests.benchmarks.timelines` plays all of them, and says how soon each change is seen.
"""

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise
from statistics import median

import pytest

from tests.support.own_time import OWN_TIME, Backend
from tests.support.replay import COST, Replay, behind, replay
from tests.support.running import Socket

pytestmark = pytest.mark.anyio

A = "rig/tiny-llama-a"


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return OWN_TIME  # as everywhere, but for the whole module: the replays are played once


@pytest.fixture(scope="module")
async def replays() -> dict[str, Replay]:
    """All at the same time, each behind a server of its own."""
    async with asyncio.TaskGroup() as tasks:
        playing = {
            "load": tasks.create_task(replay("10-place-load-ready", A)),
            "one": tasks.create_task(replay("61-two-node-pipeline", A)),
            "many": tasks.create_task(replay("61-two-node-pipeline", A, subscribers=200, connections=20)),
        }
    return {name: task.result() for name, task in playing.items()}


async def test_a_load_is_seen_phase_by_phase(replays: dict[str, Replay]) -> None:
    phases = [phase for phase, _ in replays["load"].watches[0].statuses]
    assert list(dict.fromkeys(phases)) == ["NOT_LOADED", "WAITING", "LOADING", "WARMING_UP", "READY"]


@pytest.mark.parametrize("name", ["load", "one", "many"])
async def test_every_message_is_true_new_and_soon(replays: dict[str, Replay], name: str) -> None:
    played = replays[name]
    for watch in played.watches:
        assert all(before != after for before, after in pairwise(watch.statuses))
        assert watch.statuses[-1] == played.truth[-1].status
    # The poller sets its own pace, and is slower on a machine that is busy. A change waits half a pause to be read, or
    # a whole one where the recording changes as often as the poller reads.
    assert median(played.delays) <= played.pace + COST + 0.1
    assert median(played.own_delays) <= 0.1


async def test_exo_is_asked_as_often_for_200_subscribers_as_for_one(replays: dict[str, Replay]) -> None:
    one, many = replays["one"], replays["many"]
    assert abs(many.reads - one.reads) <= 2
    assert many.executions <= many.reads + 1
    # All of them are sent the same.
    assert {tuple(watch.statuses) for watch in many.watches} == {tuple(many.watches[0].statuses)}


async def test_200_subscribers_outlast_an_exo_that_is_killed_hangs_resets_errs_or_answers_garbage() -> None:
    async with asyncio.TaskGroup() as tasks:
        for fault in ("killed", "hang", "reset", "garbage", "error"):
            tasks.create_task(_outlast(fault), name=fault)


async def _outlast(fault: str) -> None:
    settings = {"lost_after": 0.5, "read_timeout": 0.3}
    async with behind("10-place-load-ready", **settings) as (server, (upstream,)), AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(server.socket()) for _ in range(10)]
        query = "subscription { cluster { connected } }"
        ids = {(socket, await socket.subscribe(query)) for socket in sockets for _ in range(20)}
        await _all_hear(ids, connected=True)
        if fault == "killed":
            await upstream.stop()
        else:
            upstream.recorded.fault = fault
        await _all_hear(ids, connected=False)
        live = server.components.service.live
        assert (live.share_count, live.subscriber_count) == (1, 200)
        if fault == "killed":
            await upstream.start()
        upstream.recorded.fault = None
        await _all_hear(ids, connected=True)
        # And what happens from then on is seen.
        id_ = await sockets[0].subscribe(f'subscription {{ modelStatus(model: "{A}") {{ phase }} }}')
        assert await sockets[0].data(id_) == {"modelStatus": {"phase": "NOT_LOADED"}}
        upstream.recorded.play()
        # WAITING, unless this machine is so busy that the first second of the load is over before it is read.
        assert (await sockets[0].data(id_))["modelStatus"]["phase"] in ("WAITING", "LOADING")


async def _all_hear(ids: set[tuple[Socket, str]], *, connected: bool) -> None:
    """Each subscription is sent just this, once."""
    waiting = set(ids)
    while waiting:
        for socket in {socket for socket, _ in waiting}:
            message = await socket.receive()
            assert message["payload"] == {"data": {"cluster": {"connected": connected}}}
            waiting.remove((socket, message["id"]))
