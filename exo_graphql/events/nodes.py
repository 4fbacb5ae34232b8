"""What happened to nodes, to exo's master, and to exo as a whole."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from exo_graphql.cluster.health import hung
from exo_graphql.cluster.readiness import NodeStatus
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Node
from exo_graphql.cluster.transitions import Transitions
from exo_graphql.events.event import EventKind, Occurrence, Severity

# Seconds in which nodes join the new master after an election: exo's followers take 3 to 16 s.
REJOIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Absent:
    """A node that was missing after an election, and since when (`Moment.elapsed`)."""

    node: Node
    since: float


Absentees = Mapping[str, Absent]
"""By name."""


def node_events(
    absent: Absentees, before: Snapshot, after: Snapshot, transitions: Transitions
) -> tuple[Absentees, tuple[Occurrence, ...]]:
    """Nodes that joined, left, fell silent or came back; and those that are still expected back after an election.

    A new node has joined once it has reported its name. A restart of exo gives every node a new id, and after an
    election its nodes join one after the other: Studio-1 leaves and joins within seconds. The event of the election
    covers that. A node has left once it has not come back for `REJOIN_SECONDS`.
    """
    old, new = before.state.nodes, after.state.nodes
    now = after.now.elapsed
    gone = [node for id_, node in old.items() if id_ not in new]
    come = [node for id_, node in new.items() if node.friendly_name and not _has_name(old.get(id_))]
    expected = dict(absent)
    if transitions.started_again:
        # A node keeps its id where exo was not restarted; the new master first lists it without its name.
        expected |= {
            node.friendly_name: Absent(node, now)
            for id_, node in old.items()
            if node.friendly_name and not _has_name(new.get(id_))
        }
    awaited = {each.node.id for each in expected.values()}
    gone = [node for node in gone if node.id not in awaited]
    returned = {node.friendly_name for node in come if node.friendly_name in expected}
    late = [
        each.node
        for name, each in expected.items()
        if now - each.since >= REJOIN_SECONDS and name not in returned and each.node.id not in new
    ]
    left = {name: each for name, each in expected.items() if name not in returned and each.node not in late}
    events = [_of(node, EventKind.NODE_LEFT, Severity.WARNING, "has left the cluster") for node in gone]
    events += [
        _of(node, EventKind.NODE_LEFT, Severity.WARNING, "has not come back since the election") for node in late
    ]
    events += [
        _of(node, EventKind.NODE_JOINED, Severity.INFO, "has joined the cluster")
        for node in come
        if node.friendly_name not in returned
    ]
    for id_, status in after.node_statuses.items():
        was = before.node_statuses.get(id_)
        if status is NodeStatus.STALE and was is not None and was is not NodeStatus.STALE:
            seconds = f"{after.rules.unseen_after:g} s or more"
            events.append(_of(new[id_], EventKind.NODE_STALE, Severity.WARNING, f"has sent no heartbeat for {seconds}"))
        elif status is NodeStatus.ONLINE and was is NodeStatus.STALE:
            events.append(_of(new[id_], EventKind.NODE_RETURNED, Severity.INFO, "sends heartbeats again"))
    return left, tuple(events)


def exo_events(before: Snapshot, after: Snapshot, transitions: Transitions) -> Iterator[Occurrence]:
    """exo that stopped answering, or whose master hangs; exo that is back; a new master with an empty state."""
    was, now = _silence(before), _silence(after)
    if now is not None and was is None:
        yield exo_unreachable(now)
    elif was is not None and now is None:
        yield exo_is_back()
    if transitions.started_again:
        yield Occurrence(
            kind=EventKind.ELECTION,
            severity=Severity.WARNING,
            message="exo lost its master: a new one began with an empty state, and every instance is gone.",
        )


def exo_unreachable(message: str) -> Occurrence:
    """exo does not answer, or its master hangs, as the message says."""
    return Occurrence(kind=EventKind.EXO_UNREACHABLE, severity=Severity.ERROR, message=message)


def exo_is_back() -> Occurrence:
    """exo answers again."""
    return Occurrence(kind=EventKind.EXO_BACK, severity=Severity.INFO, message="exo answers again.")


def _silence(snapshot: Snapshot) -> str | None:
    """Why nothing new is known of exo; None while it answers."""
    if not snapshot.connected:
        return " ".join(("exo does not answer.", *map(str, snapshot.source.refusals)))
    return hung(snapshot.rules) if snapshot.pulse.still else None


def _has_name(node: Node | None) -> bool:
    return node is not None and node.friendly_name is not None


def _of(node: Node, kind: EventKind, severity: Severity, what: str) -> Occurrence:
    return Occurrence(
        kind=kind,
        severity=severity,
        message=f"Node {node.friendly_name or node.id} {what}.",
        node_id=node.id,
        node_name=node.friendly_name,
    )
