"""What is sent: the body, and the headers that sign it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from standardwebhooks import Webhook

from exo_graphql.events.event import Event

# Characters of a message. The specification recommends less than 20 kB for a body.
MAX_CHARACTERS = 4_000


@dataclass(frozen=True, slots=True)
class Message:
    """`id` is the same for every attempt to send the event, and never that of another event."""

    id: str
    body: bytes

    def headers(self, secrets: Sequence[str], now: datetime) -> dict[str, str]:
        """Signed by each of the secrets: receivers may know the old one or the new one."""
        sent = datetime.fromtimestamp(int(now.timestamp()), UTC)
        return {
            "content-type": "application/json",
            "webhook-id": self.id,
            "webhook-timestamp": str(int(sent.timestamp())),
            "webhook-signature": " ".join(Webhook(each).sign(self.id, sent, self.body.decode()) for each in secrets),
        }


def message_of(event: Event) -> Message:
    """The message about an event. Its `type` is the event's kind."""
    data = {
        "id": event.id,
        "severity": event.severity.value,
        "message": event.message,
        "model": event.model_id,
        "node": event.node_id,
        "nodeName": event.node_name,
        "operation": event.operation_id,
        "deployment": event.deployment,
        "by": event.by,
    }
    # A store that was lost, or had not yet written the event when the server was killed, numbers from the same number
    # on: with the time, no other event has this id.
    return _message(f"{event.id}-{int(event.at.timestamp() * 1e6):x}", event.kind.value, event.at, data)


def sample_message(now: datetime) -> Message:
    """One that says that nothing has happened."""
    text = "This is a test of exo-graphql: events will arrive like this."
    data = {"id": None, "severity": "INFO", "message": text}
    return _message(f"test-{int(now.timestamp() * 1e6):x}", "TEST", now, data)


def _message(id_: str, type_: str, at: datetime, data: dict[str, str | None]) -> Message:
    known = {name: value for name, value in data.items() if value is not None}
    known["message"] = known["message"][:MAX_CHARACTERS]
    moment = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return Message(id_, orjson.dumps({"type": type_, "timestamp": moment, "data": known}))
