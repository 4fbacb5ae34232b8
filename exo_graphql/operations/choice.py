"""Which of exo's placements to request for one model: one that fits into memory that is free and not reserved. Pure.

The order of tries, each only if the one before gave nothing (a model of 40 GiB, four nodes of 32 GiB):

1. The nodes that were chosen before, because its weights have been downloaded there: (studio-1, studio-2).
2. What exo itself would place. exo looks at free memory alone, and may choose (studio-1, studio-2) although another
   operation has reserved 20 GiB of studio-2; then it does not fit here.
3. The placement that our own search finds within what is not reserved: (studio-1, studio-3). exo is asked for its
   previews on these nodes, since only exo can write the document of an instance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exo_graphql.cluster.memory import instance_bytes
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.placement_request import Fit, NoFit, PlacementRequest
from exo_graphql.cluster.search_budget import SearchBudget
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance
from exo_graphql.cluster.upstream import PlacementPreview
from exo_graphql.operations.offload import give_way
from exo_graphql.operations.previews import Previews, Question
from exo_graphql.operations.requests import Kind


@dataclass(frozen=True, slots=True)
class Chosen:
    """A placement of exo's that fits: `instance` holds exo's document of it, `fit` what it is."""

    instance: Instance
    fit: Fit

    @property
    def takes(self) -> dict[str, int]:
        """Memory to reserve on each node: the weights and the margin, in bytes."""
        return self.fit.takes


def choice(
    snapshot: Snapshot,
    wanted: PlacementRequest,
    free: Mapping[str, int],
    previews: Previews,
    prefer: Sequence[str] = (),
) -> Chosen | NoFit:
    """The placement to request, out of exo's previews; or why there is none.

    `prefer` are nodes that were chosen before. Raises `Unasked`.
    """
    if wanted.contradiction is not None:
        return NoFit(wanted.contradiction)
    if prefer and wanted.node_ids is None:
        same_nodes = previews.of(Question(wanted.card.id, tuple(prefer)))
        best = _best(same_nodes, snapshot, wanted, free, prefer)
        if best is not None and best.takes.keys() == set(prefer):
            return best
    proposed = _proposed(previews, wanted)
    best = _best(proposed, snapshot, wanted, free, prefer)
    return best or _searched(snapshot, wanted, free, previews, proposed)


def _proposed(previews: Previews, wanted: PlacementRequest) -> tuple[PlacementPreview, ...]:
    """What exo would place by itself; all of its previews if that is nothing, or if several kinds are acceptable."""
    if wanted.node_ids is None and len(wanted.kinds) == 1:
        own = previews.of(Question(wanted.card.id, kind=wanted.kinds[0], min_nodes=wanted.least_nodes))
        if own[0].instance is not None:
            return own
    return previews.of(Question(wanted.card.id, tuple(wanted.node_ids or ())))


def _searched(
    snapshot: Snapshot,
    wanted: PlacementRequest,
    free: Mapping[str, int],
    previews: Previews,
    proposed: tuple[PlacementPreview, ...],
) -> Chosen | NoFit:
    """What exo did not propose first: its first choice is reserved, or a node lacks memory for its shard."""
    fit = PlacementSearch(snapshot).fit(wanted, free, SearchBudget(pause=give_way))
    if not isinstance(fit, NoFit):
        node_ids = tuple(fit.added_bytes)
        more = previews.of(Question(wanted.card.id, node_ids))
        best = _best(more, snapshot, wanted, free, node_ids)
        if best is not None:
            return best
        proposed = (*proposed, *more)
    reason = refusal(proposed, wanted)
    if reason is not None:
        return NoFit(reason)
    return fit if isinstance(fit, NoFit) else NoFit("exo proposes no placement on the nodes where it would fit.")


def _best(
    previews: Sequence[PlacementPreview],
    snapshot: Snapshot,
    wanted: PlacementRequest,
    free: Mapping[str, int],
    prefer: Sequence[str],
) -> Chosen | None:
    """Preferred nodes first, then as few nodes as will do, then the preferred kind."""
    rank = {kind: number for number, kind in enumerate(wanted.kinds)}
    models = {**snapshot.models, wanted.card.id: wanted.card}
    found: list[tuple[tuple[bool, int, int], Chosen]] = []
    for preview in previews:
        # The kind of the instance counts: on one node exo always makes a pipeline over a ring.
        if preview.instance is None or not wanted.accepts(preview.instance.sharding, preview.instance.instance_type):
            continue
        kind = preview.instance.sharding or preview.sharding, preview.instance.instance_type or preview.instance_type
        fit = Fit(*kind, instance_bytes(preview.instance, models))
        takes = fit.takes
        if len(takes) < wanted.least_nodes or (wanted.node_ids is not None and takes.keys() != wanted.node_ids):
            continue
        if any(size > free.get(node_id, -1) for node_id, size in takes.items()):
            continue
        order = (
            takes.keys() != set(prefer),
            len(takes),
            rank.get((preview.sharding, preview.instance_type), len(rank)),
        )
        found.append((order, Chosen(preview.instance, fit)))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def refusal(previews: Sequence[PlacementPreview], wanted: PlacementRequest) -> str | None:
    """exo's reason if it is not memory: it refuses every acceptable kind for something else. None otherwise."""
    reasons: dict[Kind, str] = {}
    otherwise: set[Kind] = set()
    for preview in previews:
        kind = (preview.sharding, preview.instance_type)
        if kind in wanted.kinds:
            held = preview.instance
            if held is not None and not wanted.accepts(held.sharding, held.instance_type):
                # On one node, where exo makes a pipeline over a ring even if another kind was requested.
                otherwise.add(kind)
                continue
            if held is not None or preview.reason is None or "memory" in preview.reason.lower():
                return None
            reasons.setdefault(kind, preview.reason)
    if not reasons or not otherwise <= reasons.keys():
        return None
    return next(reasons[kind] for kind in reversed(wanted.kinds) if kind in reasons)
