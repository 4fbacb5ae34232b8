"""Which downloads a list contains."""

from collections.abc import Collection, Iterator

from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Download

# A tuple: a set would call Enum.__hash__, which is Python code, for each download.
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
    statuses = _STARTED if status is None else tuple(status)
    return tuple([d for d in _listed(snapshot, model_id, node_id) if snapshot.download_status(d) in statuses])


def _listed(snapshot: Snapshot, model_id: str | None, node_id: str | None) -> Iterator[Download]:
    # By the two keys that exo lists them under: 32 nodes x 4,000 downloads would be 128,000 steps for one query.
    by_node = snapshot.state.downloads
    for listed_id in by_node if node_id is None else (node_id,):
        entries = by_node.get(listed_id, {}) if listed_id in snapshot.state.nodes else {}
        if model_id is None:
            yield from entries.values()
        elif model_id in entries:
            yield entries[model_id]
