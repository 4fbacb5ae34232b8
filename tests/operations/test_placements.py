"""Dry runs: where a model would be placed, now, or in a swap for others."""

import threading
from typing import Any

import pytest

from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.state import InstanceType, Sharding
from exo_graphql.operations import InsufficientMemory, InvalidArgument, ModelNotFound, OperationError, PlacementView
from exo_graphql.operations.placements import views
from exo_graphql.operations.plan import removals_of
from exo_graphql.operations.reservations import Reservation
from exo_graphql.operations.saga_state import SagaState, Target
from tests.support.simulated_cluster import HALF, HUGE, OTHER_HALF, A, B, world
from tests.support.threaded_time import ThreadedTimeLoop

pytestmark = pytest.mark.anyio

GIB = 1 << 30
RING = (Sharding.PIPELINE, InstanceType.MLX_RING)


def _of(
    views: tuple[PlacementView, ...] | OperationError, sharding: Sharding, instance_type: InstanceType
) -> PlacementView:
    assert isinstance(views, tuple), views
    (view,) = (v for v in views if (v.sharding, v.instance_type) == (sharding, instance_type))
    return view


async def test_a_model_that_fits_is_shown_with_what_each_node_is_given() -> None:
    async with world() as w:
        view = _of(await w.ops.placements("half"), *RING)
        assert view.fits
        assert view.reason is None
        assert [(share.added_bytes, share.available_bytes) for share in view.nodes] == [
            (4.5 * GIB, 6 * GIB),
            (4.5 * GIB, 6 * GIB),
        ]


async def test_each_sharding_and_instance_type_is_shown_or_why_it_is_impossible() -> None:
    async with world() as w:
        views = await w.ops.placements(A, min_nodes=2)
        assert isinstance(views, tuple)
        assert [(v.sharding.value, v.instance_type.value, v.fits) for v in views] == [
            ("PIPELINE", "MLX_RING", True),
            ("PIPELINE", "MLX_JACCL", False),
            ("TENSOR", "MLX_RING", True),
            ("TENSOR", "MLX_JACCL", False),
        ]
        assert "RDMA" in (_of(views, Sharding.TENSOR, InstanceType.MLX_JACCL).reason or "")
        assert [s.added_bytes for s in _of(views, Sharding.TENSOR, InstanceType.MLX_RING).nodes] == [20_000_000] * 2


async def test_placements_with_models_to_unload() -> None:
    async with world() as w:
        await w.given(HALF)
        now = _of(await w.ops.placements(OTHER_HALF), *RING)
        assert not now.fits
        assert now.reason
        after = _of(await w.ops.placements(OTHER_HALF, unload=["half"]), *RING)
        assert after.fits
        assert [share.added_bytes for share in after.nodes] == [5 * GIB, 5 * GIB]
        # The freed shards are counted back on the nodes that held them.
        assert all(abs((share.available_bytes or 0) - 6 * GIB) < GIB // 2 for share in after.nodes)
        assert await w.serving() == [HALF]


async def test_placements_on_named_nodes_use_exactly_these() -> None:
    async with world() as w:
        view = _of(await w.ops.placements(A, nodes=["node-2"]), *RING)
        assert view.fits
        assert [share.node_id for share in view.nodes] == [w.sim.control.node_id("node-2")]
        pair = _of(await w.ops.placements(A, nodes=["node-1", "node-2"]), *RING)
        assert len(pair.nodes) == 2
        alone = _of(await w.ops.placements(HALF, nodes=["node-2"]), *RING)
        assert not alone.fits


async def test_memory_reserved_by_an_operation_does_not_fit() -> None:
    async with world() as w:
        operation = await w.ops.load(HALF)
        view = _of(await w.ops.placements(OTHER_HALF), *RING)
        assert not view.fits
        assert "reserved" in (view.reason or "")
        await w.end(operation)


async def test_where_exo_would_take_a_node_that_is_reserved_another_is_shown_as_a_load_would_take_it() -> None:
    async with world() as w:
        (first,) = _of(await w.ops.placements(A), *RING).nodes
        everything = SagaState(targets=[Target(B, {first.node_id: first.available_bytes or 0})])
        reserved = (Reservation("other", 1, everything, waiting=False),)
        (other,) = _of(await views(w.poller, reserved, A, None, None, None), *RING).nodes
        assert other.node_id != first.node_id


async def test_what_fits_once_an_operation_has_released_memory_names_that_operation() -> None:
    async with world() as w:
        await w.given(HALF)
        removals = SagaState(removals=removals_of(await w.snapshot(), HALF, None))
        unload = (Reservation("the-unload", 1, removals, waiting=False),)
        view = _of(await views(w.poller, unload, OTHER_HALF, None, None, None), *RING)
        assert not view.fits
        assert view.reason == "It fits once memory has been released by operation the-unload."


async def test_with_models_to_unload_it_is_shown_where_a_swap_places_it() -> None:
    async with world() as w:
        await w.given(HALF)
        view = _of(await w.ops.placements(A, min_nodes=2, unload=[HALF]), *RING)
        assert view.fits
        swap = await w.end(await w.ops.swap([HALF], [A], min_nodes=2))
        assert [step.name for step in swap.steps][:3] == ["plan", "place", "load"]
        (instance,) = (await w.snapshot()).instances_of(A)
        assert {shard.node_id for shard in instance.shards} == {share.node_id for share in view.nodes}


async def test_a_model_that_fits_nowhere_has_a_reason_with_and_without_unload() -> None:
    async with world() as w:
        await w.given(A)
        for views in (await w.ops.placements(HUGE), await w.ops.placements(HUGE, unload=[A])):
            assert isinstance(views, tuple)
            assert not any(view.fits for view in views)
            assert all(view.reason for view in views)


async def test_unknown_names_and_invalid_numbers_are_rejected() -> None:
    async with world() as w:
        assert isinstance(await w.ops.placements("nonesuch"), ModelNotFound)
        assert isinstance(await w.ops.placements(A, unload=["nonesuch"]), ModelNotFound)
        assert isinstance(await w.ops.placements(A, min_nodes=0), InvalidArgument)


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"loop_factory": ThreadedTimeLoop})], ids=["threads"])
async def test_the_search_for_a_placement_runs_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    fit = PlacementSearch.fit

    def noting(self: PlacementSearch, *arguments: Any) -> Any:
        threads.append(threading.get_ident())
        return fit(self, *arguments)

    monkeypatch.setattr(PlacementSearch, "fit", noting)
    async with world() as w:
        assert isinstance(await w.ops.load(HUGE), InsufficientMemory)
    assert threads
    assert threading.get_ident() not in threads
