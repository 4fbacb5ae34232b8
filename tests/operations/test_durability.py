"""Answers hold: nothing that was rejected runs later, nothing that was cancelled continues."""

import sqlite3
from pathlib import Path
from typing import Any

import orjson
import pytest

from exo_graphql.cluster.state import Instance
from exo_graphql.operations import JournalUnavailable, OperationState
from exo_graphql.storage import StoreError
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, B, begun, operations, steps, world

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("step", ["drain", "place", "load"])
async def test_a_cancellation_that_was_answered_holds_after_a_restart(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    async with world() as w:
        await w.given(HALF)
        async with operations(w.poller, path) as ops:
            operation = begun(await ops.swap([HALF], [OTHER_HALF]))
            await w.when(operation, lambda now: steps(now)[step] == "RUNNING", ops)
            begun(await ops.cancel(operation.id))
            # Killed at this moment: nothing is written any more.
            monkeypatch.setattr(SQLiteStore, "save", _fails)
        monkeypatch.undo()
        async with operations(w.poller, path) as ops:
            ended = await w.end(operation, ops)
            assert ended.state is OperationState.CANCELLED, ended
            assert await w.serving() == [HALF]


async def _fails(*_: object) -> None:
    raise StoreError("The process has been killed.")


async def test_a_cancellation_that_cannot_be_stored_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        operation = begun(await w.ops.load(A))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        with monkeypatch.context() as patched:
            patched.setattr(SQLiteStore, "save", _fails)
            assert isinstance(await w.ops.cancel(operation.id), JournalUnavailable)
        ended = await w.end(operation)
        assert ended.state is OperationState.SUCCEEDED, ended


def _nested(depth: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(depth):
        document = {"deeper": document}
    return document


@pytest.mark.parametrize("swap", [False, True])
async def test_a_preview_that_cannot_be_stored_ends_the_operation_and_blocks_nothing(
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


async def test_an_internal_error_ends_the_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    """After any exception: an operation that is neither at work nor ended would block its models for ever."""
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


async def test_an_operation_whose_admission_failed_is_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with world() as w, operations(w.poller, path) as ops:
        await w.end(await ops.load(A), ops)
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*), sum(active) FROM operations").fetchone() == (1, 0)
    db.close()
