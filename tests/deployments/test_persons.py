"""A person's act comes before a deployment's: it succeeds, and the deployment is left alone until its next opening."""

import asyncio

import httpx
import pytest

from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.schedule import Window
from exo_graphql.operations import ClusterUnavailable, Operation, OperationConflict, OperationRules, OperationState
from exo_graphql.simulator import Fault, tiny_scenario
from tests.support.deployed_cluster import Deployed, deployed
from tests.support.simulated_cluster import ABSENT, HALF, OTHER_HALF, A, B, begun

pytestmark = pytest.mark.anyio

# The tests begin at 12:00.
HOURLY = Window("0 * * * *", 40, "UTC")


async def _later(d: Deployed, seconds: float) -> None:
    until = d.w.sim.control.now + seconds
    await d.w.until(lambda _: d.w.sim.control.now >= until, seconds + 60)


async def test_an_unload_pauses_until_it_is_resumed() -> None:
    async with deployed() as d:
        await d.applied("a", A)
        await d.until_state("a", "READY", 60)
        operation = await d.w.ops.unload(A)
        paused = await d.deployments.pauses.touched(operation)
        assert [each.deployment.name for each in paused] == ["a"]
        assert (await d.w.end(operation)).state is OperationState.SUCCEEDED
        await _later(d, 120)
        assert d.state("a").value == "PAUSED"
        assert d.assessment("a").reason == "A person unloaded its model."
        assert await d.w.listed() == []
        await d.deployments.resume("a")
        await d.until_state("a", "READY", 60)


async def test_an_unload_that_reached_the_operations_alone_pauses_all_the_same() -> None:
    async with deployed() as d:
        await d.applied("a", A)
        await d.until_state("a", "READY", 60)
        await d.w.end(await d.w.ops.unload(A))
        await _later(d, 120)
        assert d.state("a").value == "PAUSED"
        assert await d.w.listed() == []


async def test_a_pause_by_a_persons_act_ends_with_the_next_opening() -> None:
    async with deployed() as d:
        await d.applied("a", A, schedule=[HOURLY])
        await d.until_state("a", "READY", 60)
        operation = await d.w.ops.unload(A)
        (paused,) = await d.deployments.pauses.touched(operation)
        assert paused.deployment.pause is not None
        assert str(paused.deployment.pause.until) == "2026-06-22 13:00:00+00:00"
        await d.until_state("a", "READY", 3_700)
        assert d.w.sim.control.now >= 3_600


async def test_a_persons_swap_out_pauses_what_is_swapped_out() -> None:
    async with deployed() as d:
        await d.applied("half", HALF)
        await d.until_state("half", "READY", 120)
        operation = await d.w.ops.swap([HALF], [OTHER_HALF])
        (paused,) = await d.deployments.pauses.touched(operation)
        assert paused.deployment.name == "half"
        assert (await d.w.end(operation)).state is OperationState.SUCCEEDED
        await _later(d, 60)
        assert await d.w.listed() == [OTHER_HALF]


async def test_a_deployments_operation_gives_way_to_a_persons() -> None:
    async with deployed() as d:
        await d.w.given(HALF)
        await d.applied("day", HALF)
        await d.until_state("day", "READY", 60)
        await d.applied("night", OTHER_HALF, priority=1)
        await d.until_state("night", "PROGRESSING", 60)
        await d.until(lambda: bool(d.w.ops.at_work()))
        (ours,) = d.w.ops.at_work()
        operation = begun(await d.w.ops.unload(HALF))
        await d.deployments.pauses.touched(operation)
        given_way = d.w.ops.get(ours.id)
        assert given_way is not None
        assert given_way.state is OperationState.CANCELLED
        assert (await d.w.end(operation)).state is OperationState.SUCCEEDED
        await d.until_state("night", "READY", 200)
        assert d.state("day").value == "PAUSED"
        assert await d.w.listed() == [OTHER_HALF]


async def test_cancelling_its_operation_pauses_it() -> None:
    async with deployed() as d:
        await d.applied("a", A)
        await d.until(lambda: bool(d.w.ops.at_work()))
        (ours,) = d.w.ops.at_work()
        answer = await d.w.ops.cancel(ours.id)
        (paused,) = await d.deployments.pauses.touched(answer)
        assert paused.deployment.name == "a"
        assert (await d.w.end(ours)).state is OperationState.CANCELLED
        await _later(d, 60)
        assert d.state("a").value == "PAUSED"
        assert await d.w.listed() == []


async def test_cancelling_a_swap_pauses_its_deployment_and_not_what_is_wanted_beside() -> None:
    async with deployed() as d:
        await d.applied("day", HALF)
        await d.until_state("day", "READY", 120)
        await d.applied("night", OTHER_HALF, priority=1)
        await d.until(lambda: bool(d.w.ops.at_work()))
        (ours,) = d.w.ops.at_work()
        paused = await d.deployments.pauses.touched(await d.w.ops.cancel(ours.id))
        assert [each.deployment.name for each in paused] == ["night"]
        await d.w.end(ours)
        await d.until_state("day", "READY", 120)
        assert await d.w.listed() == [HALF]


async def test_cancelling_the_swap_of_a_closed_model_leaves_that_loaded() -> None:
    async with deployed() as d:
        await d.applied("night", HALF, schedule=[Window("0 * * * *", 10, "UTC")])
        await d.until_state("night", "READY", 120)
        await d.applied("day", OTHER_HALF)
        await d.until(lambda: any(ours.unload_ids for ours in d.w.ops.at_work()), 700)
        (ours,) = d.w.ops.at_work()
        paused = await d.deployments.pauses.touched(await d.w.ops.cancel(ours.id))
        assert [each.deployment.name for each in paused] == ["day", "night"]
        await d.w.end(ours)
        await _later(d, 120)
        assert await d.w.listed() == [HALF]


async def test_stopping_its_download_pauses_it() -> None:
    async with deployed() as d:
        await d.applied("absent", ABSENT)
        await d.w.until(lambda snapshot: bool(snapshot.active_download_count), 60)
        assert not d.w.ops.at_work()
        result = await d.w.ops.cancel_download(ABSENT)
        assert result.error is None, result
        await d.deployments.pauses.model(ABSENT, "A person stopped its download.")
        await _later(d, 300)
        assert d.state("absent").value == "PAUSED"
        assert not (await d.w.snapshot()).active_download_count


async def test_a_person_who_loads_the_same_model_is_not_refused_and_it_is_loaded_once() -> None:
    async with deployed(tiny_scenario(3)) as d:
        await d.applied("a", A)
        await d.until(lambda: bool(d.w.ops.at_work()))
        ended = await d.w.end(await d.w.ops.load(A, min_nodes=2))
        assert ended.state is OperationState.SUCCEEDED
        await d.until_state("a", "READY", 60)
        assert await d.w.listed() == [A]


async def test_another_persons_copy_is_not_the_deployments() -> None:
    async with deployed(tiny_scenario(3)) as d:
        await d.applied("a", A)
        await d.until_state("a", "READY", 60)
        (own,) = (await d.w.snapshot()).state.instances
        copy = await d.w.end(await d.w.ops.load(A, additional=True))
        assert copy.state is OperationState.SUCCEEDED
        (theirs,) = set((await d.w.snapshot()).state.instances) - {own}
        operation = begun(await d.w.ops.unload(A, instance=theirs))
        assert await d.deployments.pauses.touched(operation) == ()
        await d.w.end(operation)
        assert d.state("a").value == "READY"
        await d.deployments.delete("a")
        await d.until(lambda: not d.deployments.all())
        await _later(d, 30)
        assert await d.w.listed() == []


async def test_a_paused_deployment_is_left_as_it_is() -> None:
    async with deployed() as d:
        await d.applied("a", A)
        await d.applied("b", B)
        await d.until(lambda: d.state("a").value == d.state("b").value == "READY", 120)
        await d.deployments.pause("a")
        await d.deployments.pause("b")
        d.w.sim.control.restart(4.0)
        await _later(d, 120)
        assert await d.w.listed() == []
        operation = await d.w.ops.load(A)
        assert isinstance(operation, Operation)
        await d.w.end(operation)
        await d.deployments.resume("b")
        await d.until_state("b", "READY", 60)
        assert await d.w.listed() == [A, B]


async def test_a_resume_waits_for_no_backoff() -> None:
    async with deployed() as d:
        await d.applied("a", A)
        await d.until_state("a", "READY", 60)
        await d.w.end(await d.w.ops.unload(A))
        await d.until_state("a", "PAUSED", 60)
        assert d.assessment("a").deployment.retry_at is not None
        resumed = await d.deployments.resume("a")
        assert isinstance(resumed, Assessment)
        assert resumed.deployment.retry_at is None
        assert resumed.deployment.attempts == 1
        await d.until_state("a", "READY", 60)


async def test_what_somebody_deletes_is_never_called_ready_beside_the_snapshot_that_lacks_it() -> None:
    async with deployed() as d:
        await d.applied("a", A)
        await d.until_state("a", "READY", 60)
        said: list[str] = []
        with d.w.poller.listen(
            lambda snapshot: said.append(d.state("a").value) if not snapshot.state.instances else None
        ):
            (instance,) = (await d.w.snapshot()).state.instances
            async with httpx.AsyncClient(transport=httpx.ASGITransport(d.w.sim.app), base_url="http://exo") as exo:
                await exo.delete(f"/instance/{instance}")
            await d.until_state("a", "PAUSED", 60)
        assert set(said) == {"PAUSED"}


async def test_a_person_is_answered_soon_when_exo_is_lost_while_a_deployments_operation_gives_way() -> None:
    async with deployed(tiny_scenario(3)) as d:
        await d.applied("a", A)
        await d.until(lambda: bool(d.w.ops.at_work()))
        await d.w.until(lambda snapshot: bool(snapshot.state.instances), 30)
        (ours,) = d.w.ops.at_work()
        cancelled = asyncio.Event()
        stop = d.w.ops.listen(lambda: cancelled.set() if _gives_way(d, ours) else None)
        request = asyncio.create_task(d.w.ops.swap([A], [B]))
        await asyncio.wait_for(cancelled.wait(), 30)
        stop()
        d.w.sim.control.inject(Fault("hang", at=d.w.sim.control.now, duration=300.0))
        async with asyncio.timeout(40):
            answer = await request
        assert isinstance(answer, ClusterUnavailable)


def _gives_way(d: Deployed, operation: Operation) -> bool:
    """It is being undone."""
    known = d.w.ops.get(operation.id)
    return known is None or not known.active or known.step("remove") is not None


async def test_a_person_is_answered_within_seconds_while_what_a_deployment_unloaded_is_restored() -> None:
    """The swap of `night` has unloaded `day`, which is restored first: the answer says so, and does not wait for it."""
    async with deployed(rules=OperationRules(give_way_seconds=1.0)) as d:
        await d.applied("day", HALF)
        await d.until_state("day", "READY", 60)
        await d.applied("night", OTHER_HALF, priority=1)
        await d.w.until(lambda snapshot: bool(snapshot.instances_of(OTHER_HALF)), 120)
        (ours,) = d.w.ops.at_work()
        began = asyncio.get_running_loop().time()
        operation = begun(await d.w.ops.unload(OTHER_HALF))
        assert asyncio.get_running_loop().time() - began < 3
        assert operation.state is OperationState.PENDING
        assert operation.message.startswith(f"Waiting for operation {ours.id} of a deployment to give way.")
        assert isinstance(await d.w.ops.load(OTHER_HALF), OperationConflict)
        paused = await d.deployments.pauses.touched(operation)
        assert [each.deployment.name for each in paused] == ["night"]
        ended = await d.w.end(operation)
        assert (ended.state, ended.message) == (OperationState.SUCCEEDED, f"{OTHER_HALF} was not loaded.")
        assert [step.name for step in ended.steps] == ["plan", "drain", "unload", "memory"]
        given_way = d.w.ops.get(ours.id)
        assert given_way is not None
        assert given_way.state is OperationState.CANCELLED
        await _later(d, 60)
        assert (d.state("day").value, d.state("night").value) == ("READY", "PAUSED")
        assert await d.w.listed() == [HALF]


async def test_what_a_deployment_is_about_to_load_stays_unloaded_for_a_person_who_unloads_it() -> None:
    async with deployed() as d:
        await d.applied("a", A)
        await d.until(lambda: bool(d.w.ops.at_work()))
        assert not (await d.w.snapshot()).instances_of(A)
        operation = begun(await d.w.ops.unload(A))
        assert [each.deployment.name for each in await d.deployments.pauses.touched(operation)] == ["a"]
        assert (await d.w.end(operation)).state is OperationState.SUCCEEDED
        await _later(d, 60)
        assert d.state("a").value == "PAUSED"
        assert await d.w.listed() == []
