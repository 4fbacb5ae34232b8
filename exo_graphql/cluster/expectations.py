"""What the deployments of this server expect of the cluster. Its health and the status of a model depend on it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expectations:
    """The expectations of all deployments together."""

    coming: frozenset[str] = frozenset()
    """Models that a deployment keeps trying to load: that they are not loaded is never final."""
    concerns: tuple[str, ...] = ()
    """Why the cluster is not healthy: deployments that should be ready and are not, a sentence each."""


NO_EXPECTATIONS = Expectations()
