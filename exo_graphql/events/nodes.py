"""What happened to nodes, to exo's master, and to exo as a whole."""

from collections.abc import Iterator

from exo_graphql.cluster.health import hung
from exo_graphql.cluster.readiness import NodeStatus
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Node
from exo_graphql.cluster.transitions import Transitions
from exo_graphql.events.event import EventKind, Occurrence, Severity


def node_events(before: Snapshot, after: Snapshot, transitions: Transitions) -> Iterator[Occurrence]:
    """Nodes that joined, left, fell silent or came back. A new node has joined once it has reported its name.

    A restart of exo gives every node a new id: Studio-1 leaves and joins in the same moment. That makes no
    event of the node: the event of the election covers it.
    """
    old, new = before.state.nodes, after.state.nodes
    if old is not new:
        gone = [node for id_, node in old.items() if id_ not in new]
        come = [node for id_, node in new.items() if node.friendly_name and not _has_name(old.get(id_))]
        if transitions.started_again:
            stayed = {node.friendly_name for node in gone} & {node.friendly_name for node in come}
            gone = [node for node in gone if node.friendly_name not in stayed]
            come = [node for node in come if node.friendly_name not in stayed]
        for node in gone:
            yield _of(node, EventKind.NODE_LEFT, Severity.WARNING, "has left the cluster")
        for node in come:
            yield _of(node, EventKind.NODE_JOINED, Severity.INFO, "has joined the cluster")
    for id_, status in after.node_statuses.items():
        was = before.node_statuses.get(id_)
        if status is NodeStatus.STALE and was is not None and was is not NodeStatus.STALE:
            seconds = f"{after.rules.unseen_after:g} s or more"
            yield _of(new[id_], EventKind.NODE_STALE, Severity.WARNING, f"has sent no heartbeat for {seconds}")
        elif status is NodeStatus.ONLINE and was is NodeStatus.STALE:
            yield _of(new[id_], EventKind.NODE_RETURNED, Severity.INFO, "sends heartbeats again")


def exo_events(before: Snapshot, after: Snapshot, transitions: Transitions) -> Iterator[Occurrence]:
    """exo that stopped answering, or whose master hangs; exo that is back; a new master with an empty state."""
    was, now = _silence(before), _silence(after)
    if now is not None and was is None:
        yield Occurrence(kind=EventKind.EXO_UNREACHABLE, severity=Severity.ERROR, message=now)
    elif was is not None and now is None:
        yield Occurrence(kind=EventKind.EXO_BACK, severity=Severity.INFO, message="exo answers again.")
    if transitions.started_again:
        yield Occurrence(
            kind=EventKind.ELECTION,
            severity=Severity.WARNING,
            message="exo lost its master: a new one began with an empty state, and every instance is gone.",
        )


def _silence(snapshot: Snapshot) -> str | None:
    """Why nothing new is known of exo; None while it answers."""
    if not snapshot.connected:
        return "exo does not answer."
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
