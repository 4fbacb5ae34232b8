"""Where a model would fit: the smallest group of nodes, the better kind, then as exo's own placement prefers.

So it is in exo's `master/placement.py`. Beyond exo, every node must have room for its own part, and some to spare: exo
looks at the sum alone for tensor shards. `candidates` knows the groups.
"""

from collections.abc import Iterator, Mapping

from exo_graphql.cluster.candidates import Candidates
from exo_graphql.cluster.placement_request import ALONE, Fit, kind_refusal
from exo_graphql.cluster.placement_request import NoFit as NoFit
from exo_graphql.cluster.placement_request import PlacementRequest as PlacementRequest
from exo_graphql.cluster.rings import Work
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import InstanceType, Sharding

# Steps for finding the group that comes nearest where nothing fits.
_NEAREST_STEPS = 3_000

Kind = tuple[Sharding, InstanceType]


class PlacementSearch:
    """The groups of nodes of one snapshot, whatever memory is asked about."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def fit(
        self, placement_request: PlacementRequest, free: Mapping[str, int], work: Work | None = None
    ) -> Fit | NoFit:
        """The first placement that fits into `free`: fewest nodes first, then the preferred kind, then as exo chooses.

        One node holds a pipeline over a ring whatever is asked: it is no answer to a demand for anything else. `work`
        bounds the search; a misfit that is not sure because of that says so.
        """
        work = work or Work()
        groups, work.cut = work.groups, False
        fit = self.find(placement_request, free, work)
        if fit is not None:
            return fit
        if not placement_request.card.storage_bytes:
            return NoFit(f"The size of {placement_request.card.id} is not known.")
        reason = placement_request.contradiction
        return NoFit(reason) if reason is not None else self._no_fit(placement_request, free, work, groups)

    def find(self, placement_request: PlacementRequest, free: Mapping[str, int], work: Work) -> Fit | None:
        """The same without a reason. None, too, where the search was ended by its bound: then `work.cut`."""
        if placement_request.contradiction is not None or not placement_request.card.storage_bytes:
            return None
        candidates = Candidates(self._snapshot, placement_request, free, work)
        for count in self._counts(placement_request):
            for kind in placement_request.kinds if count > 1 else (ALONE,):
                if kind_refusal(placement_request.card, kind[0], count) is None:
                    fit = candidates.first(count, *kind)
                    if fit is not None:
                        return fit
        return None

    def _counts(self, placement_request: PlacementRequest) -> Iterator[int]:
        nodes = self._snapshot.state.nodes
        if placement_request.node_ids is None:
            yield from range(placement_request.least_nodes, len(nodes) + 1)
        elif all(node_id in nodes for node_id in placement_request.node_ids):
            yield len(placement_request.node_ids)

    def _no_fit(
        self, placement_request: PlacementRequest, free: Mapping[str, int], work: Work, groups: int
    ) -> Fit | NoFit:
        nearest: NoFit | None = None
        reasons: dict[Kind, str] = {}
        more = Work(_NEAREST_STEPS, work.pause)
        candidates = Candidates(self._snapshot, placement_request, free, more)
        for kind in sorted(placement_request.kinds, key=lambda kind: kind != ALONE):
            if nearest is not None and ALONE in placement_request.kinds:
                # A pipeline over a ring makes most of what is free.
                break
            counts = [count for count in self._counts(placement_request) if count > 1 or kind == ALONE]
            refusals = [kind_refusal(placement_request.card, kind[0], count) for count in counts]
            allowed = [count for count, refusal in zip(counts, refusals, strict=True) if refusal is None]
            if counts and not allowed:
                reasons[kind] = refusals[0] or ""
                continue
            near = candidates.nearest(allowed, *kind)
            if isinstance(near, Fit):
                work.add(more)
                return near
            if isinstance(near, NoFit):
                nearest = _nearer(nearest, near)
            elif near is not None:
                reasons[kind] = near
        # How sure it is that nothing fits does not depend on how well the nearest is known.
        cut = work.cut
        work.add(more)
        work.cut = cut
        # What keeps the least preferred way from being taken.
        reason = reasons.get(ALONE) or next(reversed(reasons.values()), None)
        found = nearest or NoFit(reason or placement_request.no_group)
        if cut:
            found = NoFit(found.reason, found.available_bytes, found.shortfall_bytes, searched=work.groups - groups)
        return found


def _nearer(known: NoFit | None, other: NoFit) -> NoFit:
    if known is None or known.shortfall_bytes is None or other.shortfall_bytes is None:
        return other
    return other if other.shortfall_bytes < known.shortfall_bytes else known
