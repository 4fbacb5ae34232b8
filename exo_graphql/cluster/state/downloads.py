"""The weights of one model on one node."""

from dataclasses import dataclass, field
from enum import Enum, unique
from functools import cached_property

from exo_graphql.cluster.state.cards import ModelCard
from exo_graphql.cluster.units import MIB, gib, percent


@unique
class DownloadKind(Enum):
    """exo's own tag of a download; `DownloadStatus` is what it means."""

    PENDING = "PENDING"
    ONGOING = "ONGOING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Download:
    """The weights of a model on a node: complete, partial, failed, or not started.

    Without slots, so that derived values can be cached: an answer may hold hundreds of downloads. It refers to its
    model but not to its node: the telemetry of a node changes each second, and an unchanged download is the same object
    from state to state.
    """

    node_id: str
    model_id: str
    kind: DownloadKind
    downloaded_bytes: int | None = None
    total_bytes: int | None = None
    speed: float | None = None
    eta_ms: float | None = None
    completed_files: int | None = None
    total_files: int | None = None
    error: str | None = None
    model: ModelCard | None = field(default=None, repr=False, compare=False)

    @cached_property
    def id(self) -> str:
        """Node id and model id: exo has one entry for each pair."""
        return f"{self.node_id}:{self.model_id}"

    @cached_property
    def downloaded_gb(self) -> float | None:
        """GiB."""
        return gib(self.downloaded_bytes)

    @cached_property
    def total_gb(self) -> float | None:
        """GiB."""
        return gib(self.total_bytes)

    @cached_property
    def progress_percent(self) -> float | None:
        """0-100."""
        return percent(self.downloaded_bytes, self.total_bytes)

    @cached_property
    def speed_mb_s(self) -> float | None:
        """MiB a second while downloading, else None."""
        return None if self.speed is None else round(self.speed / MIB, 1)

    @cached_property
    def eta_seconds(self) -> float | None:
        """Remaining seconds as exo estimates them while downloading, else None."""
        return None if self.eta_ms is None else round(self.eta_ms / 1000, 1)
