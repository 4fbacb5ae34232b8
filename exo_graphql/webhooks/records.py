"""How far one receiver is, as it is stored: as JSON and back."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from pydantic import TypeAdapter, ValidationError

from exo_graphql.storage import Entry

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the deliveries to one receiver are.

    When the pending ones are due is not kept: a new process tries them at once.
    """

    cursor: int
    """See `Schedule`."""
    pending: Sequence[int] = ()
    delivered: int = 0
    """Events that the receiver has taken, ever."""
    given_up: int = 0
    """Events that it did not take within a day."""
    delivered_at: datetime | None = None
    """When it last took one."""
    failing_since: datetime | None = None
    """When the first attempt failed since then; None while it takes them."""
    last_error: str | None = None
    """Of the last attempt that failed."""


def encode(number: int, id_: str, progress: Progress) -> Entry:
    """The entry of the receiver with that id."""
    return Entry(number, id_, active=False, record=orjson.dumps(_PROGRESS.dump_python(progress, mode="json")))


def decode(entry: Entry) -> Progress | None:
    """The progress; None where this version cannot read it."""
    try:
        return _PROGRESS.validate_json(entry.record)
    except ValidationError:
        log.warning("The state of a webhook cannot be read; it gets events from now on.")
        return None


_PROGRESS = TypeAdapter(Progress)
