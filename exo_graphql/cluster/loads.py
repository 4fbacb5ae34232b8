"""What this server's own operations are to load, and could not: values that the status of a model follows from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class FailedLoad:
    """An operation that was to load a model and ended without it. `message` is the operation's own reason."""

    operation_id: str
    message: str
    at: datetime
    """When it ended (UTC), by the wall clock: to be shown, and to decide nothing."""


@dataclass(frozen=True, slots=True)
class Loads:
    """The loads of all operations that this server remembers."""

    under_way: frozenset[str] = frozenset()
    """Models that an operation under way is to load."""
    failed: Mapping[str, FailedLoad] = field(default_factory=dict)
    """By model: the newest operation that was about it, where that was to load it, has ended, and did not succeed."""


NO_LOADS = Loads()
