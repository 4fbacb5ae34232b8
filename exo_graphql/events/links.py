"""What happened to the links between nodes.

exo reports nothing when the nodes of a placement lose RDMA, or when their Thunderbolt cable is pulled and Wi-Fi takes
over: answers only become ten times slower.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from exo_graphql.cluster.links import Link, LinkMedium, LinkStatus, Pair
from exo_graphql.cluster.readiness import NodeStatus
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.events.event import EventKind, Occurrence, Severity

# Seconds. Longer than a node takes from losing its first link to being STALE (some 4 s were seen, 10 s at most).
SETTLED_AFTER = 12.0

_NAMES = {
    LinkMedium.WIFI: "Wi-Fi",
    LinkMedium.ETHERNET: "Ethernet",
    LinkMedium.THUNDERBOLT: "Thunderbolt",
    LinkMedium.RDMA: "RDMA",
}


@dataclass(frozen=True, slots=True)
class Worse:
    """A link that is not as it was at its best."""

    medium: LinkMedium | None
    """What it runs over; None where it is lost, if only in one direction."""
    since: float
    """When (`Moment.elapsed`) that was first seen; it settles only while both nodes are online."""
    reported: bool


@dataclass(frozen=True, slots=True)
class Links:
    """The links that are worse than at their best (`Snapshot.links`), and which of that has been reported.

    A node that dies loses its links one after the other, seconds before it counts as STALE. So a link is lost once it
    has been missing for `SETTLED_AFTER` while both of its nodes are online.
    """

    worse: Mapping[Pair, Worse] = field(default_factory=dict)

    def after(self, snapshot: Snapshot) -> "tuple[Links, tuple[Occurrence, ...]]":
        """The links after another snapshot, and which of them are lost or, where a model runs over them, slower."""
        now = snapshot.now.elapsed
        worse: dict[Pair, Worse] = {}
        events: list[Occurrence] = []
        for link in snapshot.links:
            if link.status is LinkStatus.UP:
                continue
            medium = link.medium if link.status is LinkStatus.DEGRADED else None
            known = self.worse.get(link.node_ids)
            if known is None or known.medium is not medium:
                known = Worse(medium, now, reported=False)
            online = all(snapshot.node_statuses[node_id] is NodeStatus.ONLINE for node_id in link.node_ids)
            since = known.since if online and not snapshot.stale else now
            due = not known.reported and now - since >= SETTLED_AFTER
            if due:
                events.extend(_occurrences(snapshot, link, medium))
            worse[link.node_ids] = Worse(medium, since, known.reported or due)
        return Links(worse), tuple(events)


def _occurrences(snapshot: Snapshot, link: Link, medium: LinkMedium | None) -> Iterator[Occurrence]:
    models = _models_by_pair(snapshot).get(link.node_ids, ())
    if medium is None:
        yield _event(EventKind.LINK_LOST, snapshot, link.node_ids, models, "is lost")
    elif models:
        what = f"runs over {_NAMES[medium]} now, and ran over {_NAMES[link.best_medium]}"
        yield _event(EventKind.LINK_DEGRADED, snapshot, link.node_ids, models, what)


def _models_by_pair(snapshot: Snapshot) -> dict[tuple[str, str], tuple[str, ...]]:
    """The models that have shards on both nodes of a pair."""
    models: dict[tuple[str, str], tuple[str, ...]] = {}
    for instance in snapshot.state.instances.values():
        ids = sorted({shard.node_id for shard in instance.shards if shard.node_id is not None})
        for number, one in enumerate(ids):
            for other in ids[number + 1 :]:
                known = models.get((one, other), ())
                models[one, other] = tuple(dict.fromkeys((*known, instance.model_id)))
    return models


def _event(kind: EventKind, after: Snapshot, pair: tuple[str, str], models: tuple[str, ...], what: str) -> Occurrence:
    one, other = (after.state.nodes[node_id] for node_id in pair)
    over = f" {', '.join(models)} runs over it." if models else ""
    return Occurrence(
        kind=kind,
        severity=Severity.WARNING,
        message=f"The link between {one.friendly_name or one.id} and {other.friendly_name or other.id} {what}.{over}",
        model_id=models[0] if models else None,
        node_id=one.id,
        node_name=one.friendly_name,
    )
