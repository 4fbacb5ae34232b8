"""The type `Download`."""

from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent

from exo_graphql.cluster import state
from exo_graphql.cluster.downloads import DownloadStatus
from exo_graphql.cluster.readiness import one_line
from exo_graphql.schema.context import Info
from exo_graphql.schema.fields import field
from exo_graphql.schema.scalars import Bytes

if TYPE_CHECKING:
    from exo_graphql.schema.model import Model
    from exo_graphql.schema.node import Node


def _node(root: Parent[state.Download], info: Info) -> state.Node:
    return info.context.snapshot.state.nodes[root.node_id]


def _status(root: Parent[state.Download], info: Info) -> DownloadStatus:
    return info.context.snapshot.download_status(root)


def _error(root: Parent[state.Download]) -> str | None:
    return None if root.error is None else one_line(root.error)


@strawberry.type(description="The weights of a model on a node: there, on the way, failed, or merely possible.")
class Download:
    """`cluster.state.Download`, with its neighbours."""

    id: strawberry.ID = field(description="Node id and model id, joined by a colon.")
    node: Annotated["Node", strawberry.lazy("exo_graphql.schema.node")] = field(
        resolver=_node, description="The node that holds or fetches the weights."
    )
    model: Annotated["Model", strawberry.lazy("exo_graphql.schema.model")] = field(
        description="The model whose weights they are."
    )
    status: DownloadStatus = field(resolver=_status, description="What it means.")
    downloaded_gb: float | None = field(description="What is there, in GiB (2^30 bytes), one decimal; null if unknown.")
    total_gb: float | None = field(description="The whole, in GiB, one decimal; known for DOWNLOADING and COMPLETED.")
    downloaded_bytes: Bytes | None = field(description="What is there, in bytes, exactly; null if unknown.")
    total_bytes: Bytes | None = field(description="The whole, in bytes, exactly; known for DOWNLOADING and COMPLETED.")
    progress_percent: float | None = field(description="0 to 100; null if either size is unknown.")
    speed_mb_s: float | None = field(description="MiB (2^20 bytes) a second while DOWNLOADING, else null.")
    eta_seconds: float | None = field(description="Seconds to go, as exo estimates while DOWNLOADING, else null.")
    completed_files: int | None = field(description="Files that are complete, while DOWNLOADING, else null.")
    total_files: int | None = field(description="Files in all, while DOWNLOADING, else null.")
    error: str | None = field(resolver=_error, description="Why it FAILED, in one line, else null.")
