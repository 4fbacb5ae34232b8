"""A point in time on two clocks: the wall clock for timestamps, and one that nobody can set for durations."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Moment:
    """The wall clock may be set back an hour at any time. So it is only shown; every decision uses `elapsed`."""

    at: datetime
    """By the wall clock (UTC): shown to people."""
    elapsed: float
    """Seconds by a clock that cannot be set and keeps running while the machine sleeps: for ages and timeouts."""

    def since(self, elapsed: float) -> float:
        """Seconds since an earlier `elapsed`; never negative."""
        return max(0.0, self.elapsed - elapsed)
