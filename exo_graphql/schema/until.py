"""When what a client waits for is there: the same for a subscription that completes and for a query that waits."""

from exo_graphql.cluster.names import Ambiguous, Unknown, find_model
from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.status import ModelStatus
from exo_graphql.operations import Operations
from exo_graphql.schema.enums import ModelStatusUntil
from exo_graphql.schema.errors import NamedError, shorten

MAX_WAIT_SECONDS = 300
"""The longest wait of a query. Proxies cut a request that is not answered for long, many after 60 s."""


def named_status(snapshot: Snapshot, model: str) -> ModelStatus | Ambiguous:
    """Readiness by name. `found` is false for an unknown one."""
    found = find_model(snapshot.models, model, candidates=False)
    if isinstance(found, Unknown):
        # A model that is not in the catalogue is known while it has an instance; its failure and `final` outlive that.
        found = find_model(snapshot.remembered_models, model, candidates=False)
    if isinstance(found, Unknown):
        return snapshot.status(shorten(model))
    return found if isinstance(found, Ambiguous) else snapshot.status(found.id)


def has_settled(status: ModelStatus | Ambiguous, until: object) -> bool:
    """Whether a status ends a wait `until` then (a `ModelStatusUntil` or its name). An ambiguous name ends any.

    What a stale snapshot says may no longer be true, so it ends no client's wait.
    """
    if isinstance(status, Ambiguous):
        return True
    until = until.name if isinstance(until, ModelStatusUntil) else until
    if until not in (ModelStatusUntil.READY.name, ModelStatusUntil.SETTLED.name) or status.stale:
        return False
    if status.ready or status.final or not status.found:
        return True
    # A load that was requested a moment ago has no instance yet.
    return until == ModelStatusUntil.SETTLED.name and status.phase is Phase.NOT_LOADED and not status.expected


def has_ended(operations: Operations, operation_id: str) -> bool:
    """Whether waiting for an operation is over: it has ended, is PARKED, or is not known."""
    operation = operations.get(operation_id)
    return operation is None or not operation.at_work


def check_seconds(seconds: int | None) -> None:
    """Raises INVALID_ARGUMENT for a wait that is too long, or negative."""
    if seconds is not None and not 0 <= seconds <= MAX_WAIT_SECONDS:
        raise NamedError(
            "INVALID_ARGUMENT",
            f"waitSeconds is {seconds}.",
            f"Use 0 to {MAX_WAIT_SECONDS}, and ask again; or subscribe, which has no limit.",
            argument="waitSeconds",
        )
