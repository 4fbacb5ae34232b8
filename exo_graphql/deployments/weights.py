"""The weights of a deployment on the nodes where it would be loaded: there, on their way, or to be fetched. Pure.

They are fetched before the model is loaded, not by the operation that loads it. An operation that fetches 400 GB would
take hours, during which no other deployment could be restored, and a swap would reserve its nodes for as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from exo_graphql.cluster.error_text import one_line
from exo_graphql.cluster.names import label
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Download, DownloadKind, ModelCard
from exo_graphql.cluster.units import gib

SPARE_DISK_SHARE = 0.1
SPARE_DISK_BYTES = 50 * (1 << 30)
"""Weights are fetched only where the larger of the two stays free."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """Nodes that are known to lack the weights. A sentence is "" where it does not apply."""

    to_fetch: tuple[str, ...]
    """Ids of nodes where no download is under way, and the disk has space."""
    no_disk: str
    """Why they are not fetched onto some of them."""
    failure: str
    """Why exo has failed to fetch them. It allows another try within a minute."""
    progress: str
    arrived_bytes: int
    """Of those under way."""


def lacking(snapshot: Snapshot, card: ModelCard, node_ids: Sequence[str], *, exactly: bool = False) -> Lacking | None:
    """The nodes of `node_ids` that lack the weights of `card`; None where none is known to (one may not have reported).

    Unless it must be `exactly` these nodes, no download is added while as many other nodes fetch them: the best node
    changes from second to second with free memory, and in the end the one that has the weights is preferred.
    """
    by_node = snapshot.state.downloads
    found = [by_node[id_].get(card.id) for id_ in node_ids if id_ in by_node]
    missing = [download for download in found if download is not None and download.kind is not DownloadKind.COMPLETED]
    if not missing:
        return None
    idle = [d for d in missing if d.kind not in (DownloadKind.ONGOING, DownloadKind.FAILED)]
    full = [
        d for d in idle if not _has_disk(snapshot, d.node_id, (card.storage_bytes or 0) - (d.downloaded_bytes or 0))
    ]
    under_way = [d for d in missing if d.kind is DownloadKind.ONGOING]
    if not exactly and idle:
        everywhere = [snapshot.state.download(node.id, card.id) for node in snapshot.nodes]
        others = [d for d in everywhere if d is not None and d.kind is DownloadKind.ONGOING]
        if len(others) >= len(missing):
            idle, full, under_way = [], [], others
    failure = ""
    for failed in (d for d in missing if d.kind is DownloadKind.FAILED):
        why = one_line(failed.error or "exo gave no reason.")
        failure = f"{_names(snapshot, [failed])} could not fetch {card.id}: {why}"
    return Lacking(
        to_fetch=() if full else tuple(download.node_id for download in idle),
        no_disk=f"The disk of {_names(snapshot, full)} is too full for the weights of {card.id}." if full else "",
        failure=failure,
        progress=_progress(snapshot, under_way or missing, card),
        arrived_bytes=sum(download.downloaded_bytes or 0 for download in under_way),
    )


def _progress(snapshot: Snapshot, downloads: Sequence[Download], card: ModelCard) -> str:
    size = card.storage_bytes or 0
    arrived = sum(min(size, download.downloaded_bytes or 0) for download in downloads)
    whole = f"{gib(arrived)} of {gib(size * len(downloads))} GiB" if size else f"{gib(arrived)} GiB so far"
    return f"Fetching its weights onto {_names(snapshot, downloads)}: {whole}."


def _names(snapshot: Snapshot, downloads: Sequence[Download]) -> str:
    return ", ".join(sorted(label(snapshot.state.nodes[download.node_id]) for download in downloads))


def _has_disk(snapshot: Snapshot, node_id: str, size: int) -> bool:
    node = snapshot.state.nodes[node_id]
    if node.disk_available_bytes is None or node.disk_total_bytes is None:
        return True  # exo does not report it, and checks the disk itself before it fetches
    return node.disk_available_bytes - size >= max(SPARE_DISK_SHARE * node.disk_total_bytes, SPARE_DISK_BYTES)
