"""The snapshot: one state of exo and its meaning. Every answer is read from one, and a snapshot never changes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from exo_graphql.cluster.contact import NO_PULSE, Pulse
from exo_graphql.cluster.downloads import DownloadStatus, download_status, needed_downloads
from exo_graphql.cluster.expectations import NO_EXPECTATIONS, Expectations
from exo_graphql.cluster.health import unhealthy_reasons
from exo_graphql.cluster.history import History
from exo_graphql.cluster.indexes import carry_indexes, same_order
from exo_graphql.cluster.loads import NO_LOADS, Loads
from exo_graphql.cluster.models import known_models, models_by_node
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.readiness import InstanceStatus, NodeStatus, node_status
from exo_graphql.cluster.rules import Rules
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
from exo_graphql.cluster.status import ModelStatus, model_status
from exo_graphql.cluster.tasks import tasks_under_way
from exo_graphql.cluster.topology import Topology
from exo_graphql.cluster.units import gib, percent


@dataclass(frozen=True, slots=True)
class Source:
    """Which exo node a snapshot came from, and whether exo still answers."""

    exo_url: str
    api_node_id: str | None = None
    connected: bool = True


class Snapshot:
    """One immutable view of the cluster. Lists are in a stable order: nodes as exo lists them, models by id.

    Indexes are cached properties: computed when first used, and taken over by the next snapshot if still valid.
    """

    def __init__(
        self,
        state: State,
        history: History,
        instance_statuses: Mapping[str, InstanceStatus],
        catalogue: Mapping[str, ModelCard],
        source: Source,
        rules: Rules,
        observed: Moment,
        now: Moment,
        *,
        held: bool,
        unloading: Mapping[str, str],
        pulse: Pulse = NO_PULSE,
        loads: Loads = NO_LOADS,
        expectations: Expectations = NO_EXPECTATIONS,
    ) -> None:
        self.state = state
        self.history = history
        """What exo has forgotten: see `history`."""
        self.instance_statuses = instance_statuses
        """The readiness of each listed instance, by its id."""
        self.catalogue = catalogue
        """The model cards of exo (`GET /models`), by id."""
        self.source = source
        self.rules = rules
        self.unloading = unloading
        """Instances that this server has asked exo to delete, and whose memory is not free yet: id to model id."""
        self.loads = loads
        self.expectations = expectations
        self.observed = observed
        """When the state was received, by both clocks."""
        self.observed_at = observed.at
        """The same by the wall clock (UTC)."""
        self.pulse = pulse
        """Whether exo's master still applies events."""
        self.stale = held or pulse.still or not source.connected
        """Whether the state may be out of date: it is held, exo does not answer, or its master hangs."""
        self.held = held
        """Whether the state is older than the last one read, because that one has no nodes or lacks events."""
        self.node_statuses = {node.id: node_status(node.seconds_since_seen, rules) for node in state.nodes.values()}
        self.given_up = {
            instance.id for instance in state.instances.values() if history.has_given_up(instance, now, rules)
        }
        """Instances whose download has failed for good."""
        self.version = 0
        """Increases by 1 with each snapshot that differs from the one before in more than clocks."""

    def follow(self, previous: "Snapshot") -> None:
        """Makes this the next snapshot after `previous`: sets its version and takes over the indexes that are valid."""
        self.version = previous.version + (not self.same_as(previous))
        carry_indexes(previous, self)

    def same_as(self, other: "Snapshot") -> bool:
        """Whether only clocks differ."""
        return (
            self.source == other.source
            and self.stale == other.stale
            and self.instance_statuses == other.instance_statuses
            and self.node_statuses == other.node_statuses
            and self.given_up == other.given_up
            and self.history.models == other.history.models
            and self.loads == other.loads
            and self.expectations == other.expectations
            and (self.state is other.state or (self.state == other.state and same_order(self.state, other.state)))
            and (self.catalogue is other.catalogue or self.catalogue == other.catalogue)
        )

    # Nodes

    @cached_property
    def topology(self) -> Topology:
        """Which nodes are connected."""
        return Topology(self.state.nodes)

    @property
    def connected(self) -> bool:
        """Whether exo answers."""
        return self.source.connected

    @property
    def api_node_id(self) -> str | None:
        """The exo node that answered."""
        return self.source.api_node_id

    @property
    def exo_url(self) -> str:
        """The URL of that node."""
        return self.source.exo_url

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The members of the cluster, in exo's order."""
        return tuple(self.state.nodes.values())

    @property
    def node_count(self) -> int:
        """The number of members."""
        return len(self.state.nodes)

    @cached_property
    def online_node_count(self) -> int:
        """Members that have sent a heartbeat within the last `Rules.unseen_after`."""
        return sum(status is NodeStatus.ONLINE for status in self.node_statuses.values())

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

    @property
    def ram_total_gb(self) -> float | None:
        """GiB."""
        return gib(self.ram_total_bytes)

    @property
    def ram_available_gb(self) -> float | None:
        """GiB."""
        return gib(self.ram_available_bytes)

    @property
    def ram_used_gb(self) -> float | None:
        """GiB."""
        return gib(self.ram_used_bytes)

    @property
    def ram_used_percent(self) -> float | None:
        """0-100."""
        return percent(self.ram_used_bytes, self.ram_total_bytes)

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
    def remembered_models(self) -> Mapping[str, ModelCard]:
        """Every model that was loaded since this server started, by id, even if the cluster no longer knows it."""
        return {id_: self.models.get(id_) or ModelCard(id_) for id_ in self.history.models}

    @cached_property
    def instances_by_model(self) -> Mapping[str, tuple[Instance, ...]]:
        """Instances of each loaded model, in exo's order."""
        found: defaultdict[str, list[Instance]] = defaultdict(list)
        for instance in self.state.instances.values():
            found[instance.model_id].append(instance)
        return {model_id: tuple(instances) for model_id, instances in found.items()}

    @cached_property
    def loaded_models(self) -> tuple[ModelCard, ...]:
        """Models that have an instance, whatever its phase."""
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

    def instance_status(self, instance_id: str) -> InstanceStatus:
        """The readiness of a listed instance."""
        return self.instance_statuses[instance_id]

    def status(self, model_id: str) -> ModelStatus:
        """The readiness of a model by its full id; `found` is False for an unknown one."""
        cached = self._statuses.get(model_id)
        if cached is None:
            cached = self._statuses[model_id] = model_status(self, model_id)
        return cached

    @cached_property
    def _statuses(self) -> dict[str, ModelStatus]:
        return {}

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
    def active_download_count(self) -> int:
        """Downloads under way, on members."""
        return sum(download.kind is DownloadKind.ONGOING for download in self.all_downloads)

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

    @property
    def loaded_model_count(self) -> int:
        """The number of models that have an instance (not of instances)."""
        return len(self.instances_by_model)

    # Health

    @property
    def healthy(self) -> bool:
        """Whether there are no `unhealthy_reasons`."""
        return not self.unhealthy_reasons

    @cached_property
    def unhealthy_reasons(self) -> tuple[str, ...]:
        """Why the cluster is not healthy, a sentence each."""
        return unhealthy_reasons(self)


def _sum(sizes: Iterable[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None
