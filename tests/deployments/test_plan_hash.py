"""Plans of deployments that are applied by their hash."""

import pytest

from exo_graphql.deployments.plan_hash import decode
from exo_graphql.deployments.validation import Declaration
from exo_graphql.operations import ModelNotFound, PlanOutdated
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
