"""One state, indexed: lists, lookups and sums, each computed once, and not again while what it is made from stays.

A part of the state that has not changed is the same object in the next state. In an idle cluster that is everything but
the nodes, whose telemetry changes: then the 4,000 downloads of 32 nodes are not listed and classified again.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from exo_graphql.cluster.downloads import DownloadStatus, download_status, needed_downloads
from exo_graphql.cluster.hints import hints
from exo_graphql.cluster.links import LinkMedium, link_media
from exo_graphql.cluster.models import known_models, models_by_node
from exo_graphql.cluster.ram import RamFigures
from exo_graphql.cluster.state import (
    INFERENCE,
    Download,
    DownloadKind,
    Instance,
    ModelCard,
    Node,
    State,
    Task,
    TaskStatus,
)
from exo_graphql.cluster.tasks import tasks_under_way
from exo_graphql.cluster.topology import Topology

_MODELS = frozenset({"catalogue", "cards", "custom_ids", "instances"})
_DOWNLOADS = frozenset({"downloads", "members"})
_TASKS = frozenset({"tasks", "instances", "runners"})

COMPUTED_FROM: Mapping[str, frozenset[str]] = {
    "topology": frozenset({"members", "connections"}),
    "link_media": frozenset({"members", "connections", "interfaces"}),
    "models": _MODELS,
    "loaded_models": _MODELS,
    "_models_by_node": _MODELS,
    "instances_by_model": frozenset({"instances"}),
    "needed_downloads": frozenset({"instances", "runners"}),
    "all_downloads": _DOWNLOADS,
    "started_downloads": _DOWNLOADS | {"instances", "runners"},
    "downloads_under_way": _DOWNLOADS,
    "tasks": _TASKS,
    "all_tasks": frozenset({"tasks"}),
    "active_task_count": _TASKS,
}
"""The parts that each index of `IndexedState` that may be taken over is computed from."""


class IndexedState(RamFigures):
    """A state and exo's catalogue, with the indexes over both. Lists are in a stable order.

    Nodes, instances and tasks are listed as exo lists them, models by id. Indexes are cached properties: computed when
    first used, and taken over from the state before if they are still valid.
    """

    def __init__(self, state: State, catalogue: Mapping[str, ModelCard]) -> None:
        self.state = state
        self.catalogue = catalogue
        """The model cards of exo (`GET /models`), by id."""

    def take_over_indexes(self, previous: "IndexedState") -> None:
        """Copies the indexes that are still valid, as far as the previous state has computed them."""
        changed = frozenset(_changed(previous, self))
        for name, parts in COMPUTED_FROM.items():
            if name in previous.__dict__ and changed.isdisjoint(parts):
                self.__dict__[name] = previous.__dict__[name]

    def lists_the_same(self, other: "IndexedState") -> bool:
        """Whether both list equal items in the same order, clocks aside."""
        if self.catalogue is not other.catalogue and self.catalogue != other.catalogue:
            return False
        return self.state is other.state or (self.state == other.state and _same_order(self.state, other.state))

    # Nodes

    @cached_property
    def topology(self) -> Topology:
        """Which nodes are connected."""
        return Topology(self.state.nodes)

    @cached_property
    def link_media(self) -> Mapping[tuple[str, str], LinkMedium]:
        """What connects each node to each other one, by their ids; see `links`."""
        return link_media(self.state.nodes)

    @cached_property
    def hints(self) -> tuple[str, ...]:
        """What could be better about the machines, a sentence each."""
        return hints(self.nodes)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The members of the cluster, in exo's order."""
        return tuple(self.state.nodes.values())

    @property
    def node_count(self) -> int:
        """The number of members."""
        return len(self.state.nodes)

    @cached_property
    def nodes_without_memory(self) -> int:
        """Members that have not reported their memory: they are missing in the totals."""
        return sum(node.ram_total_bytes is None or node.ram_available_bytes is None for node in self.nodes)

    @cached_property
    def ram_total_bytes(self) -> int | None:
        """Sum over the members that report; None when none does."""
        return _sum(node.ram_total_bytes for node in self._reporting)

    @cached_property
    def ram_available_bytes(self) -> int | None:
        """Sum over the members that report; None when none does."""
        return _sum(node.ram_available_bytes for node in self._reporting)

    @cached_property
    def ram_used_bytes(self) -> int | None:
        """Sum over the members that report; None when none does."""
        return _sum(node.ram_used_bytes for node in self._reporting)

    @cached_property
    def _reporting(self) -> tuple[Node, ...]:
        # A node that reports only its total would count as total, and neither as free nor as used.
        return tuple(node for node in self.nodes if node.ram_used_bytes is not None)

    # Models and instances

    @cached_property
    def models(self) -> Mapping[str, ModelCard]:
        """Every model that the cluster knows, by id: the catalogue, and what is loaded."""
        return known_models(self.state, self.catalogue)

    @cached_property
    def instances_by_model(self) -> Mapping[str, tuple[Instance, ...]]:
        """Instances of each loaded model, in exo's order."""
        found: defaultdict[str, list[Instance]] = defaultdict(list)
        for instance in self.state.instances.values():
            found[instance.model_id].append(instance)
        return {model_id: tuple(instances) for model_id, instances in found.items()}

    @cached_property
    def loaded_models(self) -> tuple[ModelCard, ...]:
        """Models that have an instance, in any phase."""
        return tuple(card for id_, card in self.models.items() if id_ in self.instances_by_model)

    @cached_property
    def _models_by_node(self) -> Mapping[str, tuple[ModelCard, ...]]:
        return models_by_node(self.loaded_models, self.instances_by_model)

    def models_on(self, node_id: str) -> tuple[ModelCard, ...]:
        """Models with a shard on the node."""
        return self._models_by_node.get(node_id, ())

    def instances_of(self, model_id: str) -> tuple[Instance, ...]:
        """Instances of the model, in exo's order."""
        return self.instances_by_model.get(model_id, ())

    def nodes_of(self, instances: Sequence[Instance]) -> tuple[Node, ...]:
        """The members that hold a shard of these instances, each once."""
        ids = dict.fromkeys(shard.node_id for instance in instances for shard in instance.shards)
        return tuple(self.state.nodes[id_] for id_ in ids if id_ is not None and id_ in self.state.nodes)

    @property
    def loaded_model_count(self) -> int:
        """The number of models that have an instance (not of instances)."""
        return len(self.instances_by_model)

    # Downloads

    @cached_property
    def needed_downloads(self) -> frozenset[tuple[str, str]]:
        """Node and model of each shard that waits for weights."""
        return frozenset(needed_downloads(self.state))

    def download_status(self, download: Download) -> DownloadStatus:
        """The status of a download of this state."""
        return download_status(download, self.needed_downloads)

    @cached_property
    def all_downloads(self) -> tuple[Download, ...]:
        """One for each model and member that exo lists, those included that nobody has started."""
        return tuple(
            download
            for node_id, entries in self.state.downloads.items()
            if node_id in self.state.nodes
            for download in entries.values()
        )

    @cached_property
    def started_downloads(self) -> tuple[Download, ...]:
        """All except the NOT_STARTED ones."""
        return tuple(
            download
            for download in self.all_downloads
            if self.download_status(download) is not DownloadStatus.NOT_STARTED
        )

    @cached_property
    def downloads_under_way(self) -> tuple[Download, ...]:
        """Those that are DOWNLOADING, on members."""
        return tuple(download for download in self.all_downloads if download.kind is DownloadKind.ONGOING)

    @property
    def active_download_count(self) -> int:
        """How many are DOWNLOADING, on members."""
        return len(self.downloads_under_way)

    # Tasks

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks under way, of instances that exist."""
        return tasks_under_way(self.state)

    @cached_property
    def all_tasks(self) -> tuple[Task, ...]:
        """Every task that exo keeps, also of instances that are gone."""
        return tuple(self.state.tasks.values())

    def tasks_of(self, model_id: str, tasks: Iterable[Task] | None = None) -> tuple[Task, ...]:
        """The tasks of the model's instances among `tasks` (default: those under way)."""
        ids = {instance.id for instance in self.instances_of(model_id)}
        return tuple(task for task in (self.tasks if tasks is None else tasks) if task.instance_id in ids)

    def tasks_on(self, node_id: str) -> tuple[Task, ...]:
        """Tasks of the instances that have a shard on the node."""
        ids = {
            instance.id
            for instance in self.state.instances.values()
            if any(shard.node_id == node_id for shard in instance.shards)
        }
        return tuple(task for task in self.tasks if task.instance_id in ids)

    def is_active(self, task: Task) -> bool:
        """Whether it is a pending or running inference of an instance that exists."""
        return (
            task.kind in INFERENCE
            and task.status in (TaskStatus.PENDING, TaskStatus.RUNNING)
            and task.instance_id in self.state.instances
        )

    @cached_property
    def active_task_count(self) -> int:
        """Inference tasks pending or running."""
        return sum(self.is_active(task) for task in self.tasks)


def _changed(previous: IndexedState, indexed: IndexedState) -> Iterator[str]:
    before, state = previous.state, indexed.state
    for part in ("instances", "runners", "downloads", "tasks", "cards", "links"):
        if getattr(before, part) is not getattr(state, part):
            yield part
    if previous.catalogue is not indexed.catalogue:
        yield "catalogue"
    if before.custom_ids != state.custom_ids:
        yield "custom_ids"
    if before.nodes is state.nodes:
        return
    if list(before.nodes) != list(state.nodes):
        yield from ("members", "connections", "interfaces")
        return
    pairs = tuple(zip(before.nodes.values(), state.nodes.values(), strict=True))
    if any(was.connections is not node.connections or was.rdma_enabled is not node.rdma_enabled for was, node in pairs):
        yield "connections"
    if any(was.interfaces is not node.interfaces for was, node in pairs):
        yield "interfaces"


def _same_order(state: State, other: State) -> bool:
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


def _sum(sizes: Iterable[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None
