"""Rolling back swaps: after any failure the old model serves again."""

import asyncio
from dataclasses import replace

import pytest

from exo_graphql.cluster.readiness import Phase
from exo_graphql.operations import (
    LoadFailed,
    OperationRules,
    OperationState,
    TimedOut,
)
from exo_graphql.operations.records import Record, decode
from exo_graphql.simulator import Scenario, parse_fault, tiny_scenario
from exo_graphql.storage import Collection, Entry, NotLeader
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, B, C, begun, phase_of, steps, world

pytestmark = pytest.mark.anyio

DELETE = ("DELETE", "/instance/{instance_id}")


async def test_a_new_model_that_fails_to_load_is_rolled_back() -> None:
    async with world() as w:
        await w.given(HALF)
        (old,) = (await w.snapshot()).state.instances.values()
        w.fault(f"load-fails:{OTHER_HALF}")
        ended = await w.end(await w.ops.swap([HALF], [OTHER_HALF]))
        assert ended.state is OperationState.ROLLED_BACK
        assert isinstance(ended.error, LoadFailed)
        # No model serves meanwhile, so it does not wait for a third attempt.
        assert "after 2 failed attempts" in ended.message
        assert await w.listed() == [HALF]
        assert await w.serving() == [HALF]
        (restored,) = (await w.snapshot()).state.instances.values()
        # On the same nodes, with the same layers, under fresh ids.
        assert [(s.node_id, s.start_layer, s.end_layer) for s in restored.shards] == [
            (s.node_id, s.start_layer, s.end_layer) for s in old.shards
        ]
        assert restored.id != old.id
        assert {s.runner_id for s in restored.shards}.isdisjoint(s.runner_id for s in old.shards)


async def test_nothing_is_restored_while_another_server_may_restore_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is out of reach, and with it the right to act; a disk that is full would not matter."""
    async with world() as w:
        await w.given(HALF)
        w.fault(f"load-fails:{OTHER_HALF}")
        operation = begun(await w.ops.swap([HALF], [OTHER_HALF]))
        real, refused = SQLiteStore.save, asyncio.Event()

        async def replaced(store: SQLiteStore, collection: Collection, entry: Entry) -> None:
            record = decode(entry)
            if isinstance(record, Record) and record.saga_state.undoing is not None:
                refused.set()
                raise NotLeader("Another server may have taken over.")
            await real(store, collection, entry)

        monkeypatch.setattr(SQLiteStore, "save", replaced)
        await refused.wait()
        await asyncio.sleep(60)
        assert await w.listed() == []  # exo itself has given the new one up
        monkeypatch.undo()
        assert (await w.end(operation)).state is OperationState.ROLLED_BACK
        assert await w.serving() == [HALF]


async def test_a_failure_beside_the_old_model_does_not_affect_it() -> None:
    async with world() as w:
        await w.given(A)
        (old,) = (await w.snapshot()).state.instances
        w.fault(f"load-fails:{B}")
        ended = await w.end(await w.ops.swap([A], [B]))
        # Nothing was unloaded, so nothing is rolled back, and exo may make all of its attempts.
        assert ended.state is OperationState.FAILED
        assert "after 5 attempts" in ended.message
        assert list((await w.snapshot()).state.instances) == [old]
        assert await w.serving() == [A]
        assert w.sim.control.requests[DELETE] == 0


@pytest.mark.parametrize("step", ["download", "drain", "unload", "memory", "place", "load"])
async def test_a_swap_cancelled_at_any_step_restores_the_old_model(step: str) -> None:
    async with world() as w:
        await w.given(HALF)
        operation = begun(await w.ops.swap([HALF], [OTHER_HALF]))
        await w.when(operation, lambda now: steps(now)[step] == "RUNNING")
        begun(await w.ops.cancel(operation.id))
        ended = await w.end(operation)
        assert ended.state is OperationState.CANCELLED
        assert await w.listed() == [HALF]
        assert await w.serving() == [HALF]


async def test_a_time_out_rolls_back() -> None:
    async with world() as w:
        await w.given(HALF)
        ended = await w.end(await w.ops.swap([HALF], [OTHER_HALF], timeout_seconds=3))
        assert ended.state is OperationState.ROLLED_BACK
        assert isinstance(ended.error, TimedOut)
        assert await w.serving() == [HALF]


async def test_one_of_several_that_fails_restores_all_of_the_old_ones() -> None:
    async with world() as w:
        await w.given(OTHER_HALF)
        w.fault(f"load-fails:{C}")
        ended = await w.end(await w.ops.swap([OTHER_HALF], [HALF, C]))
        assert ended.state is OperationState.ROLLED_BACK
        assert await w.listed() == [OTHER_HALF]
        assert await w.serving() == [OTHER_HALF]


async def test_a_model_that_another_client_has_loaded_again_is_not_restored_twice() -> None:
    async with world(tiny_scenario(4)) as w:
        await w.end(await w.ops.load(HALF, nodes=["node-1", "node-2"]))
        w.fault(f"load-fails:{OTHER_HALF}")
        operation = begun(await w.ops.swap([HALF], [OTHER_HALF], nodes=["node-1", "node-2"]))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        other_copy = w.sim.control.place(HALF, nodes=["node-3", "node-4"])
        ended = await w.end(operation)
        assert ended.state is OperationState.ROLLED_BACK
        assert steps(ended)["restore"] == "SUCCEEDED"
        assert list((await w.snapshot()).state.instances) == [other_copy]
        assert await w.serving() == [HALF]


async def test_a_node_lost_while_the_new_model_loads_restores_the_old_one_on_other_nodes() -> None:
    async with world(tiny_scenario(3), rules=OperationRules(return_seconds=5.0)) as w:
        await w.end(await w.ops.load(HALF, nodes=["node-1", "node-2"]))
        operation = begun(await w.ops.swap([HALF], [OTHER_HALF], nodes=["node-1", "node-2"]))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        w.sim.control.kill_node("node-2")
        ended = await w.end(operation)
        assert ended.state is OperationState.ROLLED_BACK, ended
        assert await w.serving() == [HALF]
        lost = w.sim.control.node_id("node-2")
        (restored,) = (await w.snapshot()).state.instances.values()
        assert lost not in {shard.node_id for shard in restored.shards}


async def test_a_master_lost_during_a_swap_restores_the_old_model() -> None:
    async with world(_slow(3)) as w:
        await w.end(await w.ops.load(HALF, nodes=["node-1", "node-2"]))
        operation = begun(await w.ops.swap([HALF], [OTHER_HALF], nodes=["node-1", "node-2"]))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        # Every instance is lost with it. Commands hang, and those sent during the election are lost.
        w.sim.control.kill_master()
        ended = await w.end(operation)
        assert ended.state is OperationState.ROLLED_BACK, ended
        assert await w.listed() == [HALF]
        assert await w.serving() == [HALF]


@pytest.mark.parametrize("step", ["drain", "unload", "memory", "place"])
async def test_after_a_lost_master_a_model_serves_at_any_step(step: str) -> None:
    async with world(_slow(3)) as w:
        await w.end(await w.ops.load(HALF, nodes=["node-1", "node-2"]))
        operation = begun(await w.ops.swap([HALF], [OTHER_HALF], nodes=["node-1", "node-2"]))
        await w.when(operation, lambda now: steps(now)[step] == "RUNNING")
        w.sim.control.kill_master()
        ended = await w.end(operation)
        serves = {OperationState.SUCCEEDED: [OTHER_HALF], OperationState.ROLLED_BACK: [HALF]}
        assert await w.serving() == await w.listed() == serves[ended.state], ended


async def test_a_restore_that_fails_once_is_tried_again() -> None:
    async with world() as w:
        await w.given(HALF)
        w.fault(f"load-fails:{OTHER_HALF}")
        w.sim.control.inject(replace(parse_fault(f"load-fails:{HALF}"), count=5))
        ended = await w.end(await w.ops.swap([HALF], [OTHER_HALF]))
        assert ended.state is OperationState.ROLLED_BACK, ended
        assert await w.serving() == [HALF]


async def test_an_impossible_restore_is_reported() -> None:
    async with world() as w:
        await w.given(HALF)
        w.fault(f"load-fails:{OTHER_HALF}")
        w.fault(f"load-fails:{HALF}")
        ended = await w.end(await w.ops.swap([HALF], [OTHER_HALF]))
        assert ended.state is OperationState.FAILED
        assert "It could not be undone" in ended.message
        assert ended.error is not None
        assert "load what is missing" in (ended.error.suggestion or "")


async def test_an_old_model_unloaded_by_another_client_is_not_restored() -> None:
    async with world() as w:
        await w.given(HALF)
        (old,) = (await w.snapshot()).state.instances
        w.fault(f"load-fails:{OTHER_HALF}")
        operation = begun(await w.ops.swap([HALF], [OTHER_HALF]))
        await w.when(operation, lambda now: steps(now)["drain"] == "RUNNING")
        w.sim.control.delete_instance(old)
        ended = await w.end(operation)
        assert ended.state in (OperationState.ROLLED_BACK, OperationState.FAILED)
        assert w.sim.control.requests[DELETE] == 0
        assert await w.listed() == []


async def test_a_model_being_restored_shows_as_loading() -> None:
    async with world() as w:
        await w.given(HALF)
        w.fault(f"load-fails:{OTHER_HALF}")
        operation = begun(await w.ops.swap([HALF], [OTHER_HALF]))
        await w.when(operation, lambda now: steps(now).get("restore") == "RUNNING")
        await w.until(lambda snapshot: phase_of(snapshot, HALF) is Phase.LOADING, seconds=60)
        assert (await w.end(operation)).state is OperationState.ROLLED_BACK


def _slow(nodes: int) -> Scenario:
    """Nodes that take a quarter of a minute to load half of `half`."""
    scenario = tiny_scenario(nodes)
    return replace(scenario, machines=tuple(replace(machine, load_rate=0.3e9) for machine in scenario.machines))
