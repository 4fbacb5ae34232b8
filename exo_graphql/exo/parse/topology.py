"""The topology: which nodes are members of the cluster, and by which connections they reach each other."""

from collections.abc import Iterator

from exo_graphql.cluster.state import Connection
from exo_graphql.exo.parse.json_values import Json, list_or_none, mapping_or_none, string, strings


def read_members(value: object) -> tuple[str, ...]:
    """`topology.nodes`, each id once: this list alone says who is a member."""
    return tuple(dict.fromkeys(strings(value) or ()))


def read_connections(_: str, raw: object) -> tuple[Connection, ...]:
    """The connections from one node: an array of edges by the node at the other end."""
    return tuple(_connections(raw)) if isinstance(raw, dict) else ()


def _connections(by_sink: Json) -> Iterator[Connection]:
    for sink in by_sink:
        for edge in list_or_none(by_sink, sink) or ():
            if not isinstance(edge, dict):
                continue
            address = mapping_or_none(edge, "sinkMultiaddr")
            yield Connection(
                sink_id=sink,
                ip_address=string(address or {}, "ip_address"),
                rdma_interface=string(edge, "sourceRdmaIface"),
            )
