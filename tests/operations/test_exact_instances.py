"""A request may name exactly the instances to unload: other ones of the same model are not touched."""

import asyncio

import pytest

from exo_graphql.operations import OperationConflict, OperationKind, OperationState
from exo_graphql.operations.requests import OperationRequest
from exo_graphql.simulator import tiny_scenario
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, B, SimulatedCluster, begun, world

pytestmark = pytest.mark.anyio


async def _two_copies(w: SimulatedCluster) -> tuple[str, str]:
    await w.given(A)
    (first,) = (await w.snapshot()).state.instances
    w.sim.control.place(A, ["node-2"])
    snapshot = await w.until(lambda s: s.status(A).ready_instances == 2)
    (second,) = set(snapshot.state.instances) - {first}
    return first, second


def _request(kind: OperationKind, instances: tuple[str, ...], **more: object) -> OperationRequest:
    return OperationRequest(kind, instances=instances, deployment="uid", **more)  # type: ignore[arg-type]


async def test_only_the_named_instances_are_unloaded() -> None:
    async with world() as w:
        first, second = await _two_copies(w)
        request = _request(OperationKind.UNLOAD, (first,), unload=(A,))
        operation = await w.end(await w.ops.reconcile(request, "key"))
        assert operation.state is OperationState.SUCCEEDED
        assert operation.deployment == "uid"
        assert set((await w.snapshot()).state.instances) == {second}
        assert w.ops.by_key("key") == operation


async def test_an_instance_that_no_longer_exists_counts_as_unloaded() -> None:
    async with world() as w:
        first, second = await _two_copies(w)
        request = _request(OperationKind.UNLOAD, ("gone",), unload=(A,))
        assert (await w.end(await w.ops.reconcile(request, "key"))).state is OperationState.SUCCEEDED
        assert set((await w.snapshot()).state.instances) == {first, second}


async def test_an_instance_is_replaced_by_another_one_of_the_same_model() -> None:
    async with world(tiny_scenario(3)) as w:
        await w.given(A)
        (old,) = (await w.snapshot()).state.instances
        request = _request(OperationKind.SWAP, (old,), load=(A,), unload=(A,), additional=True, nodes=("node-3",))
        operation = await w.end(await w.ops.reconcile(request, "key"))
        assert operation.state is OperationState.SUCCEEDED
        ((model, new),) = operation.placed
        assert model == A
        assert set((await w.snapshot()).state.instances) == {new} != {old}


async def test_a_swap_that_is_rolled_back_reports_what_it_has_restored() -> None:
    async with world() as w:
        await w.given(HALF)
        (old,) = (await w.snapshot()).state.instances
        w.fault(f"load-fails:{OTHER_HALF}")
        request = _request(OperationKind.SWAP, (old,), load=(OTHER_HALF,), unload=(HALF,))
        operation = await w.end(await w.ops.reconcile(request, "key"))
        assert operation.state is OperationState.ROLLED_BACK
        (restored,) = (await w.snapshot()).state.instances
        assert (HALF, restored) in operation.placed


async def test_a_deployments_request_comes_after_a_persons() -> None:
    async with world() as w:
        persons = begun(await w.ops.load(B))
        request = OperationRequest(OperationKind.LOAD, load=(B,), min_nodes=2, deployment="uid")
        refused = await w.ops.reconcile(request, "key")
        assert isinstance(refused, OperationConflict)
        assert refused.operation_id == persons.id
        assert w.ops.by_key("key") is None


async def test_a_deployment_does_not_load_again_what_a_persons_request_waits_for() -> None:
    async with world() as w:
        request = OperationRequest(OperationKind.LOAD, load=(A,), deployment="uid")
        ours = begun(await w.ops.reconcile(request, "1"))
        attempts: list[object] = []

        async def again() -> None:
            attempts.append(await w.ops.reconcile(request, f"{len(attempts) + 2}"))

        loading = asyncio.create_task(w.ops.load(A, min_nodes=2))
        await w.when(ours, lambda now: not now.active)
        await again()
        assert isinstance(attempts[0], OperationConflict)
        ended = await w.end(await loading)
        assert ended.state is OperationState.SUCCEEDED
        assert await w.listed() == [A]
