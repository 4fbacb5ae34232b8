"""What happened to the links between nodes.

exo reports nothing when the nodes of a placement lose RDMA, or when their Thunderbolt cable is pulled and Wi-Fi takes
over: answers only become ten times slower.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from exo_graphql.cluster.links import LinkMedium, both_ways
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
class Links:
    """The links of a cluster at their best, and since when some are missing or slower.

    A node that dies loses its links one after the other, seconds before it counts as STALE. So a link is lost once it
    has been missing for `SETTLED_AFTER` while both of its nodes are online.
    """

    usual: Mapping[tuple[str, str], LinkMedium] = field(default_factory=dict)
    """The medium that each link is measured against, by the ids of its nodes in order."""
    worse_since: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """When (`Moment.elapsed`) a link was first seen missing or slower, and has been since."""

    def after(self, snapshot: Snapshot) -> "tuple[Links, tuple[Occurrence, ...]]":
        """The links after another snapshot, and which of them are lost or, where a model runs over them, slower."""
        now = snapshot.now.elapsed
        links = both_ways(snapshot.link_media)
        usual = {**links}
        worse_since: dict[tuple[str, str], float] = {}
        events: list[Occurrence] = []
        for pair, medium in self.usual.items():
            left = links.get(pair)
            if left is not None and (left >= medium or left is LinkMedium.UNKNOWN):
                usual[pair] = max(left, medium)  # a node that reports no interfaces for a moment is still measured
                continue
            if any(node_id not in snapshot.state.nodes for node_id in pair):
                continue
            online = all(snapshot.node_statuses[node_id] is NodeStatus.ONLINE for node_id in pair)
            since = self.worse_since.get(pair, now) if online and not snapshot.stale else now
            if now - since >= SETTLED_AFTER:
                events.extend(_worse(snapshot, pair, medium, left))
            else:
                usual[pair], worse_since[pair] = medium, since
        return Links(usual, worse_since), tuple(events)


def _worse(
    snapshot: Snapshot, pair: tuple[str, str], usual: LinkMedium, left: LinkMedium | None
) -> Iterator[Occurrence]:
    models = _models_by_pair(snapshot).get(pair, ())
    if left is None:
        yield _event(EventKind.LINK_LOST, snapshot, pair, models, "is lost")
    elif models:
        what = f"runs over {_NAMES[left]} now, and ran over {_NAMES[usual]}"
        yield _event(EventKind.LINK_DEGRADED, snapshot, pair, models, what)


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
