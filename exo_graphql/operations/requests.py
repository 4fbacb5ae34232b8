"""Requests as the caller gave them, and whether their arguments are valid."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum, unique

import orjson

from exo_graphql.cluster.lookup import look_up
from exo_graphql.cluster.names import Ambiguous, Unknown, find_node, no_such_model
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import InstanceType, ModelCard, Sharding
from exo_graphql.operations.errors import InvalidArgument, ModelAmbiguous, ModelNotFound, NodeNotFound, OperationError
from exo_graphql.operations.operation import OperationKind
from exo_graphql.operations.rules import OperationRules

MAX_NAME = 256
MAX_KEY = 255
MAX_DRAIN = 86_400
MAX_TIMEOUT = 30 * 86_400
MAX_ATTEMPTS = 100


@unique
class ShardingPreference(Enum):
    """How the model is to be divided; AUTO: tensor where supported and placeable, else pipeline."""

    AUTO = "AUTO"
    PIPELINE = "PIPELINE"
    TENSOR = "TENSOR"


@unique
class InstanceTypePreference(Enum):
    """Which engine joins the runners; AUTO: for tensor JACCL where placeable, for pipeline the ring."""

    AUTO = "AUTO"
    MLX_RING = "MLX_RING"
    MLX_JACCL = "MLX_JACCL"


Kind = tuple[Sharding, InstanceType]

# As AUTO prefers. Tensor over RDMA gains most; a ring of pipelines is what exo itself takes by default.
EVERY_KIND: tuple[Kind, ...] = (
    (Sharding.TENSOR, InstanceType.MLX_JACCL),
    (Sharding.TENSOR, InstanceType.MLX_RING),
    (Sharding.PIPELINE, InstanceType.MLX_RING),
    (Sharding.PIPELINE, InstanceType.MLX_JACCL),
)


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """Arguments as given. `drain_seconds` counts where something is unloaded, the placing ones where one is loaded."""

    kind: OperationKind
    load: tuple[str, ...] = ()
    unload: tuple[str, ...] = ()
    instance: str | None = None
    min_nodes: int = 1
    sharding: ShardingPreference = ShardingPreference.AUTO
    instance_type: InstanceTypePreference = InstanceTypePreference.AUTO
    nodes: tuple[str, ...] | None = None
    additional: bool = False
    drain_seconds: int = 30
    timeout_seconds: int | None = None
    attempts: int | None = None
    """Failed attempts of exo's after which it turns back; None: 2 once something was unloaded, else exo's own five."""
    instances: tuple[str, ...] | None = None
    """Unload exactly these instances of the models; None: all of them. One that no longer exists counts as done."""
    deployment: str | None = None
    """The uid of the deployment that it is made for; None for a person's request."""

    @property
    def fingerprint(self) -> str:
        """The same for the same arguments alone. What was added since the first release counts where it is given."""
        arguments = asdict(self)
        for added in ("attempts", "instances", "deployment"):
            if arguments[added] is None:
                del arguments[added]
        return orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS).decode()

    @property
    def only_instances(self) -> list[str] | None:
        """The instances that are to be unloaded; None: all of the models to unload."""
        if self.instances is not None:
            return list(self.instances)
        return None if self.instance is None else [self.instance]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The acceptable ways to place, in order of preference."""
        return tuple(
            (sharding, instance_type)
            for sharding, instance_type in EVERY_KIND
            if self.sharding in (ShardingPreference.AUTO, ShardingPreference[sharding.name])
            and self.instance_type in (InstanceTypePreference.AUTO, InstanceTypePreference[instance_type.name])
        )


def requested(
    load: Sequence[str],
    unload: Sequence[str],
    *,
    instance: str | None = None,
    min_nodes: int = 1,
    sharding: ShardingPreference = ShardingPreference.AUTO,
    instance_type: InstanceTypePreference = InstanceTypePreference.AUTO,
    nodes: Sequence[str] | None = None,
    additional: bool = False,
    drain_seconds: int = 30,
    timeout_seconds: int | None = None,
    attempts: int | None = None,
) -> OperationRequest:
    """The request of the mutation that these arguments are for: a load or unload of one model, else a swap."""
    kind = OperationKind.SWAP
    if len(load) + len(unload) == 1:
        kind = OperationKind.LOAD if load else OperationKind.UNLOAD
    return OperationRequest(
        kind,
        load=tuple(load),
        unload=tuple(unload),
        instance=instance,
        min_nodes=min_nodes,
        sharding=sharding,
        instance_type=instance_type,
        nodes=None if nodes is None else tuple(nodes),
        additional=additional,
        drain_seconds=drain_seconds,
        timeout_seconds=timeout_seconds,
        attempts=attempts,
    )


def invalid(request: OperationRequest, key: str | None, rules: OperationRules) -> InvalidArgument | None:
    """The first invalid argument, regardless of the cluster."""
    load, unload = ("model", "model") if request.kind is not OperationKind.SWAP else ("load", "unload")
    named = [(load, name) for name in request.load] + [(unload, name) for name in request.unload]
    named += [("nodes", name) for name in request.nodes or ()]
    for argument, name in named:
        error = invalid_name(argument, name)
        if error is not None:
            return error
    if not request.load and not request.unload:
        return _invalid("load", "Nothing is to be loaded and nothing to be unloaded.", "Name at least one model.")
    for argument, names in (("load", request.load), ("unload", request.unload), ("nodes", request.nodes or ())):
        if len(names) > rules.max_models and argument != "nodes":
            return _invalid(argument, f"{len(names)} models in one list.", f"Name {rules.max_models} at most.")
    if request.nodes is not None and not request.nodes:
        return _invalid("nodes", "The list of nodes is empty.", "Name the nodes, or leave the argument out.")
    if request.min_nodes < 1:
        return _invalid("minNodes", f"{request.min_nodes} nodes cannot hold a model.", "Use 1 or more.")
    if not 0 <= request.drain_seconds <= MAX_DRAIN:
        return _invalid("drainSeconds", f"{request.drain_seconds} is out of range.", f"Use 0 to {MAX_DRAIN}.")
    if request.timeout_seconds is not None and not 1 <= request.timeout_seconds <= MAX_TIMEOUT:
        return _invalid("timeoutSeconds", f"{request.timeout_seconds} is out of range.", f"Use 1 to {MAX_TIMEOUT}.")
    if request.attempts is not None and not 1 <= request.attempts <= MAX_ATTEMPTS:
        return _invalid("attempts", f"{request.attempts} is out of range.", f"Use 1 to {MAX_ATTEMPTS}.")
    by_itself = "Give it in a request of its own."
    if request.additional and request.kind is not OperationKind.LOAD and request.deployment is None:
        return _invalid("additional", "Another copy can only be loaded by itself.", by_itself)
    if request.instance is not None and request.kind is not OperationKind.UNLOAD:
        return _invalid("instance", "A single instance can only be unloaded by itself.", by_itself)
    if key is not None and not 1 <= len(key) <= MAX_KEY:
        return _invalid("idempotencyKey", f"A key of {len(key)} characters.", f"Use 1 to {MAX_KEY} characters.")
    return None


def invalid_name(argument: str, name: str) -> InvalidArgument | None:
    """Rejects empty and overlong names before they are looked up."""
    if not name.strip():
        return _invalid(argument, "An empty name.", "Give a full id, or the part of it after its last slash.")
    if len(name) > MAX_NAME:
        return _invalid(argument, f"A name of {len(name)} characters.", f"Names have {MAX_NAME} at most.")
    return None


def resolve_model(snapshot: Snapshot, name: str) -> ModelCard | OperationError:
    """The model of that name."""
    found = look_up(snapshot, name)
    match found:
        case Ambiguous():
            return ModelAmbiguous(
                message=f"Several models are called {name!r}.",
                suggestion="Use the full id of one of the candidates.",
                candidates=found.candidates,
            )
        case Unknown():
            return ModelNotFound(
                message=f"Nothing in the cluster is called {name!r}.",
                suggestion=no_such_model(found) or "List the models to find its name.",
                candidates=found.candidates,
            )
    return found


def resolve_nodes(snapshot: Snapshot, names: Sequence[str]) -> tuple[str, ...] | OperationError:
    """The ids of the members of these names, without repeats."""
    ids: dict[str, None] = {}
    for name in names:
        found = find_node(snapshot.nodes, name)
        if isinstance(found, Ambiguous):
            return InvalidArgument(
                message=f"Several nodes are called {name!r}: {', '.join(found.candidates)}.",
                suggestion="Use the node's id.",
                argument="nodes",
            )
        if isinstance(found, Unknown):
            return NodeNotFound(
                message=f"No member of the cluster is called {name!r}.",
                suggestion="Use one of the available nodes.",
                available=found.candidates,
            )
        ids[found.id] = None
    return tuple(ids)


def _invalid(argument: str, message: str, suggestion: str) -> InvalidArgument:
    return InvalidArgument(message=message, suggestion=suggestion, argument=argument)
