"""Killed at any moment of a reconciliation and started again: what is wanted is loaded, once, and nothing else."""

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.deployments.service import Deployments
from exo_graphql.deployments.validation import Declaration
from exo_graphql.operations import OperationRules, OperationState
from exo_graphql.storage import Collection, Entry, Key
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.deployed_cluster import deployments
from tests.support.killer import KillableUpstream, Killer
from tests.support.simulated_cluster import HALF, OTHER_HALF, SimulatedCluster, begun, operations, world

pytestmark = pytest.mark.anyio

DAY, NIGHT = Declaration("day", HALF), Declaration("night", OTHER_HALF, priority=1)


async def _is_ready(kept: Deployments, name: str) -> None:
    changed = asyncio.Event()
    stop = kept.listen(changed.set)
    try:
        async with asyncio.timeout(600):
            while (found := kept.get(name)) is None or found.state.value != "READY":
                changed.clear()
                await changed.wait()
    finally:
        stop()


async def _live_and_die(w: SimulatedCluster, path: Path, fatal: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """One process: adopts the day's model, is to replace it by the night's, and dies at the moment `fatal`."""
    killer = Killer(fatal)
    save, admit = SQLiteStore.save, SQLiteStore.admit

    async def killable_save(self: SQLiteStore, collection: Collection, entry: Entry) -> None:
        if collection is Collection.MEMORIES:  # nothing depends on them
            await save(self, collection, entry)
        else:
            await killer.around(save(self, collection, entry))

    async def killable_admit(self: SQLiteStore, collection: Collection, entry: Entry, key: Key | None = None) -> None:
        await killer.around(admit(self, collection, entry, key))

    with monkeypatch.context() as patched:
        patched.setattr(SQLiteStore, "save", killable_save)
        patched.setattr(SQLiteStore, "admit", killable_admit)
        upstream = KillableUpstream(w.poller, killer)
        opened = operations(upstream, path / "operations.db")
        ops = await opened.__aenter__()
        entered = deployments(upstream, ops, path / "deployments.db")
        kept = await entered.__aenter__()
        with suppress(asyncio.CancelledError):
            await kept.apply(DAY)
            dead = asyncio.create_task(killer.killed.wait())
            for name in ("day", "night"):
                if name == "night":
                    await kept.apply(NIGHT)
                done = asyncio.create_task(_is_ready(kept, name))
                await asyncio.wait({done, dead}, return_when=asyncio.FIRST_COMPLETED)
                done.cancel()
            dead.cancel()
        # What a kernel does to the killed: no task runs on, no file stays open.
        await entered.__aexit__(None, None, None)
        await opened.__aexit__(None, None, None)
    return killer.moments


def _note(ever: dict[str, set[str]], snapshot: Snapshot) -> None:
    for instance in snapshot.state.instances.values():
        ever.setdefault(instance.model_id, set()).add(instance.id)


async def test_a_displacement_killed_at_each_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fatal = 0
    while True:
        fatal += 1
        path = tmp_path / str(fatal)
        path.mkdir()
        async with world() as w:
            await w.given(HALF)
            ever: dict[str, set[str]] = {}
            with w.poller.listen(partial(_note, ever)):
                lived = await _live_and_die(w, path, fatal, monkeypatch)
                async with (
                    operations(w.poller, path / "operations.db") as ops,
                    deployments(w.poller, ops, path / "deployments.db") as kept,
                ):
                    for declared in (DAY, NIGHT):
                        assert (await kept.apply(declared)).error is None
                    await _is_ready(kept, "night")
                    assert await w.listed() == await w.serving() == [OTHER_HALF], fatal
                    assert len(ever[OTHER_HALF]) == len(ever[HALF]) == 1, (fatal, ever)
        if lived < fatal:
            assert fatal > 20, lived
            return


async def test_a_persons_operation_that_waits_for_a_deployments_continues_after_a_restart(tmp_path: Path) -> None:
    """Both are resumed: the deployment's is undone first, and the person's finds nothing to unload any more."""
    rules = OperationRules(give_way_seconds=0.5)
    async with world() as w:
        async with (
            operations(w.poller, tmp_path / "operations.db", rules) as ops,
            deployments(w.poller, ops, tmp_path / "deployments.db") as kept,
        ):
            await kept.apply(DAY)
            await _is_ready(kept, "day")
            await kept.apply(NIGHT)
            await w.until(lambda snapshot: bool(snapshot.instances_of(OTHER_HALF)), 120)
            waiting = begun(await ops.unload(OTHER_HALF))
            assert waiting.state is OperationState.PENDING
            await kept.pauses.touched(waiting)
        async with (
            operations(w.poller, tmp_path / "operations.db", rules) as ops,
            deployments(w.poller, ops, tmp_path / "deployments.db") as kept,
        ):
            resumed = ops.get(waiting.id)
            assert resumed is not None
            assert resumed.state is OperationState.PENDING
            await _is_ready(kept, "day")
            await w.until(lambda _: not ops.at_work(), 120)
            states = {operation.id: operation.state.value for operation in ops.all()}
            assert states[waiting.id] == "SUCCEEDED"
            assert sorted(states.values()) == ["CANCELLED", "SUCCEEDED", "SUCCEEDED"]
            assert [i.model_id for i in (await w.snapshot()).state.instances.values()] == [HALF]
