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
        return min(self.renew_every / 4, 0.5)

    @property
    def idle_after(self) -> float:
        """After which the database ends a transaction that goes on no more. It keeps others from the lease's row."""
        return min(self.renew_every, 2.0)


DEFAULT_LEASE_RULES = LeaseRules()
