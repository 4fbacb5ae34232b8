"""Downloads of weights, as exo's `DownloadCoordinator` of each node reports them."""

import orjson

from exo_graphql.simulator.cards import Card, Document, whole_shard
from exo_graphql.simulator.clock import Process, Running
from exo_graphql.simulator.cluster import Node, SimulatedCluster
from exo_graphql.simulator.faults import Faults
from exo_graphql.simulator.state import Listed
from exo_graphql.trimmed import trimmed

REPORT_INTERVAL = 1.0
"""Seconds between two progress reports (exo throttles them to one a second)."""
RESCAN_INTERVAL = 60.0
"""Seconds between two scans of the disk, which turn a `DownloadFailed` into a `DownloadPending`."""


def fault_names(card: Card) -> tuple[str, ...]:
    """The names by which a fault can refer to this model."""
    return card.model_id, card.short_name, card.base_model


class Downloads:
    """Starts, continues and ends downloads; writes `state.downloads`."""

    def __init__(self, cluster: SimulatedCluster, faults: Faults) -> None:
        self._cluster = cluster
        self._faults = faults
        self._active: dict[tuple[str, str], Running] = {}
        """Those under way, by node and model id."""

    def list_all(self, node: Node) -> None:
        """Report every card known, as a node does when it joins: exo lists even models that no instance needs."""
        for card in self._cluster.cards.values():
            if self._cluster.has_weights(node, card):
                self._completed(node, card)
            else:
                self._pending(node, card, node.weights.get(card.model_id, 0))

    def status(self, node: Node, card: Card) -> str:
        """The tag under which the node lists the model; "" while it lists nothing."""
        listed = self._cluster.state.downloads.get(node.id, {}).get(card.model_id)
        return "" if listed is None else listed.tag

    def start(self, node: Node, card: Card) -> None:
        """Download; nothing happens if it is under way, complete or has just failed (as in exo)."""
        if not node.alive or self.status(node, card) in (
            "DownloadOngoing",
            "DownloadCompleted",
            "DownloadFailed",
        ):
            return
        if self._cluster.has_weights(node, card):
            self._completed(node, card)
            return
        self._ongoing(node, card, session=0, rate=0.0)
        self._active[node.id, card.model_id] = self._cluster.clock.spawn(self._fetch(node, card))

    def cancel(self, node: Node, card: Card) -> None:
        """Stop a download under way; what has arrived stays on the disk and is resumed from."""
        running = self._active.pop((node.id, card.model_id), None)
        if running is not None:
            running.cancel()
            self._pending(node, card, node.weights.get(card.model_id, 0))

    def delete(self, node: Node, card: Card) -> None:
        """Remove the files even if they are in use; a running instance keeps running."""
        self.cancel(node, card)
        node.weights.pop(card.model_id, None)
        self._pending(node, card, 0, total=0)

    def cancel_unneeded(self, needed: set[tuple[str, str]]) -> None:
        """Cancel all downloads that belong to no instance: exo does so at every deletion.

        (exo `master/placement.py`, `cancel_unnecessary_downloads`.)
        """
        for node_id, model_id in set(self._active) - needed:
            self.cancel(self._cluster.nodes[node_id], self._cluster.cards[model_id])

    def abandon(self, node: Node) -> None:
        """The node's exo died or began a new session: its downloads end without a word."""
        for key in [key for key in self._active if key[0] == node.id]:
            self._active.pop(key).cancel()

    def rescan(self) -> Process:
        """Look at all disks every minute, forever."""
        while True:
            yield max(RESCAN_INTERVAL, self._cluster.clock.lag - RESCAN_INTERVAL)
            for node in self._cluster.nodes.values():
                if node.alive and node.id in self._cluster.state.downloads:
                    for card in self._cluster.cards.values():
                        if self.status(node, card) == "DownloadFailed":
                            self._pending(node, card, node.weights.get(card.model_id, 0))

    def _fetch(self, node: Node, card: Card) -> Process:
        rate = node.machine.download_rate
        before = node.weights.get(card.model_id, 0)
        while True:
            left = card.repository_bytes - node.weights.get(card.model_id, 0)
            pause = min(REPORT_INTERVAL, left / rate)
            yield pause
            node.weights[card.model_id] = card.repository_bytes - max(0, left - round(pause * rate))
            if self._faults.strikes("download-fails", fault_names(card)):
                self._active.pop((node.id, card.model_id), None)
                self._failed(node, card)
                return
            if self._cluster.has_weights(node, card):
                self._active.pop((node.id, card.model_id), None)
                self._completed(node, card)
                return
            jitter = 1 if self._cluster.scenario.steady else self._cluster.rng.uniform(0.93, 1.05)
            self._ongoing(node, card, node.weights[card.model_id] - before, rate * jitter)

    def _list(self, node: Node, card: Card, tag: str, downloaded: int, total: int, fields: Document) -> None:
        entry = {
            tag: {
                "nodeId": node.id,
                "shardMetadata": whole_shard(card),
                "modelDirectory": f"{node.machine.models_directory}/{card.model_id.replace('/', '--')}",
                **fields,
            }
        }
        listed = Listed(tag, downloaded, total, orjson.Fragment(trimmed(orjson.dumps(entry))))
        self._cluster.state.downloads.setdefault(node.id, {})[card.model_id] = listed
        self._cluster.event()

    def _pending(self, node: Node, card: Card, downloaded: int, total: int | None = None) -> None:
        size = card.repository_bytes if total is None else total
        sizes = {"downloaded": {"inBytes": downloaded}, "total": {"inBytes": size}}
        self._list(node, card, "DownloadPending", downloaded, size, sizes)

    def _completed(self, node: Node, card: Card) -> None:
        size = card.repository_bytes
        self._list(node, card, "DownloadCompleted", size, size, {"total": {"inBytes": size}, "readOnly": False})

    def _failed(self, node: Node, card: Card) -> None:
        name = next(name for name in reversed(card.files) if name.endswith(".safetensors"))
        message = f"Failed to download {name} of {card.model_id}: 503, message='Service Unavailable'"
        self._list(node, card, "DownloadFailed", 0, 0, {"errorMessage": message})

    def _ongoing(self, node: Node, card: Card, session: int, rate: float) -> None:
        downloaded = node.weights.get(card.model_id, 0)
        total = card.repository_bytes
        files: dict[str, Document] = {}
        left, completed = downloaded, 0
        for name, size in card.files.items():
            here = min(left, size)
            left -= here
            completed += here == size
            files[name] = _progress(size, here, min(here, session), int(here == size), 1, 0.0, 0, {})
        eta = round((total - downloaded) / rate * 1000) if rate else 0
        progress = _progress(total, downloaded, session, completed, len(files), rate, eta, files)
        self._list(node, card, "DownloadOngoing", downloaded, total, {"downloadProgress": progress})


def _progress(
    total: int,
    downloaded: int,
    session: int,
    completed: int,
    count: int,
    rate: float,
    eta_ms: int,
    files: dict[str, Document],
) -> Document:
    return {
        "total": {"inBytes": total},
        "downloaded": {"inBytes": downloaded},
        "downloadedThisSession": {"inBytes": session},
        "completedFiles": completed,
        "totalFiles": count,
        "speed": rate,
        "etaMs": eta_ms,
        "files": files,
    }
