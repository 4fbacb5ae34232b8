"""What happened between two snapshots and is no longer visible in the second."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exo_graphql.cluster.readiness import Failure, Phase


@dataclass(frozen=True, slots=True)
class RemovedInstance:
    """An instance that exo no longer lists."""

    id: str
    model_id: str
    was_ready: bool
    """Every runner had been ready, and none had failed afterwards."""
    unloaded: bool
    """An operation of this server deleted it."""
    lost: bool
    """exo lost it with a node or with its master: nobody deleted it."""
    failure: Failure | None
    """Why it is gone; None if nothing went wrong, or the reason was reported before."""


@dataclass(frozen=True, slots=True)
class Transitions:
    """What changed from one snapshot to the next. Empty for the first snapshot."""

    phases: Mapping[str, tuple[Phase, Phase]] = field(default_factory=dict)
    """The phase before and after, by model id, of each model whose phase changed."""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    """The newest failure that was not reported before, by model id."""
    removed: tuple[RemovedInstance, ...] = ()
    """Instances that are gone, in exo's order."""
    started_again: bool = False
    """exo's state started from nothing, since it lost its master: all instances are lost, and node ids may be new."""
