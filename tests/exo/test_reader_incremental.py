"""Reading a state after another: the same as reading it alone, and what has not changed is the same object."""

import asyncio
import copy
from typing import Any

import orjson
import pytest

from exo_graphql.cluster.state import State
from exo_graphql.exo.parse import StateReader
from tests.support.documents import MODEL, card, completed, document, instance, ongoing, pending, runner, task
from tests.support.own_time import OWN_TIME, Backend
from tests.support.recordings import NAMES, steps
from tests.support.successions import check, succession

Json = dict[str, Any]


@pytest.fixture
def anyio_backend() -> Backend:
    """Real time: a large body that has to be read whole is read in a thread."""
    return OWN_TIME


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_state_is_the_same_alone_and_after_the_one_before(name: str) -> None:
    bodies = [orjson.dumps(step.document) for step in steps(name)]
    assert check([*bodies, *bodies[::-1]]) == 2 * len(bodies)


@pytest.mark.parametrize("first", range(0, 300, 30))
def test_any_state_is_the_same_alone_and_after_any_others(first: int) -> None:
    states = sum(check(succession(seed)) for seed in range(first, first + 30))
    # If every second body were broken, little would be proved.
    assert states >= 100


def cluster(**changes: Any) -> Json:
    downloads = {
        "n1": [completed(), pending("test/two")],
        "n2": [ongoing(MODEL, 5, 100), pending("test/two")],
    }
    state = document(
        ["n1", "n2"],
        [instance("i1", {"n1": "r1"}), instance("i2", {"n2": "r2"}, "test/two")],
        {"r1": runner("Ready", prefillServerPort=None), "r2": runner("Loading", layersLoaded=1, totalLayers=8)},
        downloads,
        {"t1": task("LoadModel", "i1", "Complete"), "t2": task("LoadModel", "i2")},
    )
    return state | changes


def read(*documents: Json) -> list[State]:
    reader = StateReader()
    return [reader.parse(orjson.dumps(one)) for one in documents]


def test_a_body_that_is_the_same_gives_the_same_state() -> None:
    first, second, third = read(cluster(), cluster(), cluster(lastEventAppliedIdx=101))
    assert second is first
    assert (first.index, third.index) == (100, 101)
    for part in ("nodes", "instances", "runners", "downloads", "tasks", "cards"):
        assert getattr(third, part) is getattr(first, part), part


def test_of_a_node_only_the_entry_that_changed_is_read_again() -> None:
    moved = cluster()
    moved["downloads"]["n2"][0] = ongoing(MODEL, 6, 100)
    first, second = read(cluster(), moved)
    assert second.downloads["n1"] is first.downloads["n1"]
    assert second.downloads["n2"]["test/two"] is first.downloads["n2"]["test/two"]
    assert [state.downloads["n2"][MODEL].downloaded_bytes for state in (first, second)] == [5, 6]
    assert second.cards is first.cards
    assert second.instances is first.instances


def test_telemetry_changes_the_nodes_alone() -> None:
    moved = cluster(lastEventAppliedIdx=101)
    moved["nodeMemory"]["n1"]["ramAvailable"] = {"inBytes": 7}
    first, second = read(cluster(), moved)
    assert (first.nodes["n1"].ram_available_bytes, second.nodes["n1"].ram_available_bytes) == (48 << 30, 7)
    assert second.nodes["n1"].friendly_name is first.nodes["n1"].friendly_name
    for part in ("instances", "runners", "downloads", "tasks", "cards"):
        assert getattr(first, part) is getattr(second, part), part


def test_of_the_maps_by_id_only_the_values_that_changed_are_read_again() -> None:
    moved = cluster()
    moved["runners"]["r2"] = runner("Loading", layersLoaded=2, totalLayers=8)
    moved["tasks"]["t2"]["LoadModel"]["taskStatus"] = "Complete"
    moved["instances"]["i2"]["MlxRingInstance"]["ephemeralPort"] = 50001
    first, second = read(cluster(), moved)
    assert second.runners["r1"] is first.runners["r1"]
    assert second.tasks["t1"] is first.tasks["t1"]
    assert second.instances["i1"] is first.instances["i1"]
    assert second.runners["r2"].layers_loaded == 2
    assert second.instances["i2"] is not first.instances["i2"]
    assert second.downloads is first.downloads


def test_a_card_that_changes_in_an_instance_changes_the_downloads_of_its_model() -> None:
    # The size of a download that does not say its own is that of the card that the document shows first.
    state = cluster()
    state["downloads"]["n1"][0] = completed(MODEL, 0)
    grown = copy.deepcopy(state)
    shards = grown["instances"]["i1"]["MlxRingInstance"]["shardAssignments"]["runnerToShard"]
    shards["r1"]["PipelineShardMetadata"]["modelCard"] = card(gib=9)
    first, second = read(state, grown)
    assert [one.downloads["n1"][MODEL].total_gb for one in (first, second)] == [4.0, 9.0]
    assert second.downloads["n1"]["test/two"] is first.downloads["n1"]["test/two"]


def test_copies_of_a_card_are_one_object_and_cards_that_only_look_equal_are_not() -> None:
    state = cluster()
    (odd,) = state["downloads"]["n2"][1].values()
    odd["shardMetadata"]["PipelineShardMetadata"]["modelCard"]["isCustom"] = 0
    first, second = read(cluster(), state)
    assert first.downloads["n1"]["test/two"].model is first.downloads["n2"]["test/two"].model
    assert first.downloads["n1"]["test/two"].model is second.downloads["n2"]["test/two"].model
    del state["downloads"]["n1"][1], state["instances"]["i2"]
    (alone,) = read(state)
    assert alone.cards["test/two"].is_custom is None
    assert second.cards["test/two"].is_custom is False


@pytest.mark.anyio
async def test_other_tasks_run_while_a_large_state_is_read() -> None:
    entries = [pending(f"test/{number}") for number in range(600)]
    body = orjson.dumps(cluster(downloads={f"n{node}": entries for node in range(8)}))
    assert len(body) > 2 << 20
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    reader = StateReader()
    meanwhile = asyncio.create_task(other())
    state = await reader.read(body)
    cold, turns = turns, 0
    again = await reader.read(body)
    meanwhile.cancel()
    assert cold >= 8
    assert turns <= 2
    assert again.downloads is state.downloads
    assert again == reader.parse(body)


@pytest.mark.anyio
@pytest.mark.parametrize("models", [10, 1000])
async def test_a_body_that_cannot_be_sliced_is_read_whole(models: int) -> None:
    state = cluster(downloads={"n1": [pending(f"test/{number}") for number in range(models)]})
    reader = StateReader()
    indented = orjson.dumps(state, option=orjson.OPT_INDENT_2)
    assert await reader.read(indented) == await reader.read(orjson.dumps(state))
