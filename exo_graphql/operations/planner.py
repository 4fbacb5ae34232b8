"""Where a model is to be placed: what exo offers, held against what is really free and nobody else's."""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from exo_graphql.cluster.groups import Groups
from exo_graphql.cluster.memory import MAX_SETS, instance_bytes, less, smallest_unload, with_margin
from exo_graphql.cluster.names import label
from exo_graphql.cluster.placement_request import Demand, Fit, Misfit
from exo_graphql.cluster.rings import MAX_STEPS, Work
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance, ModelCard
from exo_graphql.cluster.units import gib
from exo_graphql.cluster.upstream import Offer, Upstream
from exo_graphql.operations.errors import InsufficientMemory, PlacementRefused, Problem
from exo_graphql.operations.requests import EVERY_KIND, Kind, Wish

# Groups of nodes that exo is asked about one by one when its own first choice is promised to others.
MAX_ASKED = 3
# From here on there are so many groups that fewer sets of models are tried.
MANY_NODES = 8
# Steps of looking for what would have to be unloaded: some 0.2 s in a thread, for a refusal to be there at once.
UNLOAD_STEPS = 200_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """A placement that exo offers and that fits. `takes` is bytes by node: the weights, and the margin beyond them."""

    instance: Instance
    takes: dict[str, int]


def demand(card: ModelCard, wish: Wish, node_ids: Sequence[str] | None) -> Demand:
    """What the wish asks of a placement of this model."""
    return Demand(card, wish.kinds, wish.min_nodes, None if node_ids is None else frozenset(node_ids))


async def choose(
    upstream: Upstream, snapshot: Snapshot, wanted: Demand, free: Mapping[str, int], prefer: Sequence[str] = ()
) -> Chosen | Misfit:
    """The placement to ask for, out of exo's offers; or why there is none.

    `prefer` are nodes that were chosen before (their weights may have been fetched for it). Raises what `Upstream`
    raises.
    """
    if wanted.contradiction is not None:
        return Misfit(wanted.contradiction)
    if prefer and wanted.node_ids is None:
        best = _best(await upstream.offers(wanted.card.id, tuple(prefer)), snapshot, wanted, free, prefer)
        if best is not None and best.takes.keys() == set(prefer):
            return best
    offers = await _ask(upstream, wanted)
    best = _best(offers, snapshot, wanted, free, prefer)
    if best is not None:
        return best
    # What exo would take first may be promised to others, or be unequal to its equal tensor shards: look further.
    fit = await asyncio.to_thread(lambda: Groups(snapshot).fit(wanted, free, Work(pause=give_way)))
    asked: set[frozenset[str]] = set()
    for _ in range(MAX_ASKED):
        if isinstance(fit, Misfit) or frozenset(fit.added_bytes) in asked:
            break
        asked.add(frozenset(fit.added_bytes))
        more = await upstream.offers(wanted.card.id, tuple(fit.added_bytes))
        best = _best(more, snapshot, wanted, free, tuple(fit.added_bytes))
        if best is not None:
            return best
        offers = (*offers, *more)
    reason = refusal(offers, wanted)
    if reason is not None:
        return Misfit(reason)
    return fit if isinstance(fit, Misfit) else Misfit("exo offers no placement on the nodes where it would fit.")


async def _ask(upstream: Upstream, wanted: Demand) -> tuple[Offer, ...]:
    if wanted.node_ids is None and len(wanted.kinds) == 1:
        ((sharding, instance_type),) = wanted.kinds
        offer = await upstream.offer(wanted.card.id, sharding, instance_type, wanted.least_nodes)
        if offer.instance is not None:
            return (offer,)
    return await upstream.offers(wanted.card.id, tuple(wanted.node_ids or ()))


def _best(
    offers: Sequence[Offer], snapshot: Snapshot, wanted: Demand, free: Mapping[str, int], prefer: Sequence[str]
) -> Chosen | None:
    """Preferred nodes first, then as few nodes as will do, then the preferred kind."""
    rank = {kind: number for number, kind in enumerate(wanted.kinds)}
    models = {**snapshot.models, wanted.card.id: wanted.card}
    found: list[tuple[tuple[bool, int, int], Chosen]] = []
    for offer in offers:
        # What counts is what it holds: for one node exo makes a pipeline over a ring of whatever was asked.
        if offer.instance is None or not wanted.accepts(offer.instance.sharding, offer.instance.instance_type):
            continue
        takes = {node_id: with_margin(size) for node_id, size in instance_bytes(offer.instance, models).items()}
        if len(takes) < wanted.least_nodes or (wanted.node_ids is not None and takes.keys() != wanted.node_ids):
            continue
        if any(size > free.get(node_id, -1) for node_id, size in takes.items()):
            continue
        order = (takes.keys() != set(prefer), len(takes), rank.get((offer.sharding, offer.instance_type), len(rank)))
        found.append((order, Chosen(offer.instance, takes)))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def refusal(offers: Sequence[Offer], wanted: Demand) -> str | None:
    """exo's reason where memory is none: every acceptable kind is refused for something else."""
    reasons: dict[Kind, str] = {}
    otherwise: set[Kind] = set()
    for offer in offers:
        kind = (offer.sharding, offer.instance_type)
        if kind in wanted.kinds:
            held = offer.instance
            if held is not None and not wanted.accepts(held.sharding, held.instance_type):
                # For one node, where exo makes a pipeline over a ring of whatever was asked.
                otherwise.add(kind)
                continue
            if held is not None or offer.reason is None or "memory" in offer.reason.lower():
                return None
            reasons.setdefault(kind, offer.reason)
    if not reasons or not otherwise <= reasons.keys():
        return None
    return next(reasons[kind] for kind in reversed(wanted.kinds) if kind in reasons)


def unlike(snapshot: Snapshot, instance: Instance, wanted: Demand) -> str | None:
    """How an instance that is loaded differs from what is asked for, in words; None where it is just that."""
    nodes = {shard.node_id for shard in instance.shards if shard.node_id is not None}
    asked: list[str] = []
    if not wanted.accepts(instance.sharding, instance.instance_type):
        asked.append(wanted.preference)
    if len(nodes) < wanted.min_nodes:
        asked.append(f"{wanted.min_nodes} nodes or more")
    if wanted.node_ids is not None and nodes != wanted.node_ids:
        asked.append(_labels(snapshot, wanted.node_ids))
    if not asked:
        return None
    words = [kind.value for kind in (instance.sharding, instance.instance_type) if kind is not None]
    return f"{' over '.join(words) or 'unknown'} on {_labels(snapshot, nodes)}, and {', '.join(asked)} is asked for"


def _labels(snapshot: Snapshot, node_ids: Collection[str]) -> str:
    nodes = snapshot.state.nodes
    return ", ".join(sorted(label(nodes[id_]) if id_ in nodes else id_ for id_ in node_ids))


def forecast(
    groups: Groups, demands: Sequence[Demand], free: Mapping[str, int], work: Work | None = None
) -> tuple[Fit, ...] | Misfit:
    """Where all of them would go together, the largest first; or why one does not fit. In the order of `demands`.

    `work` bounds all of it; without it, so that it may run on the event loop.
    """
    work = work or Work()
    left = dict(free)
    fits: dict[int, Fit] = {}
    by_size = sorted(range(len(demands)), key=lambda i: demands[i].card.storage_bytes or 0, reverse=True)
    for i in by_size:
        fit = groups.fit(demands[i], left, work)
        if isinstance(fit, Misfit):
            return fit
        fits[i] = fit
        left = less(left, fit.takes)
    return tuple(fits[i] for i in range(len(demands)))


def _all_fit(groups: Groups, demands: Sequence[Demand], free: Mapping[str, int], all_work: Work) -> bool:
    """Whether `forecast` would find a place for all, without saying why not."""
    work = Work(min(MAX_STEPS, all_work.left), all_work.pause)
    left = dict(free)
    fit: Fit | None = None
    for wanted in sorted(demands, key=lambda wanted: wanted.card.storage_bytes or 0, reverse=True):
        fit = groups.find(wanted, left, work)
        if fit is None:
            break
        left = less(left, fit.takes)
    all_work.add(work)
    return fit is not None


def give_way() -> None:
    """Lets other threads run, the event loop's first: Python itself would let them wait for 5 ms."""
    time.sleep(5e-5)


def refused(
    snapshot: Snapshot, demands: Sequence[Demand], free: Mapping[str, int], misfit: Misfit, spare: frozenset[str]
) -> Problem:
    """The problem to answer. Models in `spare` are at work or to be unloaded anyway: not proposed for unloading."""
    names = " and ".join(wanted.card.id for wanted in demands)
    if misfit.shortfall_bytes is None or misfit.available_bytes is None:
        one = demands[0]
        particular = len(one.kinds) < len(EVERY_KIND) or one.min_nodes > 1 or one.node_ids is not None
        return PlacementRefused(
            message=f"{names} cannot be placed: {misfit.reason}{misfit.caveat}",
            suggestion="Ask for sharding AUTO and instance type AUTO, fewer nodes, or other nodes."
            if particular
            else "Ask for the placements of the model to see what exo says of each way to place it.",
            reason=misfit.reason,
        )
    held: dict[str, dict[str, int]] = {}
    for model_id, instances in snapshot.instances_by_model.items():
        if model_id in spare:
            continue
        held[model_id] = {}
        for instance in instances:
            for node_id, size in instance_bytes(instance, snapshot.models).items():
                held[model_id][node_id] = held[model_id].get(node_id, 0) + size
    groups, work = Groups(snapshot), Work(UNLOAD_STEPS, give_way)
    unload = smallest_unload(
        lambda after: _all_fit(groups, demands, after, work),
        free,
        held,
        MAX_SETS if snapshot.node_count <= MANY_NODES else MAX_SETS // 5,
    )
    needed = sum(wanted.card.storage_bytes or 0 for wanted in demands)
    margin = ""
    if needed <= misfit.available_bytes:
        needed = misfit.available_bytes + misfit.shortfall_bytes
        margin = " with what has to stay free"
    if unload:
        advice = f"Unload {', '.join(unload)} first, or swap."
    elif work.cut:
        advice = "No models were found whose unloading would make it fit: choose a smaller model, or name the nodes."
    else:
        advice = "No unloading would make it fit: choose a smaller model or quantization, or allow other nodes."
    needs = "need" if len(demands) > 1 else "needs"
    return InsufficientMemory(
        message=f"{names} {needs} {gib(needed)} GiB{margin}; the best candidate nodes have "
        f"{gib(misfit.available_bytes)} GiB free: {gib(misfit.shortfall_bytes)} GiB short.{misfit.caveat}",
        suggestion=advice,
        needed_bytes=needed,
        available_bytes=misfit.available_bytes,
        shortfall_bytes=misfit.shortfall_bytes,
        loaded_ids=tuple(card.id for card in snapshot.loaded_models),
        unload_to_fit_ids=unload,
    )
