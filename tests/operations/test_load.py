"""Loading: exo's preview is created exactly as it is, and followed until every runner is ready."""

import asyncio
from dataclasses import replace

import pytest

from exo_graphql.operations import (
    DownloadFailed,
    InstanceTypePreference,
    InsufficientMemory,
    LoadFailed,
    OperationRules,
    OperationState,
    PlacementRefused,
    ShardingPreference,
    TimedOut,
)
from exo_graphql.simulator import parse_fault, tiny_scenario
from tests.support.simulated_cluster import ABSENT, HALF, HUGE, OTHER_HALF, A, B, begun, steps, world

pytestmark = pytest.mark.anyio


async def test_a_load_succeeds_when_its_runners_are_ready_and_not_before() -> None:
    async with world() as w:
        operation = begun(await w.ops.load("tiny-a"))
        assert operation.state is OperationState.RUNNING
        ended = await w.end(operation)
        assert (await w.serving()) == [A]
        assert ended.state is OperationState.SUCCEEDED
        assert ended.load_ids == (A,)
        assert steps(ended) == {"plan": "SUCCEEDED", "place": "SUCCEEDED", "load": "SUCCEEDED"}
        assert ended.finished_at is not None
        assert ended.finished_at > ended.started_at
        # A preview first, then exactly that placement; exo's own placing command is never used.
        assert w.sim.control.requests["POST", "/instance"] == 1
        assert w.sim.control.requests["POST", "/place_instance"] == 0


async def test_progress_is_reported_while_it_loads() -> None:
    async with world() as w:
        seen: list[float] = []
        operation = begun(await w.ops.load(HALF))
        w.ops.listen(
            lambda: seen.extend(
                now.progress_percent
                for now in [w.ops.get(operation.id)]
                if now is not None and now.active and now.progress_percent is not None
            )
        )
        ended = await w.end(operation)
        assert ended.progress_percent == 100.0
        assert [percent for percent in seen if 0 < percent < 100] != []


async def test_loading_a_loaded_model_places_nothing() -> None:
    async with world() as w:
        await w.given(A)
        ended = await w.end(await w.ops.load(A))
        assert ended.state is OperationState.SUCCEEDED
        assert steps(ended)["place"] == "SKIPPED"
        assert await w.listed() == [A]
        assert w.sim.control.requests["POST", "/instance"] == 0


async def test_loading_a_model_that_another_client_is_loading_follows_that_instance() -> None:
    async with world() as w:
        assert w.sim.control.place(A) is not None
        ended = await w.end(await w.ops.load(A))
        assert ended.state is OperationState.SUCCEEDED
        assert await w.serving() == [A]
        assert w.sim.control.requests["POST", "/instance"] == 0


async def test_additional_places_another_copy() -> None:
    async with world() as w:
        await w.given(A)
        assert (await w.end(await w.ops.load(A, additional=True))).state is OperationState.SUCCEEDED
        assert await w.serving() == [A, A]


async def test_chosen_nodes_mean_exactly_these() -> None:
    async with world(tiny_scenario(3)) as w:
        wanted = {w.sim.control.node_id("node-1"), w.sim.control.node_id("node-3")}
        assert (await w.end(await w.ops.load(A, nodes=["node-1", "NODE-3"]))).state is OperationState.SUCCEEDED
        (instance,) = (await w.snapshot()).state.instances.values()
        assert {shard.node_id for shard in instance.shards} == wanted


@pytest.mark.parametrize(
    ("preference", "expected"),
    [
        (ShardingPreference.AUTO, "TENSOR"),
        (ShardingPreference.TENSOR, "TENSOR"),
        (ShardingPreference.PIPELINE, "PIPELINE"),
    ],
)
async def test_auto_prefers_tensor_where_several_nodes_hold_the_model(
    preference: ShardingPreference, expected: str
) -> None:
    async with world() as w:
        assert (await w.end(await w.ops.load(A, min_nodes=2, sharding=preference))).state is OperationState.SUCCEEDED
        (instance,) = (await w.snapshot()).state.instances.values()
        assert instance.sharding is not None
        assert instance.sharding.value == expected
        assert len(instance.shards) == 2


async def test_a_model_that_fits_nowhere_is_rejected_with_the_numbers() -> None:
    async with world() as w:
        error = await w.ops.load(HUGE)
        assert isinstance(error, InsufficientMemory)
        assert error.needed_bytes == 2000 << 30
        assert error.available_bytes == 12 << 30
        assert error.shortfall_bytes == 1988 << 30
        assert error.unload_to_fit_ids == ()
        assert await w.listed() == []
        assert w.ops.all() == ()


async def test_a_rejection_names_the_smallest_set_to_unload() -> None:
    async with world() as w:
        await w.given(A, HALF)
        error = await w.ops.load(OTHER_HALF)
        assert isinstance(error, InsufficientMemory)
        assert error.unload_to_fit_ids == (HALF,)
        assert set(error.loaded_ids) == {A, HALF}


async def test_what_exo_refuses_for_another_reason_is_reported_in_its_words() -> None:
    async with world() as w:
        error = await w.ops.load(A, min_nodes=2, instance_type=InstanceTypePreference.MLX_JACCL)
        assert isinstance(error, PlacementRefused)
        assert "RDMA" in error.reason


async def test_missing_weights_are_downloaded_by_exo_and_followed() -> None:
    async with world() as w:
        operation = begun(await w.ops.load(ABSENT))
        downloading = await w.when(operation, lambda now: "Downloading" in now.message)
        assert downloading.active
        assert (await w.end(operation)).state is OperationState.SUCCEEDED
        assert await w.serving() == [ABSENT]


async def test_a_model_that_exo_gives_up_on_fails_the_load_and_leaves_nothing() -> None:
    async with world() as w:
        w.fault(f"load-fails:{A}")
        ended = await w.end(await w.ops.load(A))
        assert ended.state is OperationState.FAILED
        assert isinstance(ended.error, LoadFailed)
        assert "after 5 attempts" in ended.error.message
        assert steps(ended)["load"] == "FAILED"
        assert await w.listed() == []


async def test_why_exo_gave_up_is_reported_even_if_the_last_failure_was_not_read() -> None:
    async with world() as w:
        # So few reads that none falls between the runner's last failure and the removal.
        w.sim.control.latency = 1.0
        w.fault(f"load-fails:{A}")
        ended = await w.end(await w.ops.load(A))
        assert ended.state is OperationState.FAILED
        assert isinstance(ended.error, LoadFailed)
        assert "after 5 attempts" in ended.error.message
        assert "Received parameters not in model" in ended.error.message


async def test_the_failure_of_an_earlier_load_is_not_reported_for_this_one() -> None:
    async with world() as w:
        w.fault(f"load-fails:{A}")
        await w.end(await w.ops.load(A))
        w.sim.control.clear()
        operation = begun(await w.ops.load(A))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        (instance,) = (await w.snapshot()).state.instances
        w.sim.control.delete_instance(instance)
        ended = await w.end(operation)
        assert isinstance(ended.error, LoadFailed)
        assert "by another client or by exo" in ended.error.message


async def test_a_node_lost_in_an_earlier_load_is_not_the_reason_of_this_one() -> None:
    async with world(tiny_scenario(3)) as w:
        operation = begun(await w.ops.load(HALF, nodes=["node-1", "node-2"]))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        w.sim.control.kill_node("node-2")
        lost = await w.end(operation)
        assert "lost" in lost.message, lost.message
        operation = begun(await w.ops.load(HALF, nodes=["node-1", "node-3"]))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        (instance,) = (await w.snapshot()).state.instances
        w.sim.control.delete_instance(instance)
        ended = await w.end(operation)
        assert isinstance(ended.error, LoadFailed)
        assert "by another client or by exo" in ended.error.message


async def test_one_failed_attempt_does_not_end_a_load() -> None:
    async with world() as w:
        w.sim.control.inject(replace(parse_fault(f"load-fails:{A}"), count=1))
        ended = await w.end(await w.ops.load(A))
        assert ended.state is OperationState.SUCCEEDED
        assert await w.serving() == [A]


async def test_a_failed_download_fails_the_load_and_the_instance_is_removed() -> None:
    async with world() as w:
        w.fault(f"download-fails:{ABSENT}")
        ended = await w.end(await w.ops.load(ABSENT))
        assert ended.state is OperationState.FAILED
        assert isinstance(ended.error, DownloadFailed | LoadFailed)
        assert await w.listed() == []


async def test_why_a_download_failed_is_reported_even_after_exo_has_forgotten_it() -> None:
    async with world() as w:
        w.fault(f"download-fails:{ABSENT}")
        # Within 15 s exo checks its disks, and lists the failed download as pending again.
        w.sim.control.advance(45.0)
        ended = await w.end(await w.ops.load(ABSENT, min_nodes=2))
        assert isinstance(ended.error, DownloadFailed)
        assert "503, message='Service Unavailable'" in ended.error.message


async def test_a_time_out_removes_what_was_placed() -> None:
    async with world() as w:
        started = asyncio.get_running_loop().time()
        ended = await w.end(await w.ops.load(ABSENT, timeout_seconds=3))
        assert ended.state is OperationState.FAILED
        assert isinstance(ended.error, TimedOut)
        assert steps(ended)["remove"] == "SUCCEEDED"
        assert await w.listed() == []
        assert asyncio.get_running_loop().time() - started < 30


async def test_a_load_without_progress_fails() -> None:
    async with world(rules=OperationRules(stall_seconds=1.0)) as w:
        # A runner's process takes more than a second to start: nothing moves for as long.
        ended = await w.end(await w.ops.load(A))
        assert ended.state is OperationState.FAILED
        assert isinstance(ended.error, TimedOut)
        assert "Nothing progressed for 1 s" in ended.error.message


async def test_a_cancelled_load_is_undone() -> None:
    async with world() as w:
        operation = begun(await w.ops.load(HALF))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        await w.ops.cancel(operation.id)
        ended = await w.end(operation)
        assert ended.state is OperationState.CANCELLED
        assert await w.listed() == []
        free = [node.ram_available_bytes for node in (await w.snapshot()).nodes]
        assert all(size is not None and size > 5.9 * (1 << 30) for size in free)


async def test_an_instance_removed_by_another_client_ends_the_load_with_that_reason() -> None:
    async with world() as w:
        operation = begun(await w.ops.load(HALF))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        (instance,) = (await w.snapshot()).state.instances
        w.sim.control.delete_instance(instance)
        ended = await w.end(operation)
        assert ended.state is OperationState.FAILED
        assert "was removed before it was ready, by another client or by exo" in ended.message
        assert "gave up" not in ended.message
        assert await w.listed() == []


async def test_another_clients_instance_is_not_removed_when_following_it_is_cancelled() -> None:
    async with world() as w:
        assert w.sim.control.place(HALF) is not None
        await w.until(lambda snapshot: bool(snapshot.state.instances))
        operation = begun(await w.ops.load(HALF))
        await w.ops.cancel(operation.id)
        assert (await w.end(operation)).state is OperationState.CANCELLED
        assert await w.listed() == [HALF]


async def test_a_node_lost_while_loading_fails_the_load() -> None:
    async with world(tiny_scenario(3)) as w:
        operation = begun(await w.ops.load(HALF, nodes=["node-1", "node-2"]))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        w.sim.control.kill_node("node-2")
        ended = await w.end(operation)
        assert ended.state is OperationState.FAILED
        assert await w.listed() == []


async def test_a_command_lost_in_an_election_is_sent_again() -> None:
    async with world() as w:
        await w.snapshot()
        w.sim.control.kill_master()
        operation = begun(await w.ops.load(B))
        if not hasattr(operation, "steps"):
            # Rejected at once: exo's state held no nodes at that moment.
            await w.until(lambda snapshot: snapshot.node_count == 1 and not snapshot.stale)
            operation = begun(await w.ops.load(B))
        ended = await w.end(operation)
        assert ended.state is OperationState.SUCCEEDED, ended
        assert await w.serving() == [B]
