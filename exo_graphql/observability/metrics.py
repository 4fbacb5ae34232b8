"""Figures for Prometheus: read off the picture when they are asked for, but for what has to be counted as it happens.

Labels are the cluster's own members and the values of enums: bounded, whatever callers send.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterator
from enum import Enum, unique

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.names import label
from exo_graphql.cluster.readiness import NodeStatus, Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Node
from exo_graphql.operations import Operations, OperationState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# From an answer that was stored to one that had to wait for exo.
_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@unique
class Transport(Enum):
    """What carried a request."""

    HTTP = "http"
    SSE = "sse"
    WEBSOCKET = "websocket"


class Metrics:
    """What is counted as it happens, and the collectors that read the rest."""

    def __init__(self) -> None:
        # When a counter was made is of no use to anybody, and doubles the text.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations
        self.registry = CollectorRegistry()
        requests = Counter(
            "exo_graphql_requests", "GraphQL requests answered.", ["transport", "outcome"], registry=self.registry
        )
        latency = Histogram(
            "exo_graphql_request_seconds",
            "Seconds from a query's or mutation's arrival to its answer.",
            registry=self.registry,
            buckets=_BUCKETS,
        )
        # Children are looked up once: an answer that was stored takes less time than finding a label.
        self._answered = {transport: requests.labels(transport.value, "answered") for transport in Transport}
        self._refused = {transport: requests.labels(transport.value, "refused") for transport in Transport}
        self.observe = latency.observe

    def answered(self, transport: Transport) -> None:
        """A request was executed."""
        self._answered[transport].inc()

    def refused(self, transport: Transport) -> None:
        """A request was not executed: malformed, invalid, or not allowed."""
        self._refused[transport].inc()

    def add(self, collector: Collector) -> None:
        """Adds what is read when it is asked for."""
        self.registry.register(collector)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)


class ClusterCollector(Collector):
    """The cluster, as the newest picture has it."""

    def __init__(self, snapshot: Callable[[], Snapshot | None], elapsed: Callable[[], float]) -> None:
        self._snapshot = snapshot
        self._elapsed = elapsed

    def collect(self) -> Iterator[Metric]:
        """One family for each figure; without a picture only that there is none."""
        snapshot = self._snapshot()
        yield _gauge("exo_up", "Whether exo answers.", float(snapshot is not None and snapshot.connected))
        if snapshot is None:
            return
        age = self._elapsed() - snapshot.observed.elapsed
        yield _gauge("exo_snapshot_age_seconds", "Seconds since the state of exo was received.", max(0.0, age))
        yield _gauge("exo_healthy", "Whether the cluster is healthy, as Cluster.healthy.", float(snapshot.healthy))
        yield from self._nodes(snapshot)
        yield _by(
            "exo_models",
            "Loaded models by phase.",
            "phase",
            Phase,
            Tally(snapshot.status(card.id).phase for card in snapshot.loaded_models),
        )
        yield _by(
            "exo_downloads",
            "Downloads by status, all but the NOT_STARTED.",
            "status",
            DownloadStatus,
            Tally(snapshot.download_status(download) for download in snapshot.started_downloads),
        )
        active = [d for d in snapshot.started_downloads if snapshot.download_status(d) is DownloadStatus.DOWNLOADING]
        yield _gauge(
            "exo_download_bytes",
            "Bytes there of the downloads under way.",
            sum(d.downloaded_bytes or 0 for d in active),
        )
        yield _gauge(
            "exo_download_total_bytes",
            "Bytes in all of the downloads under way.",
            sum(d.total_bytes or 0 for d in active),
        )
        yield _gauge("exo_active_tasks", "Inference tasks pending or running.", snapshot.active_task_count)

    @staticmethod
    def _nodes(snapshot: Snapshot) -> Iterator[Metric]:
        names = ["node", "node_id"]
        figures: dict[str, tuple[str, Callable[[Node], float | None]]] = {
            "memory_total_bytes": ("Memory of the node.", lambda node: node.ram_total_bytes),
            "memory_available_bytes": ("Free memory of the node.", lambda node: node.ram_available_bytes),
            "disk_available_bytes": ("Free space for models.", lambda node: node.disk_available_bytes),
            "temperature_celsius": ("Temperature.", lambda node: node.temperature_c),
            "power_watts": ("Power drawn.", lambda node: node.power_watts),
            "gpu_usage_ratio": ("GPU in use, 0 to 1.", _gpu_usage),
            "online": (
                "1 if seen within the last seconds, 0 if not; absent where exo does not say.",
                lambda node: {NodeStatus.ONLINE: 1, NodeStatus.STALE: 0}.get(snapshot.node_statuses[node.id]),
            ),
        }
        for name, (text, read) in figures.items():
            family = GaugeMetricFamily(f"exo_node_{name}", text, labels=names)
            for node in snapshot.nodes:
                value = read(node)
                if value is not None:  # unknown is absent, never 0
                    family.add_metric([label(node), node.id], value)
            yield family


def _gpu_usage(node: Node) -> float | None:
    # Not the share as reported: that may be a percentage, or a little above 1.
    return None if node.gpu_usage_percent is None else node.gpu_usage_percent / 100


class ServerCollector(Collector):
    """This server: who listens, what reading exo costs, how operations ended."""

    def __init__(
        self,
        operations: Operations,
        reads: Callable[[], "UpstreamFigures"],
        subscribers: Callable[[], int],
        connections: Callable[[], int],
    ) -> None:
        self._operations = operations
        self._reads = reads
        self._subscribers = subscribers
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        """One family for each figure."""
        yield _gauge("exo_graphql_subscriptions", "Subscriptions that are open.", self._subscribers())
        yield _gauge("exo_graphql_websockets", "Websockets that are open.", self._connections())
        reads = self._reads()
        yield CounterMetricFamily("exo_graphql_upstream_reads", "States read from exo.", value=reads.reads)
        yield CounterMetricFamily(
            "exo_graphql_upstream_failures", "Reads of exo's state that failed.", value=reads.failures
        )
        if reads.cost is not None:
            yield _gauge("exo_graphql_upstream_read_seconds", "What a read of the state usually takes exo.", reads.cost)
        yield _by(
            "exo_graphql_operations",
            "Operations that this server remembers, by state.",
            "state",
            OperationState,
            Tally(operation.state for operation in self._operations.all()),
        )


class UpstreamFigures:
    """What reading costs: filled in by whoever knows the feed."""

    __slots__ = ("cost", "failures", "reads")

    def __init__(self, reads: int, failures: int, cost: float | None) -> None:
        self.reads = reads
        self.failures = failures
        self.cost = cost


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _by(name: str, text: str, what: str, values: type[Enum], tally: Tally[Enum]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[what])
    for value in values:
        family.add_metric([value.value], tally[value])
    return family
