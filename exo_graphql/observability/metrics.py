"""Metrics for Prometheus: what is counted as it happens. What can be read at a scrape is in `collectors`.

Labels are names of the cluster's members and values of enums, never a caller's text: so the number of series is
bounded for all requests.
"""

from enum import Enum, unique

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Seconds: from a stored answer (0.1 ms) to one that had to wait for exo.
_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@unique
class Transport(Enum):
    """The protocol of a request."""

    HTTP = "http"
    SSE = "sse"
    WEBSOCKET = "websocket"
    REPLICA = "replica"
    """A mutation that another server has passed on."""


@unique
class Fallback(Enum):
    """Why an operation was executed by graphql-core, and not by its compiled plan."""

    NOT_COMPILABLE = "not_compilable"
    """It is a mutation, waits for exo, asks about the schema, or is too large."""
    COERCION = "coercion"
    """A value did not fit its type, or was null where null is not allowed."""
    ERROR = "error"
    """An argument or a resolver raised an error for the caller, such as MODEL_NOT_FOUND."""
    FAULT = "fault"
    """Anything else: a fault of ours, which the log shows once."""


class Metrics:
    """The counters, and the registry that holds them and the collectors."""

    def __init__(self) -> None:
        # The time at which each counter was created is of no use here, and doubles the text.
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
        fallbacks = Counter(
            "exo_graphql_compiled_fallbacks",
            "Executions that compiled operations left to graphql-core, by reason.",
            ["reason"],
            registry=self.registry,
        )
        # Children are looked up once: a stored answer takes less time than finding a label.
        self._answered = {transport: requests.labels(transport.value, "answered") for transport in Transport}
        self._refused = {transport: requests.labels(transport.value, "refused") for transport in Transport}
        self._fallbacks = {reason: fallbacks.labels(reason.value) for reason in Fallback}
        self.observe = latency.observe

    def answered(self, transport: Transport) -> None:
        """Counts a request that was executed."""
        self._answered[transport].inc()

    def refused(self, transport: Transport) -> None:
        """Counts a request that was not executed: malformed, invalid, or not allowed."""
        self._refused[transport].inc()

    def fell_back(self, reason: Fallback) -> None:
        """Counts an execution that a compiled plan left to graphql-core."""
        self._fallbacks[reason].inc()

    def add(self, collector: Collector) -> None:
        """Adds figures that are read at each scrape."""
        self.registry.register(collector)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)
