"""What is answered is what happens: nothing that was refused runs later, nothing that was cancelled goes on."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from exo_graphql.cluster.state import Instance
from exo_graphql.operations import JournalUnavailable, OperationState
from exo_graphql.operations import journal as journal_module
from exo_graphql.operations.journal import Journal, JournalError, Key
from tests.operations.test_journal import EMPTY, _record
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, B, begun, operations, steps, world

pytestmark = pytest.mark.anyio


class HangingDisk:
    """Holds the journal's thread up before the statements that begin with these words, until it is let go."""

    def __init__(self, journal: Journal, words: str) -> None:
        self._words = words
        self._go = threading.Event()
        self.reached = threading.Event()
        assert journal._db is not None
        journal._db.set_trace_callback(self._before)

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
    monkeypatch.setattr(journal_module, "WRITE_SECONDS", 0.2)

    async def run() -> None:
        path = tmp_path / "journal.db"
        journal = Journal(path)
        await journal.open()
        disk = HangingDisk(journal, hangs_at)
        with pytest.raises(JournalError, match="did not answer"):
            await journal.admit(_record(), Key("k", "print", "operation-1", 1.5))
        assert disk.reached.is_set()
        disk.goes_on()
        await journal.close()
        journal = Journal(path)
        contents = await journal.open()
        assert (contents.records, contents.keys) == ([], [])
        # The disk is back: the next one is written.
        await journal.admit(_record())
        await journal.close()

    asyncio.run(run())


def test_a_server_killed_while_the_disk_hangs_leaves_nothing_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files as they are while the first write hangs are what the next start finds."""
    monkeypatch.setattr(journal_module, "WRITE_SECONDS", 0.2)

    async def run() -> None:
        journal = Journal(tmp_path / "journal.db")
        await journal.open()
        disk = HangingDisk(journal, "UPDATE probe")
        with pytest.raises(JournalError):
            await journal.admit(_record())
        _copy(tmp_path, tmp_path / "after")
        disk.goes_on()
        await journal.close()
        journal = Journal(tmp_path / "after" / "journal.db")
        assert await journal.open() == EMPTY
        await journal.close()

    asyncio.run(run())


def _copy(here: Path, there: Path) -> None:
    there.mkdir()
    for file in here.glob("journal.db*"):
        (there / file.name).write_bytes(file.read_bytes())


@pytest.mark.parametrize("step", ["drain", "place", "load"])
async def test_a_cancellation_that_was_answered_outlives_the_server(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    async with world() as w:
        await w.given(HALF)
        async with operations(w.poller, path) as ops:
            operation = begun(await ops.swap([HALF], [OTHER_HALF]))
            await w.when(operation, lambda now: steps(now)[step] == "RUNNING", ops)
            begun(await ops.cancel(operation.id))
            # Killed at this very moment: nothing is written any more.
            monkeypatch.setattr(Journal, "save", _dead)
        monkeypatch.undo()
        async with operations(w.poller, path) as ops:
            ended = await w.end(operation, ops)
            assert ended.state is OperationState.CANCELLED, ended
            assert await w.serving() == [HALF]


async def _dead(*_: object) -> None:
    raise JournalError("The process is dead.")


async def test_a_cancellation_that_cannot_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        operation = begun(await w.ops.load(A))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        with monkeypatch.context() as patched:
            patched.setattr(Journal, "save", _dead)
            assert isinstance(await w.ops.cancel(operation.id), JournalUnavailable)
        ended = await w.end(operation)
        assert ended.state is OperationState.SUCCEEDED, ended


def _nested(depth: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(depth):
        document = {"deeper": document}
    return document


@pytest.mark.parametrize("swap", [False, True])
async def test_an_offer_that_cannot_be_written_down_ends_the_operation_and_blocks_nothing(
    swap: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world() as w:
        await w.given(B)
        real = w.poller.previews

        async def deep(*arguments: Any) -> Any:
            previews = await real(*arguments)
            for preview in previews:
                if isinstance(preview.instance, Instance) and preview.instance.document is not None:
                    preview.instance.document["deep"] = _nested(300)  # type: ignore[index]  # a plain dict in truth
            return previews

        with pytest.raises(TypeError):
            orjson.dumps(_nested(300))
        monkeypatch.setattr(w.poller, "previews", deep)
        answer = await (w.ops.swap([B], [A]) if swap else w.ops.load(A))
        if swap:
            ended = await w.end(answer)
            assert ended.state is OperationState.FAILED, ended
            assert isinstance(ended.error, JournalUnavailable)
        else:
            assert isinstance(answer, JournalUnavailable)
        assert await w.serving() == [B]
        monkeypatch.undo()
        assert w.ops.all(active=True) == ()
        assert (await w.end(await w.ops.load(A))).state is OperationState.SUCCEEDED


async def test_a_fault_of_our_own_ends_the_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks, wherever: an operation that is neither at work nor ended would block its models for ever."""
    async with world() as w:

        def broken(*_: object) -> None:
            raise RuntimeError("never foreseen")

        with monkeypatch.context() as patched:
            for name in ("forward", "undo", "_turn_back", "_end"):
                patched.setattr(f"exo_graphql.operations.worker.{name}", broken)
            operation = begun(await w.ops.load(A))
            ended = await w.end(operation)
        assert ended.state is OperationState.FAILED
        assert ended.error is not None
        assert ended.error.code == "INTERNAL_FAULT"
        assert (await w.end(await w.ops.load(A))).state is OperationState.SUCCEEDED


async def test_the_file_holds_no_operation_whose_admission_failed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with world() as w, operations(w.poller, path) as ops:
        await w.end(await ops.load(A), ops)
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*), sum(active) FROM operations").fetchone() == (1, 0)
    db.close()
