"""Which nodes can reach each other, as bit masks: exo's topology in the form that a search needs.

Bit i of a mask is node i of `ids`: 0b101 is nodes 0 and 2. An operation on the masks of 64 nodes takes no longer than
on two integers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from exo_graphql.cluster.state import Node


class Topology:
    """The nodes of a cluster and their connections. A connection counts if it exists in both directions.

    exo looks for cycles of its directed graph, and then rejects a cycle with neighbours connected in one direction
    only (`get_mlx_ring_hosts_by_node`, `get_mlx_jaccl_devices_matrix` in its `placement_utils.py`).
    """

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.ids = tuple(nodes)
        self.index = {node_id: number for number, node_id in enumerate(self.ids)}
        self.everything = (1 << len(self.ids)) - 1
        sockets = [0] * len(self.ids)
        rdma = [0] * len(self.ids)
        for number, node in enumerate(nodes.values()):
            for connection in node.connections:
                sink = self.index.get(connection.sink_id, number)
                if sink == number:
                    continue
                if connection.rdma_interface is not None:
                    rdma[number] |= 1 << sink
                if connection.ip_address is not None or connection.rdma_interface is None:
                    sockets[number] |= 1 << sink
        self.sockets = _both_ways(sockets)
        """For each node, the nodes connected to it by sockets: its possible neighbours in a ring."""
        enabled = self.mask(number for number, node in enumerate(nodes.values()) if node.rdma_enabled is True)
        self.rdma = [mask & enabled if enabled >> number & 1 else 0 for number, mask in enumerate(_both_ways(rdma))]
        """For each node, the nodes connected to it by RDMA, enabled on both."""
        self.leaves = self.mask(
            number for number in range(len(self.ids)) if (sockets[number] | rdma[number]).bit_count() <= 1
        )
        """Nodes with outgoing connections to one node at most. exo prefers a group with one of them."""

    @cached_property
    def blocks(self) -> Sequence[int]:
        """The largest sets of three or more nodes that stay connected (by sockets) if any one of them is lost."""
        return blocks(self.sockets, self.everything)

    @cached_property
    def plain_rings(self) -> frozenset[int]:
        """The blocks that are a ring without further connections."""
        return frozenset(
            block
            for block in self.blocks
            if all((self.sockets[number] & block).bit_count() == 2 for number in bits(block))
        )

    @staticmethod
    def mask(numbers: Iterable[int]) -> int:
        """The mask of these nodes."""
        found = 0
        for number in numbers:
            found |= 1 << number
        return found


def bits(mask: int) -> Iterator[int]:
    """The numbers in a mask, smallest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def is_complete(edges: Sequence[int], mask: int) -> bool:
    """Whether all nodes of the mask are connected to each other."""
    return all(mask & ~edges[number] == 1 << number for number in bits(mask))


def blocks(edges: Sequence[int], mask: int) -> list[int]:
    """The biconnected components of three or more nodes, as masks. Every ring lies within one of them.

    Two triangles 0-1-2 and 2-3-4 that share node 2 are two blocks: without node 2 they fall apart, and no ring passes
    through it twice. Tarjan's algorithm, in time linear in the connections.
    """
    found: list[int] = []
    entered: dict[int, int] = {}
    lowest: dict[int, int] = {}
    for root in bits(mask):
        if root in entered:
            continue
        entered[root] = lowest[root] = len(entered)
        kept = [root]
        stack = [(root, -1, edges[root] & mask)]
        while stack:
            node, parent, left = stack[-1]
            if left:
                bit = left & -left
                stack[-1] = node, parent, left ^ bit
                other = bit.bit_length() - 1
                if other in entered:
                    if other != parent and entered[other] < lowest[node]:
                        lowest[node] = entered[other]
                else:
                    entered[other] = lowest[other] = len(entered)
                    kept.append(other)
                    stack.append((other, node, edges[other] & mask))
                continue
            stack.pop()
            if parent < 0:
                continue
            lowest[parent] = min(lowest[parent], lowest[node])
            if lowest[node] >= entered[parent]:
                block = 1 << parent
                while not block >> node & 1:
                    block |= 1 << kept.pop()
                if block.bit_count() > 2:
                    found.append(block)
    return found


def _both_ways(out: Sequence[int]) -> list[int]:
    into = [0] * len(out)
    for number, mask in enumerate(out):
        bit = 1 << number
        for sink in bits(mask):
            into[sink] |= bit
    return [there & back for there, back in zip(out, into, strict=True)]
