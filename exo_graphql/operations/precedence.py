"""A person's request comes before a deployment's: it cancels a conflicting operation of a deployment.

For example a deployment has been loading A for 3 minutes when a person asks to swap A for B. The load is cancelled
and undone, then the person's request is resolved on the cluster as it is by then. Until it is answered, no request of
a deployment may touch A or B; otherwise the deployment would load A again at once. Where undoing takes longer than
some seconds, since a model that was unloaded for A has to be restored, the request is answered with an operation that
waits for that (PENDING), and says so.
"""

import asyncio
import logging
from collections.abc import Collection

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import ModelCard
from exo_graphql.cluster.upstream import Upstream
from exo_graphql.operations.errors import OperationConflict
from exo_graphql.operations.manager import OperationManager
from exo_graphql.operations.requests import OperationRequest, resolve_model
from exo_graphql.operations.rules import OperationRules
from exo_graphql.operations.run import Run
from exo_graphql.storage import StoreError

log = logging.getLogger(__name__)


class Precedence:
    """Cancels operations of deployments that conflict with persons' requests, and rejects new ones meanwhile."""

    def __init__(self, upstream: Upstream, manager: OperationManager, rules: OperationRules) -> None:
        self._upstream = upstream
        self._manager = manager
        self._rules = rules
        self._first: list[tuple[OperationRequest, frozenset[str]]] = []
        """Persons' requests for which an operation was cancelled, with their models, until they are answered."""

    def conflict(self, request: OperationRequest, touched: Collection[str]) -> OperationConflict | None:
        """The rejection of a deployment's request that touches models of such a person's request."""
        if request.deployment is None or all(models.isdisjoint(touched) for _, models in self._first):
            return None
        return OperationConflict(
            message="A person's request for the same models comes first.", suggestion=None, operation_id=""
        )

    async def clears(
        self, request: OperationRequest, conflict: OperationConflict, touched: Collection[str], seconds: float
    ) -> bool:
        """Whether the conflicting operation has been cancelled and undone: a deployment's, for a person's request.

        Waits for so many seconds at most. From here on until `answered` the request comes before any deployment's that
        touches the same models.
        """
        run = self._manager.run(conflict.operation_id)
        if run is None or not self.would_clear(request, conflict):
            return False
        self._first.append((request, frozenset(touched)))
        return await self._cancel(run, seconds)

    def would_clear(self, request: OperationRequest, conflict: OperationConflict) -> bool:
        """Whether the conflicting operation is a deployment's, which gives way to a person's request."""
        run = self._manager.run(conflict.operation_id)
        return request.deployment is None and run is not None and run.operation.deployment is not None

    def answered(self, request: OperationRequest) -> None:
        """The request has started an operation, or was rejected."""
        self._first = [(other, models) for other, models in self._first if other is not request]

    async def clear_weights(self, snapshot: Snapshot | None, model: str) -> None:
        """Cancels a deployment's operation that loads this model: a person may stop or delete its download."""
        card = None if snapshot is None else resolve_model(snapshot, model)
        if isinstance(card, ModelCard):
            for operation in self._manager.at_work():
                run = self._manager.run(operation.id)
                if run is not None and operation.deployment is not None and card.id in operation.load_ids:
                    await self._cancel(run, self._rules.undo_seconds)

    async def _cancel(self, run: Run, seconds: float) -> bool:
        """Cancels a deployment's operation; whether it has ended within so many seconds.

        Nothing can be undone while exo is out of reach: then there is nothing to wait for.
        """
        log.info("Operation %s of a deployment is cancelled for a person's request.", run.operation.id)
        decided = asyncio.Event()
        stop = self._manager.listen(lambda: None if self._manager.run(run.operation.id) is not None else decided.set())
        try:
            with self._upstream.listen(lambda snapshot: decided.set() if snapshot.stale else None):
                await run.cancel()
                if self._manager.run(run.operation.id) is not None:
                    async with asyncio.timeout(seconds):
                        await decided.wait()
        except (StoreError, TimeoutError):
            return False
        else:
            return self._manager.run(run.operation.id) is None
        finally:
            stop()
