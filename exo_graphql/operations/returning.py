"""Recent members that may return: after a lost master the nodes come back one after the other, over 3 to 16 s.

A request that needs one of them waits for it, instead of being rejected during these seconds.
"""

from collections.abc import Callable

from exo_graphql.cluster.names import label
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.operations.errors import (
    InsufficientMemory,
    InvalidArgument,
    NodeNotFound,
    OperationError,
    PlacementRefused,
)
from exo_graphql.operations.rules import OperationRules


class ReturningMembers:
    """Notes the members of each snapshot by name: a node that returns has a new id."""

    def __init__(self, rules: OperationRules, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._clock = clock
        self._names: frozenset[str] = frozenset()
        """The members of the last snapshot that had any."""
        self._changed_at = float("-inf")
        """When a member last joined or left, by the clock."""
        self._left: dict[str, float] = {}
        """Since when each has been away; forgotten when it returns, or after `return_seconds`."""

    def note(self, snapshot: Snapshot) -> None:
        """Compares the members of a snapshot with those of the one before."""
        if snapshot.stale or not snapshot.nodes:
            return
        names = frozenset(label(node).lower() for node in snapshot.nodes)
        if names == self._names:
            return
        now = self._clock()
        away = {name: at for name, at in self._left.items() if now - at < self._rules.return_seconds}
        away.update(dict.fromkeys(self._names - names, now))
        self._left = {name: at for name, at in away.items() if name not in names}
        self._names, self._changed_at = names, now

    def may_help(self, error: OperationError) -> bool:
        """Whether a member may still return, and the request might then not be rejected."""
        lacks_nodes = isinstance(error, NodeNotFound | InsufficientMemory | PlacementRefused) or (
            isinstance(error, InvalidArgument) and error.argument == "minNodes"
        )
        now = self._clock()
        return (
            lacks_nodes
            and now - self._changed_at < self._rules.settled_seconds
            and any(now - at < self._rules.return_seconds for at in self._left.values())
        )
