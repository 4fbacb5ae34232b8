"""What the reconciler does, on the simulated exo: from an apply to a model that serves, and through every act."""

import pytest

from exo_graphql.simulator import tiny_scenario
from tests.support.deployed_cluster import deployed
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, B

pytestmark = pytest.mark.anyio


async def test_an_applied_deployment_is_loaded() -> None:
    async with deployed() as d:
        assessment = await d.applied("small", A)
        assert assessment.state.value in ("PROGRESSING", "WAITING")
        await d.until_state("small", "READY", 60)
        assert await d.w.serving() == [A]
        assert d.creations == 1


async def test_what_is_loaded_already_is_adopted_and_nothing_is_placed() -> None:
    async with deployed() as d:
        await d.w.given(A)
        await d.applied("small", A)
        await d.until_state("small", "READY", 10)
        assert d.creations == 0
        (instance,) = (await d.w.snapshot()).state.instances
        await d.until(lambda: d.said("small").deployment.owned == (instance,))


async def test_a_lost_instance_is_placed_again() -> None:
    async with deployed(tiny_scenario(3)) as d:
        await d.applied("small", A)
        await d.until_state("small", "READY", 60)
        d.w.sim.control.restart(4.0)
        await d.until(lambda: d.state("small").value != "READY")
        await d.until_state("small", "READY", 120)
        assert await d.w.listed() == [A]


async def test_two_that_exclude_each_other_do_not_alternate() -> None:
    async with deployed() as d:
        await d.applied("one", HALF)
        await d.until_state("one", "READY", 120)
        await d.applied("two", OTHER_HALF)
        await d.until_state("two", "UNSATISFIABLE", 10)
        creations = d.creations
        await d.w.until(lambda _: d.w.sim.control.now > 2000, 3000)
        assert d.state("one").value == "READY"
        assert d.state("two").value == "UNSATISFIABLE"
        assert d.creations == creations


async def test_a_higher_priority_displaces_what_is_loaded() -> None:
    async with deployed() as d:
        await d.applied("one", HALF)
        await d.until_state("one", "READY", 120)
        await d.applied("two", OTHER_HALF, priority=1)
        await d.until_state("two", "READY", 200)
        assert d.state("one").value == "UNSATISFIABLE"
        assert await d.w.listed() == [OTHER_HALF]


async def test_deleting_unloads_and_what_waited_for_room_is_loaded() -> None:
    async with deployed() as d:
        await d.applied("one", HALF)
        await d.until_state("one", "READY", 120)
        await d.applied("two", OTHER_HALF)
        await d.deployments.delete("one")
        await d.until_state("two", "READY", 200)
        assert await d.w.listed() == [OTHER_HALF]
        assert d.deployments.get("one") is None


async def test_foreign_instances_are_never_touched() -> None:
    async with deployed() as d:
        await d.w.given(HALF)
        await d.applied("two", OTHER_HALF, priority=10)
        await d.until_state("two", "UNSATISFIABLE", 10)
        assert HALF in d.said("two").reason
        await d.w.until(lambda _: d.w.sim.control.now > 300, 3000)
        assert await d.w.listed() == [HALF]
        assert d.creations == 0


async def test_another_copy_of_a_model_goes_to_another_node() -> None:
    async with deployed(tiny_scenario(3)) as d:
        await d.applied("small", B, replicas=2)
        await d.until_state("small", "READY", 120)
        snapshot = await d.w.snapshot()
        placed = [shard.node_id for instance in snapshot.state.instances.values() for shard in instance.shards]
        assert len(placed) == len(set(placed)) == 2
