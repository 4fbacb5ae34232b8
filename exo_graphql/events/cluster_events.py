"""What happened between two successive snapshots."""

from dataclasses import dataclass, field

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.transitions import Transitions
from exo_graphql.events.downloads import Stalls, download_events, stalled_downloads
from exo_graphql.events.event import Occurrence
from exo_graphql.events.links import Links
from exo_graphql.events.models import model_events
from exo_graphql.events.nodes import Absentees, exo_events, node_events


@dataclass(frozen=True, slots=True)
class Watch:
    """Conditions that become an event once they have lasted some seconds; carried from snapshot to snapshot."""

    links: Links = field(default_factory=Links)
    stalls: Stalls = field(default_factory=dict)
    absent: Absentees = field(default_factory=dict)


NEW_WATCH = Watch()


def cluster_events(
    watch: Watch, before: Snapshot | None, after: Snapshot, transitions: Transitions
) -> tuple[Watch, tuple[Occurrence, ...]]:
    """Everything that happened between the two, causes before their effects; nothing for the first snapshot.

    The cluster as it is when the server starts is no event: what is loaded then may have been for weeks.
    """
    links, link_events = watch.links.after(after)
    stalls, stall_events = stalled_downloads(watch.stalls, after)
    if before is None:
        return Watch(links, stalls), ()
    absent, nodes = node_events(watch.absent, before, after, transitions)
    return Watch(links, stalls, absent), (
        *exo_events(before, after, transitions),
        *nodes,
        *link_events,
        *model_events(before, after, transitions),
        *download_events(before, after),
        *stall_events,
    )
