"""Losses that nobody has dealt with: a model that served is gone, and the cluster is not healthy because of it."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from exo_graphql.events.event import Event, EventKind, Severity

# Long enough to be seen after lunch. A loss of last night, by contrast, has been read or does not matter.
REMEMBERED = timedelta(hours=1)
_OVER = frozenset({EventKind.MODEL_READY, EventKind.MODEL_UNLOADED})


def open_losses(events: Iterable[Event], now: datetime) -> tuple[Event, ...]:
    """The last loss of each model that has not been ready, unloaded or acknowledged since, for an hour.

    `events` are in their order. Losing a copy while another one serves is not a loss of the model.
    """
    lost: dict[str, Event] = {}
    for event in events:
        if event.model_id is None:
            continue
        if event.kind is EventKind.MODEL_LOST and event.severity is Severity.ERROR:
            lost[event.model_id] = event
        elif event.kind in _OVER:
            lost.pop(event.model_id, None)
    return tuple(event for event in lost.values() if event.acknowledged_at is None and now - event.at < REMEMBERED)
