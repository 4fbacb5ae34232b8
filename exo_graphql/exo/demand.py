"""Who is looking: it decides how often the state is read."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from exo_graphql.cluster.readiness import IN_TRANSITION, Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.exo.pacing import Mode


class Demand:
    """Counts who looks, and rouses the reader when somebody new does."""

    def __init__(self, look_lasts: float) -> None:
        self._look_lasts = look_lasts
        self._interested = 0
        self._operations = 0
        self._queried_at = float("-inf")
        self.waits = False
        """A query waits for a read that has not begun."""
        self.urgent = False
        """An operation waits for one, to act upon it."""
        self.roused = asyncio.Event()
        """Set when the reader is to think anew about its next turn."""

    @contextmanager
    def interest(self) -> Iterator[None]:
        """Somebody looks."""
        self._interested += 1
        self.roused.set()
        try:
            yield
        finally:
            self._interested -= 1

    @contextmanager
    def operation(self) -> Iterator[None]:
        """An operation is under way."""
        self._operations += 1
        self.roused.set()
        try:
            yield
        finally:
            self._operations -= 1

    def queries(self, now: float) -> None:
        """A query is asked at `now`, by the event loop's clock."""
        self._queried_at = now

    def wait(self) -> None:
        """A query needs a read that has yet to begin."""
        self.waits = True
        self.roused.set()

    def hurry(self) -> None:
        """An operation needs a read that has yet to begin, at once."""
        self.urgent = True
        self.roused.set()

    def mode(self, snapshot: Snapshot | None) -> Mode:
        """Who is looking at what."""
        if self._operations or (self._interested and snapshot is not None and _is_in_transition(snapshot)):
            return Mode.QUICK
        return Mode.REST if self._interested else Mode.IDLE

    def looks(self, now: float) -> bool:
        """Whether anybody looks, or has asked lately."""
        return bool(self._interested or self._operations) or now - self._queried_at < self._look_lasts


def _is_in_transition(snapshot: Snapshot) -> bool:
    """Whether an instance is on its way. A failed one is: exo retries it within seconds, until it gives up."""
    return any(
        (status.phase in IN_TRANSITION or status.phase is Phase.FAILED) and id_ not in snapshot.given_up
        for id_, status in snapshot.instance_statuses.items()
    )
