"""Which downloads a list shows."""

from collections.abc import Collection, Iterator

from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Download

# A tuple: to look for an enum's member in a set takes Python's own hash of it.
_STARTED = tuple(status for status in DownloadStatus if status is not DownloadStatus.NOT_STARTED)


def select_downloads(
    snapshot: Snapshot,
    status: Collection[DownloadStatus] | None = None,
    *,
    model_id: str | None = None,
    node_id: str | None = None,
) -> tuple[Download, ...]:
    """Downloads of members by status, model and node. Without `status`, all but the NOT_STARTED."""
    if status is None and model_id is None and node_id is None:
        return snapshot.started_downloads
    wanted = _STARTED if status is None else tuple(status)
    return tuple([d for d in _listed(snapshot, model_id, node_id) if snapshot.download_status(d) in wanted])


def _listed(snapshot: Snapshot, model_id: str | None, node_id: str | None) -> Iterator[Download]:
    # By the two keys that exo lists them under: a walk over all of them for each node would be dear.
    by_node = snapshot.state.downloads
    for lister in by_node if node_id is None else (node_id,):
        entries = by_node.get(lister, {}) if lister in snapshot.state.nodes else {}
        if model_id is None:
            yield from entries.values()
        elif model_id in entries:
            yield entries[model_id]
