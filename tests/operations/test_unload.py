"""Unloading: drain, delete, and wait until the memory is free again."""

import asyncio

import httpx
import pytest

from exo_graphql.cluster.readiness import Phase
from exo_graphql.operations import (
    InstanceNotFound,
    ModelNotLoaded,
    Operation,
    OperationConflict,
    OperationKind,
    OperationRules,
    OperationState,
)
from exo_graphql.operations.requests import OperationRequest
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, B, SimulatedCluster, begun, phase_of, steps, world

pytestmark = pytest.mark.anyio


async def test_an_unload_succeeds_when_the_memory_is_free_again() -> None:
    async with world() as w:
        await w.given(HALF)
        before = {node.id: node.ram_available_bytes or 0 for node in (await w.snapshot()).nodes}
        operation = begun(await w.ops.unload(HALF))
        assert operation.message == f"To be unloaded: {HALF}."
        await w.when(operation, lambda now: steps(now)["unload"] == "SUCCEEDED")
        assert await w.listed() == []
        ended = await w.end(operation)
        snapshot = w.poller.snapshot
        assert snapshot is not None
        after = {node.id: node.ram_available_bytes or 0 for node in snapshot.nodes}
        # 9 GiB on two nodes: each has at least 80 % of its half free again.
        assert all(after[id_] - before[id_] >= 0.8 * 4.5 * (1 << 30) for id_ in before)
        assert ended.state is OperationState.SUCCEEDED
        assert steps(ended) == {"drain": "SUCCEEDED", "unload": "SUCCEEDED", "memory": "SUCCEEDED"}


async def test_the_model_is_unloading_until_then() -> None:
    async with world() as w:
        await w.given(HALF)
        operation = begun(await w.ops.unload(HALF))
        await w.when(operation, lambda now: steps(now)["memory"] == "RUNNING")
        snapshot = await w.until(lambda snapshot: not snapshot.state.instances)
        assert phase_of(snapshot, HALF) is Phase.UNLOADING
        await w.end(operation)
        assert phase_of(await w.snapshot(), HALF) is Phase.NOT_LOADED


async def test_memory_that_is_not_freed_is_reported_after_a_bounded_wait() -> None:
    # Free memory never rises by ten times what was held.
    async with world(rules=OperationRules(memory_share=10.0, memory_seconds=7.0)) as w:
        await w.given(HALF)
        operation = begun(await w.ops.unload(HALF))
        await w.when(operation, lambda now: steps(now)["memory"] == "RUNNING")
        began = asyncio.get_running_loop().time()
        ended = await w.end(operation)
        assert 7.0 <= asyncio.get_running_loop().time() - began < 9.0
        assert ended.state is OperationState.SUCCEEDED
        assert "Not back after 7 s" in ended.message


async def test_the_memory_of_a_small_shard_counts_as_free_after_two_newer_reports() -> None:
    async with world() as w:
        # 40 MB of 8 GiB: below one percent, so a rise of the free memory would prove nothing.
        await w.given(A)
        (node_id,) = {shard.node_id for i in (await w.snapshot()).state.instances.values() for shard in i.shards}
        assert node_id is not None
        operation = begun(await w.ops.unload(A))
        await w.when(operation, lambda now: steps(now)["memory"] == "RUNNING")
        first = (await w.snapshot()).state.nodes[node_id].last_seen
        ended = await w.end(operation)
        assert w.poller.snapshot is not None
        last = w.poller.snapshot.state.nodes[node_id].last_seen
        assert first is not None
        assert last is not None
        assert last > first
        assert ended.message == f"{A} unloaded."


async def test_all_instances_are_unloaded_or_only_the_named_one() -> None:
    async with world() as w:
        await w.given(A)
        assert w.sim.control.place(A) is not None
        snapshot = await w.until(lambda snapshot: len(snapshot.instances_of(A)) == 2)
        named, kept = (instance.id for instance in snapshot.instances_of(A))
        assert (await w.end(await w.ops.unload(A, instance=named))).state is OperationState.SUCCEEDED
        assert list((await w.snapshot()).state.instances) == [kept]
        assert w.sim.control.place(A) is not None
        await w.until(lambda snapshot: len(snapshot.instances_of(A)) == 2)
        assert (await w.end(await w.ops.unload(A))).state is OperationState.SUCCEEDED
        assert await w.listed() == []


async def test_unloading_a_model_that_is_not_loaded_is_an_error() -> None:
    async with world() as w:
        await w.given(B)
        error = await w.ops.unload(A)
        assert isinstance(error, ModelNotLoaded)
        assert error.loaded_ids == (B,)
        unknown = await w.ops.unload(B, instance="nonsense")
        assert isinstance(unknown, InstanceNotFound)
        assert len(unknown.instance_ids) == 1
        assert await w.serving() == [B]


async def test_a_model_that_is_about_to_be_loaded_is_not_called_unloaded() -> None:
    """It has no instance yet: while its load is planned, while that begins, and while a swap restores it."""
    async with world() as w:
        load, conflict = await asyncio.gather(w.ops.load(HALF), w.ops.unload(HALF))
        assert isinstance(conflict, OperationConflict), conflict
        assert isinstance(await w.ops.unload(HALF), OperationConflict)
        unload = OperationRequest(OperationKind.UNLOAD, load=(), unload=(HALF,))
        assert isinstance((await w.ops.propose(unload)).error, OperationConflict)
        assert (await w.end(load)).state is OperationState.SUCCEEDED
        w.fault(f"load-fails:{OTHER_HALF}")
        swap = begun(await w.ops.swap([HALF], [OTHER_HALF]))
        await w.until(lambda snapshot: not snapshot.instances_of(HALF))
        assert isinstance(await w.ops.unload(HALF), ModelNotLoaded)  # so far it is to stay unloaded
        await w.when(swap, lambda now: steps(now).get("restore") == "RUNNING")
        restoring = await w.ops.unload(HALF)
        assert isinstance(restoring, OperationConflict), restoring
        assert restoring.operation_id == swap.id
        assert (await w.end(swap)).state is OperationState.ROLLED_BACK


async def test_running_inference_is_waited_for() -> None:
    async with world() as w:
        await w.given(A)
        async with Chat(w, A, tokens=400) as chat:
            await w.until(lambda snapshot: snapshot.active_task_count == 1)
            operation = begun(await w.ops.unload(A, drain_seconds=300))
            draining = await w.when(operation, lambda now: "Waiting for 1 request to end" in now.message)
            assert draining.active
            assert await w.serving() == [A]
            ended = await w.end(operation)
            assert ended.state is OperationState.SUCCEEDED
            assert (await chat).json()["choices"][0]["finish_reason"] == "stop"


async def test_an_instance_placed_after_the_drain_is_drained_before_it_is_deleted() -> None:
    async with world() as w:
        await w.given(A)
        operation = begun(await w.ops.unload(A, drain_seconds=300))
        await w.when(operation, lambda now: steps(now)["unload"] == "RUNNING")
        copy = w.sim.control.place(A)
        await w.until(lambda snapshot: list(snapshot.state.instances) == [copy])
        async with Chat(w, A, tokens=400) as chat:
            ended = await w.end(operation)
            assert ended.state is OperationState.SUCCEEDED
            assert (await chat).json()["choices"][0]["finish_reason"] == "stop"
        assert await w.listed() == []


async def test_draining_ends_after_drain_seconds() -> None:
    async with world() as w:
        await w.given(A)
        async with Chat(w, A, tokens=100_000):
            await w.until(lambda snapshot: snapshot.active_task_count == 1)
            operation = begun(await w.ops.unload(A, drain_seconds=2))
            ended = await w.end(operation)
            assert ended.state is OperationState.SUCCEEDED
            drain = ended.step("drain")
            assert drain is not None
            assert drain.message == "1 request still running after 2 s: not waited for any longer."


async def test_an_instance_that_another_client_removes_meanwhile_counts_as_unloaded() -> None:
    async with world() as w:
        await w.given(A)
        (instance,) = (await w.snapshot()).state.instances
        async with Chat(w, A, tokens=100_000):
            await w.until(lambda snapshot: snapshot.active_task_count == 1)
            operation = begun(await w.ops.unload(A, drain_seconds=60))
            await w.when(operation, lambda now: "Waiting for 1" in now.message)
            w.sim.control.delete_instance(instance)
            ended = await w.end(operation)
        assert ended.state is OperationState.SUCCEEDED
        unload = ended.step("unload")
        assert unload is not None
        assert unload.message == "Another client had removed it already."
        assert w.sim.control.requests["DELETE", "/instance/{instance_id}"] == 0


async def test_a_cancelled_unload_restores_what_was_removed() -> None:
    async with world() as w:
        await w.given(HALF)
        (old,) = (await w.snapshot()).state.instances
        operation = begun(await w.ops.unload(HALF))
        await w.when(operation, lambda now: steps(now)["memory"] == "RUNNING")
        await w.ops.cancel(operation.id)
        ended = await w.end(operation)
        assert ended.state is OperationState.CANCELLED
        assert await w.serving() == [HALF]
        assert old not in (await w.snapshot()).state.instances


async def test_cancelling_while_draining_changes_nothing() -> None:
    async with world() as w:
        await w.given(A)
        async with Chat(w, A, tokens=100_000):
            await w.until(lambda snapshot: snapshot.active_task_count == 1)
            operation = begun(await w.ops.unload(A, drain_seconds=60))
            assert isinstance(operation, Operation)
            await w.when(operation, lambda now: steps(now)["drain"] == "RUNNING")
            await w.ops.cancel(operation.id)
            assert (await w.end(operation)).state is OperationState.CANCELLED
            assert w.sim.control.requests["DELETE", "/instance/{instance_id}"] == 0


class Chat:
    """A chat in progress; awaiting it gives exo's answer. Leaving closes the connection."""

    def __init__(self, w: SimulatedCluster, model: str, tokens: int) -> None:
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(w.sim.app), base_url="http://exo")
        body = {"model": model, "max_tokens": tokens, "messages": [{"role": "user", "content": "hi"}]}
        self._task = asyncio.ensure_future(self._client.post("/v1/chat/completions", json=body, timeout=None))

    async def __aenter__(self) -> "asyncio.Future[httpx.Response]":
        return self._task

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._client.aclose()
