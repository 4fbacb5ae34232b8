"""The types `Operation`, `Step` and what an operation may be refused for."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent

from exo_graphql import operations as ops
from exo_graphql.cluster import state
from exo_graphql.schema.context import Info
from exo_graphql.schema.enums import described
from exo_graphql.schema.fields import field

if TYPE_CHECKING:
    from exo_graphql.schema.model import Model
    from exo_graphql.schema.operation_error import OperationError


described(
    ops.OperationKind,
    "What was asked for.",
    LOAD="Load a model.",
    UNLOAD="Unload a model.",
    SWAP="Unload some models and load others, or change nothing.",
)
described(
    ops.OperationState,
    "Where an operation stands. PENDING, RUNNING and PARKED are active; the others are final.",
    PENDING="Accepted; it waits for something, which `message` names.",
    RUNNING="Under way.",
    SUCCEEDED="The end that was asked for has been seen in exo's state.",
    FAILED="It did not come about; `error` says why. Nothing had to be undone, or undoing failed: see the steps.",
    ROLLED_BACK="It failed after models had been unloaded, and these serve again.",
    CANCELLED="Stopped on request, and undone.",
    PARKED="Unfinished, and doing nothing: it was begun on another cluster than the one that is here now, or its "
    "journal entry cannot be read; `message` says which. It goes on by itself once its own cluster is back. "
    "`resumeOperation` lets it go on here, `cancelOperation` discards it without undoing anything.",
)
described(
    ops.StepState,
    "Where a step stands.",
    PENDING="Not begun.",
    RUNNING="Under way.",
    SUCCEEDED="Done, as seen in exo's state.",
    FAILED="It failed; `message` says why.",
    SKIPPED="Not needed; `message` says why.",
)


@strawberry.type(description="One step of an operation.")
class Step:
    """`operations.Step`."""

    name: str = field(description="What it does, such as download, drain, unload, place, load, restore.")
    state: ops.StepState = field(description="Where it stands.")
    started_at: datetime | None = field(description="When it began (UTC); null until then.")
    finished_at: datetime | None = field(description="When it ended (UTC); null until then.")
    message: str | None = field(description="What it is doing, did, or failed on; null when there is nothing to say.")


def _models(info: Info, ids: tuple[str, ...]) -> tuple[state.ModelCard, ...]:
    # A model can leave the catalogue while its operation is still listed.
    known = info.context.latest.models if info.context.latest is not None else {}
    return tuple(known.get(id_) or state.ModelCard(id_) for id_ in ids)


def _loads(root: Parent[ops.Operation], info: Info) -> tuple[state.ModelCard, ...]:
    return _models(info, root.load_ids)


def _unloads(root: Parent[ops.Operation], info: Info) -> tuple[state.ModelCard, ...]:
    return _models(info, root.unload_ids)


def _error(root: Parent[ops.Operation]) -> ops.OperationError | None:
    return root.error


@strawberry.type(
    description="A load, unload or swap asked of this server. It succeeds only when its end has been seen in exo's "
    "state."
)
class Operation:
    """`operations.Operation`."""

    id: strawberry.ID = field(description="Its id, for `operation(id)` and `cancelOperation(id)`.")
    kind: ops.OperationKind = field(description="What was asked for.")
    state: ops.OperationState = field(description="Where it stands.")
    message: str = field(description="Where it stands, in a sentence.")
    progress_percent: float | None = field(description="0 to 100; null while it cannot be told.")
    steps: list[Step] = field(description="Its steps, in order.")
    started_at: datetime = field(description="When it was accepted (UTC).")
    finished_at: datetime | None = field(description="When it ended (UTC); null while it is active.")
    loads: list[Annotated["Model", strawberry.lazy("exo_graphql.schema.model")]] = field(
        resolver=_loads, description="Models to load."
    )
    unloads: list[Annotated["Model", strawberry.lazy("exo_graphql.schema.model")]] = field(
        resolver=_unloads, description="Models to unload."
    )
    error: Annotated["OperationError", strawberry.lazy("exo_graphql.schema.operation_error")] | None = field(
        resolver=_error, description="Why it did not succeed; null while it may, and when it did."
    )
