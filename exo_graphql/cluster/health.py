"""Why a cluster is not healthy."""

from typing import TYPE_CHECKING

from exo_graphql.cluster.readiness import BROKEN, NodeStatus
from exo_graphql.cluster.rules import Rules

if TYPE_CHECKING:
    from exo_graphql.cluster.snapshot import Snapshot


def unhealthy_reasons(snapshot: "Snapshot") -> tuple[str, ...]:
    """Why the cluster is not healthy, a sentence each."""
    reasons = []
    if not snapshot.connected:
        reasons.append("No exo node answers.")
    elif snapshot.pulse.still:
        reasons.append(hung(snapshot.rules))
    elif snapshot.history.behind_since is not None:
        reasons.append("An exo node answers that lacks the newest events; this is the last state before.")
    elif snapshot.stale:
        reasons.append("The state of exo holds no nodes at present; this is the last snapshot before.")
    if not snapshot.state.nodes:
        reasons.append("The cluster has no nodes.")
    reasons.extend(
        f"Node {node.friendly_name or node.id} has not been seen for {snapshot.rules.unseen_after:g} s or more."
        for node in snapshot.nodes
        if snapshot.node_statuses[node.id] is NodeStatus.STALE
    )
    for card in snapshot.loaded_models:
        status = snapshot.status(card.id)
        if status.phase in BROKEN:
            reasons.append(f"Model {card.id} is {status.phase.value}: {status.message}")
    reasons.extend(snapshot.expectations.concerns)
    return tuple(reasons)


def hung(rules: Rules) -> str:
    """That exo's master does not work, in a sentence."""
    return f"exo's master has applied no event for {rules.still_after:g} s or more: it hangs."
