"""Which models could be placed now."""

from collections.abc import Mapping, Sequence

from exo_graphql.cluster.placement import Kind, PlacementSearch
from exo_graphql.cluster.placement_request import PlacementRequest
from exo_graphql.cluster.search_budget import SearchBudget
from exo_graphql.cluster.snapshot import Snapshot


def fitting_models(snapshot: Snapshot, free: Mapping[str, int], kinds: Sequence[Kind]) -> frozenset[str]:
    """The ids of those that fit into `free` (bytes by node), each by itself, in one of these ways.

    All searches share one budget, the smallest models first: where it is used up, larger ones are left out. In a
    cluster of a few nodes, or behind one switch, it is not.
    """
    search, budget = PlacementSearch(snapshot), SearchBudget()
    by_size = sorted(snapshot.models.values(), key=lambda card: card.storage_bytes or 0)
    return frozenset(
        card.id for card in by_size if search.find(PlacementRequest(card, tuple(kinds)), free, budget) is not None
    )
