"""Snapshots of a cluster that reports what a test says, at a time that it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.cluster.state import Node, State
from exo_graphql.cluster.units import GIB
from exo_graphql.series import History, Series

START = datetime(2026, 6, 22, 12, tzinfo=UTC)


def moment(seconds: float, set_forward: float = 0.0) -> Moment:
    """`seconds` after the start of the machine; the wall clock has been set forward by `set_forward` since."""
    return Moment(START + timedelta(seconds=seconds + set_forward), seconds)


def node(id_: str, name: str | None = None, watts: float | None = None, *, seen: float | None = 0.0) -> Node:
    """A node of 64 GiB, half of it in use; `seen`: seconds since it was last seen."""
    return Node(
        id_,
        name,
        ram_total_bytes=64 * GIB,
        ram_available_bytes=32 * GIB,
        power_watts=watts,
        seconds_since_seen=seen,
    )


def snapshot(at: Moment, *nodes: Node, connected: bool = True) -> Snapshot:
    """The state of these nodes, read at that time."""
    state = State(nodes={each.id: each for each in nodes})
    made, _ = advance(None, state, at, Source("http://exo", connected=connected))
    assert made is not None
    return made


@dataclass
class Machine:
    """A series, and the clocks of the machine that it runs on."""

    series: Series
    seconds: float = 0.0
    set_forward: float = 0.0

    @property
    def now(self) -> Moment:
        """By both clocks."""
        return moment(self.seconds, self.set_forward)

    def sample(self, *nodes: Node, times: int = 1, connected: bool = True) -> None:
        """Lets 5 seconds pass and takes a sample, so many times."""
        for _ in range(times):
            self.seconds += 5
            self.series.sample(snapshot(self.now, *nodes, connected=connected), self.now)

    def watts(self, node_id: str, minutes: int = 1, points: int = 12) -> Sequence[float | None]:
        """The power of a node."""
        return self.series.of_node(node_id, minutes, points).power_watts


def machine() -> Machine:
    """One that has just started."""
    return Machine(Series(moment(0)))


def times(history: History) -> list[str]:
    """When the entries begin, as hours, minutes and seconds."""
    return [f"{at:%H:%M:%S}" for at in history.window.at]
