"""The status of one model: its best instance's phase, with what the history remembers."""

from dataclasses import dataclass, field
from datetime import datetime

from exo_graphql.cluster.readiness import READY, Failure, Phase


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Readiness of one model in one snapshot.

    `changed_at` is None until this server has seen the phase change; `final` says that exo has given up on it.
    """

    model_id: str
    found: bool
    phase: Phase = Phase.NOT_LOADED
    final: bool = False
    stale: bool = False
    progress_percent: float | None = None
    message: str = "Not loaded."
    eta_seconds: float | None = None
    node_ids: tuple[str, ...] = ()
    instance_ids: tuple[str, ...] = ()
    failure: Failure | None = None
    changed_at: datetime | None = None
    observed_at: datetime | None = field(default=None, compare=False)

    @property
    def ready(self) -> bool:
        """True in READY and RUNNING alone."""
        return self.phase in READY
