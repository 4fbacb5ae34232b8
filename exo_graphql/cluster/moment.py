"""A point in time, as two clocks have it: one to stamp with, one to decide by."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """Wall time says when something was; it may be set back or forward at any time, so it decides nothing."""

    at: datetime
    """By the wall clock (UTC): what people are told."""
    elapsed: float
    """Seconds by a clock that nobody sets, and that goes on while the machine sleeps: ages and patience."""

    def since(self, elapsed: float) -> float:
        """Seconds since a moment of the same clock; never negative."""
        return max(0.0, self.elapsed - elapsed)
