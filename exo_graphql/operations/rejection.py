"""Why models cannot be placed, as an error with advice: what is missing, and what would have to be unloaded. Pure.

The advice takes longer than the plan: each set of loaded models is a question whether all would fit without it. So it
is worked out for a rejection alone, not for a dry run of four kinds.
"""

from collections.abc import Mapping, Sequence

from exo_graphql.cluster.memory import MAX_SETS, instance_bytes, less, smallest_unload
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.cluster.placement_request import Fit, PlacementRequest
from exo_graphql.cluster.search_budget import MAX_STEPS, SearchBudget
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.units import gib
from exo_graphql.operations.errors import InsufficientMemory, PlacementRefused
from exo_graphql.operations.offload import give_way
from exo_graphql.operations.plan import NoPlan
from exo_graphql.operations.requests import EVERY_KIND

# On more nodes there are so many groups of nodes that fewer sets of models are tried.
MANY_NODES = 8
# Steps of looking for what would have to be unloaded: some 0.2 s in a thread, for a rejection to be answered at once.
UNLOAD_STEPS = 200_000


def rejection(snapshot: Snapshot, no_plan: NoPlan) -> PlacementRefused | InsufficientMemory:
    """The error that says how much memory is short, and which models to unload or which operations to wait for."""
    placement_requests, no_fit = no_plan.requests, no_plan.no_fit
    names = " and ".join(wanted.card.id for wanted in placement_requests)
    if no_fit.shortfall_bytes is None or no_fit.available_bytes is None:
        one = placement_requests[0]
        particular = len(one.kinds) < len(EVERY_KIND) or one.min_nodes > 1 or one.node_ids is not None
        return PlacementRefused(
            message=f"{names} cannot be placed: {no_fit.reason}{no_fit.caveat}",
            suggestion="Use sharding AUTO and instance type AUTO, fewer nodes, or other nodes."
            if particular
            else "Query the placements of the model to see why each sharding and instance type is refused.",
            reason=no_fit.reason,
        )
    held: dict[str, dict[str, int]] = {}
    for model_id, instances in snapshot.instances_by_model.items():
        if model_id in no_plan.busy:
            continue
        held[model_id] = {}
        for instance in instances:
            for node_id, size in instance_bytes(instance, snapshot.models).items():
                held[model_id][node_id] = held[model_id].get(node_id, 0) + size
    search, budget = PlacementSearch(snapshot), SearchBudget(UNLOAD_STEPS, give_way)
    unload = smallest_unload(
        lambda after: _all_fit(search, placement_requests, after, budget),
        no_plan.free,
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
    if no_plan.holders and not unload:
        advice = f"Memory is reserved by operation {', '.join(no_plan.holders)}: wait for it, or cancel it. {advice}"
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


def _all_fit(
    search: PlacementSearch,
    placement_requests: Sequence[PlacementRequest],
    free: Mapping[str, int],
    whole_budget: SearchBudget,
) -> bool:
    """Whether `forecast` would find a place for all, without saying why not."""
    budget = SearchBudget(min(MAX_STEPS, whole_budget.left), whole_budget.pause)
    left = dict(free)
    fit: Fit | None = None
    for wanted in sorted(placement_requests, key=lambda wanted: wanted.card.storage_bytes or 0, reverse=True):
        fit = search.find(wanted, left, budget)
        if fit is None:
            break
        left = less(left, fit.takes)
    whole_budget.add(budget)
    return fit is not None
