"""The journal: what is written is what is read, and a damaged file is set aside."""

import asyncio
import logging
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
from exo_graphql.operations import errors as all_problems
from exo_graphql.operations.journal import Contents, Journal, JournalError, Key, Record, dump
from exo_graphql.operations.requests import OperationRequest, ShardingPreference
from exo_graphql.operations.saga_state import Baseline, Removal, SagaState, Target, Undoing, rekeyed
from tests.support.simulated_cluster import A, operations, steps, world

pytestmark = pytest.mark.anyio

EMPTY = Contents([], [], [], 0)
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
        removals=[Removal(INSTANCE, {"n": 7}, healthy=True, asked=True, restored=rekeyed(INSTANCE))],
        side_by_side=True,
        baseline={"n": Baseline(None, 7)},
        fetching=[("n", "m")],
        undoing=Undoing("Because.", cancelled=True, removing={"n": Baseline(1, 2)}),
    )
    request = OperationRequest(
        OperationKind.SWAP, load=("m",), unload=("o",), nodes=("n",), sharding=ShardingPreference.TENSOR
    )
    return Record(sequence, operation, request, saga_state)


async def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal.db"
    key = Key("k", "print", "operation-1", 1.5)
    journal = Journal(path)
    assert await journal.open() == EMPTY
    await journal.admit(_record(), key)
    await journal.close()
    journal = Journal(path)
    contents = await journal.open()
    records, keys = contents.records, contents.keys
    await journal.close()
    assert records == [_record_like(records[0])]
    assert keys == [key]
    # Documents do not count in comparisons, so they are held against each other here.
    target = records[0].saga_state.targets[0].instance
    assert target is not None
    assert target.document == INSTANCE.document


def _record_like(read: Record) -> Record:
    """The record as written; the ids that were made up at random are taken from the read one."""
    record = _record()
    record.saga_state.removals[0].restored = read.saga_state.removals[0].restored
    return record


def _found(directory: Path, pattern: str) -> list[Path]:
    return list(directory.glob(pattern))


PROBLEMS: list[OperationError] = [
    ClusterUnavailable(message="Gone.", suggestion="Wait.", last_seen_at=NOW),
    ClusterUnavailable(message="Never there."),
    InsufficientMemory(
        message="No.", needed_bytes=1 << 50, available_bytes=2, shortfall_bytes=3, unload_to_fit_ids=("a", "b")
    ),
]


@pytest.mark.parametrize("error", PROBLEMS, ids=lambda error: error.code)
async def test_a_problem_is_read_as_the_kind_that_it_was(error: OperationError, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    await journal.open()
    await journal.save(_record(error=error))
    await journal.close()
    journal = Journal(tmp_path / "journal.db")
    records = (await journal.open()).records
    await journal.close()
    assert records[0].operation.error == error


def test_every_kind_of_problem_can_be_found_again_by_its_name() -> None:
    kinds = [
        kind for kind in vars(all_problems).values() if isinstance(kind, type) and issubclass(kind, OperationError)
    ]
    for kind in kinds:
        if kind is not OperationError:
            assert all_problems.BY_NAME[kind.__name__] is kind


@pytest.mark.parametrize("damage", [b"this is no database", b"SQLite format 3\x00" + b"\xff" * 5000])
async def test_a_damaged_journal_is_set_aside_and_a_new_one_begun(
    damage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(damage)
    async with world() as w, operations(w.poller, path) as ops:
        assert ops.all() == ()
        assert (await w.end(await ops.load(A), ops)).state is OperationState.SUCCEEDED
    (aside,) = _found(tmp_path, "journal.db.damaged-*")
    assert aside.read_bytes() == damage
    (told,) = (record for record in caplog.records if "is damaged" in record.getMessage())
    assert told.levelno == logging.ERROR
    assert aside.name in told.getMessage()


async def test_a_page_that_rotted_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    await journal.open()
    for sequence in range(1, 60):
        await journal.save(_record(sequence))
    await journal.close()
    body = bytearray(path.read_bytes())
    body[4096 * 2 : 4096 * 6] = b"\x5a" * (4096 * 4)
    path.write_bytes(bytes(body))
    journal = Journal(path)
    assert await journal.open() == EMPTY
    await journal.close()
    assert len(_found(tmp_path, "journal.db.damaged-*")) == 1


async def test_one_entry_that_cannot_be_read_does_not_take_the_others_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    await journal.open()
    await journal.save(_record(1))
    await journal.save(_record(2))
    await journal.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE operations SET record = '{}' WHERE sequence = 1")
    db.close()
    journal = Journal(path)
    records = (await journal.open()).records
    await journal.close()
    assert [record.sequence for record in records] == [2]
    assert "Entry 1 of the journal cannot be read" in caplog.text


async def test_two_servers_do_not_share_a_journal(tmp_path: Path) -> None:
    first, second = Journal(tmp_path / "journal.db"), Journal(tmp_path / "journal.db")
    await first.open()
    with pytest.raises(JournalError, match="locked"):
        await second.open()
    await second.close()
    await first.save(_record())
    await first.close()
    assert _found(tmp_path, "*.damaged-*") == []


async def test_a_file_that_was_emptied_is_told_of_though_its_log_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    path.touch()
    path.with_name("journal.db-wal").write_bytes(b"what was written last")
    journal = Journal(path)
    assert await journal.open() == EMPTY
    await journal.close()
    assert "is damaged (it is empty, and its log is not)" in caplog.text


async def test_an_end_that_could_not_be_written_is_written_once_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    async with world() as w:
        async with operations(w.poller, path) as ops:
            real = Journal.save

            async def full(journal: Journal, record: Record) -> None:
                if steps(record.operation)["place"] == "PENDING":
                    await real(journal, record)
                else:
                    raise JournalError("The journal cannot be used: database or disk is full.")

            monkeypatch.setattr(Journal, "save", full)
            ended = await w.end(await ops.load(A), ops)
            assert isinstance(ended.error, JournalUnavailable)
            monkeypatch.undo()
            await asyncio.sleep(OperationRules().catch_up_seconds + 1.0)
            # As if it were killed now: nothing more is written when it ends.
            monkeypatch.setattr(Journal, "save", full)
        monkeypatch.undo()
        async with operations(w.poller, path) as ops:
            assert ops.get(ended.id) == ended
            assert await w.listed() == []


async def test_nothing_is_begun_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:

        async def full(*_: object) -> None:
            raise JournalError("The journal cannot be used: database or disk is full.")

        monkeypatch.setattr(Journal, "admit", full)
        error = await w.ops.load(A)
        assert isinstance(error, JournalUnavailable)
        assert error.suggestion
        assert w.ops.all() == ()
        assert await w.listed() == []
        monkeypatch.undo()
        assert (await w.end(await w.ops.load(A))).state is OperationState.SUCCEEDED


async def test_the_last_finished_ones_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    await journal.open()
    await journal.close()
    with sqlite3.connect(path) as db:
        ended = [_record(sequence, state=OperationState.SUCCEEDED) for sequence in range(1, 1011)]
        rows = [(record.sequence, record.operation.id, dump(record)) for record in ended]
        db.executemany("INSERT INTO operations (sequence, id, active, record) VALUES (?, ?, 0, ?)", rows)
    db.close()
    async with world() as w, operations(w.poller, path) as ops:
        assert len(ops.all()) == 1000
        assert ops.all()[0].id == "operation-1010"
        assert ops.all()[-1].id == "operation-11"
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM operations").fetchone() == (1000,)
    db.close()


def test_a_restored_instance_has_fresh_ids_and_the_same_place() -> None:
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
