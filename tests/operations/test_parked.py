"""Operations belong to their cluster: one that began on another cluster is parked."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.cluster.state import Node, State
from exo_graphql.operations import Operation, OperationConflict, OperationFinished, Operations, OperationState
from exo_graphql.operations.membership import is_same_cluster, members_of, present_id
from exo_graphql.simulator import Scenario, tiny_scenario
from tests.operations.test_records import NOW
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, SimulatedCluster, begun, operations, steps, world

pytestmark = pytest.mark.anyio

CREATE, DELETE = ("POST", "/instance"), ("DELETE", "/instance/{instance_id}")


def _other_cluster(prefix: str = "other") -> Scenario:
    """The same machines under other names."""
    scenario = tiny_scenario()
    names = {machine.name: machine.name.replace("node", prefix) for machine in scenario.machines}
    return replace(
        scenario,
        machines=tuple(replace(machine, name=names[machine.name]) for machine in scenario.machines),
        api=names[scenario.api],
        master=names[scenario.master],
        weights={model: tuple(names[name] for name in held) for model, held in scenario.weights.items()},
    )


@asynccontextmanager
async def _begun(path: Path, step: str) -> AsyncIterator[str]:
    """A swap of HALF for OTHER_HALF whose server ended at a step; its id."""
    async with world() as w:
        await w.given(HALF)
        async with operations(w.poller, path) as ops:
            operation = begun(await ops.swap([HALF], [OTHER_HALF]))
            await w.when(operation, lambda now: steps(now)[step] == "RUNNING", ops)
    yield operation.id


async def _parked(w: SimulatedCluster, ops: Operations, operation_id: str) -> Operation:
    operation = ops.get(operation_id)
    assert operation is not None
    return await w.when(operation, lambda now: now.state is OperationState.PARKED, ops)


@pytest.mark.parametrize("step", ["drain", "memory", "place", "load"])
async def test_a_swap_is_not_continued_on_another_cluster(step: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with _begun(path, step) as id_, world(_other_cluster(), seed=2) as w:
        await w.given(HALF)
        async with operations(w.poller, path) as ops:
            parked = await _parked(w, ops, id_)
            assert "begun on another cluster (of node-1, node-2); here are other-1, other-2" in parked.message
            assert w.sim.control.requests[CREATE] == w.sim.control.requests[DELETE] == 0
            # It blocks no operation here.
            ended = await w.end(await ops.swap([HALF], [OTHER_HALF]), ops)
            assert ended.state is OperationState.SUCCEEDED
            assert [operation.id for operation in ops.all(active=True)] == [id_]
            discarded = await w.end(await ops.cancel(id_), ops)
            assert discarded.state is OperationState.CANCELLED
            assert "nothing was undone" in discarded.message
            assert await w.serving() == [OTHER_HALF]
        async with operations(w.poller, path) as ops:
            assert ops.all(active=True) == ()


async def test_a_parked_operation_is_resumed_on_request(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with _begun(path, "drain") as id_, world(_other_cluster(), seed=2) as w:
        await w.given(HALF)
        async with operations(w.poller, path) as ops:
            await _parked(w, ops, id_)
            begun(await ops.resume(id_))
            ended = await w.end(begun(await ops.resume(id_)), ops)
            assert ended.state is OperationState.SUCCEEDED, ended
            assert await w.listed() == [OTHER_HALF]
            assert isinstance(await ops.resume(id_), OperationFinished)


async def test_a_parked_operation_is_not_resumed_while_another_uses_its_model(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with _begun(path, "drain") as id_, world(_other_cluster(), seed=2) as w, operations(w.poller, path) as ops:
        await _parked(w, ops, id_)
        other = begun(await ops.load(OTHER_HALF))
        refused = await ops.resume(id_)
        assert isinstance(refused, OperationConflict)
        assert refused.operation_id == other.id


async def test_it_stays_parked_after_a_restart_and_continues_on_its_own_cluster(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with AsyncExitStack() as stack:
        id_ = await stack.enter_async_context(_begun(path, "memory"))
        for _ in range(2):
            async with world(_other_cluster(), seed=2) as w, operations(w.poller, path) as ops:
                await _parked(w, ops, id_)
        async with world() as w:
            await w.given(A)
            (taken,) = (await w.snapshot()).state.instances
            w.sim.control.delete_instance(taken)
            async with operations(w.poller, path) as ops:
                ended = await w.end(ops.get(id_), ops)  # type: ignore[arg-type]  # it is there
                assert ended.state is OperationState.SUCCEEDED, ended
                assert await w.listed() == [OTHER_HALF]


async def test_every_node_restarted_is_the_same_cluster(tmp_path: Path) -> None:
    """All ids are new; the names are not."""
    path = tmp_path / "journal.db"
    async with world() as w:
        await w.given(HALF)
        async with operations(w.poller, path) as ops:
            operation = begun(await ops.swap([HALF], [OTHER_HALF]))
            await w.when(operation, lambda now: steps(now)["memory"] == "RUNNING", ops)
        w.sim.control.restart(4.0)
        async with operations(w.poller, path) as ops:
            ended = await w.end(operation, ops)
            assert ended.state is OperationState.SUCCEEDED, ended
            assert await w.serving() == [OTHER_HALF]


# Which cluster it is


async def _snapshot(*names: str | None, ids: str = "x") -> Snapshot:
    nodes = {f"{ids}{number}": Node(f"{ids}{number}", friendly_name=name) for number, name in enumerate(names)}
    snapshot, _ = advance(None, State(nodes=nodes), Moment(NOW, 0.0), Source("http://exo"))
    assert snapshot is not None
    return snapshot


@pytest.mark.parametrize(
    ("then", "now", "same"),
    [
        ({"a": "one", "b": "two"}, ("one", "two"), True),
        ({"a": "One"}, ("one",), True),
        ({"a": "one", "b": "two", "c": "three", "d": "four"}, ("one",), True),
        ({"a": "one", "b": "two", "c": "three"}, ("one", "five", "six"), False),
        ({"a": "mini", "b": "mini"}, ("mini", "studio"), True),
        ({"a": "one"}, ("two",), False),
        ({"a": "one"}, (None,), False),
        ({"a": ""}, ("one",), False),
        ({"x0": ""}, ("another name",), True),
        ({}, ("one",), True),
    ],
)
async def test_a_cluster_is_known_by_its_members(then: dict[str, str], now: tuple[str | None, ...], same: bool) -> None:
    assert is_same_cluster(then, await _snapshot(*now)) is same


async def test_a_former_node_is_found_by_its_name_if_that_is_unique() -> None:
    then = members_of(await _snapshot("one", "two", "twin", "twin", None, ids="then"))
    now = await _snapshot("two", "twin", "ONE", ids="now")
    assert present_id(then, now, "then0") == "now2"
    assert present_id(then, now, "then1") == "now0"
    assert present_id(then, now, "then2") == "now1"
    assert present_id(then, now, "then4") is None
    assert present_id(then, await _snapshot("twin", "twin", ids="now"), "then2") is None
