"""Which downloads a list shows."""

from collections.abc import Collection

from exo_graphql.cluster.snapshot import DownloadStatus, Snapshot
from exo_graphql.cluster.state import Download


def select_downloads(
    snapshot: Snapshot,
    status: Collection[DownloadStatus] | None = None,
    *,
    model_id: str | None = None,
    node_id: str | None = None,
) -> tuple[Download, ...]:
    """Downloads of members by status, model and node. Without `status`, all but the NOT_STARTED."""
    listed = snapshot.started_downloads if status is None else snapshot.all_downloads
    if status is None and model_id is None and node_id is None:
        return listed
    return tuple(
        download
        for download in listed
        if (model_id is None or download.model_id == model_id)
        and (node_id is None or download.node_id == node_id)
        and (status is None or snapshot.download_status(download) in status)
    )
