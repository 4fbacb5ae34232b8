"""The type `Webhook`, and how one is tested."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum, unique
from typing import Annotated

import strawberry
from strawberry import Parent, argument

from exo_graphql.events.event import EventKind, Severity
from exo_graphql.operations import OperationError as OperationErrorValue
from exo_graphql.operations.errors import InvalidArgument
from exo_graphql.schema.context import Info
from exo_graphql.schema.enums import described
from exo_graphql.schema.errors import shorten
from exo_graphql.schema.fields import field
from exo_graphql.schema.operation_error import OperationError
from exo_graphql.webhooks import webhook
from exo_graphql.webhooks.webhook import Result


@unique
class WebhookState(Enum):
    """Whether the receiver takes events."""

    WORKING = "WORKING"
    FAILING = "FAILING"
    GONE = "GONE"


described(
    WebhookState,
    "Whether the receiver takes events.",
    WORKING="It has taken every event so far, or there was none yet.",
    FAILING="The last attempts failed. Each event is sent again for a day.",
    GONE="It has answered 410, so it gets no events until testWebhooks succeeds or this server is restarted.",
)


def _name(root: Parent[webhook.Webhook]) -> str:
    return root.target.name


def _kinds(root: Parent[webhook.Webhook]) -> list[EventKind] | None:
    kinds = root.target.kinds
    return None if kinds is None else [kind for kind in EventKind if kind in kinds]


def _severity(root: Parent[webhook.Webhook]) -> Severity:
    return root.target.severity


def _state(root: Parent[webhook.Webhook]) -> WebhookState:
    if root.gone:
        return WebhookState.GONE
    return WebhookState.WORKING if root.failing_since is None else WebhookState.FAILING


@strawberry.type(description="A URL that gets events, signed as standardwebhooks.com specifies (--webhook-url).")
class Webhook:
    """`webhooks.webhook.Webhook`."""

    name: strawberry.ID = field(
        resolver=_name, description="Host and port of the URL, and a number where several have the same. No secrets."
    )
    kinds: list[EventKind] | None = field(resolver=_kinds, description="Kinds of events that it gets; null for all.")
    severity: Severity = field(
        resolver=_severity, description="It gets only events of this severity or of a worse one."
    )
    state: WebhookState = field(resolver=_state, description="Whether the receiver takes events.")
    delivered: int = field(description="Number of events that it has taken, ever.")
    pending: int = field(
        description="Number of events that it has not taken yet. Those that wait in the store are counted whatever "
        "their kind."
    )
    given_up: int = field(description="Number of events that it did not take within a day.")
    delivered_at: datetime | None = field(description="When it last took an event; null before the first.")
    failing_since: datetime | None = field(
        description="When the first attempt failed since then; null while it takes events."
    )
    last_error: str | None = field(description="Why the last failed attempt failed; null where none has.")
    seconds_to_next: float | None = field(
        description="Seconds until the next attempt; null if nothing is pending, or it is GONE."
    )


Tested = tuple[webhook.Webhook, Result]


def _webhook(root: Parent[Tested]) -> webhook.Webhook:
    return root[0]


def _delivered(root: Parent[Tested]) -> bool:
    return root[1].delivered


def _status(root: Parent[Tested]) -> int | None:
    return root[1].status


def _reason(root: Parent[Tested]) -> str | None:
    return root[1].error


@strawberry.type(description="What came of one test message.")
class WebhookTest:
    """`Tested`."""

    webhook: Webhook = field(resolver=_webhook, description="The webhook.")
    delivered: bool = field(resolver=_delivered, description="Whether it has taken the message.")
    status: int | None = field(
        resolver=_status, description="The HTTP status that it answered; null if it did not answer."
    )
    error: str | None = field(resolver=_reason, description="Why the test failed; null if it did not.")


TestAnswer = tuple[Tested, ...] | OperationErrorValue


def _results(root: Parent[TestAnswer]) -> tuple[Tested, ...]:
    return root if isinstance(root, tuple) else ()


def _error(root: Parent[TestAnswer]) -> OperationErrorValue | None:
    return None if isinstance(root, tuple) else root


@strawberry.type(description="A result for each webhook, or an error.")
class TestWebhooksPayload:
    """`TestAnswer`."""

    results: list[WebhookTest] = field(resolver=_results, description="What came of each test; empty with an error.")
    error: OperationError | None = field(resolver=_error, description="Why nothing was tested; null if something was.")


def resolve_webhooks(info: Info) -> Sequence[webhook.Webhook]:
    """Every webhook, as it was configured."""
    _ = info.context.now  # deliveries come without a new snapshot: such an answer must not be sent again
    return () if info.context.webhooks is None else info.context.webhooks.all()


async def send_test_messages(
    info: Info,
    name: Annotated[strawberry.ID | None, argument(description="Only the webhook of this name. Default: all.")] = None,
) -> TestAnswer:
    """Sends a test message, and waits for the answer."""
    webhooks = info.context.webhooks
    names = [] if webhooks is None else [each.target.name for each in webhooks.all()]
    if webhooks is None or not names:
        return InvalidArgument(
            message="No webhook is configured.", suggestion="Start the server with --webhook-url URL.", argument="name"
        )
    if name is not None and name not in names:
        return InvalidArgument(
            message=f"No webhook has the name {shorten(name)!r}.",
            suggestion=f"Use one of: {', '.join(names)}.",
            argument="name",
        )
    return tuple(await webhooks.test(name))
