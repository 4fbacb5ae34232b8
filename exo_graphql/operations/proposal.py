"""What a request would do, as a value that a person can read before it is done. Pure.

It is made from the same outcome of `planning.plan` that the operation executes, so the two cannot disagree.
`signature` is what both must have in common: the models, the nodes, and the order of the steps, but no figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from exo_graphql.cluster.names import label
from exo_graphql.cluster.placement_request import Fit
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance
from exo_graphql.cluster.units import gib
from exo_graphql.operations.errors import InsufficientMemory, OperationError
from exo_graphql.operations.operation import Operation
from exo_graphql.operations.placements import PlacementView
from exo_graphql.operations.plan import Plan, step_names, steps
from exo_graphql.operations.requests import OperationRequest
from exo_graphql.operations.resolution import ResolvedRequest
from exo_graphql.operations.saga_state import Removal, Target
from exo_graphql.operations.weights import lacking

Signature = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Weights that would be fetched. `size_bytes` None where they are not known."""

    node_id: str
    model_id: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a request would do. Bytes are of all models together; None where unknown, or memory is not the reason."""

    load_ids: tuple[str, ...]
    unload: tuple[Instance, ...]
    adopts: tuple[Instance, ...]
    fits: bool
    reason: str | None
    node_ids: tuple[str, ...]
    needed_bytes: int | None
    available_bytes: int | None
    shortfall_bytes: int | None
    load_first: bool
    downloads: tuple[Fetched, ...]
    steps: tuple[str, ...]
    unload_ids: tuple[str, ...] = ()
    """The models that a person asks to unload, loaded or not; empty for the plan of a deployment."""
    unload_to_fit_ids: tuple[str, ...] = ()
    placements: tuple[PlacementView, ...] = ()
    """The chosen ones first, then how else the model could be placed."""
    error: OperationError | None = None
    """Why it would be rejected; None where it would be accepted, and for the plan of a deployment."""
    hash: str = ""
    """What `apply` takes; set once the plan is made."""
    applied: Operation | None = None
    """The operation that the hash which was planned again has led to; it would be returned again."""


@dataclass(frozen=True, slots=True)
class Following:
    """The same load is under way: nothing is begun, and that operation is the answer."""

    operation: Operation

    @property
    def operation_id(self) -> str:
        """As of an `OperationConflict`: what is under way."""
        return self.operation.id


Outcome = Plan | Following | OperationError


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOutdated(OperationError):
    """The request would not do any more what the plan said. `plan` is what it would do now."""

    plan: Proposal


def signature(request: OperationRequest, outcome: Outcome, clears: str | None = None) -> Signature:
    """What must be the same when the plan is applied: what is loaded and unloaded, where, and in which order.

    `clears`: the operation of a deployment that is cancelled first.
    """
    if clears is not None:
        return "clears", clears, signature(request, outcome)
    match outcome:
        case Following():
            return "follows", outcome.operation.id
        case OperationError():
            return "rejected", outcome.code
    state = outcome.saga_state
    fits = iter(outcome.fits)
    return (
        "plan",
        request.kind.value,
        [[t.model_id, t.adopts or sorted(next(fits).added_bytes)] for t in state.targets],
        sorted(removal.instance.id for removal in state.removals),
        [step.name for step in steps(request.kind, state)],
        bool(outcome.waiting_for),
    )


def outdated(plan: Proposal) -> PlanOutdated:
    """The rejection of a plan that is not current any more, with the one that is."""
    return PlanOutdated(
        message="The cluster has changed since this plan was made: it would now be done differently.",
        suggestion="See `plan` for what would be done now, and apply its hash if that is what you want.",
        plan=plan,
    )


def nodes_by_model(outcome: Plan) -> dict[str, tuple[str, ...]]:
    """Where each model would be placed."""
    placed = [target.model_id for target in outcome.saga_state.targets if target.adopts is None]
    return {model_id: tuple(fit.added_bytes) for model_id, fit in zip(placed, outcome.fits, strict=True)}


def planned_proposal(
    snapshot: Snapshot,
    request: OperationRequest,
    resolved: ResolvedRequest,
    outcome: Plan,
    placements: tuple[PlacementView, ...],
    clears: str | None,
) -> Proposal:
    """The proposal of a plan that can be executed. `clears`: as of `signature`."""
    saga_state, listed = outcome.saga_state, snapshot.state.instances
    placed = nodes_by_model(outcome)
    missing = lacking(snapshot, [(node_id, model_id) for model_id, ids in placed.items() for node_id in ids])
    return Proposal(
        load_ids=tuple(target.model_id for target in saga_state.targets if target.adopts is None),
        unload=tuple(removal.instance for removal in saga_state.removals),
        adopts=tuple(listed[t.adopts] for t in saga_state.targets if t.adopts is not None and t.adopts in listed),
        fits=True,
        reason=None,
        node_ids=tuple(dict.fromkeys(node_id for ids in placed.values() for node_id in ids)),
        needed_bytes=sum(sum(fit.takes.values()) for fit in outcome.fits) if outcome.fits else None,
        available_bytes=None,
        shortfall_bytes=None,
        load_first=saga_state.side_by_side,
        downloads=tuple(Fetched(id_, model_id, _size(snapshot, model_id)) for id_, model_id in missing),
        steps=(
            *((f"cancel operation {clears} of a deployment, and undo it",) if clears is not None else ()),
            *_sentences(snapshot, request, resolved, outcome, missing),
        ),
        unload_ids=resolved.unload_ids,
        placements=placements,
    )


def rejected_proposal(
    error: OperationError,
    snapshot: Snapshot | None,
    resolved: ResolvedRequest | None,
    placements: tuple[PlacementView, ...],
) -> Proposal:
    """The proposal of a request that would be rejected. `resolved` and `snapshot` as far as they are known."""
    memory = error if isinstance(error, InsufficientMemory) else None
    unload_ids = () if resolved is None else resolved.unload_ids
    return Proposal(
        load_ids=() if resolved is None else resolved.load_ids,
        unload=() if snapshot is None else tuple(i for id_ in unload_ids for i in snapshot.instances_of(id_)),
        adopts=(),
        fits=False,
        reason=error.message,
        node_ids=(),
        needed_bytes=None if memory is None else memory.needed_bytes,
        available_bytes=None if memory is None else memory.available_bytes,
        shortfall_bytes=None if memory is None else memory.shortfall_bytes,
        load_first=False,
        downloads=(),
        steps=(),
        unload_ids=unload_ids,
        unload_to_fit_ids=() if memory is None else memory.unload_to_fit_ids,
        placements=placements,
        error=error,
    )


def following_proposal(operation: Operation) -> Proposal:
    """The proposal where the same load is under way."""
    return Proposal(
        load_ids=(),
        unload=(),
        adopts=(),
        fits=True,
        reason=None,
        node_ids=(),
        needed_bytes=None,
        available_bytes=None,
        shortfall_bytes=None,
        load_first=True,
        downloads=(),
        steps=(f"follow operation {operation.id}, which is loading {', '.join(operation.load_ids)} already",),
    )


def _size(snapshot: Snapshot, model_id: str) -> int | None:
    card = snapshot.models.get(model_id)
    return None if card is None else card.storage_bytes


def _sentences(
    snapshot: Snapshot,
    request: OperationRequest,
    resolved: ResolvedRequest,
    outcome: Plan,
    missing: Sequence[tuple[str, str]],
) -> list[str]:
    """What the operation will do, step by step, in its order."""
    saga_state = outcome.saga_state
    sentences = [f"keep {id_}, which is on both sides" for id_ in resolved.same_ids]
    sentences += [f"wait until operation {id_} has released memory" for id_ in outcome.waiting_for]
    sentences += [f"leave {id_}, which is not loaded" for id_ in saga_state.unloaded_already]
    fits = iter(outcome.fits)
    placing: dict[str, list[str]] = {}
    downloads = {model_id: _download(snapshot, model_id, missing) for _, model_id in missing}
    names = [step.name for step in steps(request.kind, saga_state)]
    for target in saga_state.targets:
        place, load = step_names(saga_state, target)
        fit = None if target.adopts is not None else next(fits)
        placing[place] = _place(snapshot, target, fit)
        placing[load] = [] if target.ready else [f"load {target.model_id} until it is ready"]
        if "download" not in names and target.model_id in downloads and fit is not None:
            placing[load].insert(0, downloads[target.model_id])
    for name in names:
        match name:
            case "download":
                sentences += downloads.values()
            case "drain" | "unload" | "memory":
                sentences += _leave(name, saga_state.removals, request.drain_seconds)
            case _:
                sentences += placing.get(name, ())
    return sentences


def _place(snapshot: Snapshot, target: Target, fit: Fit | None) -> list[str]:
    if fit is None:
        return [f"follow instance {target.adopts} of {target.model_id}, which is loaded already"]
    where = _labels(snapshot, tuple(fit.added_bytes))
    return [f"place {target.model_id} on {where} ({fit.sharding.value} over {fit.instance_type.value})"]


def _download(snapshot: Snapshot, model_id: str, missing: Sequence[tuple[str, str]]) -> str:
    where = _labels(snapshot, [node_id for node_id, id_ in missing if id_ == model_id])
    size = _size(snapshot, model_id)
    amount = "" if size is None else f" ({gib(size)} GiB in all)"
    return f"download the weights of {model_id}{amount} for {where}"


def _leave(name: str, removals: Sequence[Removal], drain_seconds: int) -> list[str]:
    copies: dict[str, int] = {}
    for removal in removals:
        copies[removal.instance.model_id] = copies.get(removal.instance.model_id, 0) + 1
    if not copies:
        return []
    models = ", ".join(copies)
    if name == "drain":
        return [f"wait up to {drain_seconds} s for the requests that {models} is serving"] if drain_seconds else []
    if name == "memory":
        return ["wait until that memory is free"]
    return [
        "unload "
        + ", ".join(model_id if count == 1 else f"{count} copies of {model_id}" for model_id, count in copies.items())
    ]


def _labels(snapshot: Snapshot, node_ids: Sequence[str]) -> str:
    nodes = snapshot.state.nodes
    return ", ".join(label(nodes[id_]) if id_ in nodes else id_ for id_ in node_ids)
