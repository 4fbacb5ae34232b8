"""Carries out the act that a comparison has decided on, by requests to the operations."""

import logging
from collections.abc import Callable
from dataclasses import replace

from exo_graphql.cluster.moment import Moment
from exo_graphql.deployments import acts, outcomes
from exo_graphql.deployments.acts import Act, Cancel, Change, Fetch
from exo_graphql.deployments.registry import Registry
from exo_graphql.deployments.waits import Waits
from exo_graphql.operations import Operation, Operations

log = logging.getLogger(__name__)


class Actor:
    """Acts for the reconciler, one act at a time. `jitter` returns a random number from 0 to 1."""

    def __init__(
        self,
        operations: Operations,
        registry: Registry,
        waits: Waits,
        *,
        now: Callable[[], Moment],
        jitter: Callable[[], float],
    ) -> None:
        self.attempts: dict[str, int] = {}
        """By name of the deployment: loads begun since this server started."""
        self._operations = operations
        self._registry = registry
        self._waits = waits
        self._now = now
        self._jitter = jitter

    async def carry_out(self, act: Act | None) -> None:
        """Requests what the act needs, and stores that it did. Raises `StoreError`."""
        match act:
            case Change():
                await self._change(act)
            case Cancel():
                log.info("Deployments: operation %s is cancelled. %s", act.operation_id, act.because)
                await self._operations.cancel(act.operation_id)
            case Fetch():
                await self._fetch(act)
            case None:
                pass

    async def _change(self, change: Change) -> None:
        by = change.by
        number = by.sequence + 1
        key = by.key(number)
        begun = replace(by, sequence=number, pending=key, attempts=by.attempts + change.counts)
        # Stored first: after a crash this number is never used again, whether or not the request was made.
        stored = await self._registry.update(by.uid, lambda d: begun if d == by else d)
        if stored != begun:
            return  # it was changed meanwhile: the next round compares it again
        log.info("Deployment %s: %s %s", by.name, acts.describe(change), change.because)
        answer = await self._operations.reconcile(acts.request(change), key)
        if isinstance(answer, Operation):
            self.attempts[by.name] = self.attempts.get(by.name, 0) + (change.load is not None)
            self._waits.attempted(by.uid)
            return
        log.warning("Deployment %s: %s", by.name, answer.message)
        now, jitter = self._now(), self._jitter()
        if outcomes.is_not_an_attempt(change, answer):
            self._waits.hold_back(by.uid, now)
        await self._registry.update(by.uid, lambda d: outcomes.refused(d, change, answer, now, jitter))

    async def _fetch(self, fetch: Fetch) -> None:
        deployment = fetch.deployment
        self._waits.asked_for_weights(deployment.uid, self._now())
        log.info("Deployment %s: fetching the weights of %s.", deployment.name, deployment.spec.model_id)
        result = await self._operations.start_download(deployment.spec.model_id, fetch.node_ids)
        errors = [each.error for each in result.results if each.error is not None]
        if result.error is not None or errors:
            reason = result.error.message if result.error is not None else " ".join(errors)
            log.warning("Deployment %s: its weights are not fetched: %s", deployment.name, reason)
