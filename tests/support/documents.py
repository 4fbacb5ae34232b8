"""Documents of exo main's state, as small as a rule needs, and the snapshots that follow from them.

Everything goes through the real reader: a rule that holds here holds for what exo answers.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.contact import Contact
from exo_graphql.cluster.loads import NO_LOADS, Loads
from exo_graphql.cluster.past import Past
from exo_graphql.cluster.rules import DEFAULT_RULES, Rules
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.cluster.state import ModelCard
from exo_graphql.cluster.transitions import Transitions
from exo_graphql.exo.parse import read_state
from exo_graphql.exo.recalled import Recalled
from tests.support.recordings import EXO, START, moment

Json = dict[str, Any]

GIB = 1 << 30
MODEL = "test/one"


def size(in_bytes: int) -> Json:
    """A size as exo writes it."""
    return {"inBytes": in_bytes}


def card(model: str = MODEL, *, gib: int = 4, layers: int = 8) -> Json:
    """A model card."""
    return {
        "modelId": model,
        "storageSize": size(gib * GIB),
        "nLayers": layers,
        "hiddenSize": 512,
        "supportsTensor": True,
        "tasks": ["TextGeneration"],
        "family": "test",
        "quantization": "4bit",
        "baseModel": "Test One",
        "capabilities": ["text"],
        "contextLength": 4096,
        "isCustom": False,
    }


def instance(
    id_: str,
    runners: Mapping[str, str],
    model: str = MODEL,
    *,
    tag: str = "MlxRingInstance",
    shard: str = "PipelineShardMetadata",
    layers: int = 8,
) -> Json:
    """An instance whose `runners` (node id → runner id) share the layers."""
    world = len(runners)
    ends = [layers * (rank + 1) // world for rank in range(world)]
    pipeline = shard == "PipelineShardMetadata"
    shards = {
        runner: {
            shard: {
                "modelCard": card(model, layers=layers),
                "deviceRank": rank,
                "worldSize": world,
                "startLayer": ([0, *ends][rank]) if pipeline else 0,
                "endLayer": ends[rank] if pipeline else layers,
                "nLayers": layers,
            }
        }
        for rank, runner in enumerate(runners.values())
    }
    assignments = {"modelId": model, "runnerToShard": shards, "nodeToRunner": dict(runners)}
    return {tag: {"instanceId": id_, "shardAssignments": assignments, "hostsByNode": {}, "ephemeralPort": 50000}}


def runner(status: str, **fields: Any) -> Json:
    """A runner's report: `runner("Loading", layersLoaded=2, totalLayers=8)`."""
    return {f"Runner{status}": fields}


def _download(tag: str, model: str, **fields: Any) -> Json:
    shard = {"modelCard": card(model), "deviceRank": 0, "worldSize": 1, "startLayer": 0, "endLayer": 8, "nLayers": 8}
    return {tag: {"shardMetadata": {"PipelineShardMetadata": shard}, "modelDirectory": "", **fields}}


def pending(model: str = MODEL, downloaded: int = 0, total: int = 0) -> Json:
    """Not on its way: merely possible, queued, paused, cancelled or deleted."""
    return _download("DownloadPending", model, downloaded=size(downloaded), total=size(total))


def ongoing(
    model: str = MODEL, downloaded: int = 0, total: int = 4 * GIB, *, speed: float = 0.0, eta_ms: int = 0
) -> Json:
    """On its way."""
    progress = {
        "total": size(total),
        "downloaded": size(downloaded),
        "downloadedThisSession": size(downloaded),
        "completedFiles": 1,
        "totalFiles": 5,
        "speed": speed,
        "etaMs": eta_ms,
        "files": {},
    }
    return _download("DownloadOngoing", model, downloadProgress=progress)


def completed(model: str = MODEL, total: int = 4 * GIB) -> Json:
    """There."""
    return _download("DownloadCompleted", model, total=size(total), readOnly=False)


def failed_download(message: str = "disk full", model: str = MODEL) -> Json:
    """Failed."""
    return _download("DownloadFailed", model, errorMessage=message)


def task(tag: str, instance_id: str, status: str = "Running", **fields: Any) -> Json:
    """A task."""
    return {tag: {"taskId": "t", "taskStatus": status, "instanceId": instance_id, **fields}}


def document(
    nodes: Sequence[str] = ("n1",),
    instances: Sequence[Json] = (),
    runners: Mapping[str, Json] | None = None,
    downloads: Mapping[str, Sequence[Json]] | None = None,
    tasks: Mapping[str, Json] | None = None,
    *,
    unseen: Mapping[str, float] | None = None,
    index: int = 100,
) -> Json:
    """A state. `unseen` says for how many seconds a node has been silent."""
    silence = unseen or {}
    return {
        "instances": {next(iter(one.values()))["instanceId"]: one for one in instances},
        "runners": dict(runners or {}),
        "downloads": {node: list(entries) for node, entries in (downloads or {}).items()},
        "tasks": dict(tasks or {}),
        "lastSeen": {
            node: (START - timedelta(seconds=silence.get(node, 0.0))).isoformat().replace("+00:00", "Z")
            for node in nodes
        },
        "topology": {"nodes": list(nodes), "connections": {}},
        "lastEventAppliedIdx": index,
        "nodeIdentities": {
            node: {"modelId": "Mac Studio", "chipId": "Apple M3 Ultra", "friendlyName": f"mac-{node}"} for node in nodes
        },
        "nodeMemory": {
            node: {"ramTotal": size(64 * GIB), "ramAvailable": size(48 * GIB), "swapTotal": size(0)} for node in nodes
        },
    }


def linked(
    kind: str | None, *, rdma: bool = False, unseen: dict[str, float] | None = None, shared: bool = True
) -> Json:
    """Two nodes with one link of that interface type (None: no link), over which a model runs if `shared`."""
    ready = runner("Ready", prefillServerPort=None)
    instances = [instance("i1", {"n1": "r1", "n2": "r2"})] if shared else []
    state = document(("n1", "n2", "n3"), instances, {"r1": ready, "r2": ready}, unseen=unseen)
    ips = {"n1": "10.0.0.1", "n2": "10.0.0.2"}
    if kind is not None:
        state["nodeNetwork"] = {
            node: {"interfaces": [{"name": "en0", "ipAddress": ip, "interfaceType": kind}]} for node, ip in ips.items()
        }
        edges: Json = {
            "n1": {"n2": [{"sinkMultiaddr": {"ip_address": ips["n2"]}}]},
            "n2": {"n1": [{"sinkMultiaddr": {"ip_address": ips["n1"]}}]},
        }
        if rdma:
            edges["n1"]["n2"].append({"sourceRdmaIface": "rdma_en3", "sinkRdmaIface": "rdma_en3"})
            edges["n2"]["n1"].append({"sourceRdmaIface": "rdma_en3", "sinkRdmaIface": "rdma_en3"})
        state["topology"]["connections"] = edges
    return state


class Story:
    """What a server sees, state after state."""

    def __init__(
        self,
        rules: Rules = DEFAULT_RULES,
        catalogue: Mapping[str, ModelCard] | None = None,
        past: Past | None = None,
    ) -> None:
        self.rules = rules
        self.recalled = Recalled()
        self.recalled.recall(past)
        self.catalogue = catalogue
        self.snapshot: Snapshot | None = None
        self.transitions = Transitions()
        """What happened on the way to the last snapshot."""

    def see(
        self,
        t: float,
        state: Json | None,
        *,
        unloading: Mapping[str, str] | None = None,
        loads: Loads = NO_LOADS,
        source: Source = EXO,
        contact: Contact | None = None,
    ) -> Snapshot:
        """The snapshot at `t` seconds; `state` None means that time alone has passed."""
        read = None if state is None else read_state(state)
        self.snapshot, self.transitions = advance(
            self.snapshot,
            read,
            moment(t),
            source,
            contact=contact or Contact(),
            catalogue=self.catalogue,
            unloading=unloading,
            loads=loads,
            rules=self.rules,
            past=None if read is None else self.recalled.past_for(read, moment(t), self.rules),
            known=self.recalled.known(t),
        )
        return self.snapshot


def snapshot_of(state: Json) -> Snapshot:
    """The first snapshot that a state makes."""
    return Story().see(0.0, state)
