"""Swaps: the order of their steps, and what they reject."""

import asyncio
from dataclasses import replace

import pytest

from exo_graphql.cluster.state import Instance
from exo_graphql.cluster.upstream import Unreachable
from exo_graphql.operations import (
    DownloadFailed,
    InsufficientMemory,
    InvalidArgument,
    OperationState,
)
from exo_graphql.simulator import Scenario, tiny_scenario
from tests.support.simulated_cluster import ABSENT, HALF, HUGE, OTHER_HALF, A, B, C, begun, steps, world

pytestmark = pytest.mark.anyio

DELETE = ("DELETE", "/instance/{instance_id}")


async def test_a_swap_waits_for_the_memory_before_it_places() -> None:
    async with world() as w:
        await w.given(HALF)
        ended = await w.end(await w.ops.swap([HALF], [OTHER_HALF]))
        assert ended.state is OperationState.SUCCEEDED, ended
        assert await w.listed() == [OTHER_HALF]
        assert await w.serving() == [OTHER_HALF]
        assert list(steps(ended)) == ["plan", "download", "drain", "unload", "memory", "place", "load"]
        memory, place = ended.step("memory"), ended.step("place")
        assert memory is not None
        assert place is not None
        assert memory.finished_at is not None
        assert place.started_at is not None
        assert place.started_at >= memory.finished_at
        assert (ended.load_ids, ended.unload_ids) == ((OTHER_HALF,), (HALF,))


async def test_models_that_fit_side_by_side_are_loaded_first_so_that_one_always_serves() -> None:
    async with world() as w:
        await w.given(A)
        operation = begun(await w.ops.swap([A], [B]))
        served: list[list[str]] = []
        while (now := w.ops.get(operation.id)) is not None and now.active:
            served.append(await w.serving())
            await asyncio.sleep(0.05)
        assert now is not None
        assert now.state is OperationState.SUCCEEDED
        assert all(served)
        assert [A, B] in served
        assert await w.serving() == [B]
        assert list(steps(now)) == ["plan", "place", "load", "drain", "unload", "memory"]


async def test_a_model_that_does_not_fit_even_after_the_unload_changes_nothing() -> None:
    async with world() as w:
        await w.given(HALF)
        error = await w.ops.swap([HALF], [HUGE])
        assert isinstance(error, InsufficientMemory)
        assert error.needed_bytes == 2000 << 30
        assert w.sim.control.requests[DELETE] == 0
        assert await w.serving() == [HALF]


async def test_further_models_that_would_have_to_be_unloaded_are_named() -> None:
    async with world() as w:
        await w.given(A, HALF)
        error = await w.ops.swap([A], [OTHER_HALF])
        assert isinstance(error, InsufficientMemory)
        assert error.unload_to_fit_ids == (HALF,)


async def test_weights_are_downloaded_first_while_the_old_model_serves() -> None:
    async with world(_absent_fits_only_alone()) as w:
        await w.given(HALF)
        operation = begun(await w.ops.swap([HALF], [ABSENT]))
        await w.when(operation, lambda now: "Fetching weights" in now.message)
        await w.until(lambda snapshot: snapshot.active_download_count > 0)
        assert await w.serving() == [HALF]
        percents: list[float] = []
        w.ops.listen(
            lambda: percents.extend(
                now.progress_percent
                for now in [w.ops.get(operation.id)]
                if now is not None and now.progress_percent is not None and steps(now)["download"] == "RUNNING"
            )
        )
        ended = await w.end(operation)
        assert ended.state is OperationState.SUCCEEDED, ended
        assert any(0 < percent < 100 for percent in percents)
        assert await w.serving() == [ABSENT]
        download, drain = ended.step("download"), ended.step("drain")
        assert download is not None
        assert drain is not None
        assert download.finished_at is not None
        assert drain.started_at is not None
        assert download.finished_at <= drain.started_at


async def test_a_failed_download_ends_the_swap_before_anything_is_unloaded() -> None:
    async with world(_absent_fits_only_alone()) as w:
        await w.given(HALF)
        w.fault(f"download-fails:{ABSENT}")
        ended = await w.end(await w.ops.swap([HALF], [ABSENT]))
        assert ended.state is OperationState.FAILED
        assert isinstance(ended.error, DownloadFailed)
        assert "The cluster is as it was before." in ended.message
        assert w.sim.control.requests[DELETE] == 0
        assert await w.serving() == [HALF]


async def test_cancelling_the_download_stops_it() -> None:
    async with world(_absent_fits_only_alone()) as w:
        await w.given(HALF)
        operation = begun(await w.ops.swap([HALF], [ABSENT]))
        await w.until(lambda snapshot: snapshot.active_download_count > 0)
        await w.ops.cancel(operation.id)
        assert (await w.end(operation)).state is OperationState.CANCELLED
        await w.until(lambda snapshot: snapshot.active_download_count == 0, seconds=2)
        assert await w.serving() == [HALF]


async def test_several_models_are_swapped_for_one_and_back() -> None:
    async with world() as w:
        await w.given(A, B, C)
        night = await w.end(await w.ops.swap([A, B, C], [OTHER_HALF]))
        assert night.state is OperationState.SUCCEEDED
        assert await w.serving() == [OTHER_HALF]
        day = await w.end(await w.ops.swap([OTHER_HALF], [A, B, C]))
        assert day.state is OperationState.SUCCEEDED
        assert await w.serving() == [A, B, C]
        assert f"load {A}" in steps(day)


async def test_a_model_swapped_for_itself_succeeds_at_once() -> None:
    async with world() as w:
        await w.given(A)
        (old,) = (await w.snapshot()).state.instances
        ended = await w.end(await w.ops.swap([A], [A]))
        assert ended.state is OperationState.SUCCEEDED
        plan = ended.step("plan")
        assert plan is not None
        assert plan.message is not None
        assert f"{A} is on both sides: it stays." in plan.message
        assert list((await w.snapshot()).state.instances) == [old]
        assert w.sim.control.requests[DELETE] == w.sim.control.requests["POST", "/instance"] == 0


async def test_models_that_are_already_unloaded_or_loaded_count_as_done() -> None:
    async with world() as w:
        await w.given(B)
        ended = await w.end(await w.ops.swap([A], [B]))
        assert ended.state is OperationState.SUCCEEDED
        assert w.sim.control.requests[DELETE] == w.sim.control.requests["POST", "/instance"] == 0
        assert steps(ended)["place"] == "SKIPPED"
        assert steps(ended)["unload"] == "SKIPPED"
        unload = ended.step("unload")
        assert unload is not None
        assert unload.message == f"Nothing to unload: {A} is not loaded."
        assert ended.message == f"{B} ready. {A} was not loaded."


async def test_an_instance_whose_creation_was_not_answered_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        await w.given(HALF)
        real = w.poller.create

        async def lost(instance: Instance) -> None:
            monkeypatch.undo()
            await real(instance)
            # Late enough that its memory is taken: exo cannot place the same model again.
            w.sim.control.advance(3.0)
            raise Unreachable("exo did not answer in time.")

        monkeypatch.setattr(w.poller, "create", lost)
        ended = await w.end(await w.ops.swap([HALF], [OTHER_HALF]))
        assert w.sim.control.requests["POST", "/instance"] == 2
        assert ended.state is OperationState.SUCCEEDED, ended.message
        assert await w.serving() == [OTHER_HALF]


async def test_a_swap_of_nothing_is_rejected() -> None:
    async with world() as w:
        assert isinstance(await w.ops.swap([], []), InvalidArgument)


async def test_an_instance_placed_meanwhile_by_another_client_is_unloaded_too() -> None:
    async with world() as w:
        await w.given(A)
        operation = begun(await w.ops.swap([A], [B]))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        assert w.sim.control.place(A) is not None
        ended = await w.end(operation)
        assert ended.state is OperationState.SUCCEEDED
        assert await w.listed() == [B]


def _absent_fits_only_alone() -> Scenario:
    """`absent` is too large to be loaded beside `half`: 4 GiB."""
    scenario = tiny_scenario()
    cards = tuple(replace(card, storage_bytes=4 << 30) if card.model_id == ABSENT else card for card in scenario.cards)
    return replace(scenario, cards=cards)
