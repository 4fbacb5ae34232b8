"""When exo counts as silent, and when as lost. Pure; times are `Moment.elapsed`, in seconds.

Silence begins with a request for the state that is not answered, never with a pause in which nothing was requested.
At the normal pace, where a read takes 0.04 s, with the default rules and one URL:

    0.0 s  the last good read has ended; nothing is requested for 1 s (`normal_pause`)
    1.0 s  a read begins and is not answered: silence is counted from here
    2.0 s  SLOW_READ after that: every CHECK_EVERY seconds it is checked whether the silence changes the last snapshot
    2.5 s  the read times out (`read_timeout`); exo is lost in the same moment (`lost_after`, counted from 0.0 s)
           the URL is tried again at once, in case one connection was broken, and then every second (`retry_every`)
   11.0 s  10 s of silence (`unseen_after`): everything is UNREACHABLE

With a second URL that answers, `lost_after` is 0.25 s longer (LAST_CHANCE): at 2.5 s the read moves to that URL, and
subscribers see no loss at all.
"""

from exo_graphql.exo.pacing import Mode, PollerRules, lost_after

CHECK_EVERY = 0.5
"""How often it is checked whether time alone changes what the last snapshot means."""
SLOW_READ = 1.0
"""A read that has been under way for this long counts as silence: 25 times what a read of 3 nodes takes."""
LAST_CHANCE = 0.25
"""Added to the time until exo is lost while another URL answers. A read that hangs may last exactly as long as the
silence that makes exo lost; this leaves time for one read through the other URL (0.04 s with 3 nodes)."""
SUSPENDED = 3.0
"""If a turn of the loop that sleeps for CHECK_EVERY comes this late, the machine slept or this process was stopped."""
HELD_UP = 0.1
"""If it comes this late, other processes had the machine. What exo has answered meanwhile may have yet to be read."""


class Silence:
    """Since when exo has not answered, and how long that may last."""

    def __init__(self, rules: PollerRules, unseen_after: float) -> None:
        self._rules = rules
        self._unseen_after = unseen_after
        self.since: float | None = None
        """Start of the first read that has not been answered since the last good one; None while exo answers."""
        self.lost_since: float | None = None
        """When exo itself was lost, which another server's copy does not change; None where it has answered since."""

    def begins(self, now: float) -> None:
        """A read begins at `now`. Later reads of the same silence do not move its start."""
        if self.since is None:
            self.since = now

    def begins_by(self, now: float) -> None:
        """exo itself is asked at `now`, after another server: a silence that was to begin later begins now."""
        if self.since is not None:
            self.since = min(self.since, now)

    def ends(self) -> None:
        """A read was answered."""
        self.since = None

    def restart(self, now: float) -> None:
        """This process was suspended until `now`: exo was not asked meanwhile, so it was not silent."""
        if self.since is not None:
            self.since = now
        if self.lost_since is not None:
            self.lost_since = now

    def held_up(self, now: float, seconds: float) -> None:
        """This process did not run for so long until `now`: that is no silence of exo's."""
        if self.since is not None and self.since < now:
            self.since = min(self.since + seconds, now)

    def lost(self, now: float) -> None:
        """Nothing has answered for too long."""
        if self.lost_since is None:
            self.lost_since = now

    def exo_answered(self) -> None:
        """exo itself has answered a read, and no other server for it."""
        self.lost_since = None

    def is_slow(self, now: float) -> bool:
        """Whether the silence is long enough to show in a snapshot."""
        return self.since is not None and now - self.since >= SLOW_READ

    def lost_at(self, mode: Mode, cost: float | None, *, standby: bool) -> float:
        """When exo counts as lost if it does not answer until then; infinite while it answers.

        `cost` is the usual duration of a read. `standby`: another URL is known to answer.
        """
        if self.since is None:
            return float("inf")
        patience = lost_after(mode, cost, self._rules, self._unseen_after)
        return self.since + patience + (LAST_CHANCE if standby else 0.0)
