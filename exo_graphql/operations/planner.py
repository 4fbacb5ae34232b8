"""What a request requires of a placement, how an instance differs from that, and where several models fit. Pure."""

from collections.abc import Collection, Mapping, Sequence

from exo_graphql.cluster.memory import less
from exo_graphql.cluster.names import label
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.placement_request import Fit, NoFit, PlacementRequest
from exo_graphql.cluster.search_budget import SearchBudget
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance, ModelCard
from exo_graphql.operations.requests import OperationRequest


def placement_request(card: ModelCard, request: OperationRequest, node_ids: Sequence[str] | None) -> PlacementRequest:
    """The conditions that the request puts on a placement of this model."""
    return PlacementRequest(card, request.kinds, request.min_nodes, None if node_ids is None else frozenset(node_ids))


def difference(snapshot: Snapshot, instance: Instance, wanted: PlacementRequest) -> str | None:
    """How a loaded instance differs from what is requested, in words; None if it does not."""
    nodes = {shard.node_id for shard in instance.shards if shard.node_id is not None}
    differing: list[str] = []
    if not wanted.accepts(instance.sharding, instance.instance_type):
        differing.append(wanted.preference)
    if len(nodes) < wanted.min_nodes:
        differing.append(f"{wanted.min_nodes} nodes or more")
    if wanted.node_ids is not None and nodes != wanted.node_ids:
        differing.append(_labels(snapshot, wanted.node_ids))
    if not differing:
        return None
    words = [kind.value for kind in (instance.sharding, instance.instance_type) if kind is not None]
    return f"{' over '.join(words) or 'unknown'} on {_labels(snapshot, nodes)}, and {', '.join(differing)} is requested"


def _labels(snapshot: Snapshot, node_ids: Collection[str]) -> str:
    nodes = snapshot.state.nodes
    return ", ".join(sorted(label(nodes[id_]) if id_ in nodes else id_ for id_ in node_ids))


def forecast(
    search: PlacementSearch,
    placement_requests: Sequence[PlacementRequest],
    free: Mapping[str, int],
    budget: SearchBudget | None = None,
) -> tuple[Fit, ...] | NoFit:
    """Where all of them would be placed together, or why one does not fit. The largest is searched first.

    Returns the fits in the order of the requests. `budget` bounds the search; the default may run on the event loop.
    """
    budget = budget or SearchBudget()
    left = dict(free)
    fits: dict[int, Fit] = {}
    by_size = sorted(
        range(len(placement_requests)), key=lambda i: placement_requests[i].card.storage_bytes or 0, reverse=True
    )
    for i in by_size:
        fit = search.fit(placement_requests[i], left, budget)
        if isinstance(fit, NoFit):
            return fit
        fits[i] = fit
        left = less(left, fit.takes)
    return tuple(fits[i] for i in range(len(placement_requests)))
