"""Why a cluster is not healthy: the sentences of `Cluster.unhealthyReasons`."""

from typing import TYPE_CHECKING

from exo_graphql.cluster.readiness import BROKEN, NodeStatus
from exo_graphql.cluster.rules import Rules

if TYPE_CHECKING:
    from exo_graphql.cluster.snapshot import Snapshot


def unhealthy_reasons(snapshot: "Snapshot") -> tuple[str, ...]:
    """Why the cluster is not healthy, a sentence each."""
    reasons = []
    if not snapshot.connected:
        reasons += ["No exo node answers.", *map(str, snapshot.source.refusals)]
    elif snapshot.pulse.still:
        reasons.append(hung(snapshot.rules))
    elif snapshot.history.behind_since is not None:
        reasons.append(
            "The exo node that answers lacks the newest events; this is the last complete state."
            if snapshot.held
            else "exo applies its events late: what it shows is the past."
        )
    elif snapshot.stale:
        reasons.append("exo lists no nodes at the moment (an election?); this is the last state with nodes.")
    if not snapshot.state.nodes:
        reasons.append("The cluster has no nodes.")
    reasons.extend(
        f"Node {node.friendly_name or node.id} has sent no heartbeat for {snapshot.rules.unseen_after:g} s or more."
        for node in snapshot.nodes
        if snapshot.node_statuses[node.id] is NodeStatus.STALE
    )
    for card in snapshot.loaded_models:
        status = snapshot.status(card.id)
        if status.phase in BROKEN:
            reasons.append(f"Model {card.id} is {status.phase.value}: {status.message}")
    # One that is listed and out of reach is above.
    reasons.extend(what for model_id, what in snapshot.lost.items() if not snapshot.instances_of(model_id))
    reasons.extend(snapshot.expectations.concerns)
    return tuple(reasons)


def hung(rules: Rules) -> str:
    """The sentence for a master that does not work."""
    return f"exo's master has applied no events for {rules.still_after:g} s or more: it seems to hang."
