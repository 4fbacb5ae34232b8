"""What the operations of this server load, and failed to load. The status of a model depends on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class FailedLoad:
    """An operation that should have loaded a model and failed. `message` is the reason that the operation gives."""

    operation_id: str
    message: str
    at: datetime
    """When it ended (UTC), by the wall clock: only shown, nothing is decided by it."""


@dataclass(frozen=True, slots=True)
class Loads:
    """The loads of all operations that this server remembers."""

    under_way: frozenset[str] = frozenset()
    """Models that an operation under way loads."""
    failed: Mapping[str, FailedLoad] = field(default_factory=dict)
    """By model id: its newest operation, if that was a load and has failed."""


NO_LOADS = Loads()
