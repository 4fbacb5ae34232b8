"""What a person does to a model pauses the deployment that wants otherwise.

For example a person unloads A, which the deployment `day` keeps loaded: `day` is paused until its next opening, else
it would load A again at once.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from exo_graphql.cluster.upstream import Upstream
from exo_graphql.deployments.acts import pause_reason
from exo_graphql.deployments.adjust import is_about
from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.deployment import Deployment, Pause
from exo_graphql.deployments.reconciler import Reconciler
from exo_graphql.deployments.registry import Registry
from exo_graphql.operations import Operation, OperationError, Proposal
from exo_graphql.storage import StoreError

log = logging.getLogger(__name__)


class Pauses:
    """Each method that pauses returns the deployments that it has paused; `by` names the caller."""

    def __init__(self, upstream: Upstream, registry: Registry, reconciler: Reconciler) -> None:
        self._upstream = upstream
        self._registry = registry
        self._reconciler = reconciler

    async def touched(self, answer: Operation | OperationError, by: str | None = None) -> tuple[Assessment, ...]:
        """Pauses those whose model a person's operation unloads, or whose operation a person cancelled."""
        if not isinstance(answer, Operation):
            return ()
        known, because = self._reconciler.assessments.all(), pause_reason(answer)
        if answer.deployment is not None:
            # A closed deployment that the swap would have unloaded is paused, too: else it would be unloaded next.
            closed = {each.deployment.uid for each in known if not each.wanted}
            return await self._pause(
                lambda d: d.uid == answer.deployment or (d.uid in closed and d.spec.model_id in answer.unload_ids),
                because,
                by,
                answer.id,
            )
        # The reconciler may have paused some before the operation was answered.
        seen = [each for each in known if each.deployment.paused_by == answer.id]
        wanted = {each.deployment.uid for each in known if each.wanted}
        paused = await self._pause(
            lambda d: d.uid in wanted and self._reconciler.is_about(answer, d), because, by, answer.id
        )
        return (*seen, *paused)

    def of(self, plan: Proposal) -> tuple[Assessment, ...]:
        """Those that `touched` would pause once a person has applied this plan."""
        now, leaving = self._reconciler.now().at, [instance.id for instance in plan.unload]
        return tuple(
            each
            for each in self._reconciler.assessments.all()
            if each.wanted
            and not each.deployment.is_paused(now)
            and is_about(plan.unload_ids, leaving, each.deployment, self._upstream.snapshot)
        )

    async def model(self, model_id: str, because: str, by: str | None = None) -> tuple[Assessment, ...]:
        """Pauses the deployment of this model until its next opening, unless it is paused already."""
        return await self._pause(lambda d: d.spec.model_id == model_id, because, by)

    async def _pause(
        self, concerns: Callable[[Deployment], bool], because: str, by: str | None, operation_id: str | None = None
    ) -> tuple[Assessment, ...]:
        now = self._reconciler.now().at
        paused = set()
        for assessment in self._reconciler.assessments.all():
            deployment = assessment.deployment
            if deployment.is_paused(now) or not concerns(deployment):
                continue
            pause = Pause(because, assessment.timetable.wakes_at)
            try:
                await self._registry.update(deployment.uid, _paused(pause, by, operation_id))
            except StoreError as error:
                log.warning("Deployment %s could not be paused for a person's request: %s", deployment.name, error)
                continue
            paused.add(deployment.uid)
        if not paused:
            return ()
        self._reconciler.assess()
        return tuple(each for each in self._reconciler.assessments.all() if each.deployment.uid in paused)


def _paused(pause: Pause, by: str | None, operation_id: str | None) -> Callable[[Deployment], Deployment]:
    return lambda d: replace(d, pause=pause, changed_by=by, paused_by=operation_id or d.paused_by)
