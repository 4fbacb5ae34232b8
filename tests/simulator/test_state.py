"""The state document has the shape of a real one, in an idle cluster and while everything changes."""

import json

import pytest

from exo_graphql.simulator import Fault, Scenario, default_scenario, tiny_scenario, two_studios
from exo_graphql.simulator.scenario import (
    DAY_MODEL,
    DOWNLOADING_MODEL,
    NIGHT_MODEL,
    READY_MODEL,
    SMALL_MODELS,
    TOO_LARGE_MODEL,
)
from tests.simulator.conftest import DATA, Exo
from tests.simulator.shapes import shapes

pytestmark = pytest.mark.anyio

# What a Mac reports and the recording cluster of Linux machines could not; from exo's own types
# (`shared/types/profiling.py`, `thunderbolt.py`, `topology.py`).
_MAC_SHAPES = {
    "/nodeSystem/*": {"ecpuUsage gpuUsage pcpuUsage sysPower temp"},
    "/nodeThunderbolt/*": {"interfaces"},
    "/nodeThunderbolt/*/interfaces/[]": {"domainUuid linkSpeed rdmaInterface"},
    "/nodeThunderboltBridge/*": {"enabled exists serviceName"},
    "/nodeRdmaCtl/*": {"enabled"},
    "/topology/connections/*/*/[]": {"sinkMultiaddr", "sinkRdmaIface sourceRdmaIface"},
}


@pytest.fixture(scope="module")
def recorded() -> dict[str, set[str]]:
    """By path, every shape seen in states of a real exo."""
    document: dict[str, list[str]] = json.loads((DATA / "demo_shapes.json").read_text())
    return {path: set(seen) for path, seen in document.items()}


async def _busy_states(exo: Exo, step: float) -> list[bytes]:
    """States while models load, serve, fail, download and go, and nodes and masters come and go."""
    bodies = []

    async def watch(seconds: float) -> None:
        passed = 0.0
        while passed < seconds:
            exo.control.advance(step)
            passed += step
            bodies.append((await exo.http.get("/state")).content)

    cards = [one["id"] for one in (await exo.http.get("/models")).json()["data"]]
    first, second = [card for card in cards if card in (*SMALL_MODELS, "test/tiny-a", "test/tiny-b")][:2]
    absent = next(card for card in cards if card in ("test/absent", "mlx-community/Qwen3-8B-4bit"))
    nodes = [(await exo.http.get("/node_id")).json()]
    await exo.place(first, min_nodes=2)
    await watch(8)
    exo.control.inject(Fault("load-fails", second))
    failing = await exo.place(second)
    await watch(5)
    exo.control.inject(Fault("download-fails", absent, count=1))
    downloading = await exo.place(absent)
    await watch(4)
    for instance in (failing, downloading):
        await exo.http.delete(f"/instance/{instance}")
    exo.control.place(first, nodes)
    await watch(8)
    exo.control.revive_node(exo.control.kill_master())
    await watch(30)
    return bodies


@pytest.mark.parametrize(
    "scenario", [default_scenario(), two_studios(), tiny_scenario()], ids=["default", "studios", "tiny"]
)
async def test_every_state_has_the_shape_of_a_real_one(scenario: Scenario, recorded: dict[str, set[str]]) -> None:
    exo = Exo(scenario)
    async with exo.http:
        bodies = await _busy_states(exo, 0.9)
    for body in set(bodies):
        for path, seen in shapes(json.loads(body)).items():
            expected = _MAC_SHAPES.get(path) or recorded.get(path)
            if expected is None:
                # The values of Mac objects: their keys are held above.
                assert path.rsplit("/", 1)[0] in _MAC_SHAPES, path
            else:
                assert seen <= expected, path


async def test_the_busy_states_show_every_runner_status_and_kind_of_download(recorded: dict[str, set[str]]) -> None:
    exo = Exo(tiny_scenario())
    async with exo.http:
        seen = [shapes(json.loads(body)) for body in await _busy_states(exo, 0.09)]
    statuses = set().union(*(one.get("/runners/*", set()) for one in seen))
    assert statuses >= {
        "RunnerIdle",
        "RunnerConnecting",
        "RunnerConnected",
        "RunnerLoading",
        "RunnerLoaded",
        "RunnerWarmingUp",
        "RunnerReady",
        "RunnerFailed",
        "RunnerShuttingDown",
    }
    assert set().union(*(one.get("/downloads/*/[]", set()) for one in seen)) == {
        "DownloadPending",
        "DownloadOngoing",
        "DownloadCompleted",
        "DownloadFailed",
    }


async def test_two_studios_are_the_fixture_of_pull_request_1727() -> None:
    exo = Exo(two_studios())
    async with exo.http:
        exo.control.advance(100)
        state = await exo.state()
    memory = state["nodeMemory"].values()
    total = sum(one["ramTotal"]["inBytes"] for one in memory)
    available = sum(one["ramAvailable"]["inBytes"] for one in memory)
    assert total == 1024 * 1024**3
    assert available == 690 * 1024**3
    assert round((total - available) / total * 100, 1) == 32.6
    (instance,) = state["instances"].values()
    runners = instance["MlxRingInstance"]["shardAssignments"]["nodeToRunner"]
    assert set(runners) == set(state["topology"]["nodes"])
    assert [next(iter(state["runners"][runner])) for runner in runners.values()] == ["RunnerReady"] * 2


async def test_the_default_scenario_is_busy() -> None:
    exo = Exo(default_scenario())
    async with exo.http:
        first = await exo.state()
        await exo.until(lambda state: any("TextGeneration" in task for task in state["tasks"].values()))
        await exo.until(lambda state: any("RunnerRunning" in one for one in state["runners"].values()))
        busy = await exo.state()
        exo.control.advance(2)
        later = await exo.state()
    assert len(first["topology"]["nodes"]) == 4
    assert [len(one) for one in first["downloads"].values()] == [len(exo.sim.control.cards)] * 4
    assert len(exo.sim.control.cards) > 100
    (running,) = [
        (node, one["DownloadOngoing"])
        for node, entries in busy["downloads"].items()
        for one in entries
        if "DownloadOngoing" in one
    ]
    assert running[0] == exo.control.node_id("Mac Studio 1")
    assert running[1]["shardMetadata"]["PipelineShardMetadata"]["modelCard"]["modelId"] == DOWNLOADING_MODEL
    assert 280e6 < running[1]["downloadProgress"]["speed"] < 320e6
    task = next(task["TextGeneration"] for task in busy["tasks"].values() if "TextGeneration" in task)
    assert task["taskParams"]["model"] == READY_MODEL
    assert task["taskParams"]["input"][0]["content"]
    # A DGX reports no nodeSystem; the Macs' figures move.
    spark = exo.control.node_id("spark-7f21")
    assert set(first["nodeMemory"]) - set(first["nodeSystem"]) == {spark}
    for part in ("nodeMemory", "nodeSystem", "lastSeen"):
        assert busy[part] != later[part], part
    assert later["lastEventAppliedIdx"] > busy["lastEventAppliedIdx"]
    assert all(0 <= one["gpuUsage"] <= 1 for one in later["nodeSystem"].values())
    # Runners of instances long gone, one of them "ready".
    listed = {
        runner
        for instance in first["instances"].values()
        for runner in instance["MlxRingInstance"]["shardAssignments"]["runnerToShard"]
    }
    orphans = {next(iter(one)) for runner, one in first["runners"].items() if runner not in listed}
    assert orphans == {"RunnerReady", "RunnerShuttingDown"}


@pytest.mark.parametrize(("first", "second"), [(DAY_MODEL, NIGHT_MODEL), (NIGHT_MODEL, DAY_MODEL)])
@pytest.mark.parametrize("with_ready", [True, False])
async def test_day_and_night_fit_one_at_a_time(first: str, second: str, with_ready: bool) -> None:
    exo = Exo(default_scenario())
    async with exo.http:
        if not with_ready:
            (instance,) = (await exo.state())["instances"]
            exo.control.delete_instance(instance)
            exo.control.advance(5)
        assert (await exo.http.get(f"/instance/placement?model_id={second}")).status_code == 200
        await exo.ready(first)
        exo.control.advance(5)
        answer = await exo.http.get(f"/instance/placement?model_id={second}")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "No cycles found with sufficient memory"


async def test_the_too_large_model_fits_on_the_whole_cluster_not_even_empty() -> None:
    exo = Exo(default_scenario())
    async with exo.http:
        (instance,) = (await exo.state())["instances"]
        exo.control.delete_instance(instance)
        exo.control.advance(5)
        assert (await exo.http.get(f"/instance/placement?model_id={TOO_LARGE_MODEL}")).status_code == 400
