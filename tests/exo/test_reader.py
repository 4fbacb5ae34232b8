"""The reader: what exo's document says, and what it leaves out."""

import json
from typing import Any

import pytest

from exo_graphql.cluster.state import (
    DownloadKind,
    InstanceType,
    Runner,
    RunnerStatus,
    Sharding,
    Task,
    TaskKind,
    TaskStatus,
)
from exo_graphql.exo.parse import (
    RUNNER_TAGS,
    TASK_TAGS,
    NotAState,
    parse_state,
    read_card,
    read_instance,
    read_state,
)
from tests.support.documents import (
    GIB,
    MODEL,
    card,
    completed,
    document,
    instance,
    ongoing,
    pending,
    runner,
    task,
)
from tests.support.recordings import NAMES, steps

Json = dict[str, Any]


# Instances, runners, tasks


@pytest.mark.parametrize(
    ("shard", "tag", "sharding", "instance_type", "layers"),
    [
        ("PipelineShardMetadata", "MlxRingInstance", Sharding.PIPELINE, InstanceType.MLX_RING, [(0, 4), (4, 8)]),
        ("TensorShardMetadata", "MlxJacclInstance", Sharding.TENSOR, InstanceType.MLX_JACCL, [(0, 8), (0, 8)]),
        ("CfgShardMetadata", "MlxRingInstance", Sharding.CFG, InstanceType.MLX_RING, [(0, 8), (0, 8)]),
        ("SliceShardMetadata", "NewInstance", None, None, [(0, 8), (0, 8)]),
    ],
)
def test_an_instance_over_two_nodes(
    shard: str,
    tag: str,
    sharding: Sharding | None,
    instance_type: InstanceType | None,
    layers: list[tuple[int, int]],
) -> None:
    raw = instance("i1", {"n1": "r1", "n2": "r2"}, tag=tag, shard=shard)
    read = read_instance(raw)
    assert read is not None
    assert (read.id, read.model_id, read.sharding, read.instance_type) == ("i1", MODEL, sharding, instance_type)
    assert [(s.node_id, s.runner_id, s.rank, s.world_size) for s in read.shards] == [
        ("n1", "r1", 0, 2),
        ("n2", "r2", 1, 2),
    ]
    assert [(s.start_layer, s.end_layer) for s in read.shards] == layers
    assert read.document is raw


def test_an_instance_is_known_by_the_key_it_is_listed_under() -> None:
    state = document(["n1"], [instance("i1", {"n1": "r1"})])
    del state["instances"]["i1"]["MlxRingInstance"]["instanceId"]
    assert list(read_state(state).instances) == ["i1"]


def test_an_instance_takes_its_model_from_a_shard_where_it_does_not_say() -> None:
    raw = instance("i1", {"n1": "r1"})
    del raw["MlxRingInstance"]["shardAssignments"]["modelId"]
    read = read_instance(raw)
    assert read is not None
    assert read.model_id == MODEL


def test_a_runner_that_no_shard_describes_holds_one_all_the_same() -> None:
    raw = instance("i1", {"n1": "r1", "n2": "r2"})
    del raw["MlxRingInstance"]["shardAssignments"]["runnerToShard"]["r2"]
    read = read_instance(raw)
    assert read is not None
    assert [(s.node_id, s.runner_id, s.layer_count) for s in read.shards] == [("n1", "r1", 4), ("n2", "r2", None)]


@pytest.mark.parametrize("raw", [None, 3, [], {}, {"MlxRingInstance": {}}, {"a": {}, "b": {}}])
def test_what_is_no_instance(raw: object) -> None:
    assert read_instance(raw) is None


@pytest.mark.parametrize(("tag", "status"), [*RUNNER_TAGS.items(), ("RunnerNew", RunnerStatus.UNKNOWN)])
def test_every_status_of_a_runner(tag: str, status: RunnerStatus) -> None:
    assert read_state(document(runners={"r1": {tag: {}}})).runners == {"r1": Runner(status)}


@pytest.mark.parametrize("raw", [None, [], "RunnerReady", {}, {"RunnerReady": {}, "RunnerIdle": {}}])
def test_an_untagged_runner_is_of_unknown_status(raw: object) -> None:
    state = document()
    state["runners"] = {"r1": raw}
    assert read_state(state).runners == {"r1": Runner(RunnerStatus.UNKNOWN)}


def test_a_runner_reports_layers_and_its_error() -> None:
    reported = {"r1": runner("Loading", layersLoaded=3, totalLayers=8), "r2": runner("Failed", errorMessage="no")}
    assert read_state(document(runners=reported)).runners == {
        "r1": Runner(RunnerStatus.LOADING, 3, 8),
        "r2": Runner(RunnerStatus.FAILED, error="no"),
    }


def test_a_count_beyond_32_bits_is_unknown() -> None:
    reported = {"r1": runner("Loading", layersLoaded=1 << 31, totalLayers=1 << 40)}
    assert read_state(document(runners=reported)).runners == {"r1": Runner(RunnerStatus.LOADING)}


@pytest.mark.parametrize(("tag", "kind"), [*TASK_TAGS.items(), ("Meditate", TaskKind.UNKNOWN)])
def test_every_kind_of_task(tag: str, kind: TaskKind) -> None:
    (read,) = read_state(document(tasks={"t1": task(tag, "i1", "TimedOut", commandId="c")})).tasks.values()
    assert read == Task("t1", kind, TaskStatus.TIMED_OUT, "i1", "c")


def test_a_prompt_is_never_read() -> None:
    reported = task("TextGeneration", "i1", taskParams={"input": [{"content": "a secret"}]}, errorMessage="e")
    assert "secret" not in repr(read_state(document(tasks={"t1": reported})))


@pytest.mark.parametrize("status", [None, 3, "Dreaming", ""])
def test_a_task_of_unknown_status(status: object) -> None:
    reported = task("LoadModel", "i1")
    reported["LoadModel"]["taskStatus"] = status
    assert read_state(document(tasks={"t1": reported})).tasks["t1"].status is TaskStatus.UNKNOWN


# Downloads and cards


def test_a_download_under_way() -> None:
    state = read_state(document(downloads={"n1": [ongoing(MODEL, GIB, 4 * GIB, speed=2.0**20, eta_ms=3000)]}))
    download = state.downloads["n1"][MODEL]
    assert (download.id, download.kind) == (f"n1:{MODEL}", DownloadKind.ONGOING)
    assert (download.downloaded_gb, download.total_gb, download.speed_mb_s, download.eta_seconds) == (1, 4, 1, 3)
    assert (download.completed_files, download.total_files) == (1, 5)


def test_the_total_of_an_ongoing_or_completed_download_is_the_cards_where_it_is_missing() -> None:
    entries = [ongoing("test/a", 0, 0), completed("test/b", 0), pending("test/c")]
    downloads = read_state(document(downloads={"n1": entries})).downloads["n1"]
    assert [downloads[id_].total_gb for id_ in ("test/a", "test/b", "test/c")] == [4.0, 4.0, None]
    assert downloads["test/b"].downloaded_gb == 4.0


def test_a_card_keeps_the_document_as_exo_wrote_it() -> None:
    raw = card() | {"somethingNew": 1}
    read = read_card(raw)
    assert read is not None
    assert read.document == raw
    assert (read.id, read.name, read.storage_size_gb, read.layer_count) == (MODEL, "one", 4.0, 8)
    assert (read.context_length, read.capabilities, read.supports_tensor, read.is_custom) == (
        4096,
        ("text",),
        True,
        False,
    )


def test_custom_cards_are_known() -> None:
    state = document()
    state["customModelCards"] = {"me/mine": card("me/mine")}
    assert list(read_state(state).cards) == ["me/mine"]


# No state at all


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"<html><body>502 Bad Gateway</body></html>", "not JSON"),
        (b"[1, 2]", "a JSON list"),
        (b'"state"', "a JSON str"),
        (b"null", "a JSON NoneType"),
        (b"{}", "none of the keys"),
        (b'{"detail":"Not Found"}', "none of the keys"),
        (b'{"nodeProfiles":{},"topology":{},"instances":{}}', r"older than v1\.0\.65"),
        (b"\xff\xfe", "not JSON"),
        (b'{"topology":' * 100_000, "not JSON"),
    ],
)
def test_a_body_that_is_no_state_says_why(body: bytes, reason: str) -> None:
    with pytest.raises(NotAState, match=reason):
        parse_state(body)


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_document_parses_and_a_truncated_one_does_not(name: str) -> None:
    for step in steps(name):
        body = json.dumps(step.document).encode()
        state = parse_state(body)
        assert list(state.nodes) == step.document["topology"]["nodes"]
        assert list(state.instances) == list(step.document["instances"])
        for node in state.nodes.values():
            assert (node.friendly_name is not None) is (node.id in step.document["nodeIdentities"])
            assert (node.ram_total_bytes is not None) is (node.id in step.document["nodeMemory"])
    with pytest.raises(NotAState):
        parse_state(body[: len(body) // 2])
