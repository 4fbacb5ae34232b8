"""Several operations at once: no memory is reserved twice, and no model is used by two of them."""

import asyncio
from dataclasses import replace

import pytest

from exo_graphql.operations import (
    InsufficientMemory,
    Operation,
    OperationConflict,
    OperationFinished,
    OperationNotFound,
    OperationRules,
    OperationState,
    TooManyOperations,
)
from exo_graphql.simulator import tiny_scenario
from tests.support.simulated_cluster import ABSENT, HALF, OTHER_HALF, A, B, C, begun, steps, world

pytestmark = pytest.mark.anyio


async def test_a_second_operation_on_a_model_is_rejected_and_names_the_first() -> None:
    async with world() as w:
        first = await w.ops.load(A)
        assert isinstance(first, Operation)
        for error in (
            await w.ops.load(A, additional=True),
            await w.ops.load(A, min_nodes=2),
            await w.ops.swap([B], [A]),
            await w.ops.swap([A], [B]),
            await w.ops.swap([A], [A]),
        ):
            assert isinstance(error, OperationConflict)
            assert error.operation_id == first.id
        assert (await w.end(first)).state is OperationState.SUCCEEDED
        assert await w.listed() == [A]


async def test_a_client_that_has_seen_it_ready_may_ask_for_the_next_thing() -> None:
    """The load ends a moment later, once it has confirmed its result."""
    async with world() as w:
        load = begun(await w.ops.load(A))
        await w.until(lambda snapshot: snapshot.status(A).ready)
        assert load.id in {operation.id for operation in w.ops.all(active=True)}
        swap = begun(await w.ops.swap([A], [B]))
        assert (await w.end(swap)).state is OperationState.SUCCEEDED
        assert await w.serving() == [B]


async def test_an_identical_load_follows_the_one_under_way() -> None:
    """Overlapping cron jobs send the same load twice; the time-out does not count as a difference."""
    async with world() as w:
        first = begun(await w.ops.load(A, idempotency_key="first"))
        again = begun(await w.ops.load(A.rsplit("/", 1)[-1], timeout_seconds=60, idempotency_key="second"))
        assert again.id == first.id
        assert (await w.end(first)).state is OperationState.SUCCEEDED
        assert await w.listed() == [A]
        # Both keys lead to the operation, even after it has ended.
        for key, seconds in (("first", None), ("second", 60)):
            name = A if key == "first" else A.rsplit("/", 1)[-1]
            assert begun(await w.ops.load(name, timeout_seconds=seconds, idempotency_key=key)).id == first.id


async def test_a_load_that_is_being_undone_is_not_followed() -> None:
    async with world() as w:
        first = begun(await w.ops.load(A))
        await w.when(first, lambda now: steps(now)["load"] == "RUNNING")
        await w.ops.cancel(first.id)
        assert isinstance(await w.ops.load(A), OperationConflict)
        assert (await w.end(first)).state is OperationState.CANCELLED


async def test_two_swaps_of_one_model_at_the_same_moment_are_one() -> None:
    async with world() as w:
        await w.given(HALF)
        answers = await asyncio.gather(
            w.ops.swap([HALF], [OTHER_HALF]), w.ops.swap([HALF], [OTHER_HALF]), w.ops.swap([HALF], [A])
        )
        begun = [answer for answer in answers if isinstance(answer, Operation)]
        assert len(begun) == 1
        refused = [answer for answer in answers if isinstance(answer, OperationConflict)]
        assert [error.operation_id for error in refused] == [begun[0].id] * 2
        assert (await w.end(begun[0])).state is OperationState.SUCCEEDED
        assert await w.serving() == [OTHER_HALF]


async def test_two_loads_at_the_same_moment_do_not_reserve_the_same_memory() -> None:
    async with world() as w:
        answers = await asyncio.gather(w.ops.load(HALF), w.ops.load(OTHER_HALF))
        begun = [answer for answer in answers if isinstance(answer, Operation)]
        (refused,) = (answer for answer in answers if isinstance(answer, InsufficientMemory))
        assert len(begun) == 1
        assert begun[0].id in (refused.suggestion or "")
        assert (await w.end(begun[0])).state is OperationState.SUCCEEDED
        assert len(await w.serving()) == 1


async def test_memory_that_a_listed_instance_has_not_taken_yet_is_not_free() -> None:
    async with world() as w:
        # Placed by another client, without an operation: exo itself would place the other model beside it.
        assert w.sim.control.place(HALF) is not None
        error = await w.ops.load(OTHER_HALF)
        assert isinstance(error, InsufficientMemory)
        assert error.unload_to_fit_ids == (HALF,)


async def test_a_load_that_fits_after_a_running_unload_waits_and_names_it() -> None:
    async with world() as w:
        await w.given(HALF)
        unload = await w.ops.unload(HALF)
        load = await w.ops.load(OTHER_HALF)
        assert isinstance(unload, Operation)
        assert isinstance(load, Operation)
        assert load.state is OperationState.PENDING
        assert load.waiting_for == (unload.id,)
        assert unload.id in load.message
        ended = await w.end(load)
        assert ended.state is OperationState.SUCCEEDED, ended
        assert await w.serving() == [OTHER_HALF]
        first = w.ops.get(unload.id)
        assert first is not None
        place = ended.step("place")
        assert place is not None
        assert place.started_at is not None
        assert first.finished_at is not None
        assert place.started_at >= first.finished_at


async def test_memory_that_becomes_free_goes_to_the_operation_that_waited_first() -> None:
    async with world() as w:
        await w.given(HALF)
        await w.ops.unload(HALF)
        waiting = await w.ops.load(OTHER_HALF)
        assert isinstance(waiting, Operation)
        assert waiting.state is OperationState.PENDING
        # 2.5 GiB are free now, but the first one waits for them.
        late = await w.ops.load("tiny-c")
        assert isinstance(late, Operation)
        assert (await w.end(waiting)).state is OperationState.SUCCEEDED
        assert (await w.end(late)).state is OperationState.SUCCEEDED
        assert await w.serving() == [OTHER_HALF, C]


async def test_a_waiting_load_that_is_cancelled_reserves_nothing() -> None:
    async with world() as w:
        await w.given(HALF)
        await w.ops.unload(HALF)
        load = await w.ops.load(OTHER_HALF)
        assert isinstance(load, Operation)
        await w.ops.cancel(load.id)
        assert (await w.end(load)).state is OperationState.CANCELLED
        assert await w.listed() in ([], [HALF])


async def test_a_waiting_load_fails_with_the_reason_once_it_cannot_fit_any_more() -> None:
    async with world() as w:
        await w.given(HALF)
        unload = await w.ops.unload(HALF)
        load = await w.ops.load(OTHER_HALF)
        assert isinstance(unload, Operation)
        await w.ops.cancel(unload.id)
        assert (await w.end(unload)).state is OperationState.CANCELLED
        ended = await w.end(load)
        assert ended.state is OperationState.FAILED
        assert isinstance(ended.error, InsufficientMemory)
        assert ended.error.unload_to_fit_ids == (HALF,)
        assert await w.serving() == [HALF]


async def test_operations_on_different_models_run_side_by_side() -> None:
    async with world() as w:
        begun = [await w.ops.load(model) for model in (A, B, C)]
        assert len(w.ops.all(active=True)) == 3
        for operation in begun:
            assert (await w.end(operation)).state is OperationState.SUCCEEDED
        assert await w.serving() == [A, B, C]


async def test_a_swap_reserves_the_memory_to_restore_what_it_unloads() -> None:
    sizes = {ABSENT: 4, B: 7}
    scenario = tiny_scenario()
    cards = tuple(
        replace(card, storage_bytes=sizes[card.model_id] << 30) if card.model_id in sizes else card
        for card in scenario.cards
    )
    async with world(replace(scenario, cards=cards)) as w:
        await w.given(OTHER_HALF)
        w.fault(f"load-fails:{ABSENT}")
        swap = begun(await w.ops.swap([OTHER_HALF], [ABSENT]))
        await w.when(swap, lambda now: steps(now)["load"] == "RUNNING")
        # 8 of 12 GiB would be left beside the new model; but should it fail, the old one needs 10 again.
        rival = begun(await w.ops.load(B))
        assert rival.state is OperationState.PENDING
        assert rival.waiting_for == (swap.id,)
        assert (await w.end(swap)).state is OperationState.ROLLED_BACK
        ended = await w.end(rival)
        assert ended.state is OperationState.FAILED
        assert isinstance(ended.error, InsufficientMemory)
        assert await w.serving() == [OTHER_HALF]


async def test_there_is_a_limit_to_operations_under_way() -> None:
    async with world(rules=OperationRules(max_running=2)) as w:
        await w.ops.load(A)
        await w.ops.load(B)
        error = await w.ops.load(C)
        assert isinstance(error, TooManyOperations)
        assert error.limit == 2


async def test_cancelling_an_ended_or_unknown_operation_is_an_error() -> None:
    async with world() as w:
        operation = await w.loaded(A)
        finished = await w.ops.cancel(operation.id)
        assert isinstance(finished, OperationFinished)
        assert isinstance(await w.ops.cancel("nonsense"), OperationNotFound)
        assert await w.serving() == [A]


async def test_operations_are_listed_newest_first() -> None:
    async with world() as w:
        first = await w.loaded(A)
        second = await w.ops.load(B)
        assert isinstance(second, Operation)
        assert [operation.id for operation in w.ops.all()] == [second.id, first.id]
        assert [operation.id for operation in w.ops.all(active=True)] == [second.id]
        assert [operation.id for operation in w.ops.all(active=False)] == [first.id]
        assert w.ops.get("nonsense") is None


async def test_every_change_notifies_listeners_and_is_counted() -> None:
    async with world() as w:
        versions: list[int] = []
        stop = w.ops.listen(lambda: versions.append(w.ops.version))
        await w.loaded(A)
        assert versions == sorted(set(versions))
        assert len(versions) > 5
        stop()
        notified = len(versions)
        await w.loaded(B)
        assert len(versions) == notified
