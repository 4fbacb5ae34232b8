"""Spelling of faults, and what they do to the transport."""

import asyncio

import httpx
import pytest

from exo_graphql.simulator import Fault, SimulatedExo, parse_fault, tiny_scenario
from tests.simulator.conftest import Exo

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("hang", Fault("hang")),
        ("error@3", Fault("error", at=3)),
        ("garbage@1.5+10", Fault("garbage", at=1.5, duration=10)),
        ("master-dies@60", Fault("master-dies", at=60)),
        ("master-hangs@60+20", Fault("master-hangs", at=60, duration=20)),
        ("replays@60+20", Fault("replays", at=60, duration=20)),
        ("node-dies:Mac Studio 2@20+30", Fault("node-dies", "Mac Studio 2", at=20, duration=30)),
        ("load-fails:mlx-community/Qwen3-30B-A3B-4bit", Fault("load-fails", "mlx-community/Qwen3-30B-A3B-4bit")),
        ("download-fails:qwen3.5-9b@0", Fault("download-fails", "qwen3.5-9b")),
    ],
)
def test_a_fault_is_read_as_written(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("text", ["", "nope", "load-fails", "hang:model", "hang@soon", "error@-1", "node-dies:@3"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_fault(text)


@pytest.mark.parametrize("text", ["load-fails:no-such-model", "node-dies:nobody"])
async def test_a_fault_of_what_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="named 'no"):
        SimulatedExo(tiny_scenario(), faults=[parse_fault(text)])


async def test_an_error_is_a_plain_500_until_it_is_cleared(tiny: Exo) -> None:
    tiny.control.inject(Fault("error"))
    assert (await tiny.http.get("/state")).status_code == 500
    tiny.control.clear("error")
    assert (await tiny.http.get("/state")).status_code == 200


async def test_garbage_is_html_with_a_200(tiny: Exo) -> None:
    tiny.control.inject(Fault("garbage"))
    answer = await tiny.http.get("/state")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")


async def test_a_counted_fault_strikes_that_often(tiny: Exo) -> None:
    tiny.control.inject(Fault("error", count=2))
    assert [(await tiny.http.get("/node_id")).status_code for _ in range(3)] == [500, 500, 200]


async def test_a_fault_begins_and_ends_at_its_time(tiny: Exo) -> None:
    tiny.control.inject(Fault("error", at=5, duration=5))
    statuses = []
    for _ in range(4):
        statuses.append((await tiny.http.get("/node_id")).status_code)
        tiny.control.advance(4)
    assert statuses == [200, 200, 500, 200]


async def test_a_hanging_request_is_answered_once_the_fault_is_cleared(tiny: Exo) -> None:
    tiny.control.inject(Fault("hang"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await tiny.http.get("/state")
    waiting = asyncio.create_task(tiny.http.post("/place_instance", json={"model_id": "test/tiny-a"}))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    tiny.control.clear()
    async with asyncio.timeout(5):
        assert (await waiting).status_code == 200


async def test_a_dropped_connection_is_a_connect_error(tiny: Exo) -> None:
    tiny.control.drop_connections = True
    with pytest.raises(httpx.ConnectError):
        await tiny.http.get("/state")
    tiny.control.drop_connections = False
    assert (await tiny.http.get("/state")).status_code == 200


async def test_a_dead_api_node_answers_no_request(tiny: Exo) -> None:
    tiny.control.kill_node("node-1")
    with pytest.raises(httpx.ConnectError):
        await tiny.http.get("/state")
    tiny.control.revive_node("node-1")
    assert (await tiny.http.get("/node_id")).json() == tiny.control.node_id("node-1")


async def test_latency_is_added_to_every_answer_and_more_to_commands(tiny: Exo) -> None:
    loop = asyncio.get_running_loop()
    tiny.control.latency, tiny.control.command_latency = 0.03, 0.05
    began = loop.time()
    await tiny.http.get("/node_id")
    read = loop.time() - began
    await tiny.http.post("/place_instance", json={"model_id": "test/tiny-a"})
    command = loop.time() - began - read
    assert read >= 0.03
    assert command >= 0.08


async def test_requests_are_counted_by_route(tiny: Exo) -> None:
    await tiny.http.get("/state")
    await tiny.http.get("/instance/some")
    await tiny.http.get("/instance/other")
    await tiny.http.delete("/download/node/org/model")
    assert tiny.control.requests == {
        ("GET", "/state"): 1,
        ("GET", "/instance/{instance_id}"): 2,
        ("DELETE", "/download/{node_id}/{model_id:path}"): 1,
    }


async def test_a_master_that_hangs_leaves_the_state_of_that_moment_and_takes_commands_that_wait(tiny: Exo) -> None:
    model, other = tiny.control.cards[:2]
    instance = tiny.control.place(model)
    assert instance is not None
    tiny.control.advance(30)
    tiny.control.inject(parse_fault(f"master-hangs@{tiny.control.now + 5}+60"))
    tiny.control.advance(5)
    hung = (await tiny.http.get("/state")).content
    assert instance.encode() in hung
    # Its state does not change; commands are still accepted.
    placed = {"model_id": other, "sharding": "Pipeline", "instance_meta": "MlxRing", "min_nodes": 1}
    assert (await tiny.http.post("/place_instance", json=placed)).status_code == 200
    assert (await tiny.http.delete(f"/instance/{instance}")).status_code == 200
    for _ in range(10):
        tiny.control.advance(5)
        assert (await tiny.http.get("/state")).content == hung
    part = await tiny.http.get("/state/lastEventAppliedIdx")
    assert part.json() == (await tiny.http.get("/state")).json()["lastEventAppliedIdx"]
    # It comes back, and carries all of them out.
    tiny.control.advance(12)
    state = (await tiny.http.get("/state")).json()
    assert state["lastEventAppliedIdx"] > part.json()
    assert instance not in state["instances"]
    assert len(state["instances"]) == 1


async def test_a_master_that_hangs_for_good_can_be_cleared(tiny: Exo) -> None:
    tiny.control.inject(parse_fault("master-hangs"))
    hung = (await tiny.http.get("/state")).content
    tiny.control.advance(100)
    assert (await tiny.http.get("/state")).content == hung
    tiny.control.clear("master-hangs")
    assert (await tiny.http.get("/state")).content != hung
