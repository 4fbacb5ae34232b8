"""What the reconciler does, on the simulated exo: from an apply to a model that serves, and through every act."""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.validation import Declaration
from exo_graphql.exo.poller import Poller
from exo_graphql.simulator import tiny_scenario
from tests.support.deployed_cluster import deployed, deployments
from tests.support.polled_cluster import loop_moment
from tests.support.simulated_cluster import ABSENT, HALF, OTHER_HALF, A, B, operations

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
        await d.until(lambda: d.assessment("small").deployment.owned == (instance,))


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
        await asyncio.sleep(2000 - d.w.sim.control.now)
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
        assert HALF in d.assessment("two").reason
        await d.w.until(lambda _: d.w.sim.control.now > 300, 3000)
        assert await d.w.listed() == [HALF]
        assert d.creations == 0


async def test_another_copy_of_a_model_goes_to_another_node() -> None:
    async with deployed(tiny_scenario(3)) as d:
        await d.applied("small", B, replicas=2)
        states: set[str] = set()
        with contextlib.ExitStack() as stack:
            stack.callback(d.deployments.listen(lambda: states.add(d.state("small").value)))
            await d.until_state("small", "READY", 120)
        assert "RETRYING" not in states
        assert d.assessment("small").deployment.attempts == 1
        snapshot = await d.w.snapshot()
        placed = [shard.node_id for instance in snapshot.state.instances.values() for shard in instance.shards]
        assert len(placed) == len(set(placed)) == 2


async def test_a_model_that_is_still_fetched_holds_up_no_other() -> None:
    async with deployed(tiny_scenario(3)) as d:
        await d.applied("absent", ABSENT)
        await d.w.until(lambda snapshot: bool(snapshot.active_download_count), 60)
        await d.applied("small", A)
        await d.until_state("small", "READY", 30)
        assert d.state("absent").value == "PROGRESSING"
        assert "Fetching its weights" in d.assessment("absent").reason
        await d.until_state("absent", "READY", 600)
        assert d.commands["POST", "/download/start"] == 1
        assert sorted(await d.w.listed()) == sorted([ABSENT, A])


async def test_another_model_replaces_the_one_that_it_had() -> None:
    async with deployed() as d:
        await d.applied("a", A)
        await d.until_state("a", "READY", 60)
        await d.applied("a", B)
        assert d.assessment("a").deployment.generation == 2
        await d.until(lambda: d.assessment("a").ready and len(d.assessment("a").instance_ids) == 1, 120)
        await d.w.until(lambda snapshot: len(snapshot.state.instances) == 1, 60)
        assert await d.w.serving() == [B]


async def test_two_that_apply_one_name_at_once_make_one_deployment() -> None:
    async with deployed() as d:
        both = await asyncio.gather(
            d.deployments.apply(Declaration("a", A)), d.deployments.apply(Declaration("a", A, priority=2))
        )
        generations = [each.assessment.deployment.generation for each in both if each.assessment is not None]
        assert generations == [1, 2]
        assert [each.deployment.name for each in d.deployments.all()] == ["a"]


async def test_before_exo_has_answered_deployments_are_shown_and_wait(tmp_path: Path) -> None:
    store = tmp_path / "deployments.db"
    async with deployed(store=store) as d:
        await d.applied("a", A)
        await d.until_state("a", "READY", 60)
    nobody = Poller(["http://exo"], transport=httpx.MockTransport(_refuses), now=loop_moment)
    async with nobody, operations(nobody) as ops, deployments(nobody, ops, store) as kept:
        (shown,) = kept.all()
        assert (shown.deployment.name, shown.state.value) == ("a", "WAITING")
        assert shown.wanted
        assert shown.reason == "No exo node has answered yet."
        paused = await kept.pause("a")
        assert isinstance(paused, Assessment)
        assert paused.state.value == "PAUSED"


def _refuses(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


async def test_nothing_is_begun_for_a_deployment_whose_operation_is_parked(tmp_path: Path) -> None:
    journal, store = tmp_path / "operations.db", tmp_path / "deployments.db"
    async with deployed(journal=journal, store=store) as d:
        await d.applied("a", A)
        await d.until(lambda: bool(d.w.ops.at_work()))
    # Another cluster answers at the same address.
    others = tiny_scenario()
    machines = tuple(replace(machine, name=f"other-{machine.name}") for machine in others.machines)
    other = replace(
        others,
        machines=machines,
        api=machines[0].name,
        master=machines[-1].name,
        weights={model: tuple(machine.name for machine in machines) for model in others.weights},
    )
    async with deployed(other, journal=journal, store=store, seed=2) as d:
        await d.until(lambda: "parked" in d.assessment("a").reason, 120)
        creations = d.creations
        await d.w.until(lambda _: d.w.sim.control.now > 300, 400)
        assert d.creations == creations == 0
        (parked,) = d.w.ops.all(active=True)
        await d.w.ops.cancel(parked.id)
        await d.until_state("a", "READY", 120)
        assert await d.w.listed() == [A]
