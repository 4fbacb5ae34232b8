"""What is sent next to one receiver, and when again after a failure. Pure; times are seconds, by `Moment.elapsed`.

Each event that failed is tried again later and later, so that one which the receiver cannot take holds up no other. And
a receiver that fails for several events in a row is left alone for longer and longer, so that one which is down is not
asked for each of a thousand events.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import random

FIRST_PAUSE = 5.0
"""After the first failure; twice as long after each further one."""
LONGEST_PAUSE = 900.0
LONGEST_REQUESTED = 3600.0
"""The longest that a receiver may ask for with Retry-After."""
NEW_EVENT_AFTER = 30.0
"""A new event is tried although the receiver is being left alone, so long after the last attempt."""
MAX_PENDING = 1_000
"""Events that are on their way to one receiver; later ones wait in the store."""


@dataclass(slots=True)
class Pending:
    """An event that has not been delivered: failed attempts so far, and when it is due."""

    attempts: int
    due: float


@dataclass(slots=True)
class Schedule:
    """Of one receiver. `cursor`: the last event (`sequence`) that was taken up; those before are done or pending."""

    cursor: int
    pending: dict[int, Pending] = field(default_factory=dict)
    failures: int = 0
    """Failed attempts since the last success."""
    closed_until: float = float("-inf")
    """The receiver is left alone until then."""
    last_attempt: float = float("-inf")
    requested: bool = False
    """Whether the receiver has asked to be left alone."""
    failed_since: set[int] = field(default_factory=set)
    """The events that failed since the last success."""
    jitter: Callable[[], float] = random

    @property
    def room(self) -> int:
        """How many events may be taken up."""
        return MAX_PENDING - len(self.pending)

    def take(self, sequence: int, now: float, *, wanted: bool) -> None:
        """Takes up the next event; one that is not wanted is done at once."""
        self.cursor = max(self.cursor, sequence)
        if wanted:
            self.pending[sequence] = Pending(0, now)
            if not self.requested:
                self.closed_until = min(self.closed_until, self.last_attempt + NEW_EVENT_AFTER)

    def next(self, now: float) -> int | None:
        """The event to send now, if any: of those that are due the first that happened.

        Each is tried once before any is tried again: it may be one event that the receiver refuses.
        """
        if now < self.closed_until:
            return None
        due = [(each.attempts, sequence) for sequence, each in self.pending.items() if each.due <= now]
        return min(due)[1] if due else None

    def wait(self, now: float) -> float | None:
        """Seconds until there is something to send; None where nothing is pending."""
        if not self.pending:
            return None
        return max(0.0, self.closed_until - now, min(each.due for each in self.pending.values()) - now)

    def succeeded(self, sequence: int, now: float) -> None:
        """The event was delivered. What failed while the receiver was down is due at once, in its order."""
        self.drop(sequence)
        if self.failures > len(self.failed_since):  # at least one failed twice: the receiver was down
            for each in self.pending.values():
                each.attempts, each.due = 0, min(each.due, now)
        self.failures = 0
        self.failed_since.clear()
        self.requested = False
        self.last_attempt = now
        self.closed_until = float("-inf")

    def failed(self, sequence: int, now: float, retry_after: float | None = None) -> None:
        """An attempt failed. `retry_after`: what the receiver asked for."""
        each = self.pending[sequence]
        each.attempts += 1
        each.due = now + self._pause(each.attempts)
        self.failures += 1
        self.failed_since.add(sequence)
        self.last_attempt = now
        self.requested = retry_after is not None
        if retry_after is not None:
            self.closed_until = now + min(retry_after, LONGEST_REQUESTED)
        elif self.failures > 1:
            self.closed_until = now + self._pause(self.failures - 1)

    def drop(self, sequence: int) -> None:
        """Nothing more is done about the event."""
        self.pending.pop(sequence, None)

    def _pause(self, failures: int) -> float:
        # At most 20 % more, so that what failed together does not come again together.
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 20))
        return pause * (1 + 0.2 * self.jitter())
