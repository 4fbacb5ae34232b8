"""The reader: the nodes of exo's document, and what they have not reported."""

from datetime import UTC, datetime
from typing import Any

import pytest

from exo_graphql.cluster.state import (
    Connection,
    Node,
)
from exo_graphql.exo.parse import (
    read_state,
)
from tests.support.documents import (
    GIB,
    document,
    size,
)

Json = dict[str, Any]

# What a Mac reports; from exo's types (`shared/types/profiling.py`, `thunderbolt.py`).
MAC: Json = {
    "nodeIdentities": {
        "modelId": "Mac Studio",
        "chipId": "Apple M3 Ultra",
        "friendlyName": "studio-1",
        "osVersion": "26.1",
        "osBuildVersion": "25B1",
    },
    "nodeMemory": {"ramTotal": size(512 * GIB), "ramAvailable": size(340 * GIB)},
    "nodeDisk": {"total": size(4000 * GIB), "available": size(1000 * GIB)},
    "nodeSystem": {"gpuUsage": 0.42, "temp": 51.5, "sysPower": 88.25, "pcpuUsage": 0.125, "ecpuUsage": 0.0},
    "nodeNetwork": {
        "interfaces": [
            {"name": "en0", "ipAddress": "192.168.1.7", "interfaceType": "ethernet"},
            {"name": "en0", "ipAddress": "fe80::1", "interfaceType": "ethernet"},
            {"name": "en5", "ipAddress": "10.0.0.1", "interfaceType": "thunderbolt"},
        ]
    },
    "nodeThunderbolt": {"interfaces": [{"rdmaInterface": "rdma_en5", "domainUuid": "d", "linkSpeed": "80"}]},
    "nodeRdmaCtl": {"enabled": False},
}


def mac(**changes: Any) -> Json:
    state = document(["n1"])
    for name, reported in {**MAC, **changes}.items():
        state[name] = {"n1": reported}
    state["nodeBackends"] = {"n1": ["MlxMetal", "MlxCpu"]}
    return state


def only_node(state: Json) -> Node:
    (node,) = read_state(state).nodes.values()
    return node


def test_a_mac_that_has_reported_everything() -> None:
    state = mac()
    state["topology"] = {
        "nodes": ["n1"],
        "connections": {
            "n1": {
                "n2": [
                    {"sinkMultiaddr": {"address": "/ip4/192.168.1.8/tcp/5", "ip_address": "192.168.1.8", "port": 5}},
                    {"sourceRdmaIface": "rdma_en5", "sinkRdmaIface": "rdma_en4"},
                ]
            }
        },
    }
    node = only_node(state)
    assert node == Node(
        id="n1",
        friendly_name="studio-1",
        hardware="Mac Studio",
        chip="Apple M3 Ultra",
        os_version="26.1",
        os_build="25B1",
        ram_total_bytes=512 * GIB,
        ram_available_bytes=340 * GIB,
        disk_total_bytes=4000 * GIB,
        disk_available_bytes=1000 * GIB,
        gpu_share=0.42,
        cpu_p_share=0.125,
        cpu_e_share=0.0,
        temperature_c=51.5,
        power_watts=88.25,
        ip_addresses=("192.168.1.7", "fe80::1", "10.0.0.1"),
        connection_types=("ethernet", "thunderbolt"),
        interfaces=(("192.168.1.7", "ethernet"), ("fe80::1", "ethernet"), ("10.0.0.1", "thunderbolt")),
        has_thunderbolt=True,
        rdma_enabled=False,
        backends=("MlxMetal", "MlxCpu"),
        connections=(
            Connection("n2", ip_address="192.168.1.8"),
            Connection("n2", rdma_interface="rdma_en5"),
        ),
    )
    assert (node.gpu_usage_percent, node.cpu_p_usage_percent, node.cpu_e_usage_percent) == (42.0, 12.5, 0.0)


def test_a_node_in_its_first_seconds_is_a_member_that_has_reported_nothing() -> None:
    state = read_state({"topology": {"nodes": ["n1"], "connections": {}}})
    assert state.nodes == {"n1": Node("n1")}


def test_membership_is_the_topology_alone() -> None:
    state = document(["n1"])
    state["nodeIdentities"]["dead"] = state["nodeIdentities"]["n1"]
    state["nodeMemory"]["dead"] = state["nodeMemory"]["n1"]
    assert list(read_state(state).nodes) == ["n1"]


@pytest.mark.parametrize(
    ("part", "reported", "field"),
    [
        ("nodeIdentities", {"friendlyName": "Unknown"}, "friendly_name"),
        ("nodeIdentities", {"chipId": "Unknown Chip"}, "chip"),
        ("nodeIdentities", {"modelId": "Unknown Model"}, "hardware"),
        ("nodeIdentities", {"osVersion": ""}, "os_version"),
        ("nodeMemory", {"ramTotal": size(0), "ramAvailable": size(0)}, "ram_total_bytes"),
        ("nodeMemory", {"ramTotal": size(0), "ramAvailable": size(0)}, "ram_available_bytes"),
        ("nodeMemory", {"ramTotal": size(-1)}, "ram_total_bytes"),
        ("nodeMemory", {"ramTotal": {"inBytes": "64"}}, "ram_total_bytes"),
        ("nodeDisk", {"total": size(0), "available": size(0)}, "disk_available_bytes"),
        ("nodeSystem", {"temp": 0.0}, "temperature_c"),
        ("nodeSystem", {"sysPower": 0.0}, "power_watts"),
        ("nodeSystem", {"gpuUsage": None}, "gpu_share"),
        ("nodeSystem", {"gpuUsage": True}, "gpu_share"),
        ("nodeSystem", {"gpuUsage": 1e300}, "gpu_share"),
        ("nodeNetwork", None, "ip_addresses"),
        ("nodeNetwork", {"interfaces": "many"}, "connection_types"),
        ("nodeRdmaCtl", {"enabled": "yes"}, "rdma_enabled"),
    ],
)
def test_a_placeholder_that_a_node_reports_is_none(part: str, reported: Json | None, field: str) -> None:
    assert getattr(only_node(mac(**{part: reported})), field) is None


@pytest.mark.parametrize(
    ("thunderbolt", "network", "has"),
    [
        (None, None, None),
        ({"interfaces": []}, None, False),
        (None, {"interfaces": [{"interfaceType": "wifi"}]}, False),
        (None, {"interfaces": [{"interfaceType": "thunderbolt"}]}, True),
        ({"interfaces": [{}]}, None, True),
    ],
)
def test_whether_a_node_has_thunderbolt(thunderbolt: Json | None, network: Json | None, has: bool | None) -> None:
    assert only_node(mac(nodeThunderbolt=thunderbolt, nodeNetwork=network)).has_thunderbolt is has


def test_a_free_memory_of_0_is_a_measurement() -> None:
    node = only_node(mac(nodeMemory={"ramTotal": size(GIB), "ramAvailable": size(0)}))
    assert (node.ram_available_gb, node.ram_used_percent) == (0.0, 100.0)


def test_last_seen_is_exos_clock() -> None:
    state = document(["n1", "n2", "n3"], unseen={"n2": 7.25})
    del state["lastSeen"]["n3"]
    nodes = read_state(state).nodes
    assert [node.seconds_since_seen for node in nodes.values()] == [0.0, 7.25, None]
    assert nodes["n1"].last_seen == datetime(2026, 6, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize("moment", ["soon", "", 12, None, "0001-01-01T00:00:00+14:00"])
def test_a_moment_that_is_none_is_none(moment: object) -> None:
    state = document(["n1"])
    state["lastSeen"]["n1"] = moment
    assert (only_node(state).last_seen, only_node(state).seconds_since_seen) == (None, None)
