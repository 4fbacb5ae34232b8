"""What happened between two snapshots, as far as the second can no longer show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exo_graphql.cluster.readiness import Failure, Phase


@dataclass(frozen=True, slots=True)
class RemovedInstance:
    """An instance that exo no longer lists."""

    id: str
    model_id: str
    was_ready: bool
    """Every runner had been ready, and none had failed since."""
    unloaded: bool
    """An operation of this server had asked for it."""
    lost: bool
    """exo lost it with a node or with its master: nobody had asked for it."""
    failure: Failure | None
    """Why it is gone, where anything went wrong that had not been said yet."""


@dataclass(frozen=True, slots=True)
class Transitions:
    """What was seen on the way from one snapshot to the next. Empty for the first: nothing is known to have changed."""

    phases: Mapping[str, tuple[Phase, Phase]] = field(default_factory=dict)
    """By model id, for those whose phase changed: the phase before and after."""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    """By model id: what went wrong and had not been said yet, the last one of each model."""
    removed: tuple[RemovedInstance, ...] = ()
    """Instances that are gone, in exo's order."""
    started_again: bool = False
    """exo's state began anew, since its last master is gone: every instance is lost, and every id may be another."""
