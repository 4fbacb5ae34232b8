"""Figures that are read from the snapshot and the server at each scrape by Prometheus."""

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from enum import Enum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.names import label
from exo_graphql.cluster.readiness import NodeStatus, Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Node
from exo_graphql.deployments.service import Deployments
from exo_graphql.exo.poller_stats import PollerStats
from exo_graphql.operations import Operations, OperationState
from exo_graphql.replicas.membership import Membership
from exo_graphql.replicas.mutation import FORWARD_OUTCOMES
from exo_graphql.webhooks.webhook import WebhookService


class ClusterCollector(Collector):
    """The cluster, as the newest snapshot has it."""

    def __init__(self, snapshot: Callable[[], Snapshot | None], elapsed: Callable[[], float]) -> None:
        self._snapshot = snapshot
        self._elapsed = elapsed

    def collect(self) -> Iterator[Metric]:
        """One family for each figure; without a snapshot only `exo_up`, which is 0."""
        snapshot = self._snapshot()
        yield _gauge("exo_up", "Whether exo answers.", float(snapshot is not None and snapshot.connected))
        if snapshot is None:
            return
        age = self._elapsed() - snapshot.observed.elapsed
        yield _gauge("exo_snapshot_age_seconds", "Seconds since the state of exo was received.", max(0.0, age))
        yield _gauge("exo_healthy", "Whether the cluster is healthy, as Cluster.healthy.", float(snapshot.healthy))
        yield _gauge(
            "exo_snapshot_stale",
            "Whether the state may be out of date: exo does not answer, its master hangs, or it lists no nodes.",
            float(snapshot.stale),
        )
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
            "Downloads by status, except NOT_STARTED.",
            "status",
            DownloadStatus,
            Tally(snapshot.download_status(download) for download in snapshot.started_downloads),
        )
        active = [d for d in snapshot.started_downloads if snapshot.download_status(d) is DownloadStatus.DOWNLOADING]
        yield _gauge(
            "exo_download_bytes",
            "Bytes downloaded so far by the active downloads.",
            sum(d.downloaded_bytes or 0 for d in active),
        )
        yield _gauge(
            "exo_download_total_bytes",
            "Total size of the active downloads, in bytes.",
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
                "1 if seen within the last seconds, 0 if not; absent where exo does not report it.",
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
    # Not the share as exo reports it: that may be a percentage (37.0 for 37 %), or a little above 1.
    return None if node.gpu_usage_percent is None else node.gpu_usage_percent / 100


class DeploymentCollector(Collector):
    """The deployments, by name."""

    def __init__(self, deployments: Deployments) -> None:
        self._deployments = deployments

    def collect(self) -> Iterator[Metric]:
        """One family for each figure."""
        ready = GaugeMetricFamily(
            "exo_graphql_deployment_ready",
            "1 if all copies of a deployment are ready, 0 if not; absent while it should not be loaded.",
            labels=["deployment"],
        )
        attempts = CounterMetricFamily(
            "exo_graphql_deployment_attempts", "Loads started for a deployment.", labels=["deployment"]
        )
        for each in self._deployments.all():
            name = each.deployment.name
            if each.wanted:
                ready.add_metric([name], float(each.ready))
            attempts.add_metric([name], self._deployments.attempts(name))
        yield ready
        yield attempts
        if self._deployments.has_file:
            yield _gauge(
                "exo_graphql_deployments_file_valid",
                "Whether the deployments file is valid; 0: it was refused, and the last valid one stays in effect.",
                float(self._deployments.file_problem is None),
            )


class ReplicaCollector(Collector):
    """The servers that share a store."""

    def __init__(self, membership: Membership, ended: Mapping[str, int] | None) -> None:
        """`ended`: how mutations for the leader have ended; None where there is no other server."""
        self._membership = membership
        self._ended = ended

    def collect(self) -> Iterator[Metric]:
        """One family for each figure."""
        yield _gauge(
            "exo_graphql_leader",
            "Whether this server leads: it acts on the cluster, alone among those that share its database.",
            float(self._membership.leads),
        )
        yield _gauge(
            "exo_graphql_replicas",
            "Servers that share the database, this one included, as far as it knows; 1 without --database-url.",
            len(self._membership.all),
        )
        if self._ended is not None:
            family = CounterMetricFamily(
                "exo_graphql_forwarded_mutations",
                "Mutations that this server passed on to the one that leads, by outcome.",
                labels=["outcome"],
            )
            for outcome in FORWARD_OUTCOMES:
                family.add_metric([outcome], self._ended.get(outcome, 0))
            yield family


class WebhookCollector(Collector):
    """The webhooks, by host and port."""

    def __init__(self, webhooks: WebhookService) -> None:
        self._webhooks = webhooks

    def collect(self) -> Iterator[Metric]:
        """One family for each figure."""
        labels = ["webhook"]
        delivered = CounterMetricFamily(
            "exo_graphql_webhook_delivered", "Events that a webhook has taken.", labels=labels
        )
        given_up = CounterMetricFamily(
            "exo_graphql_webhook_given_up", "Events that a webhook did not take within a day.", labels=labels
        )
        pending = GaugeMetricFamily(
            "exo_graphql_webhook_pending", "Events that a webhook has not taken yet.", labels=labels
        )
        failing = GaugeMetricFamily(
            "exo_graphql_webhook_failing_since_seconds",
            "When a webhook began to fail, in seconds since 1970; absent while it takes events.",
            labels=labels,
        )
        for each in self._webhooks.all():
            name = [each.target.name]
            delivered.add_metric(name, each.delivered)
            given_up.add_metric(name, each.given_up)
            pending.add_metric(name, each.pending)
            if each.failing_since is not None:
                failing.add_metric(name, each.failing_since.timestamp())
        yield from (delivered, given_up, pending, failing)


class ServerCollector(Collector):
    """This server: its subscribers, what reading exo costs, the states of its operations."""

    def __init__(
        self,
        operations: Operations,
        stats: Callable[[], PollerStats],
        subscribers: Callable[[], int],
        connections: Callable[[], int],
        waiting: Callable[[], int],
    ) -> None:
        self._operations = operations
        self._stats = stats
        self._subscribers = subscribers
        self._connections = connections
        self._waiting = waiting

    def collect(self) -> Iterator[Metric]:
        """One family for each figure."""
        yield _gauge("exo_graphql_subscriptions", "Open subscriptions.", self._subscribers())
        yield _gauge("exo_graphql_websockets", "Open websockets.", self._connections())
        yield _gauge("exo_graphql_waiting_requests", "Queries that wait (waitSeconds).", self._waiting())
        stats = self._stats()
        yield CounterMetricFamily(
            "exo_graphql_upstream_reads",
            "States read from exo, or from another server in its place.",
            value=stats.reads,
        )
        yield CounterMetricFamily(
            "exo_graphql_upstream_failures", "Reads of exo's state that failed.", value=stats.failures
        )
        if stats.cost is not None:
            yield _gauge(
                "exo_graphql_upstream_read_seconds",
                "Usual duration of a read of exo's state; 0 for one of another server.",
                stats.cost,
            )
        yield _by(
            "exo_graphql_operations",
            "Operations that this server remembers, by state.",
            "state",
            OperationState,
            Tally(operation.state for operation in self._operations.all()),
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _by(name: str, text: str, by: str, values: type[Enum], tally: Tally[Enum]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[by])
    for value in values:
        family.add_metric([value.value], tally[value])
    return family
