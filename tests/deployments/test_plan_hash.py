"""Plans of deployments that are applied by their hash."""

import pytest

from exo_graphql.deployments.errors import DeploymentNotFound
from exo_graphql.deployments.plan_hash import decode
from exo_graphql.deployments.validation import Declaration
from exo_graphql.operations import ModelNotFound, OperationState, PlanOutdated
from exo_graphql.operations.requests import requested
from tests.support.deployed_cluster import deployed
from tests.support.simulated_cluster import HALF, A

pytestmark = pytest.mark.anyio


async def test_the_plan_of_a_deployment_is_applied_by_its_hash_and_again_changes_nothing() -> None:
    async with deployed() as d:
        planned = await d.deployments.apply(Declaration("night", A), dry_run=True)
        assert planned.proposal is not None
        assert d.deployments.get("night") is None
        shown = decode(planned.proposal.hash)
        assert shown is not None
        assert shown.declared == Declaration("night", A)
        applied = await d.deployments.apply_plan(planned.proposal.hash)
        assert applied is not None
        assert applied.error is None
        first = d.deployments.get("night")
        assert first is not None
        assert await d.deployments.apply_plan(planned.proposal.hash) is not None
        again = d.deployments.get("night")
        assert again is not None
        assert again.deployment.generation == first.deployment.generation


async def test_a_plan_that_is_sent_again_undoes_nothing_that_was_done_since() -> None:
    async with deployed() as d:
        planned = await d.deployments.apply(Declaration("night", A), dry_run=True)
        assert planned.proposal is not None
        await d.deployments.apply_plan(planned.proposal.hash)
        await d.deployments.pause("night")
        again = await d.deployments.apply_plan(planned.proposal.hash)
        assert again is not None
        assert again.error is None
        assert again.assessment is not None
        assert again.assessment.deployment.pause is not None
        await d.deployments.delete("night", unload=False)
        gone = await d.deployments.apply_plan(planned.proposal.hash)
        assert gone is not None
        assert isinstance(gone.error, DeploymentNotFound)
        assert d.deployments.get("night") is None
        # Planned anew, it is declared anew; what another one of this name is, the old hash leaves alone.
        anew = await d.deployments.apply(Declaration("night", A), dry_run=True)
        assert anew.proposal is not None
        assert (await d.deployments.apply_plan(anew.proposal.hash)) is not None
        assert d.deployments.get("night") is not None
        gone = await d.deployments.apply_plan(planned.proposal.hash)
        assert gone is not None
        assert isinstance(gone.error, DeploymentNotFound)


async def test_it_is_outdated_once_somebody_has_changed_the_deployment() -> None:
    async with deployed() as d:
        await d.deployments.apply(Declaration("night", A))
        planned = await d.deployments.apply(Declaration("night", A, priority=3), dry_run=True)
        assert planned.proposal is not None
        await d.deployments.apply(Declaration("night", HALF))
        applied = await d.deployments.apply_plan(planned.proposal.hash)
        assert applied is not None
        assert isinstance(applied.error, PlanOutdated)
        assert applied.error.plan.hash != planned.proposal.hash
        now = d.deployments.get("night")
        assert now is not None
        assert now.deployment.spec.model_id == HALF


async def test_what_is_none_of_a_deployment_is_left_to_the_operations() -> None:
    async with deployed() as d:
        assert await d.deployments.apply_plan("nonsense") is None
        assert await d.deployments.plan_again("nonsense") is None
        unknown = await d.deployments.apply(Declaration("night", "nonsense"), dry_run=True)
        assert isinstance(unknown.error, ModelNotFound)


async def test_a_plan_says_which_operation_of_a_deployment_it_cancels_and_what_it_pauses() -> None:
    async with deployed() as d:
        await d.applied("night", HALF)
        await d.until(lambda: bool(d.w.ops.at_work()))
        (loading,) = d.w.ops.at_work()
        plan = await d.w.ops.propose(requested([A], [HALF]))
        assert plan.fits
        assert plan.steps[0] == f"cancel operation {loading.id} of a deployment, and undo it"
        assert [each.deployment.name for each in d.deployments.pauses.of(plan)] == ["night"]
        assert [operation.id for operation in d.w.ops.at_work()] == [loading.id]
        answer = await d.w.ops.apply(plan.hash)
        cancelled = d.w.ops.get(loading.id)
        assert cancelled is not None
        assert cancelled.state is OperationState.CANCELLED
        if isinstance(answer, PlanOutdated):  # what was to be unloaded has been undone before
            answer = await d.w.ops.apply(answer.plan.hash)
        await d.deployments.pauses.touched(answer)
        assert (await d.w.end(answer)).state is OperationState.SUCCEEDED
        assert A in await d.w.serving()


async def test_what_is_outdated_before_a_deployment_gives_way_cancels_nothing() -> None:
    async with deployed() as d:
        plan = await d.w.ops.propose(requested([A], []))
        await d.applied("night", A)
        await d.until(lambda: bool(d.w.ops.at_work()))
        (loading,) = d.w.ops.at_work()
        outdated = await d.w.ops.apply(plan.hash)
        assert isinstance(outdated, PlanOutdated)
        await d.w.end(loading)
        ended = d.w.ops.get(loading.id)
        assert ended is not None
        assert ended.state is OperationState.SUCCEEDED
