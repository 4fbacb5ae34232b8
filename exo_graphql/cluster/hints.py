"""What could be better about the machines of a cluster: the sentences of `Cluster.hints`. None of it is a fault.

The same that exo's own dashboard warns of (`dashboard/src/routes/+page.svelte`), except cycles of Thunderbolt bridges.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from exo_graphql.cluster.state import Node

# On a Mac Studio, RDMA does not work on the port beside the Ethernet socket.
_BAD_PORTS = {"Mac Studio": "rdma_en2"}


def hints(nodes: Sequence[Node]) -> tuple[str, ...]:
    """What could be better, a sentence each."""
    return tuple(hint for hint in (_versions(nodes), _rdma(nodes), _ports(nodes)) if hint is not None)


def _versions(nodes: Iterable[Node]) -> str | None:
    found: defaultdict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        # Of a Mac it is a number, such as 26.2; of other machines the name of the system.
        if node.os_version is not None and node.os_version[:1].isdecimal():
            build = "" if node.os_build is None else f" ({node.os_build})"
            found[f"{node.os_version}{build}"].append(node)
    if len(found) < 2:
        return None
    versions = "; ".join(f"{version}: {_names(found[version])}" for version in sorted(found))
    return (
        f"The nodes run different versions of macOS, which exo does not expect of nodes that share a model. {versions}."
    )


def _rdma(nodes: Iterable[Node]) -> str | None:
    able = [node for node in nodes if node.has_thunderbolt]
    off = [node for node in able if node.rdma_enabled is False]
    if len(able) < 2 or not off:
        return None
    return (
        f"RDMA is off on {_names(off)}. With Thunderbolt 5 and macOS 26.2 or later it makes models on several nodes "
        "much faster: start the machine in recovery mode, and enter `rdma_ctl enable` in a terminal."
    )


def _ports(nodes: Iterable[Node]) -> str | None:
    wrong = [
        node
        for node in nodes
        if node.rdma_enabled
        and (port := _BAD_PORTS.get(node.hardware or ""))
        and any(one.rdma_interface == port for one in node.connections)
    ]
    if not wrong:
        return None
    return (
        f"On {_names(wrong)} a cable is in the Thunderbolt port beside the Ethernet socket, where RDMA does not work: "
        "put it into another one."
    )


def _names(nodes: Iterable[Node]) -> str:
    return ", ".join(node.friendly_name or node.id for node in nodes)
