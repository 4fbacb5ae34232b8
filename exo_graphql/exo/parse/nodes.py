"""Nodes: the members of the cluster, each built from the entries under its id in several maps of the state.

Each map is read separately (`NODE_MAPS`): if the memory of a node has changed, only its memory is read again.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from exo_graphql.cluster.state import Connection, Node
from exo_graphql.cluster.units import at_most
from exo_graphql.exo.parse.json_values import (
    boolean,
    list_or_none,
    moment,
    number,
    reported,
    size,
    string,
    strings,
)

# Fields of `Node` by name: those that one map contributes.
Fields = Mapping[str, Any]


def _identity(_: str, raw: object) -> Fields:
    if not isinstance(raw, dict):
        return {}
    return {
        "friendly_name": reported(raw, "friendlyName"),
        "hardware": reported(raw, "modelId"),
        "chip": reported(raw, "chipId"),
        "os_version": reported(raw, "osVersion"),
        "os_build": reported(raw, "osBuildVersion"),
    }


def _memory(_: str, raw: object) -> Fields:
    if not isinstance(raw, dict):
        return {}
    total = size(raw, "ramTotal")
    available = size(raw, "ramAvailable")
    return {
        # A machine without memory does not run exo: 0 is exo's default for "not measured".
        "ram_total_bytes": total or None,
        "ram_available_bytes": at_most(available, total) if total or available else None,
    }


def _disk(_: str, raw: object) -> Fields:
    if not isinstance(raw, dict):
        return {}
    total = size(raw, "total")
    return {
        "disk_total_bytes": total or None,
        "disk_available_bytes": at_most(size(raw, "available"), total) if total else None,
    }


def _system(_: str, raw: object) -> Fields:
    if not isinstance(raw, dict):
        return {}
    return {
        "gpu_share": number(raw, "gpuUsage"),
        "cpu_p_share": number(raw, "pcpuUsage"),
        "cpu_e_share": number(raw, "ecpuUsage"),
        # 0 is exo's default here too: no die is at exactly 0 °C, and no machine draws exactly 0 W.
        "temperature_c": number(raw, "temp") or None,
        "power_watts": number(raw, "sysPower") or None,
    }


def _network(_: str, raw: object) -> Fields:
    interfaces = list_or_none(raw, "interfaces") if isinstance(raw, dict) else None
    if interfaces is None:
        return {}
    read = [(string(one, "ipAddress"), string(one, "interfaceType")) for one in interfaces if isinstance(one, dict)]
    return {
        "ip_addresses": tuple(dict.fromkeys(ip for ip, _ in read if ip)),
        "connection_types": tuple(dict.fromkeys(kind for _, kind in read if kind)),
        "interfaces": tuple((ip, kind) for ip, kind in read if ip and kind),
    }


def _thunderbolt(_: str, raw: object) -> Fields:
    """Whether it has ports; absent if not reported. A network interface of the type `thunderbolt` shows it too."""
    ports = list_or_none(raw, "interfaces") if isinstance(raw, dict) else None
    return {} if ports is None else {"has_thunderbolt": bool(ports)}


def _rdma(_: str, raw: object) -> Fields:
    return {"rdma_enabled": boolean(raw, "enabled")} if isinstance(raw, dict) else {}


def _backends(_: str, raw: object) -> Fields:
    return {"backends": strings(raw)}


def _last_seen(_: str, raw: object) -> Fields:
    return {"last_seen": moment(raw)}


NODE_MAPS: Mapping[str, Callable[[str, object], Fields]] = {
    "nodeIdentities": _identity,
    "nodeMemory": _memory,
    "nodeDisk": _disk,
    "nodeSystem": _system,
    "nodeNetwork": _network,
    "nodeThunderbolt": _thunderbolt,
    "nodeRdmaCtl": _rdma,
    "nodeBackends": _backends,
    "lastSeen": _last_seen,
}


def read_nodes(
    members: Iterable[str],
    maps: Iterable[Mapping[str, Fields]],
    connections: Mapping[str, tuple[Connection, ...]],
) -> dict[str, Node]:
    """The members, in exo's order. `maps`: the fields of each of `NODE_MAPS`, by node id."""
    maps = tuple(maps)
    fields = {id_: {key: value for by_node in maps for key, value in by_node.get(id_, {}).items()} for id_ in members}
    seen: list[datetime] = [moment for one in fields.values() if (moment := one.get("last_seen")) is not None]
    newest = max(seen, default=None)
    return {id_: _node(id_, one, connections.get(id_, ()), newest) for id_, one in fields.items()}


def _node(id_: str, fields: dict[str, Any], connections: tuple[Connection, ...], newest: datetime | None) -> Node:
    types = fields.get("connection_types")
    if types is not None:
        fields["has_thunderbolt"] = bool(fields.get("has_thunderbolt")) or "thunderbolt" in types
    last_seen = fields.get("last_seen")
    return Node(
        id=id_,
        connections=connections,
        seconds_since_seen=None
        if last_seen is None or newest is None
        else round((newest - last_seen).total_seconds(), 3),
        **fields,
    )
