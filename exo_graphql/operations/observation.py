"""What an operation has seen of the cluster: which snapshots it may act on, and for how long it has seen exo at all.

Every snapshot that a step sees is judged here. It must be fresh and of the cluster that the operation was planned on,
and, while the operation goes forward, it must still list what the operation has made ready. So no step, however long
it waits for something else, misses that the model it relies on is lost.
"""

from collections.abc import Callable

from exo_graphql.cluster.names import label
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.operations.abort import Abort, Parked
from exo_graphql.operations.losses import loss, note_losses
from exo_graphql.operations.membership import is_same_cluster
from exo_graphql.operations.rules import OperationRules
from exo_graphql.operations.saga_state import SagaState


class Observation:
    """Belongs to one operation, for as long as this process executes it."""

    def __init__(self, rules: OperationRules, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._clock = clock
        self.newest: Snapshot | None = None
        """The newest snapshot that was judged, trusted or not."""
        self._trusted: Snapshot | None = None
        """The newest one that the operation may act on."""
        self._gap = True
        """Whether snapshots were missed since `_trusted`, or may have been: exo was unreachable, or this process has
        just started."""
        self._strange_since: float | None = None
        """Since when the snapshots have been of another cluster, by the clock; None: they are not."""
        self._counted_at = clock()
        """Up to when `seconds` has been counted, by the clock."""
        self.seconds = 0.0
        """How long exo was reachable and its snapshots trusted. Patience with exo is measured by it, not by the clock.

        For example exo hangs for 40 s right after a request for an instance. The operation waits 30 s
        (`appear_seconds`) for the instance to be listed; by the clock it would give up before exo answers again.
        """
        self.members_changed_at = 0.0
        """When, in `seconds`, the membership was last seen to change."""

    def trusts(self, snapshot: Snapshot, saga_state: SagaState) -> bool:
        """Whether the operation may act on this snapshot. Raises `Abort` or `Parked` for what it shows."""
        self.newest = snapshot
        trusted = not snapshot.stale and not self._is_strange(snapshot, saga_state)
        self._count(trusted=trusted)
        if not trusted:
            self._gap = True
            return False
        before, self._trusted = self._trusted, snapshot
        if before is None or before.state.nodes.keys() != snapshot.state.nodes.keys():
            self.members_changed_at = self.seconds
        if before is not snapshot:
            note_losses(saga_state, None if self._gap else before, snapshot)
        self._gap = False
        if saga_state.undoing is None:
            lost = loss(saga_state, snapshot)
            if lost is not None:
                raise Abort(lost)
        return True

    def note_unreachable(self) -> None:
        """exo did not answer."""
        self._gap = True
        self._count(trusted=False)

    def note_unchanged(self) -> None:
        """Time has passed in which no newer snapshot came."""
        if self.newest is not None:
            self._count(trusted=self.newest is self._trusted)

    def _is_strange(self, snapshot: Snapshot, saga_state: SagaState) -> bool:
        """Whether it is of another cluster. After a restart members come back one by one: that is given time."""
        if is_same_cluster(saga_state.members, snapshot):
            self._strange_since = None
            return False
        now = self._clock()
        if self._strange_since is None:
            self._strange_since = now
        if now - self._strange_since >= self._rules.settled_seconds:
            self._strange_since = None
            then = ", ".join(sorted({name or id_ for id_, name in saga_state.members.items()}))
            here = ", ".join(label(node) for node in snapshot.nodes)
            raise Parked(f"It was begun on another cluster (of {then}); here are {here}.")
        return True

    def _count(self, *, trusted: bool) -> None:
        now = self._clock()
        if trusted:
            # Whether exo was reachable throughout a longer wait, for example for one of its answers, is not known.
            self.seconds += min(now - self._counted_at, 2 * self._rules.tick_seconds)
        self._counted_at = now
