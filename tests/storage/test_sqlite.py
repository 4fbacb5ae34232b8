"""The embedded store: a damaged file is set aside, two servers do not share one, a disk that hangs refuses."""

import asyncio
import logging
import threading
from pathlib import Path

import pytest

from exo_graphql.operations import OperationState
from exo_graphql.storage import Collection, Entry, Key, StoreError
from exo_graphql.storage import sqlite as sqlite_module
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.simulated_cluster import A, operations, world

pytestmark = pytest.mark.anyio

OPERATIONS = Collection.OPERATIONS
ENTRY = Entry(1, "operation-1", active=True, record=b'{"is": "opaque"}')
KEY = Key("k", "print", "operation-1", 1.5)


def _found(directory: Path, pattern: str) -> list[Path]:
    return list(directory.glob(pattern))


@pytest.mark.parametrize("damage", [b"this is no database", b"SQLite format 3\x00" + b"\xff" * 5000])
async def test_a_damaged_file_is_set_aside_and_a_new_one_begun(
    damage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(damage)
    async with world() as w, operations(w.poller, path) as ops:
        assert ops.all() == ()
        assert (await w.end(await ops.load(A), ops)).state is OperationState.SUCCEEDED
    (aside,) = _found(tmp_path, "journal.db.damaged-*")
    assert aside.read_bytes() == damage
    (logged,) = (record for record in caplog.records if "is damaged" in record.getMessage())
    assert logged.levelno == logging.ERROR
    assert aside.name in logged.getMessage()


async def test_a_page_that_rotted_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    store = SQLiteStore(path)
    await store.open()
    for sequence in range(1, 60):
        await store.save(OPERATIONS, Entry(sequence, f"operation-{sequence}", active=True, record=b"x" * 1000))
    await store.close()
    body = bytearray(path.read_bytes())
    body[4096 * 2 : 4096 * 6] = b"\x5a" * (4096 * 4)
    path.write_bytes(bytes(body))
    store = SQLiteStore(path)
    await store.open()
    assert await store.entries(OPERATIONS) == []
    await store.close()
    assert len(_found(tmp_path, "journal.db.damaged-*")) == 1


async def test_two_servers_do_not_share_a_file(tmp_path: Path) -> None:
    first, second = SQLiteStore(tmp_path / "journal.db"), SQLiteStore(tmp_path / "journal.db")
    await first.open()
    with pytest.raises(StoreError, match="locked"):
        await second.open()
    await second.close()
    await first.save(OPERATIONS, ENTRY)
    await first.close()
    assert _found(tmp_path, "*.damaged-*") == []


async def test_a_file_that_was_emptied_is_damaged_though_its_log_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    path.touch()
    path.with_name("journal.db-wal").write_bytes(b"what was written last")
    store = SQLiteStore(path)
    await store.open()
    assert await store.entries(OPERATIONS) == []
    await store.close()
    assert "is damaged (it is empty, and its log is not)" in caplog.text


class HangingDisk:
    """Holds the store's thread up before the statements that begin with these words, until it is let go."""

    def __init__(self, store: SQLiteStore, words: str) -> None:
        self._words = words
        self._go = threading.Event()
        self.reached = threading.Event()
        assert store._db is not None
        store._db.set_trace_callback(self._before)

    def _before(self, statement: str) -> None:
        if statement.startswith(self._words) and not self._go.is_set():
            self.reached.set()
            self._go.wait(20)

    def goes_on(self) -> None:
        self._go.set()


@pytest.mark.parametrize("hangs_at", ["UPDATE probe", "BEGIN", "INSERT INTO operations", "INSERT OR REPLACE", "COMMIT"])
def test_what_was_refused_for_a_disk_that_hangs_is_not_written_later(
    hangs_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "WRITE_SECONDS", 0.2)

    async def run() -> None:
        path = tmp_path / "journal.db"
        store = SQLiteStore(path)
        await store.open()
        disk = HangingDisk(store, hangs_at)
        with pytest.raises(StoreError, match="did not answer"):
            await store.admit(OPERATIONS, ENTRY, KEY)
        assert disk.reached.is_set()
        disk.goes_on()
        await store.close()
        store = SQLiteStore(path)
        await store.open()
        assert (await store.entries(OPERATIONS), await store.keys()) == ([], [])
        # The disk is back: the next one is written.
        await store.admit(OPERATIONS, ENTRY)
        await store.close()

    asyncio.run(run())


def test_a_server_killed_while_the_disk_hangs_leaves_nothing_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files as they are while the first write hangs are what the next start finds."""
    monkeypatch.setattr(sqlite_module, "WRITE_SECONDS", 0.2)

    async def run() -> None:
        store = SQLiteStore(tmp_path / "journal.db")
        await store.open()
        disk = HangingDisk(store, "UPDATE probe")
        with pytest.raises(StoreError):
            await store.admit(OPERATIONS, ENTRY)
        _copy(tmp_path, tmp_path / "after")
        disk.goes_on()
        await store.close()
        store = SQLiteStore(tmp_path / "after" / "journal.db")
        await store.open()
        assert await store.entries(OPERATIONS) == []
        await store.close()

    asyncio.run(run())


def _copy(here: Path, there: Path) -> None:
    there.mkdir()
    for file in here.glob("journal.db*"):
        (there / file.name).write_bytes(file.read_bytes())
