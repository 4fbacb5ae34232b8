"""The links between nodes: what each runs over, and whether that is worse than it was.

exo reports nothing when two nodes lose RDMA, or when a Thunderbolt cable is pulled and Wi-Fi takes over. So each link
is compared with its best so far, from the moment when both nodes are members.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum, unique

from exo_graphql.cluster.state import Node

Pair = tuple[str, str]


@unique
class LinkMedium(IntEnum):
    """What a link runs over, slowest first."""

    UNKNOWN = 0
    WIFI = 1
    ETHERNET = 2
    THUNDERBOLT = 3
    RDMA = 4


@unique
class LinkStatus(Enum):
    """How a link is, compared with its best so far."""

    UP = "UP"
    DEGRADED = "DEGRADED"
    ONE_WAY = "ONE_WAY"
    LOST = "LOST"


_MEDIA = {
    "wifi": LinkMedium.WIFI,
    "ethernet": LinkMedium.ETHERNET,
    "maybe_ethernet": LinkMedium.ETHERNET,
    "thunderbolt": LinkMedium.THUNDERBOLT,
}


@dataclass(frozen=True, slots=True)
class Link:
    """A link between two members."""

    node_ids: Pair
    """In order."""
    medium: LinkMedium | None
    """The fastest of its connections; None once it is lost."""
    best_medium: LinkMedium
    """The fastest so far."""
    status: LinkStatus
    since: datetime | None = None
    """When the status was first seen (UTC); None while it is up."""


def link_media(nodes: Mapping[str, Node]) -> dict[Pair, LinkMedium]:
    """The fastest medium from each node to each other one that it is connected to, by their ids."""
    found: dict[Pair, LinkMedium] = {}
    interfaces = {id_: dict(node.interfaces or ()) for id_, node in nodes.items()}
    for node in nodes.values():
        for connection in node.connections:
            sink = nodes.get(connection.sink_id)
            if sink is None or sink is node:
                continue
            if connection.rdma_interface is not None:
                medium = LinkMedium.RDMA
            else:
                medium = _MEDIA.get(interfaces[sink.id].get(connection.ip_address or "", ""), LinkMedium.UNKNOWN)
            pair = node.id, sink.id
            found[pair] = max(medium, found.get(pair, LinkMedium.UNKNOWN))
    return found


def links_after(
    before: Iterable[Link], media: Mapping[Pair, LinkMedium], members: Collection[str], at: datetime
) -> tuple[Link, ...]:
    """The links after another state: `media` as `link_media` gives them, `at` the time (UTC).

    A link that is missing stays, as lost, for as long as both nodes are members.
    """
    known = {link.node_ids: link for link in before}
    kept = (pair for pair in known if all(node_id in members for node_id in pair))
    connected = ((one, other) if one < other else (other, one) for one, other in media)
    return tuple(
        _link(pair, media.get(pair), media.get(pair[::-1]), known.get(pair), at) for pair in sorted({*kept, *connected})
    )


def _link(pair: Pair, there: LinkMedium | None, back: LinkMedium | None, was: Link | None, at: datetime) -> Link:
    if there is None or back is None:
        # In one direction only: exo places no model over it.
        medium = back if there is None else there
        status = LinkStatus.LOST if medium is None else LinkStatus.ONE_WAY
    else:
        medium = min(there, back)
        # A node may report no interfaces for a moment: an unknown medium is no slower one.
        slower = was is not None and LinkMedium.UNKNOWN < medium < was.best_medium
        status = LinkStatus.DEGRADED if slower else LinkStatus.UP
    if was is not None and was.medium is medium and was.status is status:
        return was
    known = [each for each in (medium, None if was is None else was.best_medium) if each is not None]
    since = None if status is LinkStatus.UP else was.since if was is not None and was.status is status else at
    return Link(pair, medium, max(known), status, since)
