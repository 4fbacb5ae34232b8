"""What reading exo shows beside the state itself: whether it answers, and whether its master still works.

Only exo itself makes it unreachable: it was asked and did not answer, or its state does not move while it is read.
That we did not ask (a pause between two reads, a machine that slept) says nothing about exo.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.rules import Rules
from exo_graphql.cluster.state import State


@dataclass(frozen=True, slots=True)
class Contact:
    """What the reader of the state knows. Times are `Moment.elapsed`."""

    silent_since: float | None = None
    """Start of the first request for the state that has not been answered since the last one that was."""
    asked_at: float | None = None
    """Start of the request that the state came from; None: it came at once."""
    unbroken: bool = False
    """Whether the last good read was no longer ago than the pace of reading allows. After a longer gap nobody knows
    how long exo has done nothing: on a laptop that slept, exo may have slept as well."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """Whether exo's master still applies events: a healthy one moves the index every second, even at rest.

    One document cannot tell: where the master hangs, every `lastSeen` stops with it. Two reads can.
    """

    index: int | None = None
    last_seen: Mapping[str, datetime | None] = field(default_factory=dict)
    since: float = 0.0
    """When (`Moment.elapsed`) the first of the reads that show no movement ended."""
    still: bool = False
    """Whether reads over `Rules.still_after` or longer show no movement."""

    def after(self, state: State, contact: Contact, now: Moment, rules: Rules) -> "Pulse":
        """The same after another read."""
        seen = {id_: node.last_seen for id_, node in state.nodes.items()}
        asked_at = now.elapsed if contact.asked_at is None else contact.asked_at
        # A state with neither an index nor any `lastSeen` proves nothing.
        has_pulse = state.index is not None or any(moment is not None for moment in seen.values())
        if not has_pulse or not contact.unbroken or (state.index, seen) != (self.index, self.last_seen):
            return Pulse(state.index, seen, now.elapsed)
        return Pulse(state.index, seen, self.since, asked_at - self.since >= rules.still_after)


NO_PULSE = Pulse()
