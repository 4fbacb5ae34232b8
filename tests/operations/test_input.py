"""Invalid input: a typed error with a suggestion, and an unchanged cluster."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from exo_graphql.operations import (
    ClusterUnavailable,
    InvalidArgument,
    ModelAmbiguous,
    ModelNotFound,
    NodeNotFound,
    Operation,
    OperationError,
    OperationState,
)
from exo_graphql.simulator import Scenario, tiny_scenario
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, SimulatedCluster, steps, world

pytestmark = pytest.mark.anyio

Send = Callable[[SimulatedCluster], Awaitable[Operation | OperationError]]

REQUESTS: dict[str, tuple[Send, type[OperationError]]] = {
    "unknown model": (lambda w: w.ops.load("nonesuch"), ModelNotFound),
    "unknown model to unload": (lambda w: w.ops.unload("nonesuch"), ModelNotFound),
    "unknown model in a swap": (lambda w: w.ops.swap([A], ["nonesuch"]), ModelNotFound),
    "empty model": (lambda w: w.ops.load(""), InvalidArgument),
    "blank model": (lambda w: w.ops.load("  \n"), InvalidArgument),
    "absurd model": (lambda w: w.ops.load("x" * 100_000), InvalidArgument),
    "absurd model to unload": (lambda w: w.ops.unload("x" * 100_000), InvalidArgument),
    "absurd list": (lambda w: w.ops.swap(["tiny-a"] * 10_000, ["tiny-b"]), InvalidArgument),
    "no nodes": (lambda w: w.ops.load("tiny-b", min_nodes=0), InvalidArgument),
    "minus one node": (lambda w: w.ops.load("tiny-b", min_nodes=-1), InvalidArgument),
    "a billion nodes": (lambda w: w.ops.load("tiny-b", min_nodes=10**9), InvalidArgument),
    "unknown node": (lambda w: w.ops.load("tiny-b", nodes=["node-1", "node-9"]), NodeNotFound),
    "empty node": (lambda w: w.ops.load("tiny-b", nodes=[""]), InvalidArgument),
    "empty list of nodes": (lambda w: w.ops.load("tiny-b", nodes=[]), InvalidArgument),
    "more nodes than chosen": (lambda w: w.ops.load("tiny-b", nodes=["node-1"], min_nodes=2), InvalidArgument),
    "no time": (lambda w: w.ops.load("tiny-b", timeout_seconds=0), InvalidArgument),
    "negative drain": (lambda w: w.ops.unload(A, drain_seconds=-1), InvalidArgument),
    "endless drain": (lambda w: w.ops.unload(A, drain_seconds=10**9), InvalidArgument),
    "empty key": (lambda w: w.ops.unload(A, idempotency_key=""), InvalidArgument),
    "absurd key": (lambda w: w.ops.unload(A, idempotency_key="k" * 10_000), InvalidArgument),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_an_invalid_request_is_rejected_and_changes_nothing(name: str) -> None:
    send, kind = REQUESTS[name]
    async with world() as w:
        await w.given(A)
        error = await send(w)
        assert type(error) is kind
        assert error.message
        assert error.suggestion
        assert w.ops.all() == ()
        assert await w.serving() == [A]
        assert all(method == "GET" for method, _ in w.sim.control.requests)


async def test_an_unknown_model_comes_with_close_matches() -> None:
    async with world() as w:
        error = await w.ops.load("tiny-aa")
        assert isinstance(error, ModelNotFound)
        assert error.candidates[0] == A
        assert error.code == "MODEL_NOT_FOUND"


async def test_an_unknown_node_comes_with_the_existing_nodes() -> None:
    async with world() as w:
        error = await w.ops.load("tiny-a", nodes=["node-7"])
        assert isinstance(error, NodeNotFound)
        assert error.available == ("node-1", "node-2")


async def test_an_ambiguous_name_comes_with_its_candidates() -> None:
    async with world(_two_models_of_one_name()) as w:
        error = await w.ops.load("tiny-a")
        assert isinstance(error, ModelAmbiguous)
        assert set(error.candidates) == {A, "other/tiny-a"}


@pytest.mark.parametrize("fault", ["error", "garbage", "hang"])
async def test_a_request_is_rejected_while_exo_fails(fault: str) -> None:
    async with world() as w:
        w.fault(fault)
        error = await w.ops.load(A)
        assert isinstance(error, ClusterUnavailable)
        assert error.suggestion
        w.sim.control.clear()
        await w.until(lambda snapshot: not snapshot.stale)
        assert (await w.end(await w.ops.load(A))).state is OperationState.SUCCEEDED


@pytest.mark.parametrize("fault", ["error", "garbage", "hang"])
@pytest.mark.parametrize("step", ["download", "drain", "unload", "memory", "place", "load"])
async def test_a_short_failure_of_exo_at_any_step_only_delays_a_swap(fault: str, step: str) -> None:
    async with world() as w:
        await w.given(HALF)
        operation = await w.ops.swap([HALF], [OTHER_HALF])
        await w.when(operation, lambda now: steps(now)[step] == "RUNNING")
        w.fault(f"{fault}@0+20")
        ended = await w.end(operation)
        assert ended.state is OperationState.SUCCEEDED, ended
        assert await w.listed() == [OTHER_HALF]
        assert await w.serving() == [OTHER_HALF]


@pytest.mark.parametrize("fault", ["error", "garbage", "hang"])
@pytest.mark.parametrize("step", ["drain", "unload", "memory", "place", "load"])
async def test_after_a_long_failure_of_exo_either_the_old_or_the_new_model_is_ready(fault: str, step: str) -> None:
    async with world() as w:
        await w.given(HALF)
        operation = await w.ops.swap([HALF], [OTHER_HALF])
        await w.when(operation, lambda now: steps(now)[step] == "RUNNING")
        w.fault(f"{fault}@0+700")
        ended = await w.end(operation)
        await w.until(lambda snapshot: not snapshot.stale, seconds=900)
        serves = {
            OperationState.SUCCEEDED: [OTHER_HALF],
            OperationState.ROLLED_BACK: [HALF],
            # It failed before it had changed anything.
            OperationState.FAILED: [HALF],
        }
        await w.until(lambda snapshot: all(snapshot.instance_status(id_).ready for id_ in snapshot.state.instances))
        assert await w.serving() == await w.listed() == serves[ended.state], ended


def _two_models_of_one_name() -> Scenario:
    scenario = tiny_scenario()
    twin = replace(scenario.cards[0], model_id="other/tiny-a")
    return replace(scenario, cards=(*scenario.cards, twin))
