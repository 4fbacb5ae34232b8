"""Tasks: what may be under way is listed, and nothing that exo merely keeps."""

from collections import Counter

import pytest

from exo_graphql.cluster.state import INFERENCE, TaskKind
from tests.support.documents import MODEL, Json, document, instance, runner, snapshot_of, task
from tests.support.recordings import NAMES, walk

READY = runner("Ready", prefillServerPort=None)


def listed(report: Json | None, *tags: tuple[str, str], nodes: int = 1) -> list[str]:
    runners = {f"n{n}": f"r{n}" for n in range(nodes)}
    tasks = {f"t{n}": task(tag, "i1", status) for n, (tag, status) in enumerate(tags)}
    reports = {} if report is None else dict.fromkeys(runners.values(), report)
    return [t.id for t in snapshot_of(document(list(runners), [instance("i1", runners)], reports, tasks=tasks)).tasks]


def test_a_ready_model_shows_none_of_the_downloads_that_its_attempts_left_running() -> None:
    left_behind = [("DownloadModel", "Running")] * 3 + [("Shutdown", "Pending"), ("Shutdown", "Running")]
    assert listed(READY, *left_behind, ("LoadModel", "Running"), ("StartWarmup", "Running")) == []
    assert listed(runner("Running"), *left_behind, ("TextGeneration", "Running")) == ["t5"]


@pytest.mark.parametrize(
    ("report", "tag", "shown"),
    [
        (None, "CreateRunner", True),
        (runner("Failed", errorMessage="no"), "CreateRunner", True),
        (runner("Idle"), "CreateRunner", False),
        (runner("Connecting"), "ConnectToGroup", True),
        (runner("Loading"), "ConnectToGroup", False),
        (None, "LoadModel", True),
        (runner("Loading"), "LoadModel", True),
        (runner("Failed", errorMessage="no"), "LoadModel", False),
        (READY, "LoadModel", False),
        (runner("WarmingUp"), "StartWarmup", True),
        (READY, "StartWarmup", False),
        (runner("Loading"), "DownloadModel", False),
        (runner("ShuttingDown"), "Shutdown", False),
        (READY, "CancelTask", True),
        (READY, "Meditate", True),
    ],
)
def test_a_task_is_listed_only_while_a_runner_has_a_status_that_goes_with_it(
    report: Json | None, tag: str, shown: bool
) -> None:
    assert listed(report, (tag, "Running")) == (["t0"] if shown else [])


def test_of_the_loads_of_several_attempts_the_last_one_is_under_way() -> None:
    assert listed(runner("Loading"), *[("LoadModel", "Running")] * 3) == ["t2"]
    # One for each runner.
    assert listed(runner("Loading"), *[("LoadModel", "Running")] * 6, nodes=2) == ["t4", "t5"]


@pytest.mark.parametrize("name", NAMES)
def test_no_recorded_state_lists_more_of_exos_own_work_than_an_instance_has_runners(name: str) -> None:
    for t, snapshot in walk(name):
        of_kind = Counter((task.instance_id, task.kind) for task in snapshot.tasks if task.kind not in INFERENCE)
        for (instance_id, kind), count in of_kind.items():
            found = snapshot.state.instances[instance_id or ""]
            assert kind not in {TaskKind.DOWNLOAD_MODEL, TaskKind.SHUTDOWN}, t
            assert count <= len(found.shards), t
            assert not snapshot.instance_statuses[found.id].ready, t


def test_a_task_of_an_instance_that_is_gone_is_never_active() -> None:
    snapshot = snapshot_of(document(["n1"], tasks={"t": task("TextGeneration", "gone")}))
    (kept,) = snapshot.all_tasks
    assert (snapshot.tasks, snapshot.is_active(kept), snapshot.active_task_count) == ((), False, 0)
    assert snapshot.tasks_of(MODEL, snapshot.all_tasks) == ()
