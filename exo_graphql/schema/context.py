"""What a resolver gets: one snapshot for the whole GraphQL operation, the operations layer, the time of the answer."""

import secrets
from collections.abc import Callable, Sequence
from typing import NoReturn

import strawberry

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import ModelCard
from exo_graphql.cluster.upstream import Unreachable
from exo_graphql.deployments.service import Deployments
from exo_graphql.events import Event
from exo_graphql.events.log import EventLog
from exo_graphql.operations import Offload, Operation, Operations, in_thread
from exo_graphql.replicas.membership import Membership
from exo_graphql.schema.errors import ClusterUnavailableError
from exo_graphql.schema.schema_index import SchemaIndex
from exo_graphql.series import Series
from exo_graphql.webhooks.webhook import WebhookService


class Context:
    """One execution of a GraphQL operation. All its fields read the same snapshot, so they always agree.

    It also records whether the result holds the time of the answer: such a result must not be sent again later.
    """

    __slots__ = (
        "_cause",
        "_clock",
        "_now",
        "after_event",
        "by",
        "clock_reads",
        "completed",
        "demo",
        "deployments",
        "event",
        "events",
        "latest",
        "membership",
        "offload",
        "operations",
        "sampled",
        "schema_index",
        "series",
        "skipped",
        "snapshot",
        "webhooks",
    )

    snapshot: Snapshot
    """The snapshot; raises `CLUSTER_UNAVAILABLE` before the first one."""

    def __init__(
        self,
        snapshot: Snapshot | None,
        operations: Operations,
        deployments: Deployments,
        clock: Callable[[], float],
        offload: Offload = in_thread,
        cause: Unreachable | None = None,
        *,
        by: str | None = None,
        demo: bool = False,
        events: EventLog | None = None,
        event: Event | None = None,
        after_event: int = 0,
        series: Series | None = None,
        webhooks: WebhookService | None = None,
        schema_index: SchemaIndex | None = None,
        membership: Membership | None = None,
    ) -> None:
        """`offload` runs long work outside the event loop. `cause`: why there is no snapshot yet, if known.
        `by` names the caller.

        `events` are those that this server has recorded (None: it records none). `event`: the one that a message of
        the subscription `events` is about; `after_event`: the sequence of the last one when it began. `schema_index`
        is None where the schema is not to be described.
        """
        self._cause = cause
        self.by = by
        """The name of the caller's token; None where it has none, and in subscriptions, which callers share."""
        self.demo = demo
        """Whether the cluster is simulated."""
        self.latest = snapshot
        """The snapshot, or None before the first one: for fields that have an answer even then."""
        self.operations = operations
        self.deployments = deployments
        self.events = events
        self.event = event
        self.after_event = after_event
        self.schema_index = schema_index
        self.membership = membership
        """The servers that share a store; None where nobody knows."""
        self.skipped = False
        """Whether the subscription to events does not select this one."""
        self.series = series
        """What nodes and cluster have reported over time; None where it is not recorded."""
        self.webhooks = webhooks
        """Where events are sent; None where they are not."""
        self.sampled = 0 if series is None else series.newest
        """The newest sample of the series that the answer shows."""
        self.offload = offload
        self.completed = False
        """Whether a subscription ends with this result."""
        self.clock_reads = 0
        """How often a field read the time of the answer."""
        self._clock = clock
        self._now: float | None = None
        """The time of the answer, once a field has read it."""
        # A plain attribute and not a property, because resolvers read it for each object.
        if snapshot is not None:
            self.snapshot = snapshot

    def __getattr__(self, name: str) -> NoReturn:
        """Called for a missing attribute: `snapshot` is missing before the first state."""
        raise ClusterUnavailableError(self._cause) if name == "snapshot" else AttributeError(name)

    @property
    def now(self) -> float:
        """The time of the answer (`Moment.elapsed`), the same for all fields."""
        self.clock_reads += 1
        if self._now is None:
            self._now = self._clock()
        return self._now

    @property
    def time_dependent(self) -> bool:
        """Whether the result holds the time of the answer."""
        return self._now is not None

    @property
    def version(self) -> str:
        """Changes exactly when anything but clock fields does."""
        return f"{_BOOT}.{self.snapshot.version}.{self.changes}"

    @property
    def changes(self) -> int:
        """Increases with every change of what is not in the snapshot: operations, deployments, events and replicas.

        Not with samples, which change nothing: an answer that shows them also depends on `sampled`.
        """
        return changes(self.operations, self.deployments, self.events, self.membership)

    def complete(self) -> None:
        """Completes the subscription with this result."""
        self.completed = True

    def models(self, ids: Sequence[str]) -> tuple[ModelCard, ...]:
        """Models by full id. One that has left the catalogue since keeps its id, and nothing else is known of it."""
        known = {} if self.latest is None else self.latest.models
        return tuple(known.get(id_) or ModelCard(id_) for id_ in ids)

    def find_operation(self, operation_id: str) -> Operation | None:
        """An operation by id."""
        return self.operations.get(operation_id)


def changes(
    operations: Operations, deployments: Deployments, events: EventLog | None, membership: Membership | None
) -> int:
    """`Context.changes`: each of the versions only grows, so their sum changes with any of them."""
    rest = (0 if events is None else events.version) + (0 if membership is None else membership.version)
    return operations.version + deployments.version + rest


# Versions count from 0 at each start: version 7 of this process must differ from version 7 of the one before.
_BOOT = secrets.token_hex(4)

Info = strawberry.Info[Context, None]
