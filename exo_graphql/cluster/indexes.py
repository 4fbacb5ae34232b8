"""Which indexes of a snapshot are still valid in the next one: those whose parts of the state have not changed.

A part that has not changed is the same object in both states. In an idle cluster that is everything but the nodes,
whose telemetry changes: then the 4,000 downloads of 32 nodes are not listed and classified again.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from exo_graphql.cluster.state import State

if TYPE_CHECKING:
    from exo_graphql.cluster.snapshot import Snapshot

_MODELS = frozenset({"catalogue", "cards", "custom_ids", "instances"})
_DOWNLOADS = frozenset({"downloads", "members"})
_TASKS = frozenset({"tasks", "instances", "runners"})

COMPUTED_FROM: Mapping[str, frozenset[str]] = {
    "topology": frozenset({"members", "connections"}),
    "models": _MODELS,
    "loaded_models": _MODELS,
    "_models_by_node": _MODELS,
    "instances_by_model": frozenset({"instances"}),
    "needed_downloads": frozenset({"instances", "runners"}),
    "all_downloads": _DOWNLOADS,
    "started_downloads": _DOWNLOADS | {"instances", "runners"},
    "active_download_count": _DOWNLOADS,
    "tasks": _TASKS,
    "all_tasks": frozenset({"tasks"}),
    "active_task_count": _TASKS,
}
"""The parts that each index (a cached property of `Snapshot`) is computed from."""


def carry_indexes(previous: "Snapshot", snapshot: "Snapshot") -> None:
    """Copies the indexes that are still valid, as far as the previous snapshot has computed them."""
    changed = frozenset(_changed(previous, snapshot))
    for name, parts in COMPUTED_FROM.items():
        if name in previous.__dict__ and changed.isdisjoint(parts):
            snapshot.__dict__[name] = previous.__dict__[name]


def _changed(previous: "Snapshot", snapshot: "Snapshot") -> Iterator[str]:
    before, state = previous.state, snapshot.state
    for part in ("instances", "runners", "downloads", "tasks", "cards"):
        if getattr(before, part) is not getattr(state, part):
            yield part
    if previous.catalogue is not snapshot.catalogue:
        yield "catalogue"
    if before.custom_ids != state.custom_ids:
        yield "custom_ids"
    if before.nodes is state.nodes:
        return
    if list(before.nodes) != list(state.nodes):
        yield "members"
        yield "connections"
    elif any(
        was.connections is not node.connections or was.rdma_enabled is not node.rdma_enabled
        for was, node in zip(before.nodes.values(), state.nodes.values(), strict=True)
    ):
        yield "connections"


def same_order(state: State, other: State) -> bool:
    """Whether equal states also list their items in the same order."""
    return (
        _same_keys(state.nodes, other.nodes)
        and _same_keys(state.instances, other.instances)
        and _same_keys(state.tasks, other.tasks)
        and (state.downloads is other.downloads or _same_lists(state.downloads, other.downloads))
    )


def _same_lists(one: Mapping[str, Mapping[str, object]], other: Mapping[str, Mapping[str, object]]) -> bool:
    return _same_keys(one, other) and all(map(_same_keys, one.values(), other.values()))


def _same_keys(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return one is other or list(one) == list(other)
