"""Operations of a server that may not act for a while: they wait, and go on when it may."""

import asyncio

import pytest

from exo_graphql.exo.gate import Gate
from exo_graphql.operations import (
    ClusterUnavailable,
    DownloadsResult,
    JournalUnavailable,
    Operation,
    OperationRules,
    OperationState,
    manager,
    repository,
)
from exo_graphql.operations.records import Record, decode
from exo_graphql.storage import Collection, Entry, Key, StoreError
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, SimulatedCluster, begun, steps, world

pytestmark = pytest.mark.anyio


def _commands(w: SimulatedCluster) -> dict[tuple[str, str], int]:
    return {request: count for request, count in w.sim.control.requests.items() if request[0] != "GET"}


@pytest.mark.parametrize("step", ["place", "unload", "restore", "remove"])
async def test_a_swap_waits_without_a_command_and_goes_on(step: str) -> None:
    left = [9.0]
    rules = OperationRules(unreachable_seconds=4.0, stall_seconds=8.0)
    async with world(rules=rules, gate=Gate(lambda: left[0])) as w:
        await w.given(HALF)
        if step in ("restore", "remove"):
            w.fault(f"load-fails:{OTHER_HALF}")
        operation = await w.ops.swap([HALF], [OTHER_HALF])
        before = {"place": "memory", "unload": "drain", "restore": "remove", "remove": "load"}[step]
        await w.when(operation, lambda now: steps(now).get(before) == "RUNNING")
        left[0] = 0.0
        # Longer than an exo that does not answer is waited for, and than an operation may be without progress.
        await asyncio.sleep(10)
        sent = _commands(w)
        await asyncio.sleep(10)
        assert _commands(w) == sent
        assert isinstance(operation, Operation)
        waiting = w.ops.get(operation.id)
        assert waiting is not None
        assert waiting.active
        left[0] = 9.0
        ended = await w.end(operation)
        undone = step in ("restore", "remove")
        assert ended.state is (OperationState.ROLLED_BACK if undone else OperationState.SUCCEEDED), ended
        assert await w.serving() == [HALF if undone else OTHER_HALF]


async def test_what_is_not_an_operation_is_refused_at_once_and_says_why() -> None:
    async with world(gate=Gate(lambda: 0.0)) as w:
        added = await w.ops.add_model("mlx-community/Llama-3.2-1B-Instruct-4bit")
        started = await w.ops.start_download(A)
        assert _commands(w) == {}
    assert isinstance(added, ClusterUnavailable)
    assert added.message == "This server does not lead at present, so it sends exo no commands."
    assert added.suggestion == "Try again in a few seconds: by then one of the servers leads."
    assert isinstance(started, DownloadsResult)
    assert all("does not lead" in (each.error or "") for each in started.results)


async def test_a_server_that_leads_no_more_does_not_say_that_another_one_does() -> None:
    """Where the database is away, none does."""
    async with world() as w:
        await w.ops.rest()
        refused = await w.ops.load(A)
    assert isinstance(refused, JournalUnavailable)
    assert refused.message == "This server does not lead any more. Nothing was changed."


@pytest.mark.parametrize("step", ["download", "drain", "unload", "memory", "place", "load", "remove", "restore"])
async def test_an_operation_waits_for_a_shared_store_before_each_step(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not so with a store of its own: then it turns back, since nobody else could go on with it."""
    for module in (manager, repository):
        monkeypatch.setattr(module, "is_shared", lambda _: True)
    async with world(rules=OperationRules(unreachable_seconds=4.0, stall_seconds=8.0)) as w:
        await w.given(HALF)
        if step in ("remove", "restore"):
            w.fault(f"load-fails:{OTHER_HALF}")
        real, refused, broken = SQLiteStore.save, asyncio.Event(), True

        async def breaks(store: SQLiteStore, collection: Collection, entry: Entry) -> None:
            record = decode(entry)
            assert isinstance(record, Record)
            if steps(record.operation).get(step) == "RUNNING" and broken:
                refused.set()
                raise StoreError("The database cannot be used.")
            await real(store, collection, entry)

        monkeypatch.setattr(SQLiteStore, "save", breaks)
        operation = begun(await w.ops.swap([HALF], [OTHER_HALF]))
        await refused.wait()
        sent = _commands(w)
        await asyncio.sleep(10)
        assert _commands(w) == sent
        waiting = w.ops.get(operation.id)
        assert waiting is not None
        assert waiting.message == "Waiting for the journal. The database cannot be used."
        assert steps(waiting).get(step, "PENDING") == "PENDING"
        broken = False
        ended = await w.end(operation)
        undone = step in ("remove", "restore")
        assert ended.state is (OperationState.ROLLED_BACK if undone else OperationState.SUCCEEDED), ended


@pytest.mark.parametrize("fails", [False, True])
async def test_no_step_and_no_end_is_shown_before_it_is_stored(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        await w.given(HALF)
        if fails:
            w.fault(f"load-fails:{OTHER_HALF}")
        stored: list[tuple[object, ...]] = []
        shown: list[tuple[object, ...]] = []
        save, admit = SQLiteStore.save, SQLiteStore.admit

        async def saves(store: SQLiteStore, collection: Collection, entry: Entry) -> None:
            look()  # as somebody who asks meanwhile
            await save(store, collection, entry)
            stored.append(_progress(decode(entry)))

        async def admits(store: SQLiteStore, collection: Collection, entry: Entry, key: Key | None = None) -> None:
            await admit(store, collection, entry, key)
            stored.append(_progress(decode(entry)))

        def look() -> None:
            for operation in w.ops.all():
                if not shown or shown[-1] != _of(operation):
                    shown.append(_of(operation))
                    assert shown[-1] in stored

        monkeypatch.setattr(SQLiteStore, "save", saves)
        monkeypatch.setattr(SQLiteStore, "admit", admits)
        w.ops.listen(look)
        ended = await w.end(await w.ops.swap([HALF], [OTHER_HALF]))
        assert ended.state is (OperationState.ROLLED_BACK if fails else OperationState.SUCCEEDED)
        assert shown[-1] == _of(ended)
        assert len(shown) > 10


def _progress(record: object) -> tuple[object, ...]:
    assert isinstance(record, Record)
    return _of(record.operation)


def _of(operation: Operation) -> tuple[object, ...]:
    return operation.state, operation.error, *((step.name, step.state) for step in operation.steps)
