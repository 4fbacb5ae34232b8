"""What the rest of the server sees of webhooks: how each is doing, and how it is tested."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from exo_graphql.webhooks.target import Target


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one attempt. `error`: a sentence that shows nothing of the URL; None for a success."""

    error: str | None = None
    status: int | None = None
    """The status code of the answer; None where none came."""
    retry_after: float | None = None
    """Seconds that the receiver asks to be left alone for."""
    gone: bool = False
    """Whether the receiver wants no more messages (410)."""

    @property
    def delivered(self) -> bool:
        """Whether the receiver has taken the message."""
        return self.error is None


class Webhook(Protocol):
    """One of them. Its attributes are those of `records.Progress`, of the same names."""

    target: Target
    delivered: int
    given_up: int
    delivered_at: datetime | None
    failing_since: datetime | None
    last_error: str | None
    gone: bool
    """Whether the receiver wants no more (410)."""

    @property
    def pending(self) -> int:
        """Events that are recorded and not delivered."""
        ...

    @property
    def seconds_to_next(self) -> float | None:
        """Seconds until the next attempt; None where there is nothing to send."""
        ...


class WebhookService(Protocol):
    """All of them."""

    def all(self) -> Sequence[Webhook]:
        """In the order in which they are configured."""
        ...

    async def test(self, name: str | None = None) -> Sequence[tuple[Webhook, Result]]:
        """Sends a test message to the webhook of that name, or to all at the same time."""
        ...
