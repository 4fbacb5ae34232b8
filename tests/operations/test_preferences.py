"""Every preference is placed as requested or rejected, over the placement of the simulated exo."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from exo_graphql.cluster.state import Instance
from exo_graphql.operations import (
    InstanceTypePreference,
    InvalidArgument,
    PlacementRefused,
    PlacementView,
    ShardingPreference,
)
from exo_graphql.simulator import Scenario, tiny_scenario
from exo_graphql.simulator.scenario import Cable
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, SimulatedCluster, world

pytestmark = pytest.mark.anyio

PIPELINE, TENSOR = ShardingPreference.PIPELINE, ShardingPreference.TENSOR
RING, JACCL = InstanceTypePreference.MLX_RING, InstanceTypePreference.MLX_JACCL


def _cabled(nodes: int) -> Scenario:
    """A Thunderbolt cable with RDMA between the first two nodes."""
    scenario = tiny_scenario(nodes)
    machines = tuple(replace(machine, rdma=True, thunderbolt=("en3",)) for machine in scenario.machines)
    return replace(scenario, machines=machines, cables=(Cable("node-1", "en3", "node-2", "en3"),))


@dataclass(frozen=True)
class Case:
    """`held` is the expected instance; `refused` is a word of the reason for the rejection."""

    name: str
    preferences: dict[str, Any]
    held: tuple[str, str, int] | None = None
    on: tuple[str, ...] | None = None
    refused: str | None = None
    model: str = A
    scenario: Scenario = field(default_factory=tiny_scenario)


CASES = (
    Case("nothing", {}, ("PIPELINE", "MLX_RING", 1)),
    Case("pipeline", {"sharding": PIPELINE}, ("PIPELINE", "MLX_RING", 1)),
    Case("ring", {"instance_type": RING}, ("PIPELINE", "MLX_RING", 1)),
    Case("tensor", {"sharding": TENSOR}, ("TENSOR", "MLX_RING", 2)),
    Case("tensor over a ring", {"sharding": TENSOR, "instance_type": RING}, ("TENSOR", "MLX_RING", 2)),
    Case("tensor on two of three", {"sharding": TENSOR}, ("TENSOR", "MLX_RING", 2), scenario=tiny_scenario(3)),
    Case("two nodes", {"min_nodes": 2}, ("TENSOR", "MLX_RING", 2)),
    Case("a pipeline on two", {"min_nodes": 2, "sharding": PIPELINE}, ("PIPELINE", "MLX_RING", 2)),
    Case("a pipeline on three", {"min_nodes": 3}, ("PIPELINE", "MLX_RING", 3), scenario=tiny_scenario(3)),
    Case("more nodes than there are", {"min_nodes": 3}, refused="there are 2"),
    Case("one node by name", {"nodes": ["node-2"]}, ("PIPELINE", "MLX_RING", 1), ("node-2",)),
    Case("tensor on one by name", {"nodes": ["node-2"], "sharding": TENSOR}, refused="A single node can only hold"),
    Case("JACCL on one by name", {"nodes": ["node-2"], "instance_type": JACCL}, refused="A single node can only hold"),
    Case("two on one by name", {"nodes": ["node-2"], "min_nodes": 2}, refused="there are 1"),
    Case(
        "tensor by names",
        {"nodes": ["node-3", "node-1"], "sharding": TENSOR},
        ("TENSOR", "MLX_RING", 2),
        ("node-1", "node-3"),
        scenario=tiny_scenario(3),
    ),
    Case("JACCL without RDMA", {"instance_type": JACCL}, refused="RDMA"),
    Case("tensor over JACCL without RDMA", {"sharding": TENSOR, "instance_type": JACCL}, refused="RDMA"),
    Case(
        "tensor where there is one node",
        {"sharding": TENSOR},
        refused="A single node can only hold",
        scenario=tiny_scenario(1),
    ),
    Case(
        "JACCL where there is one node",
        {"instance_type": JACCL},
        refused="A single node can only hold",
        scenario=_cabled(1),
    ),
    Case("JACCL", {"instance_type": JACCL}, ("TENSOR", "MLX_JACCL", 2), ("node-1", "node-2"), scenario=_cabled(3)),
    Case(
        "a pipeline over JACCL",
        {"sharding": PIPELINE, "instance_type": JACCL},
        ("PIPELINE", "MLX_JACCL", 2),
        ("node-1", "node-2"),
        scenario=_cabled(3),
    ),
    Case("tensor with RDMA", {"sharding": TENSOR}, ("TENSOR", "MLX_JACCL", 2), scenario=_cabled(2)),
    Case(
        "a ring with RDMA", {"sharding": TENSOR, "instance_type": RING}, ("TENSOR", "MLX_RING", 2), scenario=_cabled(2)
    ),
    Case("JACCL on three", {"instance_type": JACCL, "min_nodes": 3}, refused="RDMA", scenario=_cabled(3)),
    Case(
        "JACCL where there is no cable",
        {"instance_type": JACCL, "nodes": ["node-1", "node-3"]},
        refused="RDMA",
        scenario=_cabled(3),
    ),
    Case("a model for two", {"sharding": PIPELINE}, ("PIPELINE", "MLX_RING", 2), model=HALF),
    Case("a model for two, tensor", {"sharding": TENSOR}, ("TENSOR", "MLX_RING", 2), model=HALF),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_load_ends_as_requested_or_is_rejected(case: Case) -> None:
    async with world(case.scenario) as w:
        answer = await w.ops.load(case.model, **case.preferences)
        if case.refused is not None:
            assert isinstance(answer, PlacementRefused | InvalidArgument), answer
            assert case.refused in answer.message
            assert answer.suggestion
            return
        operation = await w.end(answer)
        assert operation.state.value == "SUCCEEDED", operation
        snapshot = await w.snapshot()
        (instance,) = snapshot.instances_of(case.model)
        assert case.held is not None
        nodes = {shard.node_id for shard in instance.shards}
        assert _kind(instance) == case.held
        if case.on is not None:
            assert nodes == {w.sim.control.node_id(name) for name in case.on}


@pytest.mark.parametrize("case", [case for case in CASES if case.model == A], ids=lambda case: case.name)
async def test_a_swap_ends_as_requested_or_is_rejected(case: Case) -> None:
    async with world(case.scenario) as w:
        small = "test/tiny-c"
        await w.given(small)
        answer = await w.ops.swap([small], [case.model], **case.preferences)
        if case.refused is not None:
            assert isinstance(answer, PlacementRefused | InvalidArgument), answer
            assert case.refused in answer.message
            assert await w.serving() == [small]
            return
        operation = await w.end(answer)
        assert operation.state.value == "SUCCEEDED", operation
        (instance,) = (await w.snapshot()).instances_of(case.model)
        assert case.held is not None
        assert _kind(instance) == case.held


def _kind(instance: Instance) -> tuple[str, str, int]:
    assert instance.sharding
    assert instance.instance_type
    return instance.sharding.value, instance.instance_type.value, len({shard.node_id for shard in instance.shards})


@pytest.mark.parametrize(
    ("scenario", "min_nodes", "nodes", "unload"),
    [
        (tiny_scenario(1), None, None, None),
        (tiny_scenario(2), None, None, None),
        (tiny_scenario(2), 2, None, None),
        (tiny_scenario(2), None, ["node-1"], None),
        (_cabled(1), None, None, None),
        (_cabled(3), None, None, None),
        (_cabled(3), None, ["node-1", "node-2"], None),
        (_cabled(3), 3, None, None),
        (_cabled(3), None, None, ["test/tiny-c"]),
        (tiny_scenario(1), None, None, ["test/tiny-c"]),
        (tiny_scenario(2), 2, ["node-1"], ["test/tiny-c"]),
    ],
)
async def test_placements_fit_exactly_where_a_load_of_that_kind_succeeds(
    scenario: Scenario, min_nodes: int | None, nodes: list[str] | None, unload: list[str] | None
) -> None:
    async with world(scenario) as w:
        views = await w.ops.placements(A, min_nodes=min_nodes, nodes=nodes, unload=unload)
        assert isinstance(views, tuple)
        assert len(views) == 4
        for view in views:
            await _holds(w, view, min_nodes, nodes, computed=bool(unload))


async def _holds(
    w: SimulatedCluster, view: PlacementView, min_nodes: int | None, nodes: list[str] | None, *, computed: bool
) -> None:
    # Of equal nodes exo may take others than were computed.
    sharding, instance_type = ShardingPreference[view.sharding.name], InstanceTypePreference[view.instance_type.name]
    answer = await w.ops.load(A, sharding=sharding, instance_type=instance_type, min_nodes=min_nodes or 1, nodes=nodes)
    if not view.fits:
        assert isinstance(answer, PlacementRefused | InvalidArgument), (view, answer)
        assert view.reason
        return
    assert (await w.end(answer)).state.value == "SUCCEEDED"
    (instance,) = (await w.snapshot()).instances_of(A)
    assert _kind(instance) == (view.sharding.value, view.instance_type.value, len(view.nodes))
    if not computed:
        assert {shard.node_id for shard in instance.shards} == {share.node_id for share in view.nodes}
    assert (await w.end(await w.ops.unload(A))).state.value == "SUCCEEDED"


async def test_a_load_does_not_adopt_an_instance_that_differs_from_the_request() -> None:
    async with world(tiny_scenario(3)) as w:
        await w.loaded(A)
        for preferences in (
            {"sharding": TENSOR},
            {"instance_type": JACCL},
            {"min_nodes": 2},
            {"nodes": ["node-2", "node-3"]},
        ):
            refused = await w.ops.load(A, **preferences)
            assert isinstance(refused, PlacementRefused), (preferences, refused)
            assert "PIPELINE over MLX_RING on node-" in refused.message
            assert "is requested" in refused.message
            assert refused.suggestion
        same = await w.end(await w.ops.load(A, sharding=PIPELINE, instance_type=RING))
        assert same.state.value == "SUCCEEDED"
        assert len((await w.snapshot()).instances_of(A)) == 1
        # Another copy is as requested; from then on loads adopt that one.
        copy = await w.end(await w.ops.load(A, sharding=TENSOR, additional=True))
        assert copy.state.value == "SUCCEEDED"
        assert (await w.end(await w.ops.load(A, sharding=TENSOR))).state.value == "SUCCEEDED"
        assert sorted(_kind(i)[0] for i in (await w.snapshot()).instances_of(A)) == ["PIPELINE", "TENSOR"]


async def test_a_swap_does_not_keep_an_instance_that_differs_from_the_request() -> None:
    async with world() as w:
        await w.given(OTHER_HALF)
        refused = await w.ops.swap([A], [OTHER_HALF], sharding=TENSOR)
        assert isinstance(refused, PlacementRefused), refused
        assert "PIPELINE over MLX_RING" in refused.message
        assert await w.serving() == [OTHER_HALF]
