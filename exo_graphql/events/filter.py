"""Which events are requested."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from exo_graphql.events.event import Event, EventKind, Severity


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are requested: those that match everything that is given."""

    since: datetime | None = None
    kinds: Collection[EventKind] | None = None
    severities: Collection[Severity] | None = None
    model_id: str | None = None
    nodes: Collection[str] | None = None
    """Ids and names of one node: what happened under its earlier ids counts as well."""

    def takes(self, event: Event) -> bool:
        """Whether the event matches."""
        return (
            (self.since is None or event.at >= self.since)
            and (self.kinds is None or event.kind in self.kinds)
            and (self.severities is None or event.severity in self.severities)
            and (self.model_id is None or event.model_id == self.model_id)
            and (self.nodes is None or event.node_id in self.nodes or event.node_name in self.nodes)
        )


EVERYTHING = Filter()


def first_of(count: int, wanted: Filter, events: Iterable[Event]) -> tuple[Event, ...]:
    """The first `count` of `events` that match."""
    found: list[Event] = []
    for event in events:
        if len(found) == count:
            break
        if wanted.takes(event):
            found.append(event)
    return tuple(found)
