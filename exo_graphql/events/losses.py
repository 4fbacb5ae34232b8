"""Losses that nobody has dealt with: a model that served is gone, and the cluster is not healthy because of it."""

from datetime import datetime, timedelta

from exo_graphql.events.event import Event, EventKind, Severity

# Long enough to be seen after lunch. A loss of last night, by contrast, has been read or does not matter.
REMEMBERED = timedelta(hours=1)
_OVER = frozenset({EventKind.MODEL_READY, EventKind.MODEL_UNLOADED})


class Losses:
    """The last loss of each model that has not been ready or unloaded since.

    Losing a copy while another one serves is not a loss of the model.
    """

    def __init__(self, remembered: timedelta = REMEMBERED) -> None:
        """`remembered` is how long a loss counts that nobody deals with."""
        self._remembered = remembered
        self._by_model: dict[str, Event] = {}

    def note(self, event: Event) -> None:
        """Takes an event into account; they come in their order."""
        if event.model_id is None:
            return
        if event.kind is EventKind.MODEL_LOST and event.severity is Severity.ERROR:
            self._by_model.pop(event.model_id, None)
            self._by_model[event.model_id] = event
        elif event.kind in _OVER:
            self._by_model.pop(event.model_id, None)

    def acknowledged(self, event: Event) -> None:
        """Somebody has acknowledged the event."""
        known = None if event.model_id is None else self._by_model.get(event.model_id)
        if known is not None and known.id == event.id:
            del self._by_model[known.model_id or ""]

    def open(self, now: datetime) -> tuple[Event, ...]:
        """Those that nobody has dealt with, and that are not too old, in their order."""
        return tuple(event for event in tuple(self._by_model.values()) if now - event.at < self._remembered)
