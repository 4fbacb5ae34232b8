"""Resolves a request against a snapshot: names become ids, impossible requests are rejected."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Unreachable, Upstream
from exo_graphql.operations.errors import (
    ClusterUnavailable,
    InstanceNotFound,
    InvalidArgument,
    ModelNotLoaded,
    OperationConflict,
    OperationError,
)
from exo_graphql.operations.operation import Operation, OperationKind
from exo_graphql.operations.requests import OperationRequest, resolve_model, resolve_nodes


@dataclass(frozen=True, slots=True)
class ResolvedRequest:
    """A request in full ids. `same_ids` were on both sides of a swap: they stay loaded."""

    load_ids: tuple[str, ...]
    unload_ids: tuple[str, ...]
    node_ids: tuple[str, ...] | None
    same_ids: tuple[str, ...] = ()

    @property
    def model_ids(self) -> frozenset[str]:
        """Every model that is loaded or unloaded."""
        return frozenset((*self.load_ids, *self.unload_ids))

    @property
    def touched(self) -> frozenset[str]:
        """Those, and the models that stay."""
        return self.model_ids | frozenset(self.same_ids)


async def present(upstream: Upstream, *, to_act: bool = True) -> Snapshot | ClusterUnavailable:
    """A snapshot that may be acted on: not one from before exo stopped answering, nor one of an election.

    `to_act` waits for one that is read from here on, however long exo takes to answer: what was placed half a
    second ago is not to be placed again. A query that only describes the cluster need not wait for that.
    """
    advice = "Make sure that exo is running and reachable, then try again."
    try:
        snapshot = await (upstream.read_now() if to_act else upstream.fresh(0.0))
    except Unreachable as error:
        last = upstream.snapshot
        return ClusterUnavailable(
            message=str(error), suggestion=advice, last_seen_at=None if last is None else last.observed_at
        )
    if not snapshot.connected:
        return ClusterUnavailable(
            message="No exo node answers at present.", suggestion=advice, last_seen_at=snapshot.observed_at
        )
    if snapshot.stale or not snapshot.nodes:
        return ClusterUnavailable(
            # Why: it lists no nodes (an election), its master hangs, or the node that answers shows the past.
            message=" ".join(snapshot.unhealthy_reasons[:1]) or "exo's state holds no nodes at present.",
            suggestion="Try again in half a minute.",
            last_seen_at=snapshot.observed_at,
        )
    return snapshot


def in_full_ids(request: OperationRequest, resolved: ResolvedRequest) -> OperationRequest:
    """The same request, whatever its short names will be those of."""
    return replace(
        request,
        load=resolved.load_ids,
        unload=(*resolved.unload_ids, *resolved.same_ids),
        nodes=resolved.node_ids,
    )


def resolve(snapshot: Snapshot, request: OperationRequest) -> ResolvedRequest | OperationError:
    """Names as ids; an error where the request is impossible on this cluster."""
    resolved = resolve_names(snapshot, request)
    if isinstance(resolved, OperationError):
        return resolved
    if request.kind is OperationKind.UNLOAD and request.instances is None:
        return _not_loaded(snapshot, resolved.unload_ids[0], request.instance) or resolved
    return resolved


def resolve_names(snapshot: Snapshot, request: OperationRequest) -> ResolvedRequest | OperationError:
    """Names as ids, whether or not there is anything to unload."""
    load, unload = _ids(snapshot, request.load), _ids(snapshot, request.unload)
    if isinstance(load, OperationError):
        return load
    if isinstance(unload, OperationError):
        return unload
    node_ids = None if request.nodes is None else resolve_nodes(snapshot, request.nodes)
    if isinstance(node_ids, OperationError):
        return node_ids
    most = snapshot.node_count if node_ids is None else len(node_ids)
    if load and request.min_nodes > most:
        return InvalidArgument(
            message=f"At least {request.min_nodes} nodes were requested; there are {most}.",
            suggestion=f"Use {most} at most.",
            argument="minNodes",
        )
    # Exact instances of a model can be replaced by another one of it.
    same = () if request.instances is not None else tuple(id_ for id_ in load if id_ in unload)
    return ResolvedRequest(load, tuple(id_ for id_ in unload if id_ not in same), node_ids, same)


def conflict(model_ids: frozenset[str] | set[str], at_work: Iterable[Operation]) -> OperationConflict | None:
    """The error that names the first active operation on one of these models; None if there is none."""
    for operation in at_work:
        shared = sorted(operation.model_ids & model_ids)
        if shared:
            return OperationConflict(
                message=f"Operation {operation.id} ({operation.kind.value}) is already changing {', '.join(shared)}.",
                suggestion="Follow that operation, or cancel it and try again.",
                operation_id=operation.id,
            )
    return None


def is_same_load(
    snapshot: Snapshot,
    request: OperationRequest,
    resolved: ResolvedRequest,
    other: OperationRequest,
    load_ids: tuple[str, ...],
) -> bool:
    """Whether another request, for these models, is the same load. Its time-out does not count.

    Overlapping cron jobs send the same load twice; a second copy needs `additional`.
    """
    if (
        OperationKind.LOAD is not request.kind
        or request.kind is not other.kind
        or request.additional
        or other.additional
    ):
        return False
    there = None if other.nodes is None else resolve_nodes(snapshot, other.nodes)
    if isinstance(there, OperationError):
        return False
    return (
        load_ids == resolved.load_ids
        and (None if there is None else set(there)) == (None if resolved.node_ids is None else set(resolved.node_ids))
        and (request.min_nodes, request.sharding, request.instance_type)
        == (other.min_nodes, other.sharding, other.instance_type)
    )


def _ids(snapshot: Snapshot, names: Iterable[str]) -> tuple[str, ...] | OperationError:
    ids: dict[str, None] = {}
    for name in names:
        card = resolve_model(snapshot, name)
        if isinstance(card, OperationError):
            return card
        ids[card.id] = None
    return tuple(ids)


def _not_loaded(snapshot: Snapshot, model_id: str, instance: str | None) -> OperationError | None:
    instances = snapshot.instances_of(model_id)
    if not instances:
        loaded = tuple(card.id for card in snapshot.loaded_models)
        return ModelNotLoaded(
            message=f"{model_id} is not loaded.",
            suggestion="Nothing has to be done." if not loaded else "Use one of the loaded models.",
            loaded_ids=loaded,
        )
    if instance is not None and instance not in {each.id for each in instances}:
        return InstanceNotFound(
            message=f"{model_id} has no instance {instance!r}.",
            suggestion="Use one of its instances, or leave the argument out to unload all.",
            instance_ids=tuple(each.id for each in instances),
        )
    return None
