"""The type `Event`, and how events are listed and acknowledged."""

from collections.abc import Awaitable, Collection, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import strawberry
from strawberry import Parent, argument

from exo_graphql import events
from exo_graphql.cluster import state
from exo_graphql.cluster.names import find_model, find_node
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import ModelCard
from exo_graphql.cluster.state import Node as NodeValue
from exo_graphql.deployments.assess import Assessment
from exo_graphql.events.event import EventKind, Severity
from exo_graphql.events.filter import Filter
from exo_graphql.events.log import EventLog
from exo_graphql.operations import Operation as OperationValue
from exo_graphql.operations import OperationError as OperationErrorValue
from exo_graphql.operations.errors import EventNotFound as EventNotFoundValue
from exo_graphql.operations.errors import JournalUnavailable
from exo_graphql.schema.context import Info
from exo_graphql.schema.deployment import Deployment
from exo_graphql.schema.error_code import CODES
from exo_graphql.schema.errors import NamedError, shorten
from exo_graphql.schema.fields import field
from exo_graphql.schema.model import Model
from exo_graphql.schema.node import Node
from exo_graphql.schema.operation import Operation
from exo_graphql.schema.operation_error import OperationError, publishes
from exo_graphql.storage import StoreError

# Events of one answer. A day of a busy cluster has some 1,000.
MAX_EVENTS = 500
# Those without `last`.
DEFAULT_EVENTS = 50

Since = Annotated[datetime | None, argument(description="Only events from then on (UTC where it names no offset).")]
Kinds = Annotated[list[EventKind] | None, argument(description="Only events of these kinds.")]
Severities = Annotated[list[Severity] | None, argument(description="Only events of these severities.")]
OfModel = Annotated[
    str | None, argument(description="Only events of this model, by full id or short name; case-insensitive.")
]
OfNode = Annotated[
    strawberry.ID | None,
    argument(description="Only events of this node, by id or friendly name. A name finds earlier ids, too."),
]


def _model(root: Parent[events.Event], info: Info) -> state.ModelCard | None:
    return None if root.model_id is None else info.context.snapshot.remembered_models.get(root.model_id)


def _node(root: Parent[events.Event], info: Info) -> state.Node | None:
    return None if root.node_id is None else info.context.snapshot.state.nodes.get(root.node_id)


def _operation(root: Parent[events.Event], info: Info) -> OperationValue | None:
    return None if root.operation_id is None else info.context.find_operation(root.operation_id)


def _deployment(root: Parent[events.Event], info: Info) -> Assessment | None:
    return None if root.deployment is None else info.context.deployments.get(root.deployment)


def _acknowledged(root: Parent[events.Event]) -> bool:
    return root.acknowledged_at is not None


@strawberry.type(description="Something that happened to the cluster, or that this server did.")
class Event:
    """`events.Event`."""

    id: strawberry.ID = field(description="Id of the event.")
    at: datetime = field(description="When this server noticed it (UTC).")
    kind: EventKind = field(description="What happened.")
    severity: Severity = field(description="How much it matters.")
    message: str = field(description="What happened, in a sentence.")
    model_id: strawberry.ID | None = field(description="Id of the model concerned; null where none is.")
    model: Model | None = field(
        resolver=_model, description="That model; null where none is concerned, or the cluster no longer knows it."
    )
    node_id: strawberry.ID | None = field(description="Id that the node concerned had then; null where none is.")
    node_name: str | None = field(description="Its friendly name; null where no node is concerned, or it had none.")
    node: Node | None = field(
        resolver=_node, description="That node; null where none is concerned, or it has left or has a new id."
    )
    operation: Operation | None = field(
        resolver=_operation, description="The operation concerned; null where none is, or it is no longer kept."
    )
    deployment: Deployment | None = field(
        resolver=_deployment, description="The deployment concerned; null where none is, or it was deleted."
    )
    by: str | None = field(description="Who requested it: the name of a token; null where nobody did or it has none.")
    acknowledged: bool = field(resolver=_acknowledged, description="Whether somebody has acknowledged it.")


def resolve_events(
    info: Info,
    last: Annotated[int | None, argument(description=f"How many, 1 to {MAX_EVENTS}.")] = DEFAULT_EVENTS,
    since: Since = None,
    kind: Kinds = None,
    severity: Severities = None,
    model: OfModel = None,
    node: OfNode = None,
) -> tuple[events.Event, ...] | Awaitable[tuple[events.Event, ...]]:
    """The newest events, newest first; older ones than those in memory are read from the store.

    Only that waits, so that an expensive answer is completed on the thread where it began, and not on the event loop.
    """
    count = DEFAULT_EVENTS if last is None else last
    if not 1 <= count <= MAX_EVENTS:
        raise NamedError("INVALID_ARGUMENT", f"{count} events cannot be listed.", f"Request 1 to {MAX_EVENTS} events.")
    wanted = _filter(info.context.latest, since, kind, severity, model, node)
    log = info.context.events
    if log is None:
        return ()
    found = log.newest(count, wanted)
    return _Stored(log, count, wanted) if found is None else found


@dataclass(frozen=True, slots=True)
class _Stored:
    """Events that are read from the store once this is awaited. A compiled plan drops it: graphql-core waits."""

    log: EventLog
    count: int
    wanted: Filter

    def __await__(self) -> Generator[Any, None, tuple[events.Event, ...]]:
        return self._read().__await__()

    async def _read(self) -> tuple[events.Event, ...]:
        try:
            return await self.log.stored(self.count, self.wanted)
        except StoreError as error:
            raise NamedError(
                "JOURNAL_UNAVAILABLE", f"Older events cannot be read: {error}", "Request fewer, or try again."
            ) from error


def resolve_event(
    info: Info,
    since: Since = None,
    kind: Kinds = None,
    severity: Severities = None,
    model: OfModel = None,
    node: OfNode = None,
) -> events.Event | None:
    """The event of this message; sets `context.skipped` where it is not one of those requested."""
    context = info.context
    event = context.event
    # Events from before the subscription are sent only if it requests them by `since`.
    due = event is not None and (since is not None or event.sequence > context.after_event)
    if event is None or not due or not _filter(context.latest, since, kind, severity, model, node).takes(event):
        context.skipped = True
    return event


def _filter(
    snapshot: Snapshot | None,
    since: datetime | None,
    kind: Collection[EventKind] | None,
    severity: Collection[Severity] | None,
    model: str | None,
    node: str | None,
) -> Filter:
    """The filter. A name that the cluster does not know is compared as it is: its model or node may be gone."""
    model_id = model
    if model is not None and snapshot is not None:
        card = find_model({**snapshot.models, **snapshot.remembered_models}, model)
        model_id = card.id if isinstance(card, ModelCard) else model
    nodes: set[str] | None = None
    if node is not None:
        found = find_node(snapshot.nodes, node) if snapshot is not None else None
        nodes = {node}
        if isinstance(found, NodeValue):
            nodes |= {found.id} | ({found.friendly_name} if found.friendly_name else set())
    aware = since if since is None or since.tzinfo is not None else since.replace(tzinfo=UTC)
    return Filter(aware, kind, severity, model_id, nodes)


@publishes(EventNotFoundValue, CODES["EVENT_NOT_FOUND"])
class EventNotFound(OperationError):
    """`operations.errors.EventNotFound`."""


Acknowledged = events.Event | OperationErrorValue


def _event(root: Parent[Acknowledged]) -> events.Event | None:
    return root if isinstance(root, events.Event) else None


def _error(root: Parent[Acknowledged]) -> OperationErrorValue | None:
    return root if isinstance(root, OperationErrorValue) else None


@strawberry.type(description="Exactly one of event and error is non-null.")
class AcknowledgePayload:
    """`Event | OperationError`."""

    event: Event | None = field(resolver=_event, description="The event; null with an error.")
    error: OperationError | None = field(resolver=_error, description="Why it was refused; null if it was not.")


async def acknowledge(
    info: Info, event: Annotated[strawberry.ID, argument(description="Id of the event.")]
) -> Acknowledged:
    """Notes that somebody has seen an event."""
    try:
        seen = None if info.context.events is None else await info.context.events.acknowledge(event)
    except StoreError as error:
        return JournalUnavailable(
            message=f"The acknowledgement cannot be written: {error}", suggestion="Try again once the disk is writable."
        )
    return seen or EventNotFoundValue(
        message=f"No event has the id {shorten(event)!r}, or it is too old to be kept.",
        suggestion="List them with { events { id message } }.",
    )
