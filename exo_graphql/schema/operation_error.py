"""`OperationError` and its types: why a wish was refused, or an operation did not succeed."""

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
    "MODEL_NOT_FOUND": "Nothing in the cluster has this name.",
    "MODEL_AMBIGUOUS": "Several models have this short name.",
    "MODEL_NOT_LOADED": "The model has no instance.",
    "NODE_NOT_FOUND": "No member of the cluster has this id or name.",
    "INSTANCE_NOT_FOUND": "The model has no such instance.",
    "INVALID_ARGUMENT": "An argument that cannot be meant.",
    "IDEMPOTENCY_KEY_REUSED": "The key belongs to an operation with other arguments.",
    "INSUFFICIENT_MEMORY": "It does not fit.",
    "PLACEMENT_REFUSED": "exo would not place it, for another reason than memory.",
    "OPERATION_CONFLICT": "Another operation is at work on the same model.",
    "OPERATION_NOT_FOUND": "No operation has this id, or it ended long ago.",
    "OPERATION_FINISHED": "The operation has ended already.",
    "TOO_MANY_OPERATIONS": "As many operations as are allowed are active.",
    "TASK_NOT_FOUND": "exo lists no such task.",
    "TASK_NOT_CANCELLABLE": "The task is no inference under way, or no exo node that was asked holds it.",
    "LOAD_FAILED": "exo could not make the model ready, or somebody removed it before it was.",
    "DOWNLOAD_FAILED": "A node could not fetch the weights.",
    "UNLOAD_FAILED": "exo did not remove an instance.",
    "TIMED_OUT": "It took longer than timeoutSeconds, or nothing progressed for too long.",
    "CANCELLED": "cancelOperation stopped it.",
    "CLUSTER_UNAVAILABLE": "No exo node answers as it should.",
    "JOURNAL_UNAVAILABLE": "The journal of operations cannot be written, so nothing may be begun.",
    "INTERNAL_FAULT": "A fault of this server; its log tells more.",
}
ErrorCode = Enum("ErrorCode", {code: code for code in _CODES})  # type: ignore[misc]  # one table, not two
described(ErrorCode, "What kind of refusal or failure it is: the type's name in capitals.", **_CODES)


def _code(root: Parent[OperationErrorValue]) -> Enum:
    return ErrorCode[root.code]


@strawberry.interface(
    description="Why a wish was refused, or an operation did not succeed. The types that implement it add what helps "
    "to go on."
)
class OperationError:
    """`operations.OperationError`."""

    code: ErrorCode = field(resolver=_code, description="The type's name in capitals.")
    message: str = field(description="What is wrong, in a sentence.")
    suggestion: str | None = field(description="How to go on; null where there is nothing to suggest.")


ERROR_TYPES: list[type] = []


def _tells(error: type[OperationErrorValue], description: str) -> Callable[[T], T]:
    """Publishes a class as the type that tells of `problem`."""

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


@_tells(errors.ModelNotFound, _CODES["MODEL_NOT_FOUND"])
class ModelNotFound(OperationError):
    """`errors.ModelNotFound`."""

    candidates: list[str] = field(description="The closest full ids, best first.")


@_tells(errors.ModelAmbiguous, _CODES["MODEL_AMBIGUOUS"])
class ModelAmbiguous(OperationError):
    """`errors.ModelAmbiguous`."""

    candidates: list[str] = field(description="The full ids that could be meant.")


@_tells(errors.ModelNotLoaded, _CODES["MODEL_NOT_LOADED"])
class ModelNotLoaded(OperationError):
    """`errors.ModelNotLoaded`."""

    loaded: list[_LazyModel] = field(resolver=_loaded, description="The models that are loaded.")


@_tells(errors.NodeNotFound, _CODES["NODE_NOT_FOUND"])
class NodeNotFound(OperationError):
    """`errors.NodeNotFound`."""

    available: list[str] = field(description="The nodes that exist, by friendly name or id.")


@_tells(errors.InstanceNotFound, _CODES["INSTANCE_NOT_FOUND"])
class InstanceNotFound(OperationError):
    """`errors.InstanceNotFound`."""

    instance_ids: list[strawberry.ID] = field(description="The instances that the model has.")


@_tells(errors.InvalidArgument, _CODES["INVALID_ARGUMENT"])
class InvalidArgument(OperationError):
    """`errors.InvalidArgument`."""

    argument: str = field(description="The argument's name.")


@_tells(errors.IdempotencyKeyReused, _CODES["IDEMPOTENCY_KEY_REUSED"])
class IdempotencyKeyReused(OperationError):
    """`errors.IdempotencyKeyReused`."""

    operation: _LazyOperation | None = field(
        resolver=_operation, description="The operation that the key belongs to; null once it is forgotten."
    )


@_tells(errors.InsufficientMemory, _CODES["INSUFFICIENT_MEMORY"])
class InsufficientMemory(OperationError):
    """`errors.InsufficientMemory`."""

    needed_gb: float = field(resolver=_needed, description="What it needs, in GiB (2^30 bytes), one decimal.")
    available_gb: float = field(
        resolver=_available,
        description="What is free in the group of nodes that comes nearest, less what is promised to others; GiB.",
    )
    shortfall_gb: float = field(resolver=_shortfall, description="What is lacking there, in GiB, one decimal.")
    loaded: list[_LazyModel] = field(resolver=_loaded, description="The models that are loaded now.")
    unload_to_fit: list[_LazyModel] = field(
        resolver=_unload_to_fit,
        description="The smallest set of models whose unloading would make it fit (in a swap: in addition); empty if "
        "nothing would.",
    )


@_tells(errors.PlacementRefused, _CODES["PLACEMENT_REFUSED"])
class PlacementRefused(OperationError):
    """`errors.PlacementRefused`."""

    reason: str = field(description="The reason, exo's own where exo told one.")


@_tells(errors.OperationConflict, _CODES["OPERATION_CONFLICT"])
class OperationConflict(OperationError):
    """`errors.OperationConflict`."""

    operation: _LazyOperation | None = field(
        resolver=_operation, description="The operation that came first; null once it is forgotten."
    )


@_tells(errors.OperationNotFound, _CODES["OPERATION_NOT_FOUND"])
class OperationNotFound(OperationError):
    """`errors.OperationNotFound`."""


@_tells(errors.OperationFinished, _CODES["OPERATION_FINISHED"])
class OperationFinished(OperationError):
    """`errors.OperationFinished`."""

    operation: _LazyOperation | None = field(
        resolver=_operation, description="The operation; null once it is forgotten."
    )


@_tells(errors.TooManyOperations, _CODES["TOO_MANY_OPERATIONS"])
class TooManyOperations(OperationError):
    """`errors.TooManyOperations`."""

    limit: int = field(description="How many may be active.")


@_tells(errors.TaskNotFound, _CODES["TASK_NOT_FOUND"])
class TaskNotFound(OperationError):
    """`errors.TaskNotFound`."""


@_tells(errors.TaskNotCancellable, _CODES["TASK_NOT_CANCELLABLE"])
class TaskNotCancellable(OperationError):
    """`errors.TaskNotCancellable`."""


@_tells(errors.LoadFailed, _CODES["LOAD_FAILED"])
class LoadFailed(OperationError):
    """`errors.LoadFailed`."""

    model: _LazyModel = field(resolver=_model, description="The model.")


@_tells(errors.DownloadFailed, _CODES["DOWNLOAD_FAILED"])
class DownloadFailed(OperationError):
    """`errors.DownloadFailed`."""

    model: _LazyModel = field(resolver=_model, description="The model.")


@_tells(errors.UnloadFailed, _CODES["UNLOAD_FAILED"])
class UnloadFailed(OperationError):
    """`errors.UnloadFailed`."""

    model: _LazyModel = field(resolver=_model, description="The model.")


@_tells(errors.TimedOut, _CODES["TIMED_OUT"])
class TimedOut(OperationError):
    """`errors.TimedOut`."""


@_tells(errors.Cancelled, _CODES["CANCELLED"])
class Cancelled(OperationError):
    """`errors.Cancelled`."""


@_tells(errors.ClusterUnavailable, _CODES["CLUSTER_UNAVAILABLE"])
class ClusterUnavailable(OperationError):
    """`errors.ClusterUnavailable`."""

    last_seen_at: datetime | None = field(description="When the last state arrived (UTC); null if none ever did.")


@_tells(errors.JournalUnavailable, _CODES["JOURNAL_UNAVAILABLE"])
class JournalUnavailable(OperationError):
    """`errors.JournalUnavailable`."""


@_tells(errors.InternalFault, _CODES["INTERNAL_FAULT"])
class InternalFault(OperationError):
    """`errors.InternalFault`."""


def problem_error(error: OperationErrorValue) -> NamedError:
    """The same, as a top-level error, for questions that answer with a value or not at all."""
    choices = {name: list(getattr(error, name)) for name in ("candidates", "available") if getattr(error, name, None)}
    return NamedError(error.code, error.message, error.suggestion, **choices)
