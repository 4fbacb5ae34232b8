"""Whether a declaration is valid, and which models and nodes its names match in the cluster. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from exo_graphql.cluster.names import label
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.deployments.deployment import Spec
from exo_graphql.deployments.schedule import InvalidWindow, Window
from exo_graphql.deployments.schedule import check as check_window
from exo_graphql.operations import (
    InstanceTypePreference,
    InvalidArgument,
    OperationError,
    OperationKind,
    ShardingPreference,
)
from exo_graphql.operations.requests import OperationRequest, invalid, resolve_model, resolve_nodes
from exo_graphql.operations.rules import OperationRules

MAX_DEPLOYMENTS = 1000
MAX_REPLICAS = 32
MAX_WINDOWS = 32
MAX_PRIORITY = 1_000_000
MIN_IDLE_SECONDS = 60
"""At rest the state is read once a second or less often: a request of 0.5 s can be missed, two in a minute rarely."""
MAX_IDLE_SECONDS = 30 * 86_400
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Declaration:
    """A deployment as a person declares it. A window whose time zone is "" gets the server's own."""

    name: str
    model: str
    replicas: int = 1
    min_nodes: int = 1
    sharding: ShardingPreference = ShardingPreference.AUTO
    instance_type: InstanceTypePreference = InstanceTypePreference.AUTO
    nodes: Sequence[str] | None = None
    priority: int = 0
    schedule: Sequence[Window] = ()
    idle_unload_seconds: int | None = None
    drain_seconds: int = 30


def resolve(declared: Declaration, snapshot: Snapshot, rules: OperationRules, time_zone: str) -> Spec | OperationError:
    """The spec with the names resolved, or the error."""
    windows = check(declared, rules, time_zone)
    if isinstance(windows, OperationError):
        return windows
    card = resolve_model(snapshot, declared.model)
    if isinstance(card, OperationError):
        return card
    nodes: tuple[str, ...] | None = None
    if declared.nodes is not None:
        found = resolve_nodes(snapshot, declared.nodes)
        if isinstance(found, OperationError):
            return found
        # Ids change at every restart of exo; names stay.
        nodes = tuple(label(snapshot.state.nodes[node_id]) for node_id in found)
        ambiguous = [name for name in nodes if sum(label(n).lower() == name.lower() for n in snapshot.nodes) > 1]
        if ambiguous:
            return _refuse("nodes", f"Several members are called {ambiguous[0]!r}.", "Give them different names.")
        if len(nodes) < declared.min_nodes:
            return _refuse("minNodes", f"{declared.min_nodes} nodes or more, but {len(nodes)} are named.", "Name more.")
    return Spec(
        model_id=card.id,
        replicas=declared.replicas,
        min_nodes=declared.min_nodes,
        sharding=declared.sharding,
        instance_type=declared.instance_type,
        nodes=nodes,
        priority=declared.priority,
        schedule=windows,
        idle_unload_seconds=declared.idle_unload_seconds,
        drain_seconds=declared.drain_seconds,
    )


def check(declared: Declaration, rules: OperationRules, time_zone: str) -> tuple[Window, ...] | InvalidArgument:
    """Its windows, with their time zones; or the first argument that is invalid in any cluster."""
    error = _invalid(declared, rules)
    if error is not None:
        return error
    try:
        return tuple(check_window(in_zone(window, time_zone)) for window in declared.schedule)
    except InvalidWindow as problem:
        return _refuse(problem.argument, problem.message, problem.suggestion)


def in_zone(window: Window, time_zone: str) -> Window:
    """The window with this time zone, where it has none."""
    return window if window.time_zone else replace(window, time_zone=time_zone)


def _invalid(declared: Declaration, rules: OperationRules) -> InvalidArgument | None:
    if not _NAME.fullmatch(declared.name):
        return _refuse(
            "name",
            "A deployment's name has 1 to 63 letters, digits, hyphens, dots and underscores.",
            "Use a name such as 'night' or 'coder-30b'.",
        )
    request = OperationRequest(
        OperationKind.LOAD,
        load=(declared.model,),
        min_nodes=declared.min_nodes,
        nodes=None if declared.nodes is None else tuple(declared.nodes),
        drain_seconds=declared.drain_seconds,
    )
    error = invalid(request, None, rules)
    if error is not None:
        return error
    if not 1 <= declared.replicas <= MAX_REPLICAS:
        return _refuse("replicas", f"There cannot be {declared.replicas} copies.", f"Use 1 to {MAX_REPLICAS}.")
    if declared.nodes is not None and declared.replicas > 1:
        return _refuse("replicas", "`nodes` names the nodes of one copy.", "Leave `nodes` out, or use 1 copy.")
    if abs(declared.priority) > MAX_PRIORITY:
        return _refuse("priority", f"{declared.priority} is out of range.", f"Use -{MAX_PRIORITY} to {MAX_PRIORITY}.")
    if len(declared.schedule) > MAX_WINDOWS:
        return _refuse("schedule", f"{len(declared.schedule)} windows are too many.", f"Use {MAX_WINDOWS} at most.")
    seconds = declared.idle_unload_seconds
    if seconds is not None and not MIN_IDLE_SECONDS <= seconds <= MAX_IDLE_SECONDS:
        return _refuse(
            "idleUnloadSeconds",
            f"{seconds} seconds are out of range.",
            f"Use {MIN_IDLE_SECONDS} to {MAX_IDLE_SECONDS}, or null.",
        )
    return None


def _refuse(argument: str, message: str, suggestion: str) -> InvalidArgument:
    return InvalidArgument(message=message, suggestion=suggestion, argument=argument)
