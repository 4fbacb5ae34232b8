"""Nodes and masters come and go, at the times measured on a real cluster (exo/API.md)."""

import asyncio
from typing import Any

import httpx
import pytest

from exo_graphql.simulator import Fault, SimulatedExo, tiny_scenario
from tests.simulator.conftest import Exo

pytestmark = pytest.mark.anyio


@pytest.fixture
async def three() -> Any:
    """Three small nodes: the API's, one more, the master."""
    exo = Exo(tiny_scenario(nodes=3))
    async with exo.http:
        yield exo


def _edges(state: dict[str, Any]) -> int:
    return sum(len(sinks) for sinks in state["topology"]["connections"].values())


async def test_a_dead_worker_is_missed_step_by_step_and_its_instances_last(three: Exo) -> None:
    instance = await three.ready("test/tiny-a", min_nodes=2)
    assignments = next(iter((await three.http.get(f"/instance/{instance}")).json().values()))["shardAssignments"]
    api, master = three.control.node_id("node-1"), three.control.node_id("node-3")
    dead = next(node for node in assignments["nodeToRunner"] if node not in (api, master))
    three.control.kill_node(dead)
    began = three.control.now
    assert _edges(await three.state()) == 6
    seen = (await three.state())["lastSeen"][dead]

    await three.until(lambda state: _edges(state) == 5)
    assert 6 <= three.control.now - began <= 11
    await three.until(lambda state: _edges(state) == 4)
    assert 6 <= three.control.now - began <= 11.2
    assert (await three.state())["lastSeen"][dead] == seen

    await three.until(lambda state: dead not in state["topology"]["nodes"])
    assert 29 <= three.control.now - began <= 41
    state = await three.state()
    assert await three.statuses(instance) == ["RunnerReady", "RunnerReady"]
    assert dead in state["nodeIdentities"]
    assert dead in state["nodeBackends"]
    for part in ("nodeMemory", "nodeDisk", "nodeSystem", "nodeNetwork", "lastSeen", "downloads", "nodeRdmaCtl"):
        assert dead not in state[part], part

    passed = await three.until(lambda state: instance not in state["instances"])
    assert 9 <= passed <= 11


async def test_a_joining_node_is_new_and_appears_bit_by_bit(three: Exo) -> None:
    old = three.control.node_id("node-2")
    three.control.kill_node("node-2")
    three.control.advance(60)
    new = three.control.revive_node("node-2")
    assert new != old
    began = three.control.now
    await three.until(lambda state: new in state["topology"]["nodes"])
    assert 5 <= three.control.now - began <= 6.2
    assert new not in (await three.state())["nodeIdentities"]
    await three.until(lambda state: new in state["nodeIdentities"])
    await three.until(lambda state: _edges(state) == 6)
    assert three.control.now - began <= 17
    names = [one["friendlyName"] for one in (await three.state())["nodeIdentities"].values()]
    assert names.count("node-2") == 2


async def test_a_dead_master_takes_the_state_with_it(three: Exo) -> None:
    await three.ready("test/half", min_nodes=2)
    index = (await three.state())["lastEventAppliedIdx"]
    master = three.control.kill_master()
    began = three.control.now
    three.control.advance(2.5)
    assert (await three.state())["lastEventAppliedIdx"] >= index

    await three.until(lambda state: state["lastEventAppliedIdx"] == -1)
    assert 3 <= three.control.now - began <= 6
    empty = await three.state()
    assert {part for part, value in empty.items() if value} == {"topology", "lastEventAppliedIdx"}
    assert empty["topology"] == {"nodes": [], "connections": {}}

    await three.until(lambda state: len(state["topology"]["nodes"]) == 1)
    passed = await three.until(lambda state: len(state["topology"]["nodes"]) == 2)
    assert 2.5 <= passed <= 3.5
    three.control.advance(20)
    state = await three.state()
    assert master not in state["topology"]["nodes"]
    assert _edges(state) == 2
    assert state["instances"] == {}
    assert state["runners"] == {}
    assert state["tasks"] == {}
    # The memory of what was loaded is free again.
    assert all(one["ramAvailable"]["inBytes"] == 6 * 1024**3 for one in state["nodeMemory"].values())
    await three.ready("test/tiny-a", min_nodes=2)


async def test_commands_hang_in_an_election_reads_do_not_and_what_a_dead_master_got_is_lost() -> None:
    exo = Exo(tiny_scenario(nodes=3), speed=50)
    async with exo.sim, exo.http:
        exo.control.kill_master()
        began = exo.control.now
        command = asyncio.create_task(exo.http.post("/place_instance", json={"model_id": "test/tiny-a"}))
        assert (await exo.http.get("/state")).status_code == 200
        assert exo.control.now - began < 2.5
        assert not command.done()
        assert (await command).status_code == 200
        assert 3 <= exo.control.now - began < 8
        exo.control.advance(30)
        assert (await exo.state())["instances"] == {}


async def test_a_command_sent_while_a_worker_dies_takes_effect_late() -> None:
    exo = Exo(tiny_scenario(nodes=3), speed=50)
    async with exo.sim, exo.http:
        exo.control.kill_node("node-2")
        began = exo.control.now
        assert (await exo.http.post("/place_instance", json={"model_id": "test/tiny-a"})).status_code == 200
        assert exo.control.now - began >= 3
        exo.control.advance(0.2)
        assert len((await exo.state())["instances"]) == 1


async def test_a_chat_lost_in_an_election_ends() -> None:
    exo = Exo(tiny_scenario(nodes=3), speed=50)
    async with exo.sim, exo.http:
        await exo.ready("test/tiny-a")
        exo.control.kill_master()
        body = {"model": "test/tiny-a", "messages": [{"role": "user", "content": "hello"}]}
        async with asyncio.timeout(5):
            answer = await exo.http.post("/v1/chat/completions", json=body)
        assert "lost" in answer.json()["error"]["message"]


async def test_one_master_after_the_other_can_die(three: Exo) -> None:
    for _ in range(2):
        three.control.kill_master()
        three.control.advance(30)
    assert (await three.state())["topology"]["nodes"] == [three.control.node_id("node-1")]


async def test_nothing_of_the_old_session_is_reported_in_the_new_one(three: Exo) -> None:
    await three.place("test/half", min_nodes=3)
    await three.until(lambda state: any("RunnerLoading" in one for one in state["runners"].values()))
    three.control.kill_master()
    (instance,) = (await three.state())["instances"]
    three.control.delete_instance(instance)
    await three.until(lambda state: state["lastEventAppliedIdx"] == -1)
    three.control.advance(20)
    state = await three.state()
    assert (state["runners"], state["tasks"]) == ({}, {})


async def test_a_gap_in_time_loses_no_living_node(three: Exo) -> None:
    three.sim._simulation.clock._skipped += 3600  # a laptop slept
    assert len((await three.state())["topology"]["nodes"]) == 3
    three.control.advance(20)
    assert len((await three.state())["topology"]["nodes"]) == 3


async def test_faults_kill_and_bring_back_at_their_time() -> None:
    faults = [Fault("node-dies", "NODE-2", at=10, duration=50)]
    exo = Exo(tiny_scenario(nodes=3))
    exo.sim = SimulatedExo(tiny_scenario(nodes=3), faults=faults, seed=3)
    exo.control = exo.sim.control
    old = exo.control.node_id("node-2")
    exo.control.advance(9)
    assert exo.control.node_id("node-2") == old
    exo.control.advance(52)
    assert exo.control.node_id("node-2") != old
    await exo.http.aclose()


async def test_exo_restarted_everywhere_comes_back_empty_under_new_ids_and_old_names(three: Exo) -> None:
    await three.ready("test/tiny-a", min_nodes=2)
    old = {three.control.node_id(f"node-{number}") for number in (1, 2, 3)}
    # It cancels an election that is under way.
    three.control.kill_master()
    three.control.restart(2.0)
    with pytest.raises(httpx.ConnectError):
        await three.state()
    three.control.advance(2.2)
    state = await three.state()
    assert state["instances"] == state["runners"] == {}
    await three.until(lambda state: len(state["nodeIdentities"]) == 3)
    state = await three.state()
    assert old.isdisjoint(state["topology"]["nodes"])
    assert {one["friendlyName"] for one in state["nodeIdentities"].values()} == {"node-1", "node-2", "node-3"}
    await three.ready("test/tiny-a", min_nodes=2)
