"""Why a request is rejected or an operation fails, each kind with what a caller needs to continue.

OperationError
├── ModelNotFound · ModelAmbiguous · ModelNotLoaded · NodeNotFound · InstanceNotFound
├── InvalidArgument · IdempotencyKeyReused
├── InsufficientMemory · PlacementRefused
├── OperationConflict · OperationNotFound · OperationFinished · TooManyOperations
├── TaskNotFound · TaskNotCancellable · EventNotFound
├── LoadFailed · DownloadFailed · UnloadFailed · TimedOut · Cancelled      (of operations that were begun)
└── ClusterUnavailable · JournalUnavailable
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from exo_graphql.cluster.upstream import NotLeading
from exo_graphql.storage import NotLeader


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationError:
    """`message` says what is wrong, `suggestion` what to do about it; both are sentences."""

    message: str
    suggestion: str | None = None

    @property
    def code(self) -> str:
        """The type's name in capitals: `MODEL_NOT_FOUND`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNotFound(OperationError):
    """Nothing in the cluster has this name. `candidates` are the closest full ids, best first."""

    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAmbiguous(OperationError):
    """Several models have this short name."""

    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNotLoaded(OperationError):
    """The model has no instance. `loaded_ids` are the models that have."""

    loaded_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNotFound(OperationError):
    """No member has this id or name. `available` names those that exist."""

    available: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceNotFound(OperationError):
    """The model has no such instance. `instance_ids` are those it has."""

    instance_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidArgument(OperationError):
    """`argument` is the name of the invalid argument in the schema."""

    argument: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKeyReused(OperationError):
    """The key belongs to an operation with other arguments."""

    operation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InsufficientMemory(OperationError):
    """Not enough free memory.

    Bytes; `available_bytes` and `shortfall_bytes` are of the best candidate nodes, less what other operations
    have reserved. `unload_to_fit_ids` is the smallest set whose unloading (for a swap: in addition) would make it fit,
    empty if nothing would.
    """

    needed_bytes: int
    available_bytes: int
    shortfall_bytes: int
    loaded_ids: tuple[str, ...] = ()
    unload_to_fit_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementRefused(OperationError):
    """exo does not place it, and memory is not the reason. `reason` is exo's own where it gave one."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationConflict(OperationError):
    """Another active operation changes the same model."""

    operation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationNotFound(OperationError):
    """No operation has this id, or it ended too long ago to be remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventNotFound(OperationError):
    """No event has this id, or it is too old to be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationFinished(OperationError):
    """The operation has ended; nothing is left to cancel."""

    operation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyOperations(OperationError):
    """As many operations as are allowed are not finished."""

    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNotFound(OperationError):
    """exo lists no such task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNotCancellable(OperationError):
    """The task is not a running inference, or none of the known exo nodes holds its stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailed(OperationError):
    """exo could not make the model ready, or another client removed it before it was.

    `attempts` are exo's that have failed; 0 where none did (the instance was lost or removed).
    """

    model_id: str
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadFailed(OperationError):
    """A node could not fetch the weights."""

    model_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnloadFailed(OperationError):
    """exo did not remove an instance."""

    model_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut(OperationError):
    """It took longer than `timeoutSeconds`, or nothing progressed for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(OperationError):
    """`cancelOperation` stopped it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubUnavailable(OperationError):
    """exo could not search the hub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNotAdded(OperationError):
    """exo did not change its catalogue as requested. `reason` is exo's own where it gave one."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNotCustom(OperationError):
    """exo brings the model along, so it cannot be removed. `custom` are the ids of those that can."""

    custom: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterUnavailable(OperationError):
    """No exo node answers as it should. `last_seen_at` (UTC) is when the last state arrived; None if none ever did."""

    last_seen_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalUnavailable(OperationError):
    """The journal cannot be written, so nothing may be started."""

    @classmethod
    def because(cls, error: Exception) -> Self:
        """What a caller is answered after `error` of the store."""
        if isinstance(error, NotLeader):
            return cls(message=str(error), suggestion="Send the request again in a few seconds.")
        return cls(message=str(error), suggestion="Free disk space, or check the database of --database-url.")


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalFault(OperationError):
    """An internal error of this server; see its log."""


def no_answer(reason: object, last_seen_at: datetime | None) -> ClusterUnavailable:
    """The error where a call of exo was not answered, or was not sent."""
    if isinstance(reason, NotLeading):
        return ClusterUnavailable(
            message=str(reason),
            suggestion="Try again in a few seconds: by then one of the servers leads.",
            last_seen_at=last_seen_at,
        )
    return ClusterUnavailable(
        message=f"exo does not answer: {reason}",
        suggestion="Make sure that exo is running and reachable, then try again.",
        last_seen_at=last_seen_at,
    )


def refused_by_exo(reason: object) -> PlacementRefused:
    """The error where exo answered a call with a refusal."""
    return PlacementRefused(
        message=f"exo refused: {reason}", suggestion="See exo's log, then try again.", reason=str(reason)
    )


BY_NAME: dict[str, type[OperationError]] = {kind.__name__: kind for kind in OperationError.__subclasses__()}
