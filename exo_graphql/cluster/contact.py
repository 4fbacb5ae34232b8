"""What the reads show besides the state itself: whether exo answers, and whether its master still works.

exo counts as unreachable only on evidence: a request went unanswered, or the state does not change from read to read.
A time without requests (a pause between two reads, a laptop that slept) says nothing about exo.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.rules import Rules
from exo_graphql.cluster.state import State


@dataclass(frozen=True, slots=True)
class Contact:
    """What the poller knows. Times are `Moment.elapsed`."""

    silent_since: float | None = None
    """Start of the first unanswered request for the state since the last answered one; None if there is none."""
    asked_at: float | None = None
    """Start of the request whose answer the state is; None means: now."""
    unbroken: bool = False
    """Whether the previous successful read is as recent as the polling interval allows. After a longer gap an
    unchanged state proves nothing: on a laptop that slept for an hour, exo may have slept as well."""
    resumed: bool = False
    """Whether this machine slept since the last state: what is an hour old may be all that there is."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """Whether exo's master still applies events: a healthy one increments the index every second, even when idle.

    One document does not show it: if the master hangs, every `lastSeen` stops with it. Two reads do: the same index and
    the same `lastSeen` at 0 s and, in a request sent at 15 s or later, again (`Rules.still_after`).
    """

    index: int | None = None
    """`State.index` of the last read."""
    last_seen: Mapping[str, datetime | None] = field(default_factory=dict)
    """By node, of the last read."""
    since: float = 0.0
    """When (`Moment.elapsed`) the first of the reads that show no change ended."""
    still: bool = False
    """Whether reads over `Rules.still_after` or longer show no change."""

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
