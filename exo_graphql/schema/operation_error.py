"""`OperationError` and its types: why a request was refused, or an operation did not succeed."""

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, TypeVar

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.cluster.units import gib
from exo_graphql.operations import Operation as OperationValue
from exo_graphql.operations import OperationError as OperationErrorValue
from exo_graphql.operations import errors
from exo_graphql.schema.context import Info
from exo_graphql.schema.enums import described
from exo_graphql.schema.errors import NamedError
from exo_graphql.schema.fields import field

if TYPE_CHECKING:
    from exo_graphql.schema.model import Model
    from exo_graphql.schema.operation import Operation

T = TypeVar("T", bound=type)


_CODES = {
    "MODEL_NOT_FOUND": "No model has this name.",
    "MODEL_AMBIGUOUS": "Several models have this short name.",
    "MODEL_NOT_LOADED": "The model has no instance.",
    "NODE_NOT_FOUND": "No node of the cluster has this id or name.",
    "INSTANCE_NOT_FOUND": "The model has no instance with this id.",
    "INVALID_ARGUMENT": "Invalid argument.",
    "IDEMPOTENCY_KEY_REUSED": "The idempotency key belongs to an operation with other arguments.",
    "INSUFFICIENT_MEMORY": "Not enough free memory.",
    "PLACEMENT_REFUSED": "exo does not place the model, for another reason than memory.",
    "OPERATION_CONFLICT": "Another operation on the same model is active.",
    "OPERATION_NOT_FOUND": "No operation has this id, or it ended long ago.",
    "OPERATION_FINISHED": "The operation has already ended.",
    "TOO_MANY_OPERATIONS": "The maximum number of active operations is reached.",
    "TASK_NOT_FOUND": "exo lists no task with this id.",
    "TASK_NOT_CANCELLABLE": "The task is not an inference under way, or no exo node that this server knows holds it.",
    "LOAD_FAILED": "exo could not make the model ready, or somebody removed it before it was ready.",
    "DOWNLOAD_FAILED": "A node could not download the weights.",
    "UNLOAD_FAILED": "exo did not remove an instance.",
    "TIMED_OUT": "The operation took longer than timeoutSeconds, or made no progress for too long.",
    "CANCELLED": "cancelOperation stopped the operation.",
    "CLUSTER_UNAVAILABLE": "No exo node gives a valid answer.",
    "JOURNAL_UNAVAILABLE": "The operation journal cannot be written, so no operation can be started.",
    "INTERNAL_FAULT": "An internal error of this server; see its log.",
}
ErrorCode = Enum("ErrorCode", {code: code for code in _CODES})  # type: ignore[misc]  # one table, not two
described(ErrorCode, "What kind of refusal or failure it is: the type's name in capitals.", **_CODES)


def _code(root: Parent[OperationErrorValue]) -> Enum:
    return ErrorCode[root.code]


@strawberry.interface(
    description="Why a request was refused, or an operation did not succeed. The implementing types add "
    "details that help to correct it."
)
class OperationError:
    """`operations.OperationError`."""

    code: ErrorCode = field(resolver=_code, description="The type's name in capitals, for example MODEL_NOT_FOUND.")
    message: str = field(description="What is wrong, as a sentence.")
    suggestion: str | None = field(description="What to do about it; null if there is nothing to suggest.")


ERROR_TYPES: list[type] = []


def _publishes(error: type[OperationErrorValue], description: str) -> Callable[[T], T]:
    """Publishes a class as the GraphQL type of `error`."""

    def publish(cls: T) -> T:
        cls.is_type_of = classmethod(lambda _, value, __: type(value) is error)  # type: ignore[attr-defined]
        published = strawberry.type(cls, description=description)
        ERROR_TYPES.append(published)
        return published

    return publish


def _cards(info: Info, ids: tuple[str, ...]) -> tuple[state.ModelCard, ...]:
    known = info.context.latest.models if info.context.latest is not None else {}
    return tuple(known.get(id_) or state.ModelCard(id_) for id_ in ids)


def _loaded(root: Parent[errors.ModelNotLoaded | errors.InsufficientMemory], info: Info) -> tuple[state.ModelCard, ...]:
    return _cards(info, root.loaded_ids)


def _unload_to_fit(root: Parent[errors.InsufficientMemory], info: Info) -> tuple[state.ModelCard, ...]:
    return _cards(info, root.unload_to_fit_ids)


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
    return _cards(info, (root.model_id,))[0]


_LazyModel = Annotated["Model", strawberry.lazy("exo_graphql.schema.model")]
_LazyOperation = Annotated["Operation", strawberry.lazy("exo_graphql.schema.operation")]


@_publishes(errors.ModelNotFound, _CODES["MODEL_NOT_FOUND"])
class ModelNotFound(OperationError):
    """`errors.ModelNotFound`."""

    candidates: list[str] = field(description="The closest full ids, best match first.")


@_publishes(errors.ModelAmbiguous, _CODES["MODEL_AMBIGUOUS"])
class ModelAmbiguous(OperationError):
    """`errors.ModelAmbiguous`."""

    candidates: list[str] = field(description="Full ids of the models that match.")


@_publishes(errors.ModelNotLoaded, _CODES["MODEL_NOT_LOADED"])
class ModelNotLoaded(OperationError):
    """`errors.ModelNotLoaded`."""

    loaded: list[_LazyModel] = field(resolver=_loaded, description="The models that are loaded.")


@_publishes(errors.NodeNotFound, _CODES["NODE_NOT_FOUND"])
class NodeNotFound(OperationError):
    """`errors.NodeNotFound`."""

    available: list[str] = field(description="The nodes of the cluster, by friendly name or id.")


@_publishes(errors.InstanceNotFound, _CODES["INSTANCE_NOT_FOUND"])
class InstanceNotFound(OperationError):
    """`errors.InstanceNotFound`."""

    instance_ids: list[strawberry.ID] = field(description="Ids of the model's instances.")


@_publishes(errors.InvalidArgument, _CODES["INVALID_ARGUMENT"])
class InvalidArgument(OperationError):
    """`errors.InvalidArgument`."""

    argument: str = field(description="Name of the argument.")


@_publishes(errors.IdempotencyKeyReused, _CODES["IDEMPOTENCY_KEY_REUSED"])
class IdempotencyKeyReused(OperationError):
    """`errors.IdempotencyKeyReused`."""

    operation: _LazyOperation | None = field(
        resolver=_operation,
        description="The operation that the key belongs to; null once this server has forgotten it.",
    )


@_publishes(errors.InsufficientMemory, _CODES["INSUFFICIENT_MEMORY"])
class InsufficientMemory(OperationError):
    """`errors.InsufficientMemory`."""

    needed_gb: float = field(resolver=_needed, description="Required memory in GiB (2^30 bytes), one decimal.")
    available_gb: float = field(
        resolver=_available,
        description="Free memory of the best candidate nodes, without what is reserved for other operations, in "
        "GiB, one decimal.",
    )
    shortfall_gb: float = field(resolver=_shortfall, description="Memory that these nodes lack, in GiB, one decimal.")
    loaded: list[_LazyModel] = field(resolver=_loaded, description="The models that are loaded now.")
    unload_to_fit: list[_LazyModel] = field(
        resolver=_unload_to_fit,
        description="The smallest set of models to unload so that it fits (for a swap: in addition to `unload`); "
        "empty if no set is enough.",
    )


@_publishes(errors.PlacementRefused, _CODES["PLACEMENT_REFUSED"])
class PlacementRefused(OperationError):
    """`errors.PlacementRefused`."""

    reason: str = field(description="The reason; exo's own words if exo gave one.")


@_publishes(errors.OperationConflict, _CODES["OPERATION_CONFLICT"])
class OperationConflict(OperationError):
    """`errors.OperationConflict`."""

    operation: _LazyOperation | None = field(
        resolver=_operation, description="The other operation; null once this server has forgotten it."
    )


@_publishes(errors.OperationNotFound, _CODES["OPERATION_NOT_FOUND"])
class OperationNotFound(OperationError):
    """`errors.OperationNotFound`."""


@_publishes(errors.OperationFinished, _CODES["OPERATION_FINISHED"])
class OperationFinished(OperationError):
    """`errors.OperationFinished`."""

    operation: _LazyOperation | None = field(
        resolver=_operation, description="The operation; null once this server has forgotten it."
    )


@_publishes(errors.TooManyOperations, _CODES["TOO_MANY_OPERATIONS"])
class TooManyOperations(OperationError):
    """`errors.TooManyOperations`."""

    limit: int = field(description="Maximum number of active operations.")


@_publishes(errors.TaskNotFound, _CODES["TASK_NOT_FOUND"])
class TaskNotFound(OperationError):
    """`errors.TaskNotFound`."""


@_publishes(errors.TaskNotCancellable, _CODES["TASK_NOT_CANCELLABLE"])
class TaskNotCancellable(OperationError):
    """`errors.TaskNotCancellable`."""


@_publishes(errors.LoadFailed, _CODES["LOAD_FAILED"])
class LoadFailed(OperationError):
    """`errors.LoadFailed`."""

    model: _LazyModel = field(resolver=_model, description="The model.")


@_publishes(errors.DownloadFailed, _CODES["DOWNLOAD_FAILED"])
class DownloadFailed(OperationError):
    """`errors.DownloadFailed`."""

    model: _LazyModel = field(resolver=_model, description="The model.")


@_publishes(errors.UnloadFailed, _CODES["UNLOAD_FAILED"])
class UnloadFailed(OperationError):
    """`errors.UnloadFailed`."""

    model: _LazyModel = field(resolver=_model, description="The model.")


@_publishes(errors.TimedOut, _CODES["TIMED_OUT"])
class TimedOut(OperationError):
    """`errors.TimedOut`."""


@_publishes(errors.Cancelled, _CODES["CANCELLED"])
class Cancelled(OperationError):
    """`errors.Cancelled`."""


@_publishes(errors.ClusterUnavailable, _CODES["CLUSTER_UNAVAILABLE"])
class ClusterUnavailable(OperationError):
    """`errors.ClusterUnavailable`."""

    last_seen_at: datetime | None = field(
        description="When the last state arrived from exo (UTC); null if none ever did."
    )


@_publishes(errors.JournalUnavailable, _CODES["JOURNAL_UNAVAILABLE"])
class JournalUnavailable(OperationError):
    """`errors.JournalUnavailable`."""


@_publishes(errors.InternalFault, _CODES["INTERNAL_FAULT"])
class InternalFault(OperationError):
    """`errors.InternalFault`."""


def top_level_error(error: OperationErrorValue) -> NamedError:
    """The same as a top-level error, for queries, which have no payload to hold it."""
    choices = {name: list(getattr(error, name)) for name in ("candidates", "available") if getattr(error, name, None)}
    return NamedError(error.code, error.message, error.suggestion, **choices)
