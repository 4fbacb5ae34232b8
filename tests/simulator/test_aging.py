"""A session ages as exo's does: tasks and runners are never removed (exo/API.md, "A session ages")."""

from collections import Counter

import pytest

from tests.simulator.conftest import Exo

pytestmark = pytest.mark.anyio

LOADS = 25


async def test_tasks_and_runners_of_every_instance_there_ever_was_stay_listed(tiny: Exo) -> None:
    before = len((await tiny.http.get("/state")).content)
    for _ in range(LOADS):
        instance = tiny.control.place(tiny.control.cards[0])
        assert instance is not None
        tiny.control.advance(30)
        tiny.control.delete_instance(instance)
        tiny.control.advance(10)
    answer = await tiny.http.get("/state")
    state = answer.json()
    assert state["instances"] == {}
    tasks = Counter(
        (kind, task["taskStatus"])
        for document in state["tasks"].values()
        for kind, task in document.items()
        if task["instanceId"] not in state["instances"]
    )
    for kind, status in (
        ("CreateRunner", "Complete"),
        ("LoadModel", "Complete"),
        ("StartWarmup", "Complete"),
        ("Shutdown", "Running"),
    ):
        assert tasks[kind, status] >= LOADS, (kind, tasks)
    assert len(state["runners"]) >= LOADS
    assert len(answer.content) - before > 1500 * LOADS, "a CreateRunner holds the whole instance"


async def test_the_task_of_a_download_is_never_completed(tiny: Exo) -> None:
    model = tiny.control.cards[0]
    for node in (await tiny.http.get("/state")).json()["topology"]["nodes"]:
        await tiny.http.delete(f"/download/{node}/{model}")
    tiny.control.advance(1)
    assert tiny.control.place(model) is not None
    tiny.control.advance(600)
    state = (await tiny.http.get("/state")).json()
    assert {next(iter(runner)) for runner in state["runners"].values()} >= {"RunnerReady"}
    downloads = [task["DownloadModel"]["taskStatus"] for task in state["tasks"].values() if "DownloadModel" in task]
    assert downloads
    assert set(downloads) == {"Running"}
