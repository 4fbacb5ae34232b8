"""What a comparison can decide to do; each as an operation request, and what a refusal means. Pure."""

from dataclasses import dataclass

from exo_graphql.cluster.state import Instance
from exo_graphql.deployments.deployment import Deployment
from exo_graphql.operations import (
    ClusterUnavailable,
    JournalUnavailable,
    ModelNotLoaded,
    Operation,
    OperationConflict,
    OperationError,
    OperationKind,
    TooManyOperations,
)
from exo_graphql.operations.requests import OperationRequest

_TEMPORARY = (ClusterUnavailable, JournalUnavailable, ModelNotLoaded, OperationConflict, TooManyOperations)


@dataclass(frozen=True, slots=True)
class Change:
    """Unload `unload` (exactly these instances), and load one more copy of the model of `load`: first if both fit.

    One copy for each operation, so that a model that cannot be loaded never rolls another one back. `node_ids` None:
    exo chooses.
    """

    by: Deployment
    """The deployment that requests it."""
    load: Deployment | None = None
    node_ids: tuple[str, ...] | None = None
    another: bool = False
    """Whether the model has an instance already."""
    counts: bool = False
    """Whether it counts as an attempt, which starts a back-off: the first copy, or the replacement of a lost one."""
    unload: tuple[Instance, ...] = ()
    drain_seconds: int = 0
    because: str = ""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetch the weights of a model onto these nodes."""

    deployment: Deployment
    node_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel a deployment's operation that is not wanted any more."""

    operation_id: str
    because: str


Act = Change | Fetch | Cancel


def request(change: Change) -> OperationRequest:
    """The change as an operation request."""
    unloads = tuple(dict.fromkeys(instance.model_id for instance in change.unload))
    instances = tuple(instance.id for instance in change.unload)
    if change.load is None:
        return OperationRequest(
            OperationKind.UNLOAD,
            unload=unloads,
            instances=instances,
            drain_seconds=change.drain_seconds,
            deployment=change.by.uid,
        )
    spec = change.load.spec
    return OperationRequest(
        OperationKind.SWAP if unloads else OperationKind.LOAD,
        load=(spec.model_id,),
        unload=unloads,
        instances=instances if unloads else None,
        min_nodes=spec.min_nodes,
        sharding=spec.sharding,
        instance_type=spec.instance_type,
        nodes=change.node_ids,
        additional=change.another,
        drain_seconds=change.drain_seconds,
        deployment=change.by.uid,
    )


def describe(change: Change) -> str:
    """The act in words, for the log."""
    leaving = ", ".join(dict.fromkeys(instance.model_id for instance in change.unload))
    loading = f"Loading {change.load.spec.model_id}" if change.load is not None else ""
    return f"{loading} in place of {leaving}." if loading and leaving else f"{loading or f'Unloading {leaving}'}."


def pause_reason(operation: Operation) -> str:
    """Why an operation pauses a deployment: a person requested it, or cancelled the deployment's own."""
    if operation.deployment is not None:
        return "A person cancelled its operation."
    return f"A person {'swapped its model out' if operation.kind is OperationKind.SWAP else 'unloaded its model'}."


def is_temporary(error: OperationError) -> bool:
    """Whether a refusal is not about the placement: the act is tried again soon, and does not count as an attempt."""
    return isinstance(error, _TEMPORARY)
