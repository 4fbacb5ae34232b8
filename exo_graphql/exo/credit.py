"""How far reads may run ahead of the fast pace, and how that is paid back.

An operation that waits for the pace before each of its acts is slow: at 0.26 s a read, one and a half seconds before
each act. So it reads at once, on credit: what is left of the pause is owed, and later reads that are not urgent pay it
back. Over a minute or two exo's time for reading stays within `PollerRules.fast_share`, even for an operation that
reads in a loop. Pure; times are seconds.
"""

URGENT_READS = 6
"""Reads in a row that need not wait: enough for one step of an operation to read, act and read again."""
PAID_BACK = 0.25
"""The part of a pause by which each read that is not urgent comes later while something is owed."""


class Credit:
    """What reading owes exo: the pauses that were not kept."""

    def __init__(self) -> None:
        self.owed = 0.0
        """Seconds of pause that reads came too early, in all."""

    def urgent(self, pause: float) -> float:
        """The pause before an urgent read: 0 while there is credit."""
        return max(0.0, self.owed + pause - URGENT_READS * pause)

    def usual(self, pause: float) -> float:
        """The pause before any other read."""
        return pause + min(self.owed, PAID_BACK * pause)

    def spend(self, pause: float, kept: float) -> None:
        """A read begins `kept` seconds after the end of the last one, where `pause` would have been the pace."""
        self.owed = min(max(0.0, self.owed + pause - kept), URGENT_READS * pause)

    def charge(self, cost_pause: float, pause: float) -> None:
        """A cheap read was made in a pause, which `cost_pause` pays for; `pause` is that of a whole read."""
        self.owed = min(self.owed + cost_pause, URGENT_READS * pause)
