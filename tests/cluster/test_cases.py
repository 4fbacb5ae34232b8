"""Documents from real clusters and public reports, and what they mean."""

import itertools

import pytest

from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.state import DownloadKind, ModelCard
from tests.support.asking import data
from tests.support.cases import case, seen
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
)

A, B = f"{'0' * 30}a0", f"{'0' * 30}a1"
LLAMA = "mlx-community/Llama-3.2-3B-Instruct-8bit"


# Downloads onto several nodes


def test_a_node_that_reports_more_than_there_is_does_not_hide_that_the_other_has_nothing() -> None:
    snapshot = seen("exo933-one-node-over")
    status = snapshot.status(LLAMA)
    assert (status.phase, status.progress_percent, status.eta_seconds) == (Phase.DOWNLOADING, 50.0, 60.0)
    assert status.message == "Downloading: 3 of 6 GiB at 95.4 MiB/s."
    over = snapshot.state.download(A, LLAMA)
    assert over is not None
    assert (over.downloaded_gb, over.total_gb, over.progress_percent, over.eta_seconds) == (3.0, 3.0, 100.0, None)


def test_negative_bytes_speed_and_time_are_unknown() -> None:
    snapshot = seen("exo1294-negative-bytes")
    negative = snapshot.state.download(A, LLAMA)
    assert negative is not None
    assert snapshot.download_status(negative) is DownloadStatus.DOWNLOADING
    assert (negative.downloaded_gb, negative.progress_percent, negative.speed_mb_s, negative.eta_seconds) == (None,) * 4
    status = snapshot.status(LLAMA)
    assert (status.phase, status.progress_percent, status.eta_seconds) == (Phase.DOWNLOADING, None, 60.0)


def test_a_node_that_does_not_say_how_much_it_needs_needs_what_the_card_says() -> None:
    state = document(
        ["n1", "n2"],
        [instance("i1", {"n1": "r1", "n2": "r2"})],
        downloads={"n1": [ongoing(MODEL, 2 * GIB, 4 * GIB)], "n2": [pending(MODEL, 0, 0)]},
    )
    assert snapshot_of(state).status(MODEL).progress_percent == 25.0


def test_a_download_is_at_100_percent_when_no_byte_is_missing_and_not_before() -> None:
    for missing, shown in ((0, 100.0), (1, 99.9)):
        state = document(
            ["n1"],
            [instance("i1", {"n1": "r1"})],
            {"r1": runner("Idle")},
            {"n1": [ongoing(MODEL, 4 * GIB - missing, 4 * GIB)]},
        )
        assert snapshot_of(state).status(MODEL).progress_percent == shown


# Several entries of one model on one node


def test_two_entries_of_one_model_read_as_the_more_advanced_one_whatever_their_order() -> None:
    state = case("exo1.0.65-two-entries-one-model")
    for turned in (False, True):
        for entries in state["downloads"].values():
            if turned:
                entries.reverse()
        snapshot = snapshot_of(state)
        status = snapshot.status("org/m-4bit")
        # 2 and 3 of 5 GiB: each node needs its own shards.
        assert (status.phase, status.progress_percent, status.eta_seconds) == (Phase.DOWNLOADING, 50.0, 60.0)
        assert snapshot.active_download_count == 2
        assert len(snapshot.all_downloads) == 2


_ENTRIES = {
    "completed": completed(),
    "further": ongoing(MODEL, 3 * GIB),
    "ongoing": ongoing(MODEL, 1 * GIB),
    "failed": failed_download(),
    "paused": pending(MODEL, 5, 100),
    "pending": pending(),
}


@pytest.mark.parametrize("names", list(itertools.permutations(_ENTRIES, 2)))
def test_of_two_entries_the_more_advanced_one_counts(names: tuple[str, str]) -> None:
    def read(*entries: str) -> object:
        state = document(["n1"], downloads={"n1": [_ENTRIES[name] for name in entries]})
        return snapshot_of(state).state.download("n1", MODEL)

    assert read(*names) == read(min(names, key=list(_ENTRIES).index))


def test_an_entry_of_a_kind_unknown_here_counts_for_nothing_beside_one_that_is_known() -> None:
    strange: Json = {"DownloadVerifying": pending()["DownloadPending"]}
    for entries in ([strange, pending()], [pending(), strange]):
        download = snapshot_of(document(["n1"], downloads={"n1": entries})).state.download("n1", MODEL)
        assert download is not None
        assert download.kind is DownloadKind.PENDING


# Diagnostics of a runner


def test_a_runner_that_only_names_its_signal_is_shown_with_the_cause_that_exo_has_diagnosed() -> None:
    status = seen("exo-runner-diagnostics").status("org/m-4bit")
    cause = (
        "Metal GPU timeout: [METAL] Command buffer execution failed: Caused GPU Timeout Error "
        "(00000002:kIOGPUCommandBufferCallbackErrorTimeout)"
    )
    assert (status.phase, status.message) == (Phase.FAILED, cause)
    assert status.failure is not None
    assert (status.failure.message, status.failure.cause) == (cause, cause)


_RING = {"RunnerRingSocketReceivingError": {"message": "Socket 3: reset by peer", "errorNumber": 54, "evidence": []}}
_ABORT = {"RunnerRingTransportError": {"message": "Ring transport aborted"}}


@pytest.mark.parametrize(
    ("message", "diagnostics", "shown"),
    [
        ("Terminated (signal=6 (Abort trap: 6))", [], "Terminated (signal=6 (Abort trap: 6))"),
        ("Terminated (signal=6 (Abort trap: 6))", [_ABORT], "Ring transport aborted"),
        ("Terminated (exitcode=1)", [_RING, _ABORT], "Socket 3: reset by peer; Ring transport aborted"),
        ("Terminated (exitcode=1)", [_ABORT, _ABORT], "Ring transport aborted"),
        ("Terminated (exitcode=1)\nRunner error: no memory", [_ABORT], "Runner error: no memory"),
        ("boom", [_ABORT], "boom"),
        (None, [_ABORT], "Ring transport aborted"),
        ("Terminated (exitcode=1)", [{"RunnerUnheardOf": {"message": "of"}}], "of"),
        ("Terminated (exitcode=1)", [{"RunnerX": {"message": 7}}, {}, None, "x", {"Y": []}], "Terminated (exitcode=1)"),
        ("Terminated (exitcode=1)", {"not": "a list"}, "Terminated (exitcode=1)"),
    ],
)
def test_the_cause_is_what_says_most(message: str | None, diagnostics: object, shown: str) -> None:
    failed = runner("Failed", errorMessage=message, diagnostics=diagnostics)
    state = document(["n1"], [instance("i1", {"n1": "r1"})], {"r1": failed})
    status = snapshot_of(state).status(MODEL)
    assert status.message == shown
    assert status.failure is not None
    assert status.failure.message == shown


# Several copies, and links between them


def test_a_prefill_instance_alone_makes_no_model_ready() -> None:
    status = seen("prefill-only-ready-decode-loading").status("rig/tiny-llama-a")
    assert (status.phase, status.ready, status.ready_instances, status.final) == (Phase.READY, False, 1, False)
    assert status.message == "1 of 2 copies is ready; exo may send a request to the other."


# Telemetry that overshoots


@pytest.mark.parametrize(
    ("reported", "shown"), [(0.5, 50.0), (1.0, 100.0), (1.004, 100.0), (1.2, 100.0), (45.0, 45.0), (-0.5, None)]
)
def test_a_share_slightly_above_1_is_all_of_it(reported: float, shown: float | None) -> None:
    state = document(["n1"])
    state["nodeSystem"] = {"n1": {"gpuUsage": reported, "pcpuUsage": reported, "ecpuUsage": reported}}
    (node,) = snapshot_of(state).nodes
    assert (node.gpu_usage_percent, node.cpu_p_usage_percent, node.cpu_e_usage_percent) == (shown,) * 3


def test_no_more_memory_or_disk_is_free_than_there_is() -> None:
    state = document(["n1"])
    state["nodeMemory"]["n1"] = {"ramTotal": size(64 * GIB), "ramAvailable": size(65 * GIB)}
    state["nodeDisk"] = {"n1": {"total": size(100 * GIB), "available": size(101 * GIB)}}
    snapshot = snapshot_of(state)
    (node,) = snapshot.nodes
    assert (node.ram_available_gb, node.ram_used_gb, node.ram_used_percent) == (64.0, 0.0, 0.0)
    assert (node.disk_available_gb, node.disk_total_gb) == (100.0, 100.0)
    assert (snapshot.ram_available_gb, snapshot.ram_used_gb) == (64.0, 0.0)


# Custom cards


def _with_custom_card(ids: list[str] | None) -> Json:
    state = document(["n1"], downloads={"n1": [pending("user/own"), pending("test/exos")]})
    card = state["downloads"]["n1"][0]["DownloadPending"]["shardMetadata"]["PipelineShardMetadata"]["modelCard"]
    card["isCustom"] = True
    if ids is not None:
        state["customModelCards"] = {id_: {**card, "modelId": id_} for id_ in ids}
    return state


@pytest.mark.parametrize(
    ("listed", "models"),
    [(["user/own"], ["test/exos", "user/own"]), ([], ["test/exos"]), (None, ["test/exos", "user/own"])],
)
def test_a_custom_card_that_was_removed_is_not_listed(listed: list[str] | None, models: list[str]) -> None:
    assert list(snapshot_of(_with_custom_card(listed)).models) == models


def test_until_exo_lists_its_custom_cards_the_catalogue_says_which_there_are() -> None:
    exos, own = ModelCard("test/exos"), ModelCard("user/own", is_custom=True)
    for catalogue, models in (((exos, own), ["test/exos", "user/own"]), ((exos,), ["test/exos"])):
        story = Story(catalogue={card.id: card for card in catalogue})
        assert list(story.see(0.0, _with_custom_card(None)).models) == models


def test_a_removed_card_whose_model_is_loaded_is_listed_with_what_the_instance_says() -> None:
    state = _with_custom_card([])
    state["instances"] = {"i1": instance("i1", {"n1": "r1"}, "user/own")}
    assert snapshot_of(state).models["user/own"].layer_count == 8


def test_linked_instances_are_shown_from_both_sides() -> None:
    snapshot = seen("prefill-only-ready-decode-loading")
    query = (
        "{ instanceLinks { id prefill { id } decode { id } } models(loaded: true) { instances { id links { id } } } }"
    )
    answer = data(snapshot, query)
    (link,) = answer["instanceLinks"]
    ids = [instance["id"] for side in ("prefill", "decode") for instance in link[side]]
    assert (len(link["prefill"]), len(link["decode"])) == (1, 1)
    linked = {i["id"]: i["links"] for model in answer["models"] for i in model["instances"]}
    assert {id_ for id_, links in linked.items() if links == [{"id": link["id"]}]} == set(ids)
