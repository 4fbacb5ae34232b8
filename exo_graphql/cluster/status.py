"""The status of one model: its best instance's phase, with what the history remembers."""

from dataclasses import dataclass, field
from datetime import datetime

from exo_graphql.cluster.readiness import Failure, Phase


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Readiness of one model in one snapshot.

    `ready` only if all `instance_ids` are: exo sends a request to the one with the fewest tasks, ready or not.
    `changed_at` is None until this server has seen the phase change; `final` says that nothing more comes by itself.
    `attempt` counts exo's attempts at the instance that counts, from 1; None where none is under way.
    """

    model_id: str
    found: bool
    phase: Phase = Phase.NOT_LOADED
    ready: bool = False
    ready_instances: int = 0
    final: bool = False
    stale: bool = False
    progress_percent: float | None = None
    message: str = "Not loaded."
    eta_seconds: float | None = None
    node_ids: tuple[str, ...] = ()
    instance_ids: tuple[str, ...] = ()
    attempt: int | None = None
    failure: Failure | None = None
    changed_at: datetime | None = None
    observed_at: datetime | None = field(default=None, compare=False)
