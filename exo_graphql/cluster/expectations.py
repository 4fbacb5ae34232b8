"""What the deployments of this server expect of the cluster: health and the status of a model follow from it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expectations:
    """Of all deployments together."""

    coming: frozenset[str] = frozenset()
    """Models that a deployment goes on trying to load: nothing is final about their absence."""
    concerns: tuple[str, ...] = ()
    """Why the cluster is not healthy: deployments that are wanted and not ready, a sentence each."""


NO_EXPECTATIONS = Expectations()
