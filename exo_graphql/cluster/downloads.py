"""The status of a download. exo lists one for every model card that it knows, whether anybody wants it or not."""

from collections.abc import Collection, Sequence
from enum import Enum, unique

from exo_graphql.cluster.readiness import all_begun
from exo_graphql.cluster.state import Download, DownloadKind, State


@unique
class DownloadStatus(Enum):
    """The status of a download. exo's `DownloadPending` may be NOT_STARTED, PENDING or PAUSED."""

    NOT_STARTED = "NOT_STARTED"
    PENDING = "PENDING"
    DOWNLOADING = "DOWNLOADING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


_STATUSES = {
    DownloadKind.ONGOING: DownloadStatus.DOWNLOADING,
    DownloadKind.COMPLETED: DownloadStatus.COMPLETED,
    DownloadKind.FAILED: DownloadStatus.FAILED,
    DownloadKind.UNKNOWN: DownloadStatus.UNKNOWN,
}


def download_status(download: Download, needed: Collection[tuple[str, str]]) -> DownloadStatus:
    """The status of a download. `needed`: node and model of each shard that waits for weights."""
    if download.kind is not DownloadKind.PENDING:
        return _STATUSES[download.kind]
    # Nearly always nothing is needed, and a cluster of 32 nodes lists 4,000 downloads.
    if needed and (download.node_id, download.model_id) in needed:
        return DownloadStatus.PENDING
    return DownloadStatus.PAUSED if download.downloaded_bytes else DownloadStatus.NOT_STARTED


def needed_downloads(state: State) -> Sequence[tuple[str, str]]:
    """Node and model of each shard of the instances in which not every runner has begun to load."""
    needed = (
        (shard.node_id, instance.model_id)
        for instance in state.instances.values()
        if not all_begun(instance, state)
        for shard in instance.shards
        if shard.node_id is not None
    )
    return tuple(dict.fromkeys(needed))
