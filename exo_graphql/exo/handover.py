"""From exo to another server's copy of its state, and back: no state is shown that is older than the last one.

The leader reads node a, this server node b, which has applied three events less at 12:00:00.00. The leader is gone:
what node b answers now lacks what was shown already. At 12:00:00.15 it has these events as well.
"""

from collections.abc import Callable

from exo_graphql.cluster.state import State
from exo_graphql.exo.conditional_reader import StateRead
from exo_graphql.exo.endpoints import Endpoint, Endpoints

CATCH_UP = 3.0
"""Seconds for which exo is read again and again where it lacks events of a copy. What lacks them for longer is behind,
and is dealt with as such (see `history`)."""


class Handover:
    """`elapsed` is the clock of `Moment.elapsed`."""

    def __init__(self, endpoints: Endpoints, elapsed: Callable[[], float]) -> None:
        self._endpoints = endpoints
        self._elapsed = elapsed
        self.has_a_copy = False
        """Whether the newest state is a copy of the server that is followed, or was when it was read."""
        self._since: float | None = None
        """When exo first lacked events of the last copy."""

    def is_too_early(self, endpoint: Endpoint, read: StateRead, newest: State | None, asked_at: float) -> bool:
        """Whether what `endpoint` answers is older than the newest state, which was asked for at `asked_at`."""
        is_copy = endpoint is self._endpoints.copy
        if newest is None or is_copy is self.has_a_copy or not _lacks_events(read, newest, asked_at):
            return False
        if is_copy:
            # That server is behind. Until it is tried again, exo itself is read.
            endpoint.answers = False
            return True
        if self._since is None:
            self._since = self._elapsed()
        return self._elapsed() - self._since < CATCH_UP

    def received(self, endpoint: Endpoint) -> None:
        """A state was taken."""
        self.has_a_copy = endpoint is self._endpoints.copy
        self._since = None


def _lacks_events(read: StateRead, newest: State, asked_at: float) -> bool:
    if newest.index is None or read.state.index is None:
        return read.asked_at < asked_at
    # Without a common member exo was started again, and counts from 1.
    same_session = not newest.nodes or not newest.nodes.keys().isdisjoint(read.state.nodes)
    return same_session and read.state.index < newest.index
