"""What a server that follows has seen happen and the leader has not recorded yet. Pure.

Every server derives the same occurrences from the same cluster; the leader alone records them. A leader that is killed
may have recorded the last of them or not. So a server that follows holds what it sees until the leader's event of it
has come, in whichever order the two arrive, and records what is left once it leads itself. For example the leader is
killed as a model is lost: the one that takes over has held the loss, finds no event of it, and records it.
"""

from collections import deque
from collections.abc import Hashable
from datetime import datetime, timedelta

from exo_graphql.events.event import EventKind, Occurrence

HELD_FOR = timedelta(seconds=20)
"""How long one of the two waits for the other while another server leads: two servers may read exo 5 s apart."""
MOST = 10_000
_MANY_OF_ONE = frozenset({EventKind.OPERATION_STEP, EventKind.DEPLOYMENT_CHANGED})


class Held:
    """Times are those at which things were seen (UTC)."""

    def __init__(self) -> None:
        self._occurrences: deque[tuple[datetime, Occurrence]] = deque(maxlen=MOST)
        self._events: deque[tuple[datetime, Hashable]] = deque(maxlen=MOST)
        """Of events of others whose occurrence has not been seen here."""

    def hold(self, occurrence: Occurrence, at: datetime) -> None:
        """This server has seen it happen."""
        if not self.is_known(occurrence, at):
            self._occurrences.append((at, occurrence))

    def is_known(self, occurrence: Occurrence, at: datetime) -> bool:
        """Whether another server has recorded this just now. True once for each of its events."""
        key = _key(occurrence)
        for pair in self._events:
            if pair[1] == key and abs(at - pair[0]) < HELD_FOR:
                self._events.remove(pair)
                return True
        return False

    def recorded(self, event: Occurrence, at: datetime) -> None:
        """Another server has recorded it."""
        key = _key(event)
        for pair in self._occurrences:
            if _key(pair[1]) == key:
                self._occurrences.remove(pair)
                return
        while self._events and at - self._events[0][0] >= HELD_FOR:
            self._events.popleft()
        self._events.append((at, key))

    def drop_until(self, at: datetime) -> None:
        """Forgets what was seen up to then: the leader has judged otherwise."""
        while self._occurrences and self._occurrences[0][0] <= at:
            self._occurrences.popleft()

    def take(self) -> list[tuple[datetime, Occurrence]]:
        """What is left, which this server records now."""
        left = list(self._occurrences)
        self._occurrences.clear()
        return left


def _key(occurrence: Occurrence) -> Hashable:
    """Equal for what two servers say of the same occurrence. Their sentences may differ in details."""
    part = occurrence.message.partition(":")[0] if occurrence.kind in _MANY_OF_ONE else None
    return (
        occurrence.kind,
        occurrence.model_id,
        occurrence.node_id,
        occurrence.operation_id,
        occurrence.deployment,
        part,
    )
