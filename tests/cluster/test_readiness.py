"""The rules of readiness, one by one and against each other: the first that holds decides."""

from collections.abc import Mapping
from typing import Any

import pytest

from exo_graphql.cluster.contact import Contact
from exo_graphql.cluster.error_text import one_line
from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.rules import Rules
from exo_graphql.cluster.snapshot import Source
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
    snapshot_of,
)
from tests.support.recordings import EXO

READY = runner("Ready", prefillServerPort=None)
ONE = {"n1": "r1"}
TWO = {"n1": "r1", "n2": "r2"}


def one_node(report: Json | None, *downloads: Json, **more: Any) -> Json:
    """One node, one instance, one runner."""
    runners = {} if report is None else {"r1": report}
    return document(["n1"], [instance("i1", ONE)], runners, {"n1": downloads}, **more)


def two_nodes(first: Json | None, second: Json | None, **more: Any) -> Json:
    """An instance over two nodes whose weights are there."""
    reported = {"r1": first, "r2": second}
    downloads = {"n1": [completed()], "n2": [completed()]}
    runners = {id_: report for id_, report in reported.items() if report is not None}
    return document(["n1", "n2"], [instance("i1", TWO)], runners, downloads, **more)


def phase_of(state: Json) -> Phase:
    return snapshot_of(state).status(MODEL).phase


# Rule 0: out of reach


def test_a_node_that_left_the_topology_makes_its_instance_unreachable_though_its_runner_says_ready() -> None:
    state = two_nodes(READY, READY)
    state["topology"]["nodes"] = ["n1"]
    status = snapshot_of(state).status(MODEL)
    assert (status.phase, status.ready, status.progress_percent) == (Phase.UNREACHABLE, False, None)
    assert status.message == "A node that holds a shard has left the cluster."


@pytest.mark.parametrize(("silence", "phase"), [(9.999, Phase.READY), (10.0, Phase.UNREACHABLE)])
def test_a_node_is_out_of_reach_from_10_seconds_of_silence_on(silence: float, phase: Phase) -> None:
    assert phase_of(two_nodes(READY, READY, unseen={"n2": silence})) is phase


def test_the_silence_is_measured_against_the_newest_node_of_the_same_state_not_against_our_clock() -> None:
    # A day ago by our clock, all nodes alike.
    assert phase_of(two_nodes(READY, READY, unseen={"n1": 86400.0, "n2": 86395.0})) is Phase.READY


def test_the_seconds_of_silence_are_a_rule() -> None:
    story = Story(Rules(unseen_after=3.0))
    assert story.see(0.0, two_nodes(READY, READY, unseen={"n2": 4.0})).status(MODEL).phase is Phase.UNREACHABLE


def test_a_node_that_exo_never_stamped_is_not_out_of_reach() -> None:
    state = two_nodes(READY, READY)
    del state["lastSeen"]["n2"]
    assert phase_of(state) is Phase.READY


def test_a_silent_node_that_holds_no_shard_changes_nothing() -> None:
    state = document(["n1", "n2"], [instance("i1", ONE)], {"r1": READY}, unseen={"n2": 60.0})
    assert phase_of(state) is Phase.READY


def test_after_10_seconds_without_an_answer_of_exo_no_readiness_is_known() -> None:
    story = Story()
    story.see(0.0, one_node(READY))
    gone = Source(EXO.exo_url, EXO.api_node_id, connected=False)
    silent = Contact(silent_since=1000.0)
    assert story.see(1009.9, None, source=gone, contact=silent).status(MODEL).phase is Phase.READY
    lost = story.see(1010.0, None, source=gone, contact=silent).status(MODEL)
    assert (lost.phase, lost.stale) == (Phase.UNREACHABLE, True)
    assert lost.message == "No response from exo for 10 s or more."
    assert story.see(1011.0, one_node(READY)).status(MODEL).phase is Phase.READY


def test_a_pause_without_requests_to_exo_changes_no_readiness() -> None:
    story = Story()
    story.see(0.0, one_node(READY))
    assert story.see(3600.0, None).status(MODEL).phase is Phase.READY
    assert story.see(3600.0, None, contact=Contact(silent_since=3599.0)).status(MODEL).phase is Phase.READY


def test_after_10_seconds_of_states_without_nodes_no_readiness_is_known() -> None:
    story = Story()
    story.see(0.0, one_node(READY))
    assert story.see(9.0, document([])).status(MODEL).phase is Phase.READY
    assert story.see(18.9, document([])).status(MODEL).phase is Phase.READY
    assert story.see(19.0, document([])).status(MODEL).phase is Phase.UNREACHABLE


def test_an_instance_whose_node_exo_does_not_name_is_never_called_ready() -> None:
    state = one_node(READY)
    del state["instances"]["i1"]["MlxRingInstance"]["shardAssignments"]["nodeToRunner"]
    status = snapshot_of(state).status(MODEL)
    assert (status.phase, status.message) == (Phase.UNREACHABLE, "exo does not report which node holds a shard.")


# Rule 1: failed


def test_one_failed_runner_fails_its_instance() -> None:
    failed = runner("Failed", errorMessage="Terminated (exitcode=1)\nRunner error: no memory\nTraceback\n  more")
    status = snapshot_of(two_nodes(READY, failed)).status(MODEL)
    assert (status.phase, status.message) == (Phase.FAILED, "Runner error: no memory")


def test_a_failed_download_fails_an_instance_while_a_runner_has_not_begun() -> None:
    status = snapshot_of(one_node(runner("Idle"), failed_download("disk full"))).status(MODEL)
    assert (status.phase, status.message) == (Phase.FAILED, "Download failed: disk full")


def test_a_failed_download_beside_one_under_way_fails_the_instance() -> None:
    state = two_nodes(runner("Connected"), runner("Connected"))
    state["downloads"] = {"n1": [ongoing()], "n2": [failed_download()]}
    assert phase_of(state) is Phase.FAILED


@pytest.mark.parametrize("report", [runner("Loading", layersLoaded=1, totalLayers=8), runner("Loaded"), READY])
def test_a_failed_download_means_nothing_to_a_runner_that_has_begun(report: Json) -> None:
    assert phase_of(one_node(report, failed_download())) not in {Phase.FAILED, Phase.WAITING}


def test_a_failed_download_on_a_node_without_a_shard_means_nothing() -> None:
    state = document(
        ["n1", "n2"],
        [instance("i1", ONE)],
        {"r1": runner("Idle")},
        {"n1": [completed()], "n2": [failed_download()]},
    )
    assert phase_of(state) is Phase.WAITING


# Rule 2: unloading


def test_a_deletion_that_this_server_requested_shows_until_the_memory_is_free_again() -> None:
    story = Story()
    story.see(0.0, one_node(READY))
    assert story.see(1.0, one_node(READY), unloading={"i1": MODEL}).status(MODEL).phase is Phase.UNLOADING
    gone = story.see(2.0, document(["n1"]), unloading={"i1": MODEL}).status(MODEL)
    assert (gone.phase, gone.message) == (
        Phase.UNLOADING,
        "Unloading: the instance is gone; its memory is not free yet.",
    )
    after = story.see(3.0, document(["n1"])).status(MODEL)
    assert (after.phase, after.final, after.failure) == (Phase.NOT_LOADED, False, None)


def test_a_node_out_of_reach_and_a_failure_come_before_unloading() -> None:
    for state, phase in (
        (one_node(runner("Failed", errorMessage="no")), Phase.FAILED),
        (two_nodes(READY, READY, unseen={"n2": 11.0}), Phase.UNREACHABLE),
    ):
        assert Story().see(0.0, state, unloading={"i1": MODEL}).status(MODEL).phase is phase


# Rule 3: lacking weights


def test_weights_that_are_lacking_and_not_on_their_way_are_waited_for() -> None:
    assert phase_of(one_node(runner("Idle"), pending())) is Phase.WAITING


@pytest.mark.parametrize("report", [None, runner("Idle"), runner("Connected"), runner("ShuttingDown"), runner("New")])
def test_a_runner_that_has_not_begun_shows_the_download(report: Json | None) -> None:
    assert phase_of(one_node(report, ongoing())) is Phase.DOWNLOADING


def test_a_download_is_summed_over_the_assigned_nodes_alone_and_estimated_by_the_slowest() -> None:
    state = document(
        ["n1", "n2", "n3", "n4"],
        [instance("i1", {"n1": "r1", "n2": "r2", "n3": "r3"})],
        {"r1": runner("Idle")},
        {
            "n1": [ongoing(MODEL, 1 * GIB, 4 * GIB, speed=10.0 * 2**20, eta_ms=30_000)],
            "n2": [ongoing(MODEL, 2 * GIB, 4 * GIB, speed=90.5 * 2**20, eta_ms=20_000)],
            "n3": [completed(MODEL, 4 * GIB)],
            "n4": [ongoing(MODEL, 0, 400 * GIB, speed=1.0, eta_ms=9_000_000)],
        },
    )
    status = snapshot_of(state).status(MODEL)
    assert (status.phase, status.progress_percent, status.eta_seconds) == (Phase.DOWNLOADING, 58.3, 30.0)
    assert status.message == "Downloading: 7 of 12 GiB at 100.5 MiB/s."


def test_a_download_without_an_estimate_has_no_eta_and_one_without_a_size_no_progress() -> None:
    status = snapshot_of(one_node(runner("Idle"), ongoing(eta_ms=0))).status(MODEL)
    assert (status.eta_seconds, status.progress_percent) == (None, 0.0)
    state = one_node(runner("Idle"), ongoing())
    del state["downloads"]["n1"][0]["DownloadOngoing"]["downloadProgress"]["downloaded"]
    status = snapshot_of(state).status(MODEL)
    assert (status.progress_percent, status.message) == (None, "Downloading the weights.")


def test_every_assigned_node_must_have_the_weights_before_the_least_advanced_runner_decides() -> None:
    state = two_nodes(runner("Connected"), runner("Loading", layersLoaded=0, totalLayers=4))
    state["downloads"]["n2"] = [ongoing()]
    assert phase_of(state) is Phase.DOWNLOADING


def test_weights_deleted_under_a_running_instance_change_nothing() -> None:
    assert phase_of(one_node(READY, pending())) is Phase.READY
    assert phase_of(one_node(runner("Running"), ongoing())) is Phase.RUNNING


def test_a_node_that_has_reported_nothing_about_the_weights_does_not_count_as_lacking_them() -> None:
    assert snapshot_of(one_node(runner("Idle"))).status(MODEL).message == "Waiting for a runner to start."


def test_a_download_of_an_unknown_kind_does_not_count_as_lacking_the_weights() -> None:
    strange = pending()
    strange["DownloadVerifying"] = strange.pop("DownloadPending")
    assert snapshot_of(one_node(runner("Connecting"), strange)).status(MODEL).phase is Phase.CONNECTING


# Rule 4: the least advanced runner

_PHASES: Mapping[str | None, Phase] = {
    None: Phase.WAITING,
    "Idle": Phase.WAITING,
    "ShuttingDown": Phase.WAITING,
    "Hibernating": Phase.WAITING,
    "Connecting": Phase.CONNECTING,
    "Connected": Phase.CONNECTING,
    "Loading": Phase.LOADING,
    "Loaded": Phase.LOADING,
    "WarmingUp": Phase.WARMING_UP,
    "Ready": Phase.READY,
    "Running": Phase.RUNNING,
}
_ORDER = [Phase.WAITING, Phase.CONNECTING, Phase.LOADING, Phase.WARMING_UP, Phase.READY, Phase.RUNNING]


@pytest.mark.parametrize("first", _PHASES)
@pytest.mark.parametrize("second", _PHASES)
def test_the_least_advanced_runner_decides(first: str | None, second: str | None) -> None:
    reports = [None if name is None else runner(name) for name in (first, second)]
    phases = [_PHASES[first], _PHASES[second]]
    expected = min(phases, key=_ORDER.index)
    if expected is Phase.READY and Phase.RUNNING in phases:
        expected = Phase.RUNNING  # all ready or running, and any running
    status = snapshot_of(two_nodes(*reports)).status(MODEL)
    assert status.phase is expected
    assert status.ready is (expected in {Phase.READY, Phase.RUNNING})


@pytest.mark.parametrize(
    ("reports", "progress", "message"),
    [
        ([("Loading", 1, 4), ("Loading", 2, 4)], 37.5, "Loading layers: 3 of 8."),
        ([("Loading", 3, 4), ("Loaded", None, None)], 87.5, "Loading layers: 7 of 8."),
        ([("Loaded", None, None), ("Loaded", None, None)], 100.0, "Loading layers: 8 of 8."),
        ([("Loading", 0, None), ("Ready", None, None)], 50.0, "Loading layers: 4 of 8."),
        # v1.0.65 to v1.0.68 report no layers: that is not 0.
        ([("Loading", None, None), ("Loading", None, None)], None, "Loading layers."),
    ],
)
def test_layers_are_summed_over_the_runners(
    reports: list[tuple[str, int | None, int | None]], progress: float | None, message: str
) -> None:
    reported = [
        runner(name, **{k: v for k, v in (("layersLoaded", loaded), ("totalLayers", total)) if v is not None})
        for name, loaded, total in reports
    ]
    status = snapshot_of(two_nodes(*reported)).status(MODEL)
    assert (status.phase, status.progress_percent, status.message) == (Phase.LOADING, progress, message)


def test_an_instance_without_runners_waits() -> None:
    status = snapshot_of(document(["n1"], [instance("i1", {})])).status(MODEL)
    assert (status.phase, status.progress_percent) == (Phase.WAITING, None)


# Several instances

_STATES: Mapping[Phase, tuple[Json | None, Json, float]] = {
    Phase.RUNNING: (runner("Running"), completed(), 0.0),
    Phase.READY: (READY, completed(), 0.0),
    Phase.WARMING_UP: (runner("WarmingUp"), completed(), 0.0),
    Phase.LOADING: (runner("Loading"), completed(), 0.0),
    Phase.CONNECTING: (runner("Connecting"), completed(), 0.0),
    Phase.DOWNLOADING: (runner("Idle"), ongoing(), 0.0),
    Phase.WAITING: (runner("Idle"), completed(), 0.0),
    Phase.UNLOADING: (READY, completed(), 0.0),
    Phase.UNREACHABLE: (READY, completed(), 20.0),
    Phase.FAILED: (runner("Failed", errorMessage="no"), completed(), 0.0),
}


@pytest.mark.parametrize("best", _STATES)
@pytest.mark.parametrize("worst", _STATES)
def test_a_model_takes_the_phase_of_its_best_instance(best: Phase, worst: Phase) -> None:
    order = list(_STATES)
    if order.index(best) > order.index(worst):
        best, worst = worst, best
    (first, weights, silence), (second, other_weights, other_silence) = _STATES[worst], _STATES[best]
    state = document(
        ["n0", "n1", "n2"],
        [instance("i1", {"n1": "r1"}), instance("i2", {"n2": "r2"})],
        {id_: report for id_, report in (("r1", first), ("r2", second)) if report is not None},
        {"n1": [weights], "n2": [other_weights]},
        unseen={"n1": silence, "n2": other_silence},
    )
    unloading = {id_: MODEL for id_, phase in (("i1", worst), ("i2", best)) if phase is Phase.UNLOADING}
    snapshot = Story().see(0.0, state, unloading=unloading)
    assert [snapshot.instance_statuses[id_].phase for id_ in ("i1", "i2")] == [worst, best]
    status = snapshot.status(MODEL)
    ready = [phase in {Phase.READY, Phase.RUNNING} for phase in (worst, best)]
    assert (status.phase, status.ready, status.ready_instances) == (best, all(ready), sum(ready))
    assert (status.node_ids, status.instance_ids) == (("n1", "n2"), ("i1", "i2"))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("Terminated (signal=9 (Killed))", "Terminated (signal=9 (Killed))"),
        ("\n  Terminated (exitcode=1)\nRunner error: boom\nTraceback …", "Runner error: boom"),
        ("x" * 400, "x" * 299 + "…"),
        ("", ""),
    ],
)
def test_one_line_is_the_one_that_says_what_happened(error: str, line: str) -> None:
    assert one_line(error) == line
