"""The types `Operation` and `Step`."""

from datetime import datetime

import strawberry
from strawberry import Parent

from exo_graphql import operations as ops
from exo_graphql.cluster import state
from exo_graphql.schema.context import Info
from exo_graphql.schema.enums import described
from exo_graphql.schema.fields import field
from exo_graphql.schema.model import Model
from exo_graphql.schema.operation_error import OperationError

described(
    ops.OperationKind,
    "What an operation does.",
    LOAD="Load a model.",
    UNLOAD="Unload a model.",
    SWAP="Unload some models and load others; if that fails, the unloaded ones are restored.",
)
described(
    ops.OperationState,
    "State of an operation. PENDING, RUNNING and PARKED are active; the others are final.",
    PENDING="Accepted and waiting; `message` says for what.",
    RUNNING="In progress.",
    SUCCEEDED="The requested result has been observed in exo's state.",
    FAILED="Not successful; `error` says why. Nothing had to be undone, or undoing failed: see the steps.",
    ROLLED_BACK="Failed after models had been unloaded; these have been restored and serve again.",
    CANCELLED="Stopped on request, and undone.",
    PARKED="Unfinished and not running: it was started on another cluster than the current one, or its "
    "journal entry cannot be read; `message` says which. It resumes by itself when its own "
    "cluster is back. `resumeOperation` resumes it on the current cluster, `cancelOperation` "
    "discards it without undoing anything.",
)
described(
    ops.StepState,
    "State of a step.",
    PENDING="Not started.",
    RUNNING="In progress.",
    SUCCEEDED="Done, as observed in exo's state.",
    FAILED="Failed; `message` says why.",
    SKIPPED="Not needed; `message` says why.",
)


@strawberry.type(description="One step of an operation.")
class Step:
    """`operations.Step`."""

    name: str = field(description="What the step does, for example download, drain, unload, place, load or restore.")
    state: ops.StepState = field(description="State of the step.")
    started_at: datetime | None = field(description="When it started (UTC); null until then.")
    finished_at: datetime | None = field(description="When it ended (UTC); null until then.")
    message: str | None = field(
        description="What it is doing, what it did, or why it failed; null if there is nothing to say."
    )


def _loads(root: Parent[ops.Operation], info: Info) -> tuple[state.ModelCard, ...]:
    return info.context.models(root.load_ids)


def _unloads(root: Parent[ops.Operation], info: Info) -> tuple[state.ModelCard, ...]:
    return info.context.models(root.unload_ids)


def _error(root: Parent[ops.Operation]) -> ops.OperationError | None:
    return root.error


@strawberry.type(
    description="A load, unload or swap requested from this server. It succeeds only when its result has been "
    "observed in exo's state."
)
class Operation:
    """`operations.Operation`."""

    id: strawberry.ID = field(description="Id, for `operation(id)` and `cancelOperation(id)`.")
    kind: ops.OperationKind = field(description="What was requested.")
    state: ops.OperationState = field(description="State of the operation.")
    message: str = field(description="The state as a sentence.")
    progress_percent: float | None = field(description="Progress, 0 to 100; null while it is unknown.")
    steps: list[Step] = field(description="The steps, in order.")
    started_at: datetime = field(description="When it was accepted (UTC).")
    finished_at: datetime | None = field(description="When it ended (UTC); null while it is active.")
    by: str | None = field(
        description="Who requested it: the name of a token; null for a deployment's, and where the token has no name."
    )
    loads: list[Model] = field(resolver=_loads, description="Models to load.")
    unloads: list[Model] = field(resolver=_unloads, description="Models to unload.")
    error: OperationError | None = field(
        resolver=_error, description="Why it did not succeed; null while it is active, and when it succeeded."
    )
