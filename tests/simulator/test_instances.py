"""The life of an instance, stage by stage."""

import asyncio
from typing import Any

import pytest

from exo_graphql.simulator import Fault
from tests.simulator.conftest import Exo

pytestmark = pytest.mark.anyio


async def _held(exo: Exo) -> int:
    """Bytes of memory that the cluster reports as used beyond the system's."""
    memory = (await exo.http.get("/state/nodeMemory")).json().values()
    free_when_empty = 6 * 1024**3
    return sum(free_when_empty - one["ramAvailable"]["inBytes"] for one in memory)


async def _tasks(exo: Exo) -> list[tuple[str, str]]:
    tasks = (await exo.http.get("/state/tasks")).json().values()
    return [(kind, fields["taskStatus"]) for task in tasks for kind, fields in task.items()]


async def test_one_node_goes_from_nothing_to_ready_without_connecting(tiny: Exo) -> None:
    instance = await tiny.place("test/tiny-a")
    course = await tiny.course(instance, 6)
    assert [status for (status,) in course] == [
        None,
        "RunnerIdle",
        "RunnerLoading",
        "RunnerLoaded",
        "RunnerWarmingUp",
        "RunnerReady",
    ]


async def test_no_runner_is_seen_for_more_than_a_second(tiny: Exo) -> None:
    await tiny.place("test/tiny-a")
    passed = await tiny.until(lambda state: state["runners"])
    assert 1.0 < passed < 2.1


async def test_two_nodes_connect_before_they_load(tiny: Exo) -> None:
    instance = await tiny.place("test/tiny-a", min_nodes=2)
    course = await tiny.course(instance, 8)
    for rank in (0, 1):
        statuses = [one[rank] for one in course]
        assert list(dict.fromkeys(statuses)) == [
            None,
            "RunnerIdle",
            "RunnerConnecting",
            "RunnerConnected",
            "RunnerLoading",
            "RunnerLoaded",
            "RunnerWarmingUp",
            "RunnerReady",
        ]
    assert course[-1] == ["RunnerReady", "RunnerReady"]


async def test_layers_loaded_never_reach_the_total_of_the_shard(tiny: Exo) -> None:
    await tiny.place("test/tiny-b", min_nodes=2)
    seen = set()
    for _ in range(600):
        tiny.control.advance(0.01)
        for runner in (await tiny.http.get("/state/runners")).json().values():
            if "RunnerLoading" in runner:
                seen.add((runner["RunnerLoading"]["layersLoaded"], runner["RunnerLoading"]["totalLayers"]))
    assert seen == {(done, 6) for done in range(6)}


async def test_loading_takes_memory_and_deleting_gives_it_back_a_little_later(tiny: Exo) -> None:
    instance = await tiny.ready("test/half")
    tiny.control.advance(1.1)
    loaded = await _held(tiny)
    assert loaded == pytest.approx(9 * 1024**3 * 1.03, rel=0.001)
    await tiny.http.delete(f"/instance/{instance}")
    tiny.control.advance(0.1)
    assert instance not in (await tiny.state())["instances"]
    assert await _held(tiny) == loaded
    tiny.control.advance(2)
    assert await _held(tiny) == 0


async def test_a_loading_runner_loads_to_its_end_before_its_memory_is_free(tiny: Exo) -> None:
    await tiny.place("test/half")
    await tiny.until(lambda state: any("RunnerLoading" in one for one in state["runners"].values()))
    (instance,) = (await tiny.state())["instances"]
    tiny.control.delete_instance(instance)
    assert (await tiny.state())["instances"] == {}
    await tiny.until(lambda state: all("RunnerLoaded" in one for one in state["runners"].values()))
    tiny.control.advance(2)
    assert await _held(tiny) == 0


async def test_runners_and_tasks_outlive_their_instance(tiny: Exo) -> None:
    pair = await tiny.ready("test/tiny-a", min_nodes=2)
    single = await tiny.ready("test/tiny-b")
    for instance in (pair, single):
        tiny.control.delete_instance(instance)
    tiny.control.advance(10)
    state = await tiny.state()
    assert state["instances"] == {}
    assert sorted(next(iter(one)) for one in state["runners"].values()) == [
        "RunnerReady",
        "RunnerReady",
        "RunnerShuttingDown",
    ]
    tasks = await _tasks(tiny)
    assert tasks.count(("Shutdown", "Running")) == 3
    assert tasks.count(("CreateRunner", "Complete")) == 3


async def test_the_same_document_again_shows_the_old_ready_at_first(tiny: Exo) -> None:
    document = (await tiny.http.get("/instance/placement?model_id=test/tiny-a&min_nodes=2")).json()
    instance = document["MlxRingInstance"]["instanceId"]
    for expected in ([None, None], ["RunnerReady", "RunnerReady"]):
        await tiny.http.post("/instance", json={"instance": document})
        tiny.control.advance(0.1)
        assert await tiny.statuses(instance) == expected
        course = await tiny.course(instance, 8)
        assert ["RunnerConnecting", "RunnerConnecting"] in course
        assert course[-1] == ["RunnerReady", "RunnerReady"]
        await tiny.http.delete(f"/instance/{instance}")
        tiny.control.advance(0.1)


async def test_placing_twice_gives_two_instances(tiny: Exo) -> None:
    first, second = await tiny.place("test/tiny-a"), await tiny.place("test/tiny-a")
    assert first != second
    assert set((await tiny.state())["instances"]) == {first, second}


async def test_the_impossible_is_answered_200_and_dropped(tiny: Exo) -> None:
    answer = await tiny.http.post("/place_instance", json={"model_id": "test/huge"})
    assert answer.status_code == 200
    tiny.control.advance(5)
    assert (await tiny.state())["instances"] == {}


async def test_memory_that_two_instances_count_on_kills_a_runner(tiny: Exo) -> None:
    await tiny.place("test/half")
    await tiny.place("test/half")
    await tiny.until(
        lambda state: any(
            one.get("RunnerFailed", {}).get("errorMessage") == "Terminated (signal=9 (Killed))"
            for one in state["runners"].values()
        )
    )


async def test_a_failing_load_is_tried_five_times_then_the_instance_deletes_itself(tiny: Exo) -> None:
    tiny.control.inject(Fault("load-fails", "tiny-a"))
    instance = await tiny.place("test/tiny-a")
    failures: list[str] = []
    last: Any = None

    def gone(state: dict[str, Any]) -> bool:
        nonlocal last
        (now,) = state["runners"].values() or [None]
        if now != last and now is not None and "RunnerFailed" in now:
            failures.append(now["RunnerFailed"]["errorMessage"])
        last = now
        return instance not in state["instances"]

    passed = await tiny.until(gone)
    assert len(failures) == 5
    assert "Traceback (most recent call last)" in failures[0]
    assert 24 < passed < 38  # exo/API.md: 26 s and 37 s seen
    tiny.control.advance(2)
    assert await _held(tiny) == 0


async def test_a_load_that_fails_once_succeeds_with_the_same_ids(tiny: Exo) -> None:
    tiny.control.inject(Fault("load-fails", "Tiny A", count=1))
    instance = await tiny.place("test/tiny-a", min_nodes=2)
    course = await tiny.course(instance, 20)
    assert any("RunnerFailed" in one for one in course)
    assert course[-1] == ["RunnerReady", "RunnerReady"]


async def test_deleted_while_it_loads_and_fails_it_is_not_tried_again(tiny: Exo) -> None:
    instance = await tiny.place("test/half")
    await tiny.until(lambda state: any("RunnerLoading" in one for one in state["runners"].values()))
    tiny.control.inject(Fault("load-fails", "half"))
    tiny.control.delete_instance(instance)
    tiny.control.advance(20)
    tasks = await _tasks(tiny)
    assert tasks.count(("CreateRunner", "Complete")) == 2  # one for each node
    assert await _held(tiny) == 0


async def test_missing_weights_keep_one_node_idle_until_they_are_there(tiny: Exo) -> None:
    instance = await tiny.place("test/absent")
    course = await tiny.course(instance, 12)
    assert [status for (status,) in course] == [
        None,
        "RunnerIdle",
        "RunnerLoading",
        "RunnerLoaded",
        "RunnerWarmingUp",
        "RunnerReady",
    ]
    assert ("DownloadModel", "Running") in await _tasks(tiny)


async def test_missing_weights_keep_several_nodes_connected_until_all_have_them(tiny: Exo) -> None:
    await tiny.place("test/absent", min_nodes=2)
    await tiny.until(
        lambda state: (
            [next(iter(one)) for one in state["runners"].values()] == ["RunnerConnected"] * 2
            and any("DownloadOngoing" in one for entries in state["downloads"].values() for one in entries)
        )
    )


async def test_a_chat_waits_for_readiness_keeps_the_runner_busy_and_goes(tiny: Exo) -> None:
    instance = await tiny.place("test/tiny-a")
    chat = asyncio.create_task(
        tiny.http.post(
            "/v1/chat/completions",
            json={"model": "test/tiny-a", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50},
        )
    )
    for _ in range(5):
        await asyncio.sleep(0)
    tiny.control.advance(0.3)
    assert ("TextGeneration", "Pending") in await _tasks(tiny)
    await tiny.until(lambda state: [*state["runners"].values()] == [{"RunnerRunning": {}}])
    assert ("TextGeneration", "Running") in await _tasks(tiny)
    tiny.control.advance(5)
    answer = await chat
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["finish_reason"] == "stop"
    assert await tiny.statuses(instance) == ["RunnerReady"]
    assert "TextGeneration" not in dict(await _tasks(tiny))


async def test_a_runner_that_crashes_while_ready_is_listed_as_failed_and_tried_again(tiny: Exo) -> None:
    instance = await tiny.ready("test/tiny-a")
    assert not tiny.control.crash("nobody")
    assert tiny.control.crash(instance)
    assert await tiny.statuses(instance) == ["RunnerFailed"]
    await tiny.until(lambda state: [*state["runners"].values()] == [{"RunnerReady": {"prefillServerPort": None}}])
    assert list((await tiny.state())["instances"]) == [instance]
