"""One sample of each node, and of the cluster, off a snapshot."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exo_graphql.cluster.readiness import NodeStatus
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Node
from exo_graphql.cluster.units import GIB
from exo_graphql.series.quantities import Values

# Seconds. A node counts as STALE after as long without a heartbeat; exo's state is read twice as often.
MAX_AGE = 10.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What a node reports."""

    node_id: str
    name: str | None
    values: Values


def is_current(snapshot: Snapshot | None, elapsed: float) -> bool:
    """Whether a snapshot tells what is true at `elapsed` (`Moment.elapsed`).

    A server that wakes up after hours still has the snapshot from before, which counts as stale only a little later.
    """
    return snapshot is not None and not snapshot.stale and elapsed - snapshot.observed.elapsed <= MAX_AGE


def node_samples(snapshot: Snapshot) -> list[Sample]:
    """A sample of each node that still sends heartbeats."""
    tasks = Counter(_nodes_of_active_tasks(snapshot))
    return [
        Sample(node.id, node.friendly_name, _values(node, tasks[node.id]))
        for node in snapshot.nodes
        if snapshot.node_statuses[node.id] is not NodeStatus.STALE
    ]


def cluster_sample(snapshot: Snapshot, nodes: Iterable[Sample]) -> Values:
    """Sums over the nodes that report; of GPU usage the mean, of the temperature the highest."""
    columns = zip(*(sample.values for sample in nodes), strict=True)
    ram, gpu, temperature, power, _ = ([v for v in c if v is not None] for c in columns) if nodes else ([],) * 5
    return (
        sum(ram) if ram else None,
        sum(gpu) / len(gpu) if gpu else None,
        max(temperature, default=None),
        sum(power) if power else None,
        float(snapshot.active_task_count),
    )


def _values(node: Node, tasks: int) -> Values:
    used = node.ram_used_bytes
    return (
        None if used is None else used / GIB,
        node.gpu_usage_percent,
        node.temperature_c,
        node.power_watts,
        float(tasks),
    )


def _nodes_of_active_tasks(snapshot: Snapshot) -> Iterator[str]:
    """For each active task, each node that has a shard of its instance."""
    for task in snapshot.tasks:
        if snapshot.is_active(task):
            instance = snapshot.state.instances[task.instance_id or ""]
            yield from {shard.node_id for shard in instance.shards if shard.node_id is not None}
