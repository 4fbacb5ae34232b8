"""What exo PR #1727's own tests expect of its routes, of ours: a pair of nodes with one model, and an empty cluster."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.rest.stated_exo import NODE_ID, over
from tests.support.documents import GIB, card, document, instance, runner, size
from tests.support.own_time import OWN_TIME, Backend

pytestmark = pytest.mark.anyio

MODEL = "mlx-community/Qwen3-30B-A3B-4bit"
SHORT = "Qwen3-30B-A3B-4bit"
MACHINES = {
    "node-atlas": ("Atlas", 340, 600, 0.45, 62.0, 85.0, "192.168.1.10"),
    "node-epimetheus": ("Epimetheus", 350, 700, 0.40, 58.0, 80.0, "192.168.1.11"),
}


def pair(**runners: dict[str, Any]) -> dict[str, Any]:
    """Two machines of 512 GiB that share one model of 20 GiB and 48 layers."""
    ready = runner("Ready", prefillServerPort=None)
    of_model = instance("inst-1", {"node-atlas": "a", "node-epimetheus": "b"}, MODEL, layers=48)
    for shard in next(iter(of_model.values()))["shardAssignments"]["runnerToShard"].values():
        next(iter(shard.values()))["modelCard"] = card(MODEL, gib=20, layers=48)
    state = document(list(MACHINES), [of_model], {"a": ready, "b": ready} | runners)
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    state["lastSeen"] = dict.fromkeys(MACHINES, now)
    for node, (name, ram, disk, gpu, temperature, power, address) in MACHINES.items():
        state["nodeIdentities"][node] = {"friendlyName": name, "chipId": "Apple M3 Ultra", "osVersion": "26.2"}
        state["nodeMemory"][node] = {"ramTotal": size(512 * GIB), "ramAvailable": size(ram * GIB)}
        state.setdefault("nodeDisk", {})[node] = {"total": size(1000 * GIB), "available": size(disk * GIB)}
        system = {"gpuUsage": gpu, "temp": temperature, "sysPower": power, "pcpuUsage": 0.1, "ecpuUsage": 0.1}
        state.setdefault("nodeSystem", {})[node] = system
        interface = {"name": "en0", "ipAddress": address, "interfaceType": "ethernet"}
        state.setdefault("nodeNetwork", {})[node] = {"interfaces": [interface]}
    return state


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return OWN_TIME


@pytest.fixture(scope="module")
async def cluster() -> AsyncIterator[httpx.AsyncClient]:
    async with over(pair()) as (_, client):
        yield client


@pytest.fixture(scope="module")
async def empty() -> AsyncIterator[httpx.AsyncClient]:
    async with over(document(())) as (_, client):
        yield client


async def _get(client: httpx.AsyncClient, path: str, status: int = 200) -> dict[str, Any]:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_health_of_a_healthy_cluster(cluster: httpx.AsyncClient) -> None:
    health = await _get(cluster, "/v1/cluster/health")
    assert abs(health.pop("timestamp") - datetime.now(UTC).timestamp()) < 60
    assert health == {"healthy": True, "node_count": 2, "master_node_id": NODE_ID, "uptime_seconds": None}


async def test_health_of_an_empty_cluster(empty: httpx.AsyncClient) -> None:
    health = await _get(empty, "/v1/cluster/health")
    assert (health["healthy"], health["node_count"]) == (False, 0)


async def test_the_overview(cluster: httpx.AsyncClient) -> None:
    overview = await _get(cluster, "/v1/cluster")
    assert overview["node_count"] == 2
    assert overview["total_ram_gb"] == 1024.0
    assert overview["loaded_model_count"] == 1
    assert overview["master_node_id"] == NODE_ID
    assert len(overview["nodes"]) == 2
    atlas = next(node for node in overview["nodes"] if node["friendly_name"] == "Atlas")
    assert (atlas["chip"], atlas["ram_total_gb"], atlas["status"]) == ("Apple M3 Ultra", 512.0, "online")
    assert atlas["loaded_models"] == [SHORT]
    (model,) = overview["models"]
    assert (model["model_name"], model["ready"], model["storage_size_gb"]) == (SHORT, True, 20.0)
    assert sorted(model["nodes"]) == sorted(MACHINES)
    assert model["runner_statuses"] == dict.fromkeys(MACHINES, "ready")


async def test_the_sums_of_the_memory(cluster: httpx.AsyncClient) -> None:
    overview = await _get(cluster, "/v1/cluster")
    assert (overview["available_ram_gb"], overview["used_ram_gb"]) == (690.0, 334.0)
    assert overview["ram_used_percent"] == pytest.approx(32.6, abs=0.1)


async def test_the_list_of_nodes(cluster: httpx.AsyncClient) -> None:
    listed = await _get(cluster, "/v1/cluster/nodes")
    assert (listed["node_count"], len(listed["nodes"])) == (2, 2)


async def test_one_node(cluster: httpx.AsyncClient) -> None:
    node = await _get(cluster, "/v1/cluster/nodes/node-atlas")
    assert (node["friendly_name"], node["ram_total_gb"], node["gpu_usage_percent"]) == ("Atlas", 512.0, 45.0)
    assert "192.168.1.10" in node["ip_addresses"]
    assert node == await _get(cluster, "/v1/cluster/nodes/Atlas")


async def test_a_node_that_is_not_found_is_answered_with_those_that_exist(cluster: httpx.AsyncClient) -> None:
    error = (await _get(cluster, "/v1/cluster/nodes/nonexistent", 404))["error"]
    assert "Atlas" in error["message"]
    assert (error["code"], error["type"], error["reason"]) == (404, "Not Found", "NODE_NOT_FOUND")
    assert error["available"] == ["Atlas", "Epimetheus"]


async def test_the_list_of_models(cluster: httpx.AsyncClient) -> None:
    (model,) = (await _get(cluster, "/v1/cluster/models"))["loaded"]
    assert (model["model_id"], model["model_name"], model["ready"]) == (MODEL, SHORT, True)
    assert (model["sharding"], model["instance_type"]) == ("pipeline", "MlxRing")
    assert model["node_names"] == ["Atlas", "Epimetheus"]


async def test_the_list_of_models_of_an_empty_cluster(empty: httpx.AsyncClient) -> None:
    models = await _get(empty, "/v1/cluster/models")
    assert (models["loaded"], models["downloading"]) == ([], [])


@pytest.mark.parametrize("name", [MODEL, SHORT])
async def test_the_status_of_a_loaded_model(cluster: httpx.AsyncClient, name: str) -> None:
    status = await _get(cluster, f"/v1/cluster/models/{name}/status")
    assert (status["found"], status["ready"], status["status"]) == (True, True, "ready")
    assert (status["model_id"], status["instance_id"]) == (MODEL, "inst-1")
    assert status["nodes"] == ["Atlas", "Epimetheus"]


async def test_the_status_of_an_unknown_model_is_no_error(cluster: httpx.AsyncClient) -> None:
    status = await _get(cluster, "/v1/cluster/models/nonexistent-model/status")
    assert (status["found"], status["ready"], status["status"]) == (False, False, "not_loaded")
    assert status["instance_id"] is None


async def test_while_it_loads_the_status_has_the_layers_of_each_node() -> None:
    async with over(pair(a=runner("Loading", layersLoaded=12, totalLayers=48))) as (_, client):
        status = await _get(client, f"/v1/cluster/models/{SHORT}/status")
    assert (status["found"], status["ready"], status["status"]) == (True, False, "loading")
    assert "Atlas: 12/48 layers (25%)." in status["progress"]


async def test_an_idle_runner_is_not_ready() -> None:
    """The PR calls this one ready."""
    async with over(pair(a=runner("Idle"), b=runner("Idle"))) as (_, client):
        (model,) = (await _get(client, "/v1/cluster/models"))["loaded"]
    assert (model["ready"], model["status"]) == (False, "waiting")
    assert model["runner_statuses"] == dict.fromkeys(MACHINES, "idle")


async def test_what_a_machine_does_not_report_is_what_the_pr_has_for_it() -> None:
    state = document(("n1",))
    del state["nodeIdentities"], state["nodeMemory"]
    async with over(state) as (_, client):
        node = await _get(client, "/v1/cluster/nodes/n1")
    assert (node["friendly_name"], node["chip"], node["os_version"]) == ("Unknown",) * 3
    assert (node["ip_addresses"], node["has_thunderbolt"], node["rdma_enabled"]) == ([], False, False)
    assert {value for key, value in node.items() if key.endswith(("_gb", "_percent", "_c", "_watts"))} == {0.0}
