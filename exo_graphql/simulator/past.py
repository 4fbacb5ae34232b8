"""Earlier states of exo, as a node shows them that has just joined: it replays the whole log (fault `replays`)."""

from exo_graphql.simulator.clock import Process
from exo_graphql.simulator.cluster import SimulatedCluster

RECORD_SECONDS = 1.0


class Past:
    """Records states from when it is started, and shows them again from the first one on."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._states: list[tuple[float, bytes]] = []
        """Simulated time of each, and the state as it was encoded."""

    def start(self) -> None:
        """Records from now on."""
        if not self._states:
            self._cluster.clock.spawn(self._record())

    def shown(self, since: float, seconds: float) -> bytes:
        """What a node shows now that has replayed since then, and has caught up after so many seconds."""
        now, (first, _) = self._cluster.clock.now, self._states[0]
        reached = first + (now - first) * min(1.0, (now - since) / seconds)
        return next(state for at, state in reversed(self._states) if at <= reached)

    def _record(self) -> Process:
        while True:
            self._states.append((self._cluster.clock.now, self._cluster.state.encode()))
            yield RECORD_SECONDS
