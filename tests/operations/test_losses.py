"""Every loss at every step: the result of the operation agrees with what exo holds.

Each case starts one operation, causes one loss at the beginning of one step, and compares the final state and message
with the cluster. The rules for a true result are in `_check`, once for all cases.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from exo_graphql.operations import Operation, OperationError, Operations, OperationState
from exo_graphql.simulator import Fault, tiny_scenario
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, B, SimulatedCluster, begun, steps, world

pytestmark = pytest.mark.anyio

LONGEST = 150.0
"""Seconds from the loss to the end: 45 until exo drops the instances of a lost node, 60 for a node to return, loads."""


@dataclass(frozen=True)
class Case:
    """An operation, what is loaded before it, and its steps. The last of the nodes is the master."""

    given: tuple[str, ...]
    request: Callable[[Operations], Awaitable[Operation | OperationError]]
    steps: tuple[str, ...]
    old_at: tuple[str, ...]
    """The steps at whose beginning exo lists what is to be unloaded."""
    new_at: tuple[str, ...]
    """The steps at whose beginning exo lists what is to be loaded."""
    nodes: int = 2


LOAD = ("place", "load")
BESIDE = ("place", "load", "drain", "unload", "memory")
FIRST = ("download", "drain", "unload", "memory", "place", "load")
ONE_BY_ONE = ("unload", f"load {A}", f"place {B}", f"load {B}")
CASES = {
    "load": Case((), lambda ops: ops.load(A, min_nodes=2), LOAD, (), ("load",), nodes=3),
    "load beside": Case((B,), lambda ops: ops.load(A), LOAD, (), ("load",)),
    "unload": Case((A,), lambda ops: ops.unload(A), ("drain", "unload", "memory"), ("drain", "unload"), (), nodes=3),
    "side by side": Case((A,), lambda ops: ops.swap([A], [B], min_nodes=2), BESIDE, BESIDE[:-1], BESIDE[1:], nodes=3),
    "unload first": Case((HALF,), lambda ops: ops.swap([HALF], [OTHER_HALF]), FIRST, FIRST[:3], FIRST[5:]),
    "two for one": Case(
        (A, B),
        lambda ops: ops.swap([A, B], [OTHER_HALF]),
        ("unload", "memory", "place", "load"),
        ("place", "load", "unload"),
        ("load", "unload", "memory"),
    ),
    "one for two": Case((OTHER_HALF,), lambda ops: ops.swap([OTHER_HALF], [A, B]), ONE_BY_ONE, ONE_BY_ONE, ONE_BY_ONE),
}


async def _holds(w: SimulatedCluster) -> dict[str, tuple[str, bool]]:
    """Model and readiness by instance, read from exo's state without this package."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(w.sim.app), base_url="http://exo") as exo:
        state = (await exo.get("/state")).json()
    held = {}
    for id_, document in state["instances"].items():
        (instance,) = document.values()
        assigned = instance["shardAssignments"]
        runners = [state["runners"].get(runner, {"None": {}}) for runner in assigned["runnerToShard"]]
        on_members = set(assigned["nodeToRunner"]) <= set(state["topology"]["nodes"])
        ready = on_members and all({"RunnerReady", "RunnerRunning"} & runner.keys() for runner in runners)
        held[id_] = (assigned["modelId"], ready)
    return held


async def _held(w: SimulatedCluster, models: tuple[str, ...]) -> list[str]:
    """The instances of these models: there is something to lose."""
    held = [id_ for id_, (model, _) in (await _holds(w)).items() if model in models]
    assert held
    return held


async def _nothing(w: SimulatedCluster, operation: Operation) -> None:
    """For comparison."""


async def _new_deleted(w: SimulatedCluster, operation: Operation) -> None:
    for id_ in await _held(w, operation.load_ids):
        w.sim.control.delete_instance(id_)


async def _old_deleted(w: SimulatedCluster, operation: Operation) -> None:
    for id_ in await _held(w, operation.unload_ids):
        w.sim.control.delete_instance(id_)


async def _runner_fails(w: SimulatedCluster, operation: Operation) -> None:
    for id_ in await _held(w, operation.load_ids):
        w.sim.control.crash(id_)


async def _node_dies(w: SimulatedCluster, operation: Operation) -> None:
    w.sim.control.inject(Fault("node-dies", "node-2", at=w.sim.control.now))


async def _node_dies_and_returns(w: SimulatedCluster, operation: Operation) -> None:
    w.sim.control.inject(Fault("node-dies", "node-2", at=w.sim.control.now, duration=15.0))


async def _master_dies(w: SimulatedCluster, operation: Operation) -> None:
    w.sim.control.inject(Fault("master-dies", at=w.sim.control.now, duration=5.0))


async def _exo_restarts(w: SimulatedCluster, operation: Operation) -> None:
    w.sim.control.restart(4.0)


async def _exo_hangs(w: SimulatedCluster, operation: Operation) -> None:
    w.sim.control.inject(Fault("hang", at=w.sim.control.now, duration=12.0))


async def _old_loaded_again(w: SimulatedCluster, operation: Operation) -> None:
    assert operation.unload_ids
    for model in operation.unload_ids:
        w.sim.control.place(model)


async def _new_loaded_by_others(w: SimulatedCluster, operation: Operation) -> None:
    assert operation.load_ids
    for model in operation.load_ids:
        w.sim.control.place(model)


LOSSES = {
    loss.__name__.removeprefix("_"): loss
    for loss in (
        _nothing,
        _new_deleted,
        _old_deleted,
        _runner_fails,
        _node_dies,
        _node_dies_and_returns,
        _master_dies,
        _exo_restarts,
        _exo_hangs,
        _old_loaded_again,
        _new_loaded_by_others,
    )
}


def _losses(case: Case, step: str) -> Iterator[str]:
    """What there is to lose at the beginning of a step: the rest would be the same as no loss at all."""
    absent = {
        "nothing": step != case.steps[0],
        "new_deleted": step not in case.new_at,
        "runner_fails": step not in case.new_at,
        "old_deleted": step not in case.old_at,
        "old_loaded_again": not case.old_at,
        "new_loaded_by_others": not case.new_at,
    }
    return (loss for loss in LOSSES if not absent.get(loss))


@pytest.mark.parametrize(
    ("case", "step", "loss"),
    [(name, step, loss) for name, case in CASES.items() for step in case.steps for loss in _losses(case, step)],
    ids=lambda part: part,
)
async def test_the_result_of_an_operation_agrees_with_exo(case: str, step: str, loss: str) -> None:
    chosen = CASES[case]
    async with world(tiny_scenario(chosen.nodes)) as w:
        await w.given(*chosen.given)
        operation = begun(await chosen.request(w.ops))
        reached = await w.when(operation, lambda now: not now.active or steps(now)[step] in ("RUNNING", "SKIPPED"))
        assert reached.active, reached
        lost_at = w.sim.control.now
        await LOSSES[loss](w, operation)
        ended = await w.end(operation)
        assert w.sim.control.now - lost_at < LONGEST, (w.sim.control.now - lost_at, ended)
        await _check(w, ended, chosen.given)


async def _check(w: SimulatedCluster, ended: Operation, given: tuple[str, ...]) -> None:
    holds = sorted((await _holds(w)).values())
    ready = {model for model, is_ready in holds if is_ready}
    listed = [model for model, _ in holds]
    context = f"{ended.state.value}: {ended.message} | exo holds {holds}"
    if ended.state is OperationState.SUCCEEDED:
        assert ready >= set(ended.load_ids), context
        for model in ended.unload_ids:
            assert model not in listed or model in ended.message.partition("another client has loaded")[2], context
        return
    assert ended.error is not None, context
    assert ended.state is not OperationState.ROLLED_BACK or ready >= set(ended.unload_ids) & set(given), context
    for model in set(ended.unload_ids) & set(given) - ready:
        short = (f"{model} is not loaded any more", f"{model} was removed by another client", f"{model} is ")
        assert any(words in ended.message for words in short) or "not loaded any more" in ended.message, context
        assert model in ended.message, context
    loaded_by_others = "Another client has loaded" in ended.message
    if ("as it was before" in ended.message or "removed again" in ended.message) and not loaded_by_others:
        assert not set(ended.load_ids) & set(listed), context
    if "as it was before" in ended.message:
        assert sorted(listed) == sorted(given), context
