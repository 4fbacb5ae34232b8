"""Figures by model and by kind of event, from which alerts are made."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.deployments.service import Deployments
from exo_graphql.events import EventKind, Severity
from exo_graphql.events.log import EventLog

# Models that have series of their own; no cluster loads as many.
MAX_MODELS = 200


class ModelCollector(Collector):
    """Readiness of each model that is loaded, deployed or lost: not of the thousands that could be loaded."""

    def __init__(self, snapshot: Callable[[], Snapshot | None], deployments: Deployments) -> None:
        self._snapshot = snapshot
        self._deployments = deployments

    def collect(self) -> Iterator[Metric]:
        """One family for each figure; nothing without a snapshot."""
        snapshot = self._snapshot()
        if snapshot is None:
            return
        ready = GaugeMetricFamily(
            "exo_model_ready",
            "1 if all copies of a model are ready, else 0; of models that are loaded, lost, or wanted by a deployment.",
            labels=["model"],
        )
        copies = GaugeMetricFamily("exo_model_ready_copies", "Copies of the model that are ready.", labels=["model"])
        lost = GaugeMetricFamily(
            "exo_model_lost",
            "1 if a model was lost and nobody has loaded, unloaded or acknowledged it since.",
            labels=["model"],
        )
        for model_id in self._model_ids(snapshot):
            status = snapshot.status(model_id)
            ready.add_metric([model_id], float(status.ready))
            instances = snapshot.instances_of(model_id)
            copies.add_metric([model_id], sum(snapshot.instance_statuses[each.id].ready for each in instances))
            lost.add_metric([model_id], float(model_id in snapshot.lost))
        yield from (ready, copies, lost)

    def _model_ids(self, snapshot: Snapshot) -> list[str]:
        wanted = (each.deployment.spec.model_id for each in self._deployments.all() if each.wanted)
        loaded = (card.id for card in snapshot.loaded_models)
        return list(dict.fromkeys((*snapshot.lost, *wanted, *loaded)))[:MAX_MODELS]


class EventCollector(Collector):
    """Events since the server started, by kind and severity; from 0 on, so that the first one is an increase."""

    def __init__(self, events: EventLog) -> None:
        self._events = events

    def collect(self) -> Iterator[Metric]:
        """One family."""
        family = CounterMetricFamily(
            "exo_graphql_events", "Events since the server started.", labels=["kind", "severity"]
        )
        for kind in EventKind:
            for severity in Severity:
                family.add_metric([kind.value, severity.value], self._events.counts[kind, severity])
        yield family
