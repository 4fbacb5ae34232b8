"""Figures of the poller."""

from dataclasses import dataclass


@dataclass(slots=True)
class PollerStats:
    """What reading costs and how it goes, for metrics and tests."""

    reads: int = 0
    """States read."""
    failures: int = 0
    """Reads of the state that failed: no answer in time, an error, or a body that is no state."""
    cost: float | None = None
    """Usual duration of a read as seen from here, in seconds; None before the first."""
