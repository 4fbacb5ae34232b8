"""Idempotency: one key, one operation."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from exo_graphql.operations import IdempotencyKeyReused, Operation, OperationRules, Operations, OperationState
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.polled_cluster import loop_now
from tests.support.simulated_cluster import A, B, operations, world

pytestmark = pytest.mark.anyio


async def test_the_same_key_with_the_same_arguments_is_the_same_operation() -> None:
    async with world() as w:
        first = await w.ops.load(A, idempotency_key="nightly")
        again = await w.ops.load(A, idempotency_key="nightly")
        assert isinstance(first, Operation)
        assert isinstance(again, Operation)
        assert again.id == first.id
        assert first.idempotency_key == "nightly"
        await w.end(first)
        later = await w.ops.load(A, idempotency_key="nightly")
        assert isinstance(later, Operation)
        assert (later.id, later.state) == (first.id, OperationState.SUCCEEDED)
        assert len(w.ops.all()) == 1


async def test_ten_requests_with_one_key_at_the_same_moment_are_one_operation() -> None:
    async with world() as w:
        answers = await asyncio.gather(*(w.ops.load(A, idempotency_key="k") for _ in range(10)))
        assert len({answer.id for answer in answers if isinstance(answer, Operation)}) == 1
        assert all(isinstance(answer, Operation) for answer in answers)
        await w.end(answers[0])
        assert await w.listed() == [A]


async def test_an_unload_requested_twice_with_one_key_is_no_error_the_second_time() -> None:
    async with world() as w:
        await w.given(A)
        first = await w.end(await w.ops.unload(A, idempotency_key="k"))
        again = await w.ops.unload(A, idempotency_key="k")
        assert isinstance(again, Operation)
        assert again == first


@pytest.mark.parametrize("what", ["model", "nodes", "kind"])
async def test_the_same_key_with_other_arguments_is_rejected(what: str) -> None:
    async with world() as w:
        first = await w.ops.load(A, idempotency_key="k")
        assert isinstance(first, Operation)
        if what == "model":
            other = await w.ops.load(B, idempotency_key="k")
        elif what == "nodes":
            other = await w.ops.load(A, min_nodes=2, idempotency_key="k")
        else:
            other = await w.ops.swap([], [A], idempotency_key="k")
        assert isinstance(other, IdempotencyKeyReused)
        assert other.operation_id == first.id


async def test_a_key_is_remembered_for_a_day_even_after_restarts(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with world() as w:
        async with operations(w.poller, path) as ops:
            first = await w.end(await ops.load(A, idempotency_key="k"), ops)
        async with operations(w.poller, path) as ops:
            again = await ops.load(A, idempotency_key="k")
            assert again == first
        tomorrow = loop_now() + timedelta(days=1)
        store = SQLiteStore(path)
        await store.open()
        async with Operations(w.poller, store, now=lambda: tomorrow) as ops:
            fresh = await ops.load(A, idempotency_key="k")
            assert isinstance(fresh, Operation)
            assert fresh.id != first.id
        await store.close()


async def test_a_rejected_request_does_not_use_up_its_key() -> None:
    async with world() as w:
        assert not isinstance(await w.ops.load("nonesuch", idempotency_key="k"), Operation)
        assert isinstance(await w.ops.load(A, idempotency_key="k"), Operation)


async def test_a_wall_clock_that_is_adjusted_ends_no_operation_and_forgets_no_key() -> None:
    async with world() as w:
        error = timedelta()
        store = SQLiteStore(None)
        await store.open()
        ops = Operations(
            w.poller,
            store,
            OperationRules(),
            clock=lambda: asyncio.get_running_loop().time(),
            now=lambda: loop_now() + error,
        )
        async with ops:
            operation = await ops.load(A, timeout_seconds=60, idempotency_key="k")
            error = timedelta(days=-400)
            ended = await w.end(operation, ops)
            assert ended.state is OperationState.SUCCEEDED
            assert ended.finished_at is not None
            assert ended.finished_at >= ended.started_at
            assert await ops.load(A, timeout_seconds=60, idempotency_key="k") == ended
            error = timedelta(days=0)
            other = await ops.load(B, timeout_seconds=60)
            error = timedelta(days=400)
            assert (await w.end(other, ops)).state is OperationState.SUCCEEDED
        await store.close()


async def test_a_key_is_remembered_longer_than_the_list_of_ended_operations() -> None:
    async with world(rules=OperationRules(kept_finished=2)) as w:
        first = await w.end(await w.ops.load(A, idempotency_key="k"))
        for _ in range(3):
            await w.loaded(A)
        assert len(w.ops.all()) == 2
        assert first.id not in {operation.id for operation in w.ops.all()}
        assert await w.ops.load(A, idempotency_key="k") == first
