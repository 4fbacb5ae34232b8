"""Whether models fit together into free memory, and what would have to be unloaded where they do not. Pure."""

from collections.abc import Collection, Mapping, Sequence

from exo_graphql.cluster.memory import MAX_SETS, instance_bytes, less, smallest_unload
from exo_graphql.cluster.names import label
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.placement_request import Fit, NoFit, PlacementRequest
from exo_graphql.cluster.search_budget import MAX_STEPS, SearchBudget
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance, ModelCard
from exo_graphql.cluster.units import gib
from exo_graphql.operations.errors import InsufficientMemory, OperationError, PlacementRefused
from exo_graphql.operations.offload import give_way
from exo_graphql.operations.requests import EVERY_KIND, OperationRequest

# From here on there are so many groups that fewer sets of models are tried.
MANY_NODES = 8
# Steps of looking for what would have to be unloaded: some 0.2 s in a thread, for a refusal to be there at once.
UNLOAD_STEPS = 200_000


def placement_request(card: ModelCard, request: OperationRequest, node_ids: Sequence[str] | None) -> PlacementRequest:
    """The conditions that the request puts on a placement of this model."""
    return PlacementRequest(card, request.kinds, request.min_nodes, None if node_ids is None else frozenset(node_ids))


def unlike(snapshot: Snapshot, instance: Instance, wanted: PlacementRequest) -> str | None:
    """How an instance that is loaded differs from what is requested, in words; None where it does not."""
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
    groups: PlacementSearch,
    placement_requests: Sequence[PlacementRequest],
    free: Mapping[str, int],
    budget: SearchBudget | None = None,
) -> tuple[Fit, ...] | NoFit:
    """Where all of them would go together, the largest first; or why one does not fit. In the order of `demands`.

    `budget` bounds all of it; without it, so that it may run on the event loop.
    """
    budget = budget or SearchBudget()
    left = dict(free)
    fits: dict[int, Fit] = {}
    by_size = sorted(
        range(len(placement_requests)), key=lambda i: placement_requests[i].card.storage_bytes or 0, reverse=True
    )
    for i in by_size:
        fit = groups.fit(placement_requests[i], left, budget)
        if isinstance(fit, NoFit):
            return fit
        fits[i] = fit
        left = less(left, fit.takes)
    return tuple(fits[i] for i in range(len(placement_requests)))


def _all_fit(
    groups: PlacementSearch,
    placement_requests: Sequence[PlacementRequest],
    free: Mapping[str, int],
    whole_budget: SearchBudget,
) -> bool:
    """Whether `forecast` would find a place for all, without saying why not."""
    budget = SearchBudget(min(MAX_STEPS, whole_budget.left), whole_budget.pause)
    left = dict(free)
    fit: Fit | None = None
    for wanted in sorted(placement_requests, key=lambda wanted: wanted.card.storage_bytes or 0, reverse=True):
        fit = groups.find(wanted, left, budget)
        if fit is None:
            break
        left = less(left, fit.takes)
    whole_budget.add(budget)
    return fit is not None


def refused(
    snapshot: Snapshot,
    placement_requests: Sequence[PlacementRequest],
    free: Mapping[str, int],
    no_fit: NoFit,
    spare: frozenset[str],
) -> OperationError:
    """The problem to answer. Models in `spare` are at work or to be unloaded anyway: not proposed for unloading."""
    names = " and ".join(wanted.card.id for wanted in placement_requests)
    if no_fit.shortfall_bytes is None or no_fit.available_bytes is None:
        one = placement_requests[0]
        particular = len(one.kinds) < len(EVERY_KIND) or one.min_nodes > 1 or one.node_ids is not None
        return PlacementRefused(
            message=f"{names} cannot be placed: {no_fit.reason}{no_fit.caveat}",
            suggestion="Ask for sharding AUTO and instance type AUTO, fewer nodes, or other nodes."
            if particular
            else "Ask for the placements of the model to see what exo says of each way to place it.",
            reason=no_fit.reason,
        )
    held: dict[str, dict[str, int]] = {}
    for model_id, instances in snapshot.instances_by_model.items():
        if model_id in spare:
            continue
        held[model_id] = {}
        for instance in instances:
            for node_id, size in instance_bytes(instance, snapshot.models).items():
                held[model_id][node_id] = held[model_id].get(node_id, 0) + size
    groups, budget = PlacementSearch(snapshot), SearchBudget(UNLOAD_STEPS, give_way)
    unload = smallest_unload(
        lambda after: _all_fit(groups, placement_requests, after, budget),
        free,
        held,
        MAX_SETS if snapshot.node_count <= MANY_NODES else MAX_SETS // 5,
    )
    needed = sum(wanted.card.storage_bytes or 0 for wanted in placement_requests)
    margin = ""
    if needed <= no_fit.available_bytes:
        needed = no_fit.available_bytes + no_fit.shortfall_bytes
        margin = " with what has to stay free"
    if unload:
        advice = f"Unload {', '.join(unload)} first, or swap."
    elif budget.exhausted:
        advice = "No models were found whose unloading would make it fit: choose a smaller model, or name the nodes."
    else:
        advice = "No unloading would make it fit: choose a smaller model or quantization, or allow other nodes."
    needs = "need" if len(placement_requests) > 1 else "needs"
    return InsufficientMemory(
        message=f"{names} {needs} {gib(needed)} GiB{margin}; the best candidate nodes have "
        f"{gib(no_fit.available_bytes)} GiB free: {gib(no_fit.shortfall_bytes)} GiB short.{no_fit.caveat}",
        suggestion=advice,
        needed_bytes=needed,
        available_bytes=no_fit.available_bytes,
        shortfall_bytes=no_fit.shortfall_bytes,
        loaded_ids=tuple(card.id for card in snapshot.loaded_models),
        unload_to_fit_ids=unload,
    )
