"""`OperationError` and its types: why a request was rejected, or an operation did not succeed."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.cluster.units import gib
from exo_graphql.operations import Operation as OperationValue
from exo_graphql.operations import OperationError as OperationErrorValue
from exo_graphql.operations import PlanOutdated as PlanOutdatedError
from exo_graphql.operations import Proposal, errors
from exo_graphql.schema.context import Info
from exo_graphql.schema.error_code import CODES, ErrorCode
from exo_graphql.schema.errors import NamedError
from exo_graphql.schema.fields import field
from exo_graphql.schema.model import Model

if TYPE_CHECKING:
    from exo_graphql.schema.operation import Operation
    from exo_graphql.schema.plan import Plan

T = TypeVar("T", bound=type)


def _code(root: Parent[OperationErrorValue]) -> ErrorCode:
    return ErrorCode[root.code]


@strawberry.interface(
    description="Why a request was rejected, or an operation did not succeed. The implementing types add "
    "details that help to correct it."
)
class OperationError:
    """`operations.OperationError`."""

    code: ErrorCode = field(resolver=_code, description="The type's name in capitals, for example MODEL_NOT_FOUND.")
    message: str = field(description="What is wrong, as a sentence.")
    suggestion: str | None = field(description="What to do about it; null if there is nothing to suggest.")


ERROR_TYPES: list[type] = []


def publishes(error: type[OperationErrorValue], description: str) -> Callable[[T], T]:
    """Publishes a class as the GraphQL type of `error`."""

    def publish(cls: T) -> T:
        cls.is_type_of = classmethod(lambda _, value, __: type(value) is error)  # type: ignore[attr-defined]
        published = strawberry.type(cls, description=description)
        ERROR_TYPES.append(published)
        return published

    return publish


def _loaded(root: Parent[errors.ModelNotLoaded | errors.InsufficientMemory], info: Info) -> tuple[state.ModelCard, ...]:
    return info.context.models(root.loaded_ids)


def _unload_to_fit(root: Parent[errors.InsufficientMemory], info: Info) -> tuple[state.ModelCard, ...]:
    return info.context.models(root.unload_to_fit_ids)


def _needed(root: Parent[errors.InsufficientMemory]) -> float | None:
    return gib(root.needed_bytes)


def _available(root: Parent[errors.InsufficientMemory]) -> float | None:
    return gib(root.available_bytes)


def _shortfall(root: Parent[errors.InsufficientMemory]) -> float | None:
    return gib(root.shortfall_bytes)


def _operation(
    root: Parent[errors.OperationConflict | errors.IdempotencyKeyReused | errors.OperationFinished], info: Info
) -> OperationValue | None:
    return info.context.find_operation(root.operation_id)


def _model(
    root: Parent[errors.LoadFailed | errors.DownloadFailed | errors.UnloadFailed], info: Info
) -> state.ModelCard:
    return info.context.models((root.model_id,))[0]


_LazyOperation = Annotated["Operation", strawberry.lazy("exo_graphql.schema.operation")]


@publishes(errors.ModelNotFound, CODES["MODEL_NOT_FOUND"])
class ModelNotFound(OperationError):
    """`errors.ModelNotFound`."""

    candidates: list[str] = field(
        description="The closest full ids, best match first. If no name is like it: the models that are used most here."
    )


@publishes(errors.ModelAmbiguous, CODES["MODEL_AMBIGUOUS"])
class ModelAmbiguous(OperationError):
    """`errors.ModelAmbiguous`."""

    candidates: list[str] = field(description="Full ids of the models that match.")


@publishes(errors.ModelNotLoaded, CODES["MODEL_NOT_LOADED"])
class ModelNotLoaded(OperationError):
    """`errors.ModelNotLoaded`."""

    loaded: list[Model] = field(resolver=_loaded, description="The models that are loaded.")


@publishes(errors.NodeNotFound, CODES["NODE_NOT_FOUND"])
class NodeNotFound(OperationError):
    """`errors.NodeNotFound`."""

    available: list[str] = field(description="The nodes of the cluster, by friendly name or id.")


@publishes(errors.InstanceNotFound, CODES["INSTANCE_NOT_FOUND"])
class InstanceNotFound(OperationError):
    """`errors.InstanceNotFound`."""

    instance_ids: list[strawberry.ID] = field(description="Ids of the model's instances.")


@publishes(errors.InvalidArgument, CODES["INVALID_ARGUMENT"])
class InvalidArgument(OperationError):
    """`errors.InvalidArgument`."""

    argument: str = field(description="Name of the argument.")


@publishes(errors.IdempotencyKeyReused, CODES["IDEMPOTENCY_KEY_REUSED"])
class IdempotencyKeyReused(OperationError):
    """`errors.IdempotencyKeyReused`."""

    operation: _LazyOperation | None = field(
        resolver=_operation,
        description="The operation that the key belongs to; null once this server has forgotten it.",
    )


@publishes(errors.InsufficientMemory, CODES["INSUFFICIENT_MEMORY"])
class InsufficientMemory(OperationError):
    """`errors.InsufficientMemory`."""

    needed_gb: float = field(resolver=_needed, description="Required memory in GiB (2^30 bytes), one decimal.")
    available_gb: float = field(
        resolver=_available,
        description="Free memory of the best candidate nodes, without what is reserved for other operations, in "
        "GiB, one decimal.",
    )
    shortfall_gb: float = field(resolver=_shortfall, description="Memory that these nodes lack, in GiB, one decimal.")
    loaded: list[Model] = field(resolver=_loaded, description="The models that are loaded now.")
    unload_to_fit: list[Model] = field(
        resolver=_unload_to_fit,
        description="The smallest set of models to unload so that it fits (for a swap: in addition to `unload`); "
        "empty if no set is enough.",
    )


@publishes(errors.PlacementRefused, CODES["PLACEMENT_REFUSED"])
class PlacementRefused(OperationError):
    """`errors.PlacementRefused`."""

    reason: str = field(description="The reason; exo's own words if exo gave one.")


def _plan(root: Parent[PlanOutdatedError]) -> Proposal:
    return root.plan


@publishes(PlanOutdatedError, CODES["PLAN_OUTDATED"])
class PlanOutdated(OperationError):
    """`operations.PlanOutdated`."""

    plan: Annotated["Plan", strawberry.lazy("exo_graphql.schema.plan")] = field(
        resolver=_plan, description="What would be done now, with the hash by which to apply it."
    )


@publishes(errors.OperationConflict, CODES["OPERATION_CONFLICT"])
class OperationConflict(OperationError):
    """`errors.OperationConflict`."""

    operation: _LazyOperation | None = field(
        resolver=_operation, description="The other operation; null once this server has forgotten it."
    )


@publishes(errors.OperationNotFound, CODES["OPERATION_NOT_FOUND"])
class OperationNotFound(OperationError):
    """`errors.OperationNotFound`."""


@publishes(errors.OperationFinished, CODES["OPERATION_FINISHED"])
class OperationFinished(OperationError):
    """`errors.OperationFinished`."""

    operation: _LazyOperation | None = field(
        resolver=_operation, description="The operation; null once this server has forgotten it."
    )


@publishes(errors.TooManyOperations, CODES["TOO_MANY_OPERATIONS"])
class TooManyOperations(OperationError):
    """`errors.TooManyOperations`."""

    limit: int = field(description="Maximum number of active operations.")


@publishes(errors.TaskNotFound, CODES["TASK_NOT_FOUND"])
class TaskNotFound(OperationError):
    """`errors.TaskNotFound`."""


@publishes(errors.TaskNotCancellable, CODES["TASK_NOT_CANCELLABLE"])
class TaskNotCancellable(OperationError):
    """`errors.TaskNotCancellable`."""


@publishes(errors.LoadFailed, CODES["LOAD_FAILED"])
class LoadFailed(OperationError):
    """`errors.LoadFailed`."""

    model: Model = field(resolver=_model, description="The model.")


@publishes(errors.DownloadFailed, CODES["DOWNLOAD_FAILED"])
class DownloadFailed(OperationError):
    """`errors.DownloadFailed`."""

    model: Model = field(resolver=_model, description="The model.")


@publishes(errors.UnloadFailed, CODES["UNLOAD_FAILED"])
class UnloadFailed(OperationError):
    """`errors.UnloadFailed`."""

    model: Model = field(resolver=_model, description="The model.")


@publishes(errors.TimedOut, CODES["TIMED_OUT"])
class TimedOut(OperationError):
    """`errors.TimedOut`."""


@publishes(errors.Cancelled, CODES["CANCELLED"])
class Cancelled(OperationError):
    """`errors.Cancelled`."""


@publishes(errors.HubUnavailable, CODES["HUB_UNAVAILABLE"])
class HubUnavailable(OperationError):
    """`errors.HubUnavailable`."""


@publishes(errors.ModelNotAdded, CODES["MODEL_NOT_ADDED"])
class ModelNotAdded(OperationError):
    """`errors.ModelNotAdded`."""

    reason: str = field(description="The reason; exo's own words if exo gave one.")


@publishes(errors.ModelNotCustom, CODES["MODEL_NOT_CUSTOM"])
class ModelNotCustom(OperationError):
    """`errors.ModelNotCustom`."""

    custom: list[str] = field(description="Full ids of the models that can be removed.")


@publishes(errors.ClusterUnavailable, CODES["CLUSTER_UNAVAILABLE"])
class ClusterUnavailable(OperationError):
    """`errors.ClusterUnavailable`."""

    last_seen_at: datetime | None = field(
        description="When the last state arrived from exo (UTC); null if none ever did."
    )


@publishes(errors.JournalUnavailable, CODES["JOURNAL_UNAVAILABLE"])
class JournalUnavailable(OperationError):
    """`errors.JournalUnavailable`."""


@publishes(errors.InternalFault, CODES["INTERNAL_FAULT"])
class InternalFault(OperationError):
    """`errors.InternalFault`."""


def top_level_error(error: OperationErrorValue) -> NamedError:
    """The same as a top-level error, for queries, which have no payload to hold it."""
    choices = {name: list(getattr(error, name)) for name in ("candidates", "available") if getattr(error, name, None)}
    return NamedError(error.code, error.message, error.suggestion, **choices)
