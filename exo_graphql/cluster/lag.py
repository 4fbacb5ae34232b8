"""How far the state of an exo node lags behind the present, by exo's own clock.

A state says when its master last saw each node. The newest of these times is less than a few seconds old in a state of
the present, and in an old one it is as old as the state. Only differences are used, so the two clocks need not agree.

For example a state read at 12:00:00 showed a heartbeat of 12:00:00, and then the node that answers was started again.
It joins and replays the log of all that has happened, a hundred events a second. At 12:03:00 it shows 11:20:00: a model
as ready that is not loaded any more, and itself under the id that it had then. exo accepts what is placed on that id,
and never lists it.

exo's clock may also have been set back by an hour, or the new master's may be an hour late. Then the lag stays at one
hour. That of a node that catches up, or of one that falls ever further behind, does not stay.
"""

from dataclasses import dataclass
from datetime import datetime

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.rules import Rules
from exo_graphql.cluster.state import State

STEADY_SECONDS = 5.0
"""A lag that changes by less within `Rules.behind_grace` is a difference of the clocks."""


def newest_heartbeat(state: State) -> datetime | None:
    """The newest that the state shows, by exo's clock; None if it shows none."""
    return max((node.last_seen for node in state.nodes.values() if node.last_seen is not None), default=None)


@dataclass(frozen=True, slots=True)
class Lag:
    """The lag of the last state that was read."""

    newest: datetime | None = None
    """Its newest heartbeat, by exo's clock."""
    seconds: float = 0.0
    """By how much its newest heartbeat is older than that of the most recent state so far would be by now."""
    ahead: float | None = None
    """exo's clock less ours (`Moment.elapsed`) in the most recent state so far; None before the first heartbeat."""
    steady: tuple[float, float] = (0.0, float("-inf"))
    """The last lag that differed by `STEADY_SECONDS`, and since when it has not."""

    def after(self, state: State, now: Moment, rules: Rules, *, resumed: bool = False) -> "Lag":
        """The same after another state. `resumed`: see `Contact`."""
        newest = newest_heartbeat(state)
        # One that does not move says nothing of the state's age: perhaps no node reports. `Pulse` sees a stuck master.
        if newest is None or newest == self.newest:
            return self
        ahead = newest.timestamp() - now.elapsed
        if self.ahead is None or resumed:
            return Lag(newest, 0.0, ahead, (0.0, now.elapsed))
        if ahead >= self.ahead - rules.lag_after:
            return Lag(newest, 0.0, max(ahead, self.ahead), (0.0, now.elapsed))
        seconds = self.ahead - ahead
        lag, since = self.steady
        if abs(seconds - lag) >= STEADY_SECONDS:
            return Lag(newest, seconds, self.ahead, (seconds, now.elapsed))
        if now.since(since) >= rules.behind_grace:
            return Lag(newest, 0.0, ahead, (0.0, now.elapsed))
        return Lag(newest, seconds, self.ahead, self.steady)


def has_more_events(other: State, state: State) -> bool:
    """Whether `other` shows more events; not where one of them does not number them."""
    return other.index is not None and state.index is not None and other.index > state.index


def is_much_newer(other: State, state: State) -> bool:
    """Whether its newest heartbeat is; where one shows none, whether it has more events."""
    theirs, ours = newest_heartbeat(other), newest_heartbeat(state)
    if theirs is None or ours is None:
        return has_more_events(other, state)
    return (theirs - ours).total_seconds() >= STEADY_SECONDS
