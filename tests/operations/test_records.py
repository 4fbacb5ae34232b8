"""Stored operations: read as they were written, and no step begins that cannot be stored."""

import asyncio
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exo_graphql.cluster.state import Instance, InstanceType, Shard, Sharding
from exo_graphql.operations import (
    ClusterUnavailable,
    InsufficientMemory,
    JournalUnavailable,
    Operation,
    OperationError,
    OperationKind,
    OperationRules,
    OperationState,
    Step,
    StepState,
)
from exo_graphql.operations import errors as all_errors
from exo_graphql.operations.records import Record, decode, encode
from exo_graphql.operations.requests import OperationRequest, ShardingPreference
from exo_graphql.operations.saga_state import Baseline, Removal, SagaState, Target, Undoing, rekeyed
from exo_graphql.storage import Collection, Entry, StoreError
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.simulated_cluster import A, operations, steps, world

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 6, 22, 12, tzinfo=UTC)
INSTANCE = Instance(
    "i",
    "m",
    Sharding.TENSOR,
    InstanceType.MLX_RING,
    (Shard("i", "n", "r", 0, 8, 8, 0, 1, Sharding.TENSOR),),
    {"MlxRingInstance": {"instanceId": "i", "runnerToShard": {"r": {"x": [1, None, "i"]}}, "hosts": {"n": ["h"]}}},
)


def _record(
    sequence: int = 1, error: OperationError | None = None, state: OperationState = OperationState.RUNNING
) -> Record:
    operation = Operation(
        id=f"operation-{sequence}",
        kind=OperationKind.SWAP,
        state=state,
        message="Half-way.",
        steps=(Step("plan", StepState.SUCCEEDED, NOW, NOW, "It fits."), Step("drain")),
        started_at=NOW,
        load_ids=("m",),
        unload_ids=("o",),
        progress_percent=12.5,
        error=error,
        idempotency_key="k",
        waiting_for=("w",),
    )
    saga_state = SagaState(
        targets=[Target("m", {"n": 1 << 40}, instance=INSTANCE), Target("f", adopts="i2")],
        removals=[Removal(INSTANCE, {"n": 7}, healthy=True, deletion_requested=True, restored=rekeyed(INSTANCE))],
        side_by_side=True,
        baseline={"n": Baseline(None, 7)},
        fetching=[("n", "m")],
        undoing=Undoing("Because.", cancelled=True, removing={"n": Baseline(1, 2)}),
    )
    request = OperationRequest(
        OperationKind.SWAP, load=("m",), unload=("o",), nodes=("n",), sharding=ShardingPreference.TENSOR
    )
    return Record(sequence, operation, request, saga_state)


def test_a_record_without_requested_ids_is_as_earlier_versions_write_and_read_it() -> None:
    record = _record()
    assert b'"requested"' not in encode(record).record
    read = decode(encode(record))
    assert isinstance(read, Record)
    assert read.saga_state.requested == []
    record.saga_state.requested.append("i")
    read = decode(encode(record))
    assert isinstance(read, Record)
    assert read.saga_state.requested == ["i"]


def test_a_record_is_read_as_it_was_written() -> None:
    read = decode(encode(_record()))
    assert isinstance(read, Record)
    assert read == _record_like(read)
    # Documents are not part of equality, so they are compared here.
    target = read.saga_state.targets[0].instance
    assert target is not None
    assert target.document == INSTANCE.document


def _record_like(read: Record) -> Record:
    """The record as written, with the random ids of the one that was read."""
    record = _record()
    record.saga_state.removals[0].restored = read.saga_state.removals[0].restored
    return record


ERRORS: list[OperationError] = [
    ClusterUnavailable(message="Gone.", suggestion="Wait.", last_seen_at=NOW),
    ClusterUnavailable(message="Never there."),
    InsufficientMemory(
        message="No.", needed_bytes=1 << 50, available_bytes=2, shortfall_bytes=3, unload_to_fit_ids=("a", "b")
    ),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_an_error_is_read_as_the_type_that_it_was(error: OperationError) -> None:
    read = decode(encode(_record(error=error)))
    assert isinstance(read, Record)
    assert read.operation.error == error


def test_every_error_type_is_found_by_its_name() -> None:
    kinds = [kind for kind in vars(all_errors).values() if isinstance(kind, type) and issubclass(kind, OperationError)]
    for kind in kinds:
        if kind is not OperationError:
            assert all_errors.BY_NAME[kind.__name__] is kind


async def test_an_entry_that_cannot_be_read_does_not_affect_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    store = SQLiteStore(path)
    await store.open()
    await store.save(Collection.OPERATIONS, Entry(1, "operation-1", active=False, record=b"{}"))
    await store.save(Collection.OPERATIONS, encode(_record(2, state=OperationState.SUCCEEDED)))
    await store.close()
    async with world() as w, operations(w.poller, path) as ops:
        assert [operation.id for operation in ops.all()] == ["operation-2"]
    assert "The stored operation 1 cannot be read" in caplog.text


async def test_an_end_that_could_not_be_stored_is_stored_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.db"
    async with world() as w:
        async with operations(w.poller, path) as ops:
            real = SQLiteStore.save

            async def full(store: SQLiteStore, collection: Collection, entry: Entry) -> None:
                record = decode(entry)
                if isinstance(record, Record) and steps(record.operation)["place"] == "PENDING":
                    await real(store, collection, entry)
                else:
                    raise StoreError("The database cannot be used: database or disk is full.")

            monkeypatch.setattr(SQLiteStore, "save", full)
            ended = await w.end(await ops.load(A), ops)
            assert isinstance(ended.error, JournalUnavailable)
            monkeypatch.undo()
            await asyncio.sleep(OperationRules().catch_up_seconds + 1.0)
            # As if killed now: nothing more is written when it ends.
            monkeypatch.setattr(SQLiteStore, "save", full)
        monkeypatch.undo()
        async with operations(w.poller, path) as ops:
            assert ops.get(ended.id) == ended
            assert await w.listed() == []


async def test_no_step_begins_that_cannot_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:

        async def full(*_: object) -> None:
            raise StoreError("The database cannot be used: database or disk is full.")

        monkeypatch.setattr(SQLiteStore, "admit", full)
        error = await w.ops.load(A)
        assert isinstance(error, JournalUnavailable)
        assert error.suggestion
        assert w.ops.all() == ()
        assert await w.listed() == []
        monkeypatch.undo()
        assert (await w.end(await w.ops.load(A))).state is OperationState.SUCCEEDED


async def test_the_last_finished_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    store = SQLiteStore(path)
    await store.open()
    await store.close()
    with sqlite3.connect(path) as db:
        ended = [_record(sequence, state=OperationState.SUCCEEDED) for sequence in range(1, 1011)]
        rows = [(record.sequence, record.operation.id, encode(record).record) for record in ended]
        db.executemany("INSERT INTO operations (sequence, id, active, record) VALUES (?, ?, 0, ?)", rows)
    db.close()
    async with world() as w, operations(w.poller, path) as ops:
        assert len(ops.all()) == 1000
        assert ops.all()[0].id == "operation-1010"
        assert ops.all()[-1].id == "operation-11"
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM operations").fetchone() == (1000,)
    db.close()


def test_a_restored_instance_has_fresh_ids_and_the_same_nodes() -> None:
    fresh = rekeyed(INSTANCE)
    assert fresh.id != "i"
    (shard,) = fresh.shards
    assert (shard.node_id, shard.instance_id) == ("n", fresh.id)
    assert shard.runner_id not in ("r", fresh.id)
    assert fresh.document == {
        "MlxRingInstance": {
            "instanceId": fresh.id,
            "runnerToShard": {shard.runner_id: {"x": [1, None, fresh.id]}},
            "hosts": {"n": ["h"]},
        }
    }
    assert INSTANCE.document is not None
    assert "i" in str(INSTANCE.document["MlxRingInstance"])
