"""The thresholds of the readiness rules, in seconds. `unseen_after` is a setting, the others are constants."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """Thresholds. Tests construct them with other values."""

    unseen_after: float = 10.0
    """A node not seen for as long is STALE and what runs on it UNREACHABLE (exo itself waits 33-50 s); everything is,
    once exo was asked and has not answered for as long."""
    still_after: float = 15.0
    """exo's master hangs once the state has not moved for as long in spite of reads that succeed."""
    give_up_after: float = 30.0
    """A needed download that failed is final when no byte has arrived for as long."""
    empty_grace: float = 60.0
    """While exo's state holds no nodes (an election), the last snapshot stays, marked stale, for as long."""
    behind_grace: float = 60.0
    """While an exo node answers that lacks events which an earlier answer had, the last snapshot stays, marked stale,
    for as long: a node that joins replays the whole log, 30 s for 3,200 events on a live cluster, and shows instances
    as ready that were deleted long ago."""


DEFAULT_RULES = Rules()
