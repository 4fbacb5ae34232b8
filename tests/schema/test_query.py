"""Queries and their answers: values, filters and related objects."""

from datetime import UTC, datetime

import pytest

from tests.cluster.test_snapshot import two_studios
from tests.support.asking import ask, data
from tests.support.documents import (
    GIB,
    MODEL,
    Story,
    document,
    instance,
    runner,
    snapshot_of,
)
from tests.support.example_state import TWO, example_state
from tests.support.recordings import EXO, at, walk

# Values


def test_the_whole_cluster_in_one_call() -> None:
    query = """{ cluster { healthy unhealthyReasons nodeCount onlineNodeCount nodesWithoutMemory ramTotalGb
        ramAvailableGb ramUsedGb ramUsedPercent loadedModelCount activeTaskCount activeDownloadCount connected stale
        apiNodeId exoUrl nodes { id } models { id status { phase } } tasks { id } downloads { id } operations { id } }
    }"""
    assert data(snapshot_of(example_state()), query)["cluster"] == {
        "healthy": True,
        "unhealthyReasons": [],
        "nodeCount": 2,
        "onlineNodeCount": 2,
        "nodesWithoutMemory": 0,
        "ramTotalGb": 128.0,
        "ramAvailableGb": 96.0,
        "ramUsedGb": 32.0,
        "ramUsedPercent": 25.0,
        "loadedModelCount": 2,
        "activeTaskCount": 1,
        "activeDownloadCount": 1,
        "connected": True,
        "stale": False,
        "apiNodeId": EXO.api_node_id,
        "exoUrl": "http://exo",
        "nodes": [{"id": "n1"}, {"id": "n2"}],
        "models": [{"id": MODEL, "status": {"phase": "RUNNING"}}, {"id": TWO, "status": {"phase": "LOADING"}}],
        "tasks": [{"id": "t1"}, {"id": "t2"}],
        "downloads": [
            {"id": f"n1:{MODEL}"},
            {"id": "n1:test/three"},
            {"id": f"n2:{MODEL}"},
            {"id": f"n2:{TWO}"},
            {"id": "n2:test/three"},
            {"id": "n2:test/four"},
        ],
        "operations": [],
    }


def test_the_fixture_of_pull_request_1727() -> None:
    query = """{ cluster { ramTotalGb ramAvailableGb ramUsedPercent }
        nodes { models { id ready } } modelStatus(model: "one") { ready nodes { friendlyName } } }"""
    assert data(snapshot_of(two_studios()), query) == {
        "cluster": {"ramTotalGb": 1024.0, "ramAvailableGb": 690.0, "ramUsedPercent": 32.6},
        "nodes": [{"models": [{"id": MODEL, "ready": True}]}] * 2,
        "modelStatus": {"ready": True, "nodes": [{"friendlyName": "mac-studio-1"}, {"friendlyName": "mac-studio-2"}]},
    }


def test_related_objects_refer_to_each_other() -> None:
    query = """{ node(id: "mac-n2") { id models { id instances { shards { node { id } rank startLayer endLayer
        layerCount runnerStatus layersLoaded totalLayers worldSize memoryGb error } } }
        tasks { id model { id } instance { id } } } }"""
    answer = data(snapshot_of(example_state()), query)["node"]
    assert answer["id"] == "n2"
    assert [model["id"] for model in answer["models"]] == [MODEL, TWO]
    first, second = answer["models"][0]["instances"][0]["shards"]
    assert (first["node"]["id"], second["node"]["id"]) == ("n1", "n2")
    assert second == {
        "node": {"id": "n2"},
        "rank": 1,
        "startLayer": 4,
        "endLayer": 8,
        "layerCount": 4,
        "runnerStatus": "RUNNING",
        "layersLoaded": None,
        "totalLayers": None,
        "worldSize": 2,
        "memoryGb": 2.0,
        "error": None,
    }
    (loading,) = answer["models"][1]["instances"][0]["shards"]
    assert (loading["layersLoaded"], loading["totalLayers"]) == (2, 8)
    assert answer["tasks"] == [
        {"id": "t1", "model": {"id": MODEL}, "instance": {"id": "i1"}},
        {"id": "t2", "model": {"id": TWO}, "instance": {"id": "i2"}},
    ]


def test_what_a_node_has_not_reported_is_null() -> None:
    query = """{ nodes { friendlyName chip osVersion ramTotalGb ramAvailableGb ramUsedGb ramUsedPercent diskTotalGb
        diskAvailableGb gpuUsagePercent cpuPUsagePercent cpuEUsagePercent temperatureC powerWatts ipAddresses
        connectionTypes hasThunderbolt rdmaEnabled backends lastSeen secondsSinceSeen ramTotalBytes } }"""
    (node,) = data(snapshot_of({"topology": {"nodes": ["n1"], "connections": {}}}), query)["nodes"]
    assert set(node.values()) == {None}


def test_a_runner_that_has_not_reported_is_null_and_a_node_that_left_too() -> None:
    state = document(["n1"], [instance("i1", {"n1": "r1", "n2": "r2"})])
    query = '{ model(id: "one") { instances { phase message shards { node { id } runnerId runnerStatus } } } }'
    (shown,) = data(snapshot_of(state), query)["model"]["instances"]
    assert shown["phase"] == "UNREACHABLE"
    assert shown["shards"] == [
        {"node": {"id": "n1"}, "runnerId": "r1", "runnerStatus": None},
        {"node": None, "runnerId": "r2", "runnerStatus": None},
    ]


def test_the_memory_of_a_shard_is_unknown_with_the_size_of_its_model() -> None:
    placed = instance("i1", {"n1": "r1"})
    del placed["MlxRingInstance"]["shardAssignments"]["runnerToShard"]["r1"]["PipelineShardMetadata"]["modelCard"][
        "storageSize"
    ]
    query = "{ cluster { models { storageSizeGb instances { shards { layerCount memoryGb } } } } }"
    assert data(snapshot_of(document(["n1"], [placed])), query)["cluster"]["models"] == [
        {"storageSizeGb": None, "instances": [{"shards": [{"layerCount": 8, "memoryGb": None}]}]}
    ]


def test_a_status_names_its_failure_and_stays_readable_after_exo_forgot_it() -> None:
    *_, (_, last) = walk("50-runner-failed")
    query = """{ modelStatus(model: "TINY-broken") { modelId phase final ready message changedAt
        failure { at message node { friendlyName } attempt } instances { id } } }"""
    status = data(last, query)["modelStatus"]
    assert status["failure"] == {
        "at": "2026-06-22T12:00:17.556000Z",
        "message": "Terminated (exitcode=1)",
        "node": {"friendlyName": "mac-1"},
        "attempt": 5,
    }
    assert (status["modelId"], status["phase"], status["final"], status["ready"], status["instances"]) == (
        "rig/tiny-broken",
        "NOT_LOADED",
        True,
        False,
        [],
    )
    assert status["changedAt"] == "2026-06-22T12:00:26.281000Z"


def test_a_model_that_left_the_catalogue_is_found_by_its_short_name_while_it_is_remembered() -> None:
    story = Story()
    story.see(0.0, document(["n1"], [instance("i1", {"n1": "r1"})], {"r1": runner("Failed", errorMessage="no")}))
    query = '{ modelStatus(model: "ONE") { modelId found final model { id } failure { message } } }'
    assert data(story.see(1.0, document(["n1"])), query)["modelStatus"] == {
        "modelId": MODEL,
        "found": True,
        "final": True,
        "model": None,
        "failure": {"message": "no"},
    }


def test_an_unknown_name_is_a_status_and_no_error() -> None:
    query = '{ modelStatus(model: "nobody/knows") { modelId found phase ready final message model { id } } }'
    assert data(snapshot_of(example_state()), query)["modelStatus"] == {
        "modelId": "nobody/knows",
        "found": False,
        "phase": "NOT_LOADED",
        "ready": False,
        "final": False,
        "message": "No model in the cluster has this name.",
        "model": None,
    }


def test_prompts_are_in_neither_the_schema_nor_an_answer() -> None:
    answer = data(snapshot_of(example_state()), "{ tasks { id kind status active commandId errorType errorMessage } }")
    assert answer["tasks"][0] == {
        "id": "t1",
        "kind": "TEXT_GENERATION",
        "status": "RUNNING",
        "active": True,
        "commandId": "c1",
        "errorType": None,
        "errorMessage": None,
    }


def test_the_age_is_that_of_the_answer_and_the_times_are_utc() -> None:
    answer = ask(snapshot_of(example_state()), "{ cluster { ageSeconds observedAt stateVersion } }", elapsed=1.25)
    assert answer.data["cluster"]["ageSeconds"] == 1.25
    assert datetime.fromisoformat(answer.data["cluster"]["observedAt"]) == at(0)
    assert answer.data["cluster"]["observedAt"].endswith("Z")
    assert answer.context.time_dependent
    assert not ask(snapshot_of(example_state()), "{ cluster { stateVersion } }").context.time_dependent


def test_the_seconds_since_a_node_was_seen_are_by_exos_clock() -> None:
    state = document(["n1", "n2"], unseen={"n2": 12.5})
    answer = data(snapshot_of(state), "{ nodes { status lastSeen secondsSinceSeen } cluster { unhealthyReasons } }")
    assert [(node["status"], node["secondsSinceSeen"]) for node in answer["nodes"]] == [("ONLINE", 0), ("STALE", 12.5)]
    assert datetime.fromisoformat(answer["nodes"][1]["lastSeen"]) == datetime(2026, 6, 22, 11, 59, 47, 500000, UTC)
    assert answer["cluster"]["unhealthyReasons"] == ["Node mac-n2 has sent no heartbeat for 10 s or more."]


def test_exact_sizes_are_numbers_beyond_32_bits() -> None:
    answer = data(
        snapshot_of(example_state()), '{ node(id: "n1") { ramTotalBytes } model(id: "one") { storageBytes } }'
    )
    assert answer == {"node": {"ramTotalBytes": 64 * GIB}, "model": {"storageBytes": 4 * GIB}}


# Filters


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ("", ["test/four", MODEL, "test/three", TWO]),
        ("(loaded: true)", [MODEL, TWO]),
        ("(loaded: false)", ["test/four", "test/three"]),
        ("(loaded: null)", ["test/four", MODEL, "test/three", TWO]),
        ('(search: "T")', ["test/four", MODEL, "test/three", TWO]),
        ('(search: "THREE")', ["test/three"]),
        ('(search: "test one", loaded: true)', [MODEL, TWO]),
        ('(search: "nothing")', []),
        ("(downloaded: true)", [MODEL, TWO]),
        ("(downloaded: true, loaded: false)", []),
        ("(downloaded: false)", ["test/four", "test/three"]),
    ],
)
def test_models_by_load_by_weights_and_by_text(arguments: str, ids: list[str]) -> None:
    answer = data(snapshot_of(example_state()), f"{{ models{arguments} {{ id }} }}")
    assert [model["id"] for model in answer["models"]] == ids


def test_the_nodes_that_hold_all_weights_of_a_model() -> None:
    answer = data(snapshot_of(example_state()), "{ models { id downloadedOn { id } } }")
    held = {model["id"]: [node["id"] for node in model["downloadedOn"]] for model in answer["models"]}
    assert held == {MODEL: ["n1", "n2"], TWO: ["n2"], "test/three": [], "test/four": []}


def test_models_that_fit_now() -> None:
    answer = data(snapshot_of(example_state()), "{ yes: models(fits: true) { id } no: models(fits: false) { id } }")
    every = data(snapshot_of(example_state()), "{ models { id } }")["models"]
    assert sorted(m["id"] for m in [*answer["yes"], *answer["no"]]) == sorted(m["id"] for m in every)
    assert {"id": MODEL} in answer["yes"]


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ("(status: DOWNLOADING)", ["n1:test/three"]),
        ("(status: [NOT_STARTED])", ["n1:test/four"]),
        ("(status: [PAUSED, FAILED])", ["n2:test/three", "n2:test/four"]),
        ("(status: [PENDING])", []),
        ("(status: [])", []),
        ('(model: "three")', ["n1:test/three", "n2:test/three"]),
        ('(model: "four")', ["n2:test/four"]),
        ('(node: "mac-n1")', [f"n1:{MODEL}", "n1:test/three"]),
        ('(node: "n1", model: "test/four", status: [NOT_STARTED])', ["n1:test/four"]),
    ],
)
def test_downloads_by_status_model_and_node(arguments: str, ids: list[str]) -> None:
    answer = data(snapshot_of(example_state()), f"{{ downloads{arguments} {{ id }} }}")
    assert [download["id"] for download in answer["downloads"]] == ids


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ("", ["t1", "t2"]),
        ("(status: RUNNING)", ["t1", "t2", "t4"]),
        ("(kind: [TEXT_GENERATION, START_WARMUP])", ["t1", "t3", "t4"]),
        ('(model: "one", kind: START_WARMUP)', ["t3"]),
        ('(model: "two")', ["t2"]),
        ('(model: "two", status: COMPLETE)', []),
        ("(kind: [])", []),
    ],
)
def test_tasks_by_status_kind_and_model(arguments: str, ids: list[str]) -> None:
    answer = data(snapshot_of(example_state()), f"{{ tasks{arguments} {{ id }} }}")
    assert [task["id"] for task in answer["tasks"]] == ids


def test_a_preview_of_exo_is_a_placement_with_the_memory_on_each_node() -> None:
    query = (
        '{ placements(model: "one") { sharding instanceType fits reason nodes { node { id } addedGb availableGb } } }'
    )
    first, *others = data(snapshot_of(example_state()), query)["placements"]
    assert first == {
        "sharding": "PIPELINE",
        "instanceType": "MLX_RING",
        "fits": True,
        "reason": None,
        "nodes": [
            {"node": {"id": "n1"}, "addedGb": 2.0, "availableGb": 48.0},
            # 48 GiB are free, and 6 of the 8 layers of what loads there are still to come.
            {"node": {"id": "n2"}, "addedGb": 2.0, "availableGb": 45.0},
        ],
    }
    assert [(other["fits"], other["nodes"], bool(other["reason"])) for other in others] == [(False, [], True)] * 3
