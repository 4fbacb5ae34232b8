"""Where a model fits: the fewest nodes, then the preferred kind of sharding, then the group that exo itself prefers.

This is the order of exo's `master/placement.py`. exo compares only the sum of the free memory for tensor shards; here
every node must have memory for its own shard and a margin. `candidates` knows the groups of one size and kind.

Where nothing fits, the answer is how much is missing on the best candidate nodes. An example: a model of 120 GiB, and
three connected nodes with 64, 32 and 8 GiB free.

- Pipeline over a ring: exo gives each node layers in proportion to its free memory, so only the sum counts. All three
  have 104 GiB: 16 GiB short. Two have 96: 24 short. One has 64: 56 short.
- Tensor: each node takes the same share. Two nodes take 60 GiB each: 28 short on the second. Three take 40 each: 8 and
  32, together 40 short.

So where a pipeline over a ring is acceptable, the group with most memory has the smallest shortfall, and no other kind
is examined.
"""

from collections.abc import Iterator, Mapping

from exo_graphql.cluster.candidates import Candidates
from exo_graphql.cluster.placement_request import ALONE, Fit, NoFit, PlacementRequest, kind_refusal
from exo_graphql.cluster.search_budget import SearchBudget
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import InstanceType, Sharding

# For the best candidate nodes where nothing fits: about 3 ms, since a "no" should not take much longer than a "yes".
_SHORTFALL_STEPS = 3_000

Kind = tuple[Sharding, InstanceType]


class PlacementSearch:
    """Finds placements on the nodes of one snapshot, for any assumed free memory."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def fit(
        self, request: PlacementRequest, free: Mapping[str, int], budget: SearchBudget | None = None
    ) -> Fit | NoFit:
        """The first placement that fits into `free` (bytes by node id), or why there is none.

        One node always holds a pipeline over a ring, so it never answers a request for another kind. `budget` bounds
        the search; a `NoFit` that is not certain because of that says so (`NoFit.caveat`).
        """
        budget = budget or SearchBudget()
        groups, budget.exhausted = budget.groups, False
        fit = self.find(request, free, budget)
        if fit is not None:
            return fit
        if not request.card.storage_bytes:
            return NoFit(f"The size of {request.card.id} is not known.")
        reason = request.contradiction
        return NoFit(reason) if reason is not None else self._no_fit(request, free, budget, groups)

    def find(self, request: PlacementRequest, free: Mapping[str, int], budget: SearchBudget) -> Fit | None:
        """The same without a reason. None also where the budget ran out: then `budget.exhausted`."""
        if request.contradiction is not None or not request.card.storage_bytes:
            return None
        candidates = Candidates(self._snapshot, request, free, budget)
        for count in self._counts(request):
            for kind in request.kinds if count > 1 else (ALONE,):
                if kind_refusal(request.card, kind[0], count) is None:
                    fit = candidates.first(count, *kind)
                    if fit is not None:
                        return fit
        return None

    def _counts(self, request: PlacementRequest) -> Iterator[int]:
        """The numbers of nodes that the request allows, smallest first."""
        nodes = self._snapshot.state.nodes
        if request.node_ids is None:
            yield from range(request.least_nodes, len(nodes) + 1)
        elif all(node_id in nodes for node_id in request.node_ids):
            yield len(request.node_ids)

    def _no_fit(
        self, request: PlacementRequest, free: Mapping[str, int], budget: SearchBudget, groups: int
    ) -> Fit | NoFit:
        best: NoFit | None = None
        reasons: dict[Kind, str] = {}
        extra = SearchBudget(_SHORTFALL_STEPS, budget.pause)
        candidates = Candidates(self._snapshot, request, free, extra)
        for kind in sorted(request.kinds, key=lambda kind: kind != ALONE):
            if best is not None and ALONE in request.kinds:
                # The pipeline over a ring came first: no other kind is less short.
                break
            counts = [count for count in self._counts(request) if count > 1 or kind == ALONE]
            refusals = [kind_refusal(request.card, kind[0], count) for count in counts]
            allowed = [count for count, refusal in zip(counts, refusals, strict=True) if refusal is None]
            if counts and not allowed:
                reasons[kind] = refusals[0] or ""
                continue
            found = candidates.least_short(allowed, *kind)
            if isinstance(found, Fit):
                budget.add(extra)
                return found
            if isinstance(found, NoFit):
                best = _less_short(best, found)
            else:
                reasons[kind] = found or request.no_group
        # Whether it is certain that nothing fits does not depend on the search for the smallest shortfall.
        uncertain = budget.exhausted
        budget.add(extra)
        budget.exhausted = uncertain
        # The reason against the least preferred kind: the others were ruled out before.
        reason = reasons.get(ALONE) or next(reversed(reasons.values()), None)
        no_fit = best or NoFit(reason or request.no_group)
        if uncertain:
            searched = budget.groups - groups
            no_fit = NoFit(no_fit.reason, no_fit.available_bytes, no_fit.shortfall_bytes, searched=searched)
        return no_fit


def _less_short(known: NoFit | None, other: NoFit) -> NoFit:
    if known is None or known.shortfall_bytes is None or other.shortfall_bytes is None:
        return other
    return other if other.shortfall_bytes < known.shortfall_bytes else known
