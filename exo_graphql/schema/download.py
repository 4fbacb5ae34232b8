"""The type `Download`."""

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.error_text import one_line
from exo_graphql.schema.context import Info
from exo_graphql.schema.fields import field
from exo_graphql.schema.model import Model
from exo_graphql.schema.node import Node
from exo_graphql.schema.scalars import Bytes


def _node(root: Parent[state.Download], info: Info) -> state.Node:
    return info.context.snapshot.state.nodes[root.node_id]


def _status(root: Parent[state.Download], info: Info) -> DownloadStatus:
    return info.context.snapshot.download_status(root)


def _error(root: Parent[state.Download]) -> str | None:
    return None if root.error is None else one_line(root.error)


@strawberry.type(
    description="The weights of a model on one node: complete, partial, being downloaded, failed or not started."
)
class Download:
    """`cluster.state.Download`, with its neighbours."""

    id: strawberry.ID = field(description="Node id and model id, joined by a colon.")
    node: Node = field(resolver=_node, description="The node that stores or downloads the weights.")
    model: Model = field(description="The model that the weights belong to.")
    status: DownloadStatus = field(resolver=_status, description="Status of the download.")
    downloaded_gb: float | None = field(
        description="Downloaded size in GiB (2^30 bytes), one decimal; null if unknown."
    )
    total_gb: float | None = field(
        description="Total size in GiB, one decimal; null if unknown, never for DOWNLOADING and COMPLETED."
    )
    downloaded_bytes: Bytes | None = field(description="Downloaded size in bytes, exact; null if unknown.")
    total_bytes: Bytes | None = field(
        description="Total size in bytes, exact; null if unknown, never for DOWNLOADING and COMPLETED."
    )
    progress_percent: float | None = field(description="Progress, 0 to 100; null if either size is unknown.")
    speed_mb_s: float | None = field(
        description="Speed in MiB (2^20 bytes) per second while DOWNLOADING, otherwise null."
    )
    eta_seconds: float | None = field(
        description="Remaining seconds while DOWNLOADING, as estimated by exo; otherwise null."
    )
    completed_files: int | None = field(description="Number of complete files while DOWNLOADING, otherwise null.")
    total_files: int | None = field(description="Total number of files while DOWNLOADING, otherwise null.")
    error: str | None = field(resolver=_error, description="Why it FAILED, on one line; otherwise null.")
