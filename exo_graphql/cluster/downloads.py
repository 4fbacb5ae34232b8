"""What a download means: exo has one entry for every model card that it knows, wanted or not."""

from collections.abc import Collection, Sequence
from enum import Enum, unique

from exo_graphql.cluster.readiness import all_begun
from exo_graphql.cluster.state import Download, DownloadKind, State


@unique
class DownloadStatus(Enum):
    """What a download means; exo's one `DownloadPending` is three of these."""

    NOT_STARTED = "NOT_STARTED"
    PENDING = "PENDING"
    DOWNLOADING = "DOWNLOADING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


_MEANS = {
    DownloadKind.ONGOING: DownloadStatus.DOWNLOADING,
    DownloadKind.COMPLETED: DownloadStatus.COMPLETED,
    DownloadKind.FAILED: DownloadStatus.FAILED,
    DownloadKind.UNKNOWN: DownloadStatus.UNKNOWN,
}


def download_status(download: Download, needed: Collection[tuple[str, str]]) -> DownloadStatus:
    """What a download means. `needed` holds node and model of each shard that waits for weights."""
    if download.kind is not DownloadKind.PENDING:
        return _MEANS[download.kind]
    if (download.node_id, download.model_id) in needed:
        return DownloadStatus.PENDING
    return DownloadStatus.PAUSED if download.downloaded_bytes else DownloadStatus.NOT_STARTED


def needed_downloads(state: State) -> Sequence[tuple[str, str]]:
    """Node and model of each shard of the instances that wait for weights: a runner of theirs has not begun to load."""
    needed = (
        (shard.node_id, instance.model_id)
        for instance in state.instances.values()
        if not all_begun(instance, state)
        for shard in instance.shards
        if shard.node_id is not None
    )
    return tuple(dict.fromkeys(needed))
