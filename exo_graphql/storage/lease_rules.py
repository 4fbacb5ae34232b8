"""How long one of several servers leads, and how often it says that it is there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeaseRules:
    """In seconds."""

    duration: float = 6.0
    """How long a lease lasts unless it is renewed. A server that is killed is replaced after this time."""
    renew_every: float = 2.0
    """Between two renewals: less than half of `duration`, so that one may fail before the lease ends."""

    @property
    def look_every(self) -> float:
        """Between two looks at the lease of another server."""
        return self.renew_every / 4


DEFAULT_LEASE_RULES = LeaseRules()
