"""The wire document: what `GET /state` of exo main answers, field for field (exo `shared/types/state.py`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from exo_graphql.simulator.cards import Document


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of `downloads`: the tag, the bytes it speaks of, and the encoded entry."""

    tag: str
    downloaded: int
    total: int
    entry: orjson.Fragment

    @property
    def fraction(self) -> float:
        """The share (0..1) that exo's placement counts as present."""
        if self.tag == "DownloadCompleted":
            return 1.0
        if self.tag == "DownloadFailed" or self.total == 0:
            return 0.0
        return self.downloaded / self.total


class NoSuchPathError(Exception):
    """`GET /state/{path}` names nothing."""


@dataclass(slots=True)
class StateDocument:
    """exo's replicated state. A new session starts with a new one: index -1 and nothing else."""

    index: int = -1
    instances: dict[str, Document] = field(default_factory=dict)
    runners: dict[str, Document] = field(default_factory=dict)
    downloads: dict[str, dict[str, Listed]] = field(default_factory=dict)
    tasks: dict[str, Document] = field(default_factory=dict)
    last_seen: dict[str, datetime] = field(default_factory=dict)
    nodes: list[str] = field(default_factory=list)
    connections: dict[str, dict[str, list[Document]]] = field(default_factory=dict)
    identities: dict[str, Document] = field(default_factory=dict)
    memory: dict[str, Document] = field(default_factory=dict)
    disk: dict[str, Document] = field(default_factory=dict)
    system: dict[str, Document] = field(default_factory=dict)
    network: dict[str, Document] = field(default_factory=dict)
    thunderbolt: dict[str, Document] = field(default_factory=dict)
    thunderbolt_bridge: dict[str, Document] = field(default_factory=dict)
    rdma_ctl: dict[str, Document] = field(default_factory=dict)
    backends: dict[str, list[str]] = field(default_factory=dict)
    custom: dict[str, Document] = field(default_factory=dict)

    def parts(self) -> Mapping[str, Any]:
        """The document by its top-level keys, in exo's order."""
        return {
            "instances": self.instances,
            "runners": self.runners,
            "downloads": {
                node: [listed.entry for listed in models.values()] for node, models in self.downloads.items()
            },
            "tasks": self.tasks,
            "lastSeen": self.last_seen,
            "topology": {"nodes": self.nodes, "connections": self._edges()},
            "lastEventAppliedIdx": self.index,
            "nodeIdentities": self.identities,
            "nodeMemory": self.memory,
            "nodeDisk": self.disk,
            "nodeSystem": self.system,
            "nodeNetwork": self.network,
            "nodeThunderbolt": self.thunderbolt,
            "nodeThunderboltBridge": self.thunderbolt_bridge,
            "nodeRdmaCtl": self.rdma_ctl,
            "nodeBackends": self.backends,
            "thunderboltBridgeCycles": [],
            "instanceLinks": {},
            "prefillServerPorts": {},
            "customModelCards": self.custom,
        }

    def encode(self) -> bytes:
        """The whole document as exo's `/state` sends it."""
        return orjson.dumps(self.parts(), option=orjson.OPT_UTC_Z)

    def forget(self, node: str) -> None:
        """Take a timed-out node away; identity and backends stay, as in exo's `apply_node_timed_out`."""
        if node in self.nodes:
            self.nodes.remove(node)
        self.connections.pop(node, None)
        for sinks in self.connections.values():
            sinks.pop(node, None)
        for part in (
            self.downloads,
            self.last_seen,
            self.memory,
            self.disk,
            self.system,
            self.network,
            self.thunderbolt,
            self.thunderbolt_bridge,
            self.rdma_ctl,
        ):
            part.pop(node, None)

    def _edges(self) -> dict[str, dict[str, list[Document]]]:
        return {
            source: present
            for source, sinks in self.connections.items()
            if (present := {sink: edges for sink, edges in sinks.items() if edges})
        }


def encode_at(parts: Mapping[str, Any], path: str) -> bytes:
    """The part of a state at a slash-separated path, as `/state/{path}` sends it.

    exo encodes this one differently: times end in `+00:00` instead of `Z`. Empty segments are skipped, and what is
    neither an object nor a list swallows the rest of the path (exo `api/main.py`, `get_state`).
    """
    names = [name for name in path.split("/") if name]
    if not names:
        return orjson.dumps(parts)
    try:
        value = orjson.loads(orjson.dumps(parts[names[0]]))
        for name in names[1:]:
            if isinstance(value, dict):
                value = value[name]
            elif isinstance(value, list):
                value = value[int(name)]
    except (KeyError, IndexError, ValueError) as error:
        raise NoSuchPathError(path) from error
    return orjson.dumps(value)
