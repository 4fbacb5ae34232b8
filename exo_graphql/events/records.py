"""An event as it is stored: as JSON and back."""

import logging

import orjson
from pydantic import TypeAdapter, ValidationError

from exo_graphql.events.event import Event
from exo_graphql.storage import Entry

log = logging.getLogger(__name__)


def encode(event: Event) -> Entry:
    """The event as JSON, without fields that are None."""
    fields = _EVENT.dump_python(event, mode="json", exclude_none=True)
    return Entry(event.sequence, event.id, active=False, record=orjson.dumps(fields))


def decode(entry: Entry) -> Event | None:
    """The event; None where this version cannot read it, such as one of a kind that only a newer one knows."""
    try:
        return _EVENT.validate_json(entry.record)
    except ValidationError:
        log.warning("Event %s cannot be read; it is left out.", entry.id)
        return None


_EVENT = TypeAdapter(Event)
