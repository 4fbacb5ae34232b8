"""Documents as older releases of exo write them, rebuilt from the types of their tags."""

from typing import Any

import pytest

from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import TaskKind
from tests.support.documents import GIB, MODEL, size, snapshot_of

Json = dict[str, Any]


def _card_65(model: str) -> Json:
    return {
        "modelId": model,
        "storageSize": size(4 * GIB),
        "nLayers": 8,
        "hiddenSize": 512,
        "supportsTensor": True,
        "tasks": ["TextGeneration"],
        "components": None,
    }


def _shard_65(model: str, rank: int = 0, world: int = 1, layers: tuple[int, int] = (0, 8)) -> Json:
    return {
        "PipelineShardMetadata": {
            "modelCard": _card_65(model),
            "deviceRank": rank,
            "worldSize": world,
            "immediateException": False,
            "shouldTimeout": None,
            "startLayer": layers[0],
            "endLayer": layers[1],
            "nLayers": 8,
        }
    }


def _instance_65(id_: str, model: str, runners: dict[str, str]) -> Json:
    world = len(runners)
    shards = {
        runner: _shard_65(model, rank, world, (8 * rank // world, 8 * (rank + 1) // world))
        for rank, runner in enumerate(runners.values())
    }
    return {
        "MlxRingInstance": {
            "instanceId": id_,
            "shardAssignments": {"modelId": model, "runnerToShard": shards, "nodeToRunner": runners},
            "hostsByNode": {node: [{"ip": "0.0.0.0", "port": 50000}] for node in runners},
            "ephemeralPort": 50000,
        }
    }


def v1_0_65() -> Json:
    """Two nodes; one model loads on both (no layers reported), one is being fetched, a chat runs."""
    two = {"n1": "r1", "n2": "r2"}
    progress = {
        "totalBytes": size(4 * GIB),
        "downloadedBytes": size(GIB),
        "downloadedBytesThisSession": size(GIB),
        "completedFiles": 1,
        "totalFiles": 4,
        "speed": 50.0 * 2**20,
        "etaMs": 61440,
        "files": {},
    }
    return {
        "instances": {
            "i1": _instance_65("i1", MODEL, two),
            "i2": _instance_65("i2", "test/two", {"n1": "r3"}),
            "i3": _instance_65("i3", "test/three", {"n2": "r4"}),
        },
        "runners": {
            "r1": {"RunnerLoading": {}},
            "r2": {"RunnerLoaded": {}},
            "r3": {"RunnerIdle": {}},
            "r4": {"RunnerRunning": {}},
        },
        "downloads": {
            "n1": [
                {"DownloadCompleted": {"nodeId": "n1", "shardMetadata": _shard_65(MODEL), "totalBytes": size(4 * GIB)}},
                {
                    "DownloadOngoing": {
                        "nodeId": "n1",
                        "shardMetadata": _shard_65("test/two"),
                        "downloadProgress": progress,
                    }
                },
                {"DownloadPending": {"nodeId": "n1", "shardMetadata": _shard_65("test/four")}},
            ],
            "n2": [
                {"DownloadCompleted": {"nodeId": "n2", "shardMetadata": _shard_65(MODEL), "totalBytes": size(4 * GIB)}},
            ],
        },
        "tasks": {
            "t1": {
                "ChatCompletion": {
                    "taskId": "t1",
                    "taskStatus": "Running",
                    "instanceId": "i3",
                    "commandId": "c1",
                    "taskParams": {"model": "test/three", "messages": [{"role": "user", "content": "a secret"}]},
                    "errorType": None,
                    "errorMessage": None,
                }
            }
        },
        "lastSeen": {"n1": "2026-01-20T10:00:00.500000Z", "n2": "2026-01-20T10:00:01.500000Z"},
        "topology": {
            "nodes": ["n1", "n2"],
            "connections": {
                "n1": {"n2": [{"sinkMultiaddr": {"address": "/ip4/10.0.0.2/tcp/1", "ip_address": "10.0.0.2"}}]}
            },
        },
        "lastEventAppliedIdx": 7,
        "nodeIdentities": {
            "n1": {"modelId": "Mac Studio", "chipId": "Apple M3 Ultra", "friendlyName": "studio"},
            "n2": {"modelId": "Unknown", "chipId": "Unknown", "friendlyName": "Unknown"},
        },
        "nodeMemory": {
            node: {
                "ramTotal": size(512 * GIB),
                "ramAvailable": size(345 * GIB),
                "swapTotal": size(0),
                "swapAvailable": size(0),
            }
            for node in ("n1", "n2")
        },
        "nodeSystem": {"n1": {"gpuUsage": 0.5, "temp": 45.0, "sysPower": 60.0, "pcpuUsage": 0.25, "ecpuUsage": 0.1}},
        "nodeNetwork": {
            "n1": {"interfaces": [{"name": "en0", "ipAddress": "10.0.0.1", "interfaceType": "maybe_ethernet"}]}
        },
        "nodeThunderbolt": {"n1": {"interfaces": []}},
        "nodeThunderboltBridge": {},
        "thunderboltBridgeCycles": [],
    }


def v1_0_69() -> Json:
    """The same one release on: layers, the new names of the download fields, disks, RDMA, `TextGeneration`."""
    state = v1_0_65()
    state["runners"]["r1"] = {"RunnerLoading": {"layersLoaded": 3, "totalLayers": 4}}
    state["nodeDisk"] = {"n1": {"total": size(2000 * GIB), "available": size(500 * GIB)}}
    state["nodeRdmaCtl"] = {"n1": {"enabled": True}}
    state["nodeIdentities"]["n1"] |= {"osVersion": "26.2", "osBuildVersion": "25C1"}
    for entries in state["downloads"].values():
        for entry in entries:
            for body in entry.values():
                body["modelDirectory"] = "/models"
                progress = body.get("downloadProgress", body)
                for old, new in (
                    ("totalBytes", "total"),
                    ("downloadedBytes", "downloaded"),
                    ("downloadedBytesThisSession", "downloadedThisSession"),
                ):
                    if old in progress:
                        progress[new] = progress.pop(old)
    state["downloads"]["n1"][2]["DownloadPending"] |= {"downloaded": size(5), "total": size(4 * GIB)}
    chat = state["tasks"]["t1"].pop("ChatCompletion")
    state["tasks"]["t1"] = {"TextGeneration": chat}
    return state


RELEASES = {"v1.0.65": v1_0_65(), "v1.0.69": v1_0_69()}


@pytest.fixture(params=RELEASES)
def snapshot(request: pytest.FixtureRequest) -> Snapshot:
    return snapshot_of(RELEASES[request.param])


def test_its_nodes(snapshot: Snapshot) -> None:
    first, second = snapshot.nodes
    assert (snapshot.ram_total_gb, snapshot.ram_available_gb, snapshot.ram_used_percent) == (1024.0, 690.0, 32.6)
    assert (first.friendly_name, first.gpu_usage_percent, first.power_watts) == ("studio", 50.0, 60.0)
    assert (first.seconds_since_seen, first.connection_types, first.has_thunderbolt) == (
        1.0,
        ("maybe_ethernet",),
        False,
    )
    assert [connection.ip_address for connection in first.connections] == ["10.0.0.2"]
    assert (second.friendly_name, second.chip, second.hardware, second.temperature_c) == (None, None, None, None)
    assert (first.backends, second.ip_addresses, second.has_thunderbolt) == (None, None, None)


def test_its_downloads(snapshot: Snapshot) -> None:
    status = snapshot.status("test/two")
    assert (status.phase, status.progress_percent, status.eta_seconds) == (Phase.DOWNLOADING, 25.0, 61.4)
    under_way = snapshot.state.downloads["n1"]["test/two"]
    assert (under_way.total_gb, under_way.downloaded_gb, under_way.speed_mb_s) == (4.0, 1.0, 50.0)
    assert [snapshot.state.downloads[node][MODEL].total_gb for node in ("n1", "n2")] == [4.0, 4.0]
    assert snapshot.active_download_count == 1


def test_its_tasks(snapshot: Snapshot) -> None:
    (chat,) = snapshot.tasks
    assert (chat.kind, chat.command_id, snapshot.active_task_count) == (TaskKind.TEXT_GENERATION, "c1", 1)
    assert snapshot.status("test/three").phase is Phase.RUNNING


def test_its_cards(snapshot: Snapshot) -> None:
    model = snapshot.models[MODEL]
    assert (model.layer_count, model.storage_size_gb, model.supports_tensor) == (8, 4.0, True)
    assert (model.family, model.quantization, model.context_length, model.is_custom) == (None, None, None, None)


def test_before_v1_0_69_loading_reports_no_layers_and_pending_no_bytes() -> None:
    snapshot = snapshot_of(v1_0_65())
    status = snapshot.status(MODEL)
    assert (status.phase, status.progress_percent) == (Phase.LOADING, None)
    waiting = snapshot.state.downloads["n1"]["test/four"]
    assert (waiting.downloaded_bytes, waiting.total_bytes) == (None, None)
    assert snapshot.download_status(waiting) is DownloadStatus.NOT_STARTED
    assert (snapshot.nodes[0].disk_total_gb, snapshot.nodes[0].rdma_enabled, snapshot.nodes[0].os_version) == (
        None,
        None,
        None,
    )


def test_from_v1_0_69_on_it_does() -> None:
    snapshot = snapshot_of(v1_0_69())
    status = snapshot.status(MODEL)
    assert (status.phase, status.progress_percent) == (Phase.LOADING, 87.5)
    waiting = snapshot.state.downloads["n1"]["test/four"]
    assert (waiting.downloaded_bytes, snapshot.download_status(waiting)) == (5, DownloadStatus.PAUSED)
    assert (snapshot.nodes[0].disk_total_gb, snapshot.nodes[0].rdma_enabled, snapshot.nodes[0].os_version) == (
        2000.0,
        True,
        "26.2",
    )
