"""What an event is."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, unique


@unique
class Severity(Enum):
    """How much an event matters to an operator of the cluster."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


@unique
class EventKind(Enum):
    """What happened."""

    NODE_JOINED = "NODE_JOINED"
    NODE_LEFT = "NODE_LEFT"
    NODE_STALE = "NODE_STALE"
    NODE_RETURNED = "NODE_RETURNED"
    MODEL_READY = "MODEL_READY"
    MODEL_UNLOADED = "MODEL_UNLOADED"
    MODEL_LOST = "MODEL_LOST"
    MODEL_FAILED = "MODEL_FAILED"
    MODEL_GIVEN_UP = "MODEL_GIVEN_UP"
    DOWNLOAD_STARTED = "DOWNLOAD_STARTED"
    DOWNLOAD_COMPLETED = "DOWNLOAD_COMPLETED"
    DOWNLOAD_FAILED = "DOWNLOAD_FAILED"
    DOWNLOAD_STALLED = "DOWNLOAD_STALLED"
    OPERATION_ACCEPTED = "OPERATION_ACCEPTED"
    OPERATION_STEP = "OPERATION_STEP"
    OPERATION_ENDED = "OPERATION_ENDED"
    DEPLOYMENT_CHANGED = "DEPLOYMENT_CHANGED"
    ELECTION = "ELECTION"
    EXO_UNREACHABLE = "EXO_UNREACHABLE"
    EXO_BACK = "EXO_BACK"
    LINK_LOST = "LINK_LOST"
    LINK_DEGRADED = "LINK_DEGRADED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """Something that happened, before it has a number and a time. `message` is one sentence for people."""

    kind: EventKind
    severity: Severity
    message: str
    model_id: str | None = None
    node_id: str | None = None
    node_name: str | None = None
    """The node's name then: ids are new at each start of exo, and the node may be gone when somebody reads this."""
    operation_id: str | None = None
    deployment: str | None = None
    """The name of the deployment."""
    by: str | None = None
    """Who asked for it: the name of a token, never its secret; None if nobody did, or it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Occurrence):
    """An occurrence that was recorded. `id` never changes; `sequence` orders all events of a store."""

    id: str
    sequence: int
    at: datetime
    """When this server saw it, by its wall clock (UTC)."""
    acknowledged_at: datetime | None = None
    """When somebody acknowledged it (UTC); None until then."""
