"""The type `Link`."""

from datetime import datetime

import strawberry
from strawberry import Parent

from exo_graphql.cluster import links, state
from exo_graphql.cluster.links import LinkMedium, LinkStatus
from exo_graphql.schema.context import Info
from exo_graphql.schema.fields import field
from exo_graphql.schema.node import Node


def _nodes(root: Parent[links.Link], info: Info) -> tuple[state.Node, ...]:
    nodes = info.context.snapshot.state.nodes
    return tuple(nodes[id_] for id_ in root.node_ids)


@strawberry.type(description="A link between two nodes: the fastest of their connections.")
class Link:
    """`cluster.links.Link`."""

    nodes: list[Node] = field(resolver=_nodes, description="The two nodes.")
    medium: LinkMedium | None = field(description="What it runs over; null once it is lost.")
    best_medium: LinkMedium = field(description="The fastest that it has run over since both nodes are there.")
    status: LinkStatus = field(description="How it is, compared with its best.")
    since: datetime | None = field(description="Since when it is not UP (UTC); null while it is.")
