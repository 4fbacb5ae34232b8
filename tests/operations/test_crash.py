"""A server that is killed at any point and started again finishes or rolls back, and places nothing twice."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.operations import Operation, Operations, OperationState
from exo_graphql.operations.run import Run
from exo_graphql.storage import Collection, Entry, Key
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.killer import KillableUpstream, Killer
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, B, SimulatedCluster, operations, steps, world

pytestmark = pytest.mark.anyio

OperationRequest = Callable[[Operations], Awaitable[object]]


async def _run_until_killed(
    w: SimulatedCluster,
    journal: Path,
    fatal: int | None,
    request: OperationRequest,
    monkeypatch: pytest.MonkeyPatch,
    *,
    cancel_at: str | None,
) -> int:
    """One process: it sends the request, executes the operation, and is killed at the moment `fatal`.

    Returns the number of moments that it reached.
    """
    killer = Killer(fatal)
    save, admit = SQLiteStore.save, SQLiteStore.admit

    async def killable_save(self: SQLiteStore, collection: Collection, entry: Entry) -> None:
        await killer.around(save(self, collection, entry))

    async def killable_admit(self: SQLiteStore, collection: Collection, entry: Entry, key: Key | None = None) -> None:
        await killer.around(admit(self, collection, entry, key))

    with monkeypatch.context() as patched:
        patched.setattr(SQLiteStore, "save", killable_save)
        patched.setattr(SQLiteStore, "admit", killable_admit)
        opened = operations(KillableUpstream(w.poller, killer), journal)
        ops = await opened.__aenter__()
        with suppress(asyncio.CancelledError):
            operation = await request(ops)
            assert isinstance(operation, Operation), operation
            if cancel_at is not None:
                cancelling: set[asyncio.Task[None]] = set()
                ops.listen(lambda: _cancel(ops, operation.id, cancel_at, cancelling))
            done = asyncio.create_task(w.end(operation, ops))
            killed = asyncio.create_task(killer.killed.wait())
            await asyncio.wait({done, killed}, return_when=asyncio.FIRST_COMPLETED)
            for task in (done, killed):
                task.cancel()
        # As a kernel does to a killed process: no task continues, no file stays open.
        await opened.__aexit__(None, None, None)
    return killer.moments


def _cancel(ops: Operations, operation_id: str, step: str, cancelling: set[asyncio.Task[None]]) -> None:
    operation = ops.get(operation_id)
    run = ops._manager.run(operation_id)
    if operation is not None and run is not None and steps(operation).get(step) == "RUNNING" and not cancelling:
        cancelling.add(asyncio.create_task(_cancelled(run)))


async def _cancelled(run: Run) -> None:
    with suppress(asyncio.CancelledError):
        await run.cancel()


async def _check(
    journal: Path,
    request: OperationRequest,
    given: Sequence[str],
    expected: dict[OperationState, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    *,
    fault: str | None = None,
    cancel_at: str | None = None,
    first: int = 1,
) -> None:
    """Kills the process at each moment in turn, until one run is not killed; the next process ends the operation."""
    fatal = first - 1
    while True:
        fatal += 1
        path = journal / f"{fatal}.db"
        async with world() as w, AsyncExitStack() as watch:
            await w.given(*given)
            ever: dict[str, set[str]] = {}
            watch.enter_context(w.poller.listen(partial(_note_instances, ever)))
            if fault is not None:
                w.fault(fault)
            reached = await _run_until_killed(w, path, fatal, request, monkeypatch, cancel_at=cancel_at)
            async with operations(w.poller, path) as ops:
                known = ops.all()
                if not known:
                    # Killed before the request was stored: no operation was answered, and nothing was done.
                    assert await w.serving() == sorted(given)
                    continue
                (operation,) = known
                ended = await w.end(operation, ops)
                assert ended.state in expected, (fatal, ended)
                assert await w.listed() == expected[ended.state], (fatal, ended)
                assert await w.serving() == expected[ended.state], (fatal, ended)
                # Nothing is placed twice: each new model has had one instance, each restored one a second.
                undone = ended.state is not OperationState.SUCCEEDED
                placed = [len(ever.get(model, ())) for model in ended.load_ids]
                assert all(count == 1 or (undone and count == 0) for count in placed), (fatal, ever)
                assert all(len(ever[model]) <= 1 + undone for model in ended.unload_ids), (fatal, ever)
        if reached < fatal:
            # It was not killed.
            assert fatal > 8, reached
            return


def _note_instances(ever: dict[str, set[str]], snapshot: Snapshot) -> None:
    """Adds the ids of the instances that are listed, by model."""
    for instance in snapshot.state.instances.values():
        ever.setdefault(instance.model_id, set()).add(instance.id)


async def test_a_load_killed_at_each_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await _check(tmp_path, lambda ops: ops.load(A), [], {OperationState.SUCCEEDED: [A]}, monkeypatch)


async def test_an_unload_killed_at_each_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await _check(tmp_path, lambda ops: ops.unload(A), [A, B], {OperationState.SUCCEEDED: [B]}, monkeypatch)


async def test_a_swap_killed_at_each_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = {OperationState.SUCCEEDED: [OTHER_HALF]}
    await _check(tmp_path, lambda ops: ops.swap([HALF], [OTHER_HALF]), [HALF], ends, monkeypatch)


async def test_a_swap_side_by_side_killed_at_each_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await _check(tmp_path, lambda ops: ops.swap([A], [B]), [A], {OperationState.SUCCEEDED: [B]}, monkeypatch)


async def test_a_swap_that_rolls_back_killed_at_each_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await _check(
        tmp_path,
        lambda ops: ops.swap([HALF], [OTHER_HALF]),
        [HALF],
        {OperationState.ROLLED_BACK: [HALF]},
        monkeypatch,
        fault=f"load-fails:{OTHER_HALF}",
        # Until the new model is placed it equals the swap above.
        first=21,
    )


async def test_a_cancelled_swap_killed_at_each_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Killed before the cancellation was stored, it is finished instead.
    ends = {OperationState.CANCELLED: [HALF], OperationState.SUCCEEDED: [OTHER_HALF]}
    await _check(
        tmp_path,
        lambda ops: ops.swap([HALF], [OTHER_HALF]),
        [HALF],
        ends,
        monkeypatch,
        cancel_at="load",
        # Until the step that is cancelled it equals the swap above.
        first=25,
    )


async def test_a_server_that_was_shut_down_continues_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with world() as w:
        await w.given(HALF)
        async with operations(w.poller, path) as ops:
            operation = await ops.swap([HALF], [OTHER_HALF])
            await w.when(operation, lambda now: steps(now)["load"] == "RUNNING", ops)
        async with operations(w.poller, path) as ops:
            assert isinstance(operation, Operation)
            resumed = ops.get(operation.id)
            assert resumed is not None
            assert resumed.active
            assert (await w.end(operation, ops)).state is OperationState.SUCCEEDED
        assert await w.serving() == [OTHER_HALF]


async def test_an_instance_removed_while_the_server_was_down_is_not_placed_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with world() as w:
        async with operations(w.poller, path) as ops:
            operation = await ops.load(A)
            await w.when(operation, lambda now: steps(now)["load"] == "RUNNING", ops)
        snapshot = await w.until(lambda snapshot: bool(snapshot.state.runners))
        (instance,) = snapshot.state.instances
        w.sim.control.delete_instance(instance)
        async with operations(w.poller, path) as ops:
            ended = await w.end(operation, ops)
        assert ended.state is OperationState.FAILED
        assert await w.listed() == []
        assert w.sim.control.requests["POST", "/instance"] == 1


async def test_an_operation_that_waits_for_memory_waits_again_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with world() as w:
        await w.given(HALF)
        async with operations(w.poller, path) as ops:
            await ops.unload(HALF)
            load = await ops.load(OTHER_HALF)
            assert isinstance(load, Operation)
            assert load.state is OperationState.PENDING
        async with operations(w.poller, path) as ops:
            assert (await w.end(load, ops)).state is OperationState.SUCCEEDED
        assert await w.serving() == [OTHER_HALF]


async def test_the_time_out_includes_the_time_before_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with world() as w:
        async with operations(w.poller, path) as ops:
            operation = await ops.load(HALF, timeout_seconds=60)
            await w.when(operation, lambda now: steps(now)["load"] == "RUNNING", ops)
            (instance,) = (await w.snapshot()).state.instances
        await asyncio.sleep(61)
        w.sim.control.delete_instance(instance)
        async with operations(w.poller, path) as ops:
            ended = await w.end(operation, ops)
        assert ended.message.startswith("Not done within 60 s.")
