"""The thresholds of the readiness rules, in seconds, each with its reason. `unseen_after` is a setting."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """Seconds. Tests construct it with other values."""

    unseen_after: float = 10.0
    """A node that has sent no heartbeat for this long is STALE, and what runs on it UNREACHABLE. Without an answer from
    exo for this long, everything is UNREACHABLE. Longer than an election (3 to 6 s), shorter than exo's own
    timeout (33 to 50 s)."""
    still_after: float = 15.0
    """exo's master counts as hung if the state has not changed for this long while reads succeed. A healthy master
    changes it each second or so, even when idle; an election takes 3 to 6 s."""
    give_up_after: float = 30.0
    """A failed download that an instance needs is final if no byte arrives for this long. Its status settles
    nothing: after about 60 s exo replaces the failure by "pending", whether or not it tries again."""
    empty_grace: float = 60.0
    """While exo lists no nodes (it lost its master: the first return after 3 to 16 s), the last snapshot stays, marked
    stale, for this long. After that the cluster is shown as empty."""
    lag_after: float = 15.0
    """A state is not the present if its newest heartbeat is older, by what earlier ones showed of exo's clock (`lag`).
    Longer than an election, in which no heartbeat counts."""
    behind_grace: float = 60.0
    """While the exo node that answers lacks events of an earlier answer, the last snapshot stays, marked stale, for
    this long. A node that joins replays the whole log (30 s for 3,200 events on a live cluster) and meanwhile shows
    instances as ready that were deleted long ago."""


DEFAULT_RULES = Rules()
