"""The snapshot: totals, what a download means, what counts and what does not, and health."""

import pytest

from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.readiness import NodeStatus
from exo_graphql.cluster.snapshot import Source
from exo_graphql.cluster.state import ModelCard
from tests.support.documents import (
    GIB,
    MODEL,
    Json,
    Story,
    completed,
    document,
    failed_download,
    instance,
    ongoing,
    pending,
    runner,
    size,
    snapshot_of,
    task,
)
from tests.support.recordings import EXO, moment

READY = runner("Ready", prefillServerPort=None)


def two_studios() -> Json:
    """The fixture of exo's pull request 1727: two 512 GB Mac Studios, one model ready on both."""
    state = document(
        ["studio-1", "studio-2"],
        [instance("i1", {"studio-1": "r1", "studio-2": "r2"})],
        {"r1": READY, "r2": READY},
        {"studio-1": [completed()], "studio-2": [completed()]},
    )
    for node, free in (("studio-1", 340), ("studio-2", 350)):
        state["nodeMemory"][node] = {"ramTotal": size(512 * GIB), "ramAvailable": size(free * GIB)}
    return state


# Totals


def test_two_studios_have_1024_gib_of_which_690_are_free() -> None:
    snapshot = snapshot_of(two_studios())
    assert (snapshot.ram_total_gb, snapshot.ram_available_gb, snapshot.ram_used_gb) == (1024.0, 690.0, 334.0)
    assert snapshot.ram_used_percent == 32.6
    assert [[card.id for card in snapshot.models_on(node.id)] for node in snapshot.nodes] == [[MODEL], [MODEL]]
    assert snapshot.status(MODEL).ready
    assert (snapshot.healthy, snapshot.node_count, snapshot.online_node_count) == (True, 2, 2)


def test_a_node_that_reports_no_memory_is_not_a_node_with_none() -> None:
    state = two_studios()
    state["nodeMemory"].pop("studio-2")
    snapshot = snapshot_of(state)
    assert (snapshot.ram_total_gb, snapshot.ram_available_gb, snapshot.nodes_without_memory) == (512.0, 340.0, 1)
    silent = snapshot.state.nodes["studio-2"]
    assert (silent.ram_total_gb, silent.ram_available_gb, silent.ram_used_gb, silent.ram_used_percent) == (None,) * 4


def test_a_node_that_reports_half_of_its_memory_counts_in_no_sum() -> None:
    state = two_studios()
    del state["nodeMemory"]["studio-2"]["ramAvailable"]
    snapshot = snapshot_of(state)
    assert (snapshot.ram_total_gb, snapshot.ram_used_percent, snapshot.nodes_without_memory) == (512.0, 33.6, 1)
    assert snapshot.state.nodes["studio-2"].ram_total_gb == 512.0


def test_totals_are_unknown_while_nobody_reports() -> None:
    state = two_studios()
    state["nodeMemory"] = {}
    snapshot = snapshot_of(state)
    assert (snapshot.ram_total_gb, snapshot.ram_available_gb, snapshot.ram_used_gb, snapshot.ram_used_percent) == (
        None,
        None,
        None,
        None,
    )
    assert snapshot.nodes_without_memory == 2


def test_two_instances_of_a_model_are_one_loaded_model() -> None:
    snapshot = snapshot_of(document(["n1"], [instance("i1", {"n1": "r1"}), instance("i2", {"n1": "r2"})]))
    assert (snapshot.loaded_model_count, [card.id for card in snapshot.loaded_models]) == (1, [MODEL])


# Downloads


@pytest.mark.parametrize(
    ("entry", "report", "status"),
    [
        (pending(), None, DownloadStatus.PENDING),
        (pending(downloaded=7), runner("Idle"), DownloadStatus.PENDING),
        (pending(), runner("Connected"), DownloadStatus.PENDING),
        (pending(), READY, DownloadStatus.NOT_STARTED),
        (pending(downloaded=7), READY, DownloadStatus.PAUSED),
        (ongoing(), None, DownloadStatus.DOWNLOADING),
        (completed(), None, DownloadStatus.COMPLETED),
        (failed_download(), None, DownloadStatus.FAILED),
        ({"DownloadVerifying": completed()["DownloadCompleted"]}, None, DownloadStatus.UNKNOWN),
    ],
)
def test_a_download_on_the_node_of_an_instance(entry: Json, report: Json | None, status: DownloadStatus) -> None:
    runners = {} if report is None else {"r1": report}
    snapshot = snapshot_of(document(["n1"], [instance("i1", {"n1": "r1"})], runners, {"n1": [entry]}))
    (download,) = snapshot.all_downloads
    assert snapshot.download_status(download) is status


@pytest.mark.parametrize(("downloaded", "status"), [(0, DownloadStatus.NOT_STARTED), (1, DownloadStatus.PAUSED)])
def test_a_pending_entry_alone_never_means_that_a_download_was_requested(
    downloaded: int, status: DownloadStatus
) -> None:
    # The model has an instance, on another node.
    state = document(
        ["n1", "n2"],
        [instance("i1", {"n1": "r1"})],
        {},
        {"n2": [pending(downloaded=downloaded), pending("test/two", downloaded)]},
    )
    snapshot = snapshot_of(state)
    assert {snapshot.download_status(download) for download in snapshot.all_downloads} == {status}
    assert snapshot.active_download_count == 0


def test_downloads_of_nodes_that_left_count_nowhere() -> None:
    state = document(["n1"], downloads={"n1": [ongoing()], "gone": [ongoing(), completed("test/two")]})
    snapshot = snapshot_of(state)
    assert [download.id for download in snapshot.all_downloads] == [f"n1:{MODEL}"]
    assert snapshot.active_download_count == 1


def test_what_has_not_started_is_left_out_of_the_started_downloads() -> None:
    state = document(["n1"], downloads={"n1": [pending("test/a"), pending("test/b", 5), completed("test/c")]})
    snapshot = snapshot_of(state)
    assert [download.model_id for download in snapshot.started_downloads] == ["test/b", "test/c"]
    assert [download.model_id for download in snapshot.all_downloads] == ["test/a", "test/b", "test/c"]


# What outlives its instance


def test_runners_and_tasks_without_an_instance_count_nowhere() -> None:
    state = document(
        ["n1"],
        [instance("i1", {"n1": "r1"})],
        {"r1": runner("Idle"), "orphan": READY, "other": runner("Failed", errorMessage="long ago")},
        tasks={
            "t1": task("TextGeneration", "gone", "Running", commandId="c"),
            "t2": task("Shutdown", "gone", "Pending", runnerId="orphan"),
            "t3": task("LoadModel", "i1", "Running"),
        },
    )
    snapshot = snapshot_of(state)
    assert [t.id for t in snapshot.tasks] == ["t3"]
    assert (snapshot.active_task_count, snapshot.status(MODEL).ready, snapshot.status(MODEL).failure) == (
        0,
        False,
        None,
    )


@pytest.mark.parametrize(
    ("tag", "status", "active"),
    [
        ("TextGeneration", "Running", True),
        ("ImageGeneration", "Pending", True),
        ("ImageEdits", "Running", True),
        ("ChatCompletion", "Pending", True),
        ("TextGeneration", "Complete", False),
        ("TextGeneration", "Cancelled", False),
        ("TextGeneration", "Dreaming", False),
        ("DownloadModel", "Running", False),
        ("LoadModel", "Running", False),
        ("Meditate", "Running", False),
    ],
)
def test_an_active_task_is_inference_that_is_pending_or_running(tag: str, status: str, active: bool) -> None:
    state = document(["n1"], [instance("i1", {"n1": "r1"})], tasks={"t": task(tag, "i1", status)})
    snapshot = snapshot_of(state)
    assert [snapshot.is_active(t) for t in snapshot.all_tasks] == [active]
    assert snapshot.active_task_count == int(active)


def test_tasks_of_a_model_and_on_a_node_follow_its_instances() -> None:
    state = document(
        ["n1", "n2"],
        [instance("i1", {"n1": "r1"}), instance("i2", {"n1": "r2", "n2": "r3"}, "test/two")],
        tasks={"t1": task("LoadModel", "i1"), "t2": task("LoadModel", "i2")},
    )
    snapshot = snapshot_of(state)
    assert [t.id for t in snapshot.tasks_of("test/two")] == ["t2"]
    assert [t.id for t in snapshot.tasks_on("n1")] == ["t1", "t2"]
    assert [t.id for t in snapshot.tasks_on("n2")] == ["t2"]


# Models


def test_the_cluster_knows_the_catalogue_what_is_loaded_and_what_may_be_downloaded() -> None:
    story = Story(catalogue={"Zeta/z": ModelCard("Zeta/z", family="z"), MODEL: ModelCard(MODEL)})
    state = document(["n1"], [instance("i1", {"n1": "r1"})], downloads={"n1": [pending("alpha/a")]})
    snapshot = story.see(0.0, state)
    assert list(snapshot.models) == ["alpha/a", MODEL, "Zeta/z"]
    assert snapshot.models[MODEL].layer_count == 8  # what the state says is newer than the catalogue


def test_a_model_loaded_without_a_card_is_known_by_its_id() -> None:
    state = document(["n1"], [instance("i1", {"n1": "r1"})])
    del state["instances"]["i1"]["MlxRingInstance"]["shardAssignments"]["runnerToShard"]["r1"]
    assert snapshot_of(state).models == {MODEL: ModelCard(MODEL)}


def test_a_name_that_nothing_knows_is_not_found() -> None:
    status = snapshot_of(document()).status("test/none")
    assert (status.found, status.phase.value, status.model_id) == (False, "NOT_LOADED", "test/none")


def test_a_model_that_left_the_catalogue_with_its_instance_is_remembered() -> None:
    story = Story()
    story.see(0.0, document(["n1"], [instance("i1", {"n1": "r1"})], {"r1": runner("Failed", errorMessage="no")}))
    snapshot = story.see(1.0, document(["n1"]))
    assert MODEL not in snapshot.models
    assert snapshot.remembered_models == {MODEL: ModelCard(MODEL)}
    status = snapshot.status(MODEL)
    assert (status.final, status.failure and status.failure.message) == (True, "no")


# Health


def test_a_cluster_is_unhealthy_for_each_reason_in_a_sentence() -> None:
    broken = document(
        ["n1", "n2"],
        [instance("i1", {"n1": "r1"}), instance("i2", {"n2": "r2"}, "test/two")],
        {"r1": runner("Failed", errorMessage="no"), "r2": READY},
        unseen={"n2": 12.0},
    )
    snapshot = Story().see(0.0, broken, source=Source("http://exo", connected=False))
    assert not snapshot.healthy
    assert snapshot.unhealthy_reasons == (
        "No exo node answers.",
        "Node mac-n2 has sent no heartbeat for 10 s or more.",
        f"Model {MODEL} is FAILED: no",
        "Model test/two is UNREACHABLE: Node mac-n2 has sent no heartbeat for 10 s or more.",
    )
    assert (snapshot.online_node_count, snapshot.node_statuses) == (
        1,
        {"n1": NodeStatus.ONLINE, "n2": NodeStatus.STALE},
    )


def test_a_model_that_loads_or_a_node_never_stamped_is_no_reason() -> None:
    state = document(["n1"], [instance("i1", {"n1": "r1"})], {"r1": runner("Loading")})
    state["lastSeen"] = {}
    snapshot = snapshot_of(state)
    assert (snapshot.healthy, snapshot.online_node_count, snapshot.node_statuses) == (
        True,
        0,
        {"n1": NodeStatus.UNKNOWN},
    )


def test_before_the_first_state_there_is_no_snapshot() -> None:
    with pytest.raises(ValueError, match="no state yet"):
        advance(None, None, moment(0), EXO)
