"""How long the lists of one snapshot are: a list of 32 nodes multiplies the cost of its fields by 32."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Sized
from functools import cached_property

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.calendar import most_changes, most_entries
from exo_graphql.operations import Operation


class ListSizes:
    """How long the lists of one snapshot are, each counted when it is first needed."""

    def __init__(
        self,
        snapshot: Snapshot | None,
        operations: Callable[[], Iterable[Operation]],
        deployments: Callable[[], Sequence[Assessment]] = tuple,
    ) -> None:
        self._snapshot = snapshot
        self._all_deployments = deployments
        self._all_operations = operations

    @cached_property
    def nodes(self) -> float:
        """Members."""
        return 0 if self._snapshot is None else len(self._snapshot.nodes)

    @cached_property
    def models(self) -> float:
        """Models in the catalogue."""
        return 0 if self._snapshot is None else len(self._snapshot.models)

    @cached_property
    def loaded(self) -> float:
        """Models that have an instance."""
        return 0 if self._snapshot is None else len(self._snapshot.loaded_models)

    @cached_property
    def instances_of_model(self) -> float:
        """Of the model with most."""
        return 0 if self._snapshot is None else _longest(self._snapshot.instances_by_model.values())

    @cached_property
    def shards(self) -> float:
        """Of the instance with most."""
        return 0 if self._snapshot is None else _longest(i.shards for i in self._snapshot.state.instances.values())

    @cached_property
    def nodes_of_model(self) -> float:
        """Of the model on most nodes, at most."""
        return min(self.nodes, self.instances_of_model * self.shards)

    @cached_property
    def models_on_node(self) -> float:
        """Of the node with most."""
        snapshot = self._snapshot
        return 0 if snapshot is None else _longest(snapshot.models_on(node.id) for node in snapshot.nodes)

    @cached_property
    def all_downloads(self) -> float:
        """Entries, those that never started included."""
        return 0 if self._snapshot is None else len(self._snapshot.all_downloads)

    @cached_property
    def started_downloads(self) -> float:
        """Entries except those that never started."""
        return 0 if self._snapshot is None else len(self._snapshot.started_downloads)

    @cached_property
    def downloads_on_node(self) -> float:
        """Entries of the node with most."""
        return 0 if self._snapshot is None else _longest(self._snapshot.state.downloads.values())

    @cached_property
    def started_on_node(self) -> float:
        """Of the node with most."""
        return 0 if self._snapshot is None else _most(d.node_id for d in self._snapshot.started_downloads)

    @cached_property
    def started_of_model(self) -> float:
        """Of the model with most."""
        return 0 if self._snapshot is None else _most(d.model_id for d in self._snapshot.started_downloads)

    @cached_property
    def tasks(self) -> float:
        """Active tasks."""
        return 0 if self._snapshot is None else len(self._snapshot.tasks)

    @cached_property
    def all_tasks(self) -> float:
        """Tasks that exo keeps, ended and lost ones included."""
        return 0 if self._snapshot is None else len(self._snapshot.all_tasks)

    @cached_property
    def connections(self) -> float:
        """Of the node with most."""
        return 0 if self._snapshot is None else _longest(node.connections for node in self._snapshot.nodes)

    @cached_property
    def links(self) -> float:
        """Pairs of nodes that are connected, or were."""
        return 0 if self._snapshot is None else len(self._snapshot.links)

    @cached_property
    def losses(self) -> float:
        """Lost models that nobody has dealt with."""
        return 0 if self._snapshot is None else len(self._snapshot.lost)

    @cached_property
    def exo_errors(self) -> float:
        """URLs of exo that do not answer."""
        return 0 if self._snapshot is None else len(self._snapshot.source.refusals)

    @cached_property
    def operations(self) -> float:
        """Operations that are kept."""
        return len(self._operations)

    @cached_property
    def steps(self) -> float:
        """Of the operation with most."""
        return _longest(operation.steps for operation in self._operations)

    @cached_property
    def models_of_operation(self) -> float:
        """Of the operation with most to load or to unload."""
        return _longest([*(o.load_ids for o in self._operations), *(o.unload_ids for o in self._operations)])

    @cached_property
    def deployments(self) -> float:
        """Deployments that are kept."""
        return len(self._all_deployments())

    @cached_property
    def calendar_entries(self) -> float:
        """Of a calendar, at most."""
        return most_entries(each.deployment for each in self._all_deployments())

    @cached_property
    def calendar_changes(self) -> float:
        """Loads, or unloads, of an entry of a calendar, on average."""
        return most_changes(each.deployment for each in self._all_deployments()) / 2 / self.calendar_entries

    @cached_property
    def _operations(self) -> tuple[Operation, ...]:
        return tuple(self._all_operations())


def _longest(lists: Iterable[Sized]) -> int:
    return max(map(len, lists), default=0)


def _most(owners: Iterable[str]) -> int:
    return max(Counter(owners).values(), default=0)
