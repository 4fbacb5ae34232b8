"""What could be better about the machines of a cluster."""

import pytest

from exo_graphql.cluster.hints import hints
from exo_graphql.cluster.state import Connection, Node

VERSIONS = "The nodes run different versions of macOS, which exo does not expect of nodes that share a model."
EN2, EN3 = (Connection("other", rdma_interface=name) for name in ("rdma_en2", "rdma_en3"))


@pytest.mark.parametrize(
    ("nodes", "beginning"),
    [
        ([], None),
        ([Node("a", os_version="26.2", os_build="25C56"), Node("b", os_version="26.2", os_build="25C56")], None),
        ([Node("a", os_version="26.2"), Node("b", os_version="Linux"), Node("c")], None),
        (
            [
                Node("a", friendly_name="one", os_version="26.2"),
                Node("b", os_version="26.1"),
                Node("c", os_version="26.2"),
            ],
            VERSIONS + " 26.1: b; 26.2: one, c.",
        ),
        (
            [Node("a", os_version="26.2", os_build="25C56"), Node("b", os_version="26.2", os_build="25C60")],
            VERSIONS + " 26.2 (25C56): a; 26.2 (25C60): b.",
        ),
        (
            [Node("a", has_thunderbolt=True, rdma_enabled=True), Node("b", has_thunderbolt=True, rdma_enabled=True)],
            None,
        ),
        ([Node("a", has_thunderbolt=True, rdma_enabled=False), Node("b")], None),
        ([Node("a", has_thunderbolt=True, rdma_enabled=True), Node("b", has_thunderbolt=True)], None),
        (
            [Node("a", has_thunderbolt=True, rdma_enabled=True), Node("b", has_thunderbolt=True, rdma_enabled=False)],
            "RDMA is off on b.",
        ),
        ([Node("a", hardware="Mac Studio", rdma_enabled=True, connections=(EN3,))], None),
        ([Node("a", hardware="Mac mini", rdma_enabled=True, connections=(EN2,))], None),
        ([Node("a", hardware="Mac Studio", rdma_enabled=False, connections=(EN2,))], None),
        ([Node("a", rdma_enabled=True, connections=(Connection("b", ip_address="10.0.0.2"),))], None),
        ([Node("a", hardware="Mac Studio", rdma_enabled=True, connections=(EN3, EN2))], "On a a cable is in the"),
    ],
)
def test_what_could_be_better(nodes: list[Node], beginning: str | None) -> None:
    found = hints(nodes)
    assert len(found) == (beginning is not None)
    assert beginning is None or found[0].startswith(beginning)
