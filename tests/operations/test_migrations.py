"""Upgrades: operations of an older version continue, files of a newer version are not changed."""

import asyncio
import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path

import orjson
import pytest

from exo_graphql.operations import OperationNotFound, OperationState
from exo_graphql.operations.records import encode
from exo_graphql.storage import Collection, StoreError
from exo_graphql.storage.migrations import MIGRATIONS
from exo_graphql.storage.sqlite import SQLiteStore
from tests.operations.test_records import _record
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, SimulatedCluster, begun, operations, world

pytestmark = pytest.mark.anyio

FIRST_RELEASE = Path(__file__).parent.parent / "data" / "journal-0.1.0.sql"
"""As 0.1.0 left it when it was killed in a swap of HALF for OTHER_HALF, while it waited for HALF's memory."""
LOADED, SWAPPED = "8a09a19f-ace6-423a-b119-0748671a0590", "08415f0b-3643-4754-a285-41f989d576f7"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(FIRST_RELEASE.read_text())
    db.close()
    return path


async def _other_ids(w: SimulatedCluster) -> None:
    """Uses up the first ids of the simulated exo, which are the same in each run: the journal holds them."""
    await w.given(A)
    (id_,) = (await w.snapshot()).state.instances
    w.sim.control.delete_instance(id_)


async def test_a_swap_that_the_first_release_began_is_finished(path: Path) -> None:
    async with world() as w, AsyncExitStack() as stack:
        await _other_ids(w)
        ops = await stack.enter_async_context(operations(w.poller, path))
        assert {operation.id for operation in ops.all()} == {LOADED, SWAPPED}
        swap = ops.get(SWAPPED)
        assert swap is not None
        ended = await w.end(swap, ops)
        assert ended.state is OperationState.SUCCEEDED, ended
        assert await w.listed() == [OTHER_HALF]
        # The keys of the first release still lead to the operations with the same arguments.
        assert begun(await ops.swap([HALF], [OTHER_HALF], idempotency_key="night")).id == SWAPPED
        assert begun(await ops.load(HALF, idempotency_key="day")).id == LOADED


async def test_a_model_unloaded_before_an_upgrade_is_restored_after_it(path: Path) -> None:
    async with world() as w:
        await _other_ids(w)
        w.fault(f"load-fails:{OTHER_HALF}")
        async with operations(w.poller, path) as ops:
            swap = ops.get(SWAPPED)
            assert swap is not None
            ended = await w.end(swap, ops)
            assert ended.state is OperationState.ROLLED_BACK, ended
            assert await w.serving() == [HALF]


@pytest.mark.parametrize("version", [len(MIGRATIONS) + 1, 1000, -1])
def test_a_file_of_an_unknown_version_is_rejected_and_not_changed(version: int, path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    before = path.read_bytes()

    async def opened() -> None:
        store = SQLiteStore(path)
        with pytest.raises(StoreError, match="newer version of exo-graphql"):
            await store.open()
        await store.close()

    asyncio.run(opened())
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


async def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE half_way (x)")
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr("exo_graphql.storage.migrations.MIGRATIONS", (*MIGRATIONS, breaks))
        store = SQLiteStore(path)
        with pytest.raises(StoreError, match="disk I/O error"):
            await store.open()
        await store.close()
    store = SQLiteStore(path)
    await store.open()
    entries = await store.entries(Collection.OPERATIONS)
    await store.close()
    assert [entry.id for entry in entries] == [LOADED, SWAPPED]


CHANGES = {
    "a field of the plan has another name": lambda record: record["saga_state"].update(
        goals=record["saga_state"].pop("targets")
    ),
    "a field of the plan is missing": lambda record: record["saga_state"].pop("removals"),
    "a field of a target has another name": lambda record: record["saga_state"]["targets"][0].update(serves="x"),
    "a field of the request is unknown": lambda record: record["request"].update(urgency=3),
    "a field of the operation is unknown": lambda record: record["operation"].update(owner="me"),
    "a value is unknown": lambda record: record["operation"].update(state="RESTING"),
    "it is no record at all": lambda record: record.clear(),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_an_entry_that_cannot_be_read_is_kept_and_parked(change: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    store = SQLiteStore(path)
    await store.open()
    await store.admit(Collection.OPERATIONS, encode(_record(7)))
    await store.close()
    db = sqlite3.connect(path)
    (body,) = db.execute("SELECT record FROM operations").fetchone()
    record = orjson.loads(body)
    CHANGES[change](record)
    written = orjson.dumps(record)
    db.execute("UPDATE operations SET record = ?", (written,))
    db.commit()
    db.close()
    async with world() as w:
        async with operations(w.poller, path) as ops:
            (parked,) = ops.all(active=True)
            assert (parked.id, parked.state) == ("operation-7", OperationState.PARKED)
            # It blocks nothing and is not overwritten.
            assert (await w.end(await ops.load(A), ops)).state is OperationState.SUCCEEDED
            resumed = await ops.resume(parked.id)
            assert "cannot be read" in resumed.message
            assert resumed.suggestion  # type: ignore[union-attr]  # an error, as the message says
        db = sqlite3.connect(path)
        assert db.execute("SELECT record FROM operations WHERE sequence = 7").fetchone() == (written,)
        db.close()
        async with operations(w.poller, path) as ops:
            discarded = begun(await ops.cancel("operation-7"))
            assert discarded.state is OperationState.CANCELLED
            assert isinstance(await ops.cancel("operation-7"), OperationNotFound)
        async with operations(w.poller, path) as ops:
            assert ops.get("operation-7") is None
