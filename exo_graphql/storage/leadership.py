"""Which of the servers that share a store may act on the cluster. One that has a store of its own always may."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Replica:
    """One of the servers that share a store."""

    id: str
    """Drawn at its start: a server that starts again is another one."""
    name: str
    """For people, such as "mini-1:52416"."""
    url: str | None
    """Where the other servers reach it (`--advertise-url`); None where they cannot."""
    since: datetime
    """When it took its present role (UTC)."""
    leads: bool
    barred: str | None = None
    """Why it must not lead, to follow its name: "is read-only (--read-only)"; None where it may."""
    reads_exo: bool | None = None
    """Whether exo answers it; None where it need not ask, since another server does."""


@dataclass(frozen=True, slots=True)
class Leaderless:
    """That no server leads, as far as this one knows."""

    message: str
    """Why, as a sentence. It may be shown to a caller."""
    is_certain: bool = True
    """False where the database cannot be used from here: another server may lead all the same."""

    @property
    def hint(self) -> str:
        """Why, and what follows from it."""
        if self.is_certain:
            return f"{self.message} Operations are paused, and mutations refused."
        return f"{self.message} Operations and deployments may be shown as they were, and mutations refused."


class Leadership(Protocol):
    """This server's share in acting on the cluster. Reading it costs nothing and never fails."""

    @property
    def own(self) -> Replica:
        """This server."""
        ...

    @property
    def leads(self) -> bool:
        """Whether this server may act now, by its own clock."""
        ...

    @property
    def seconds_left(self) -> float:
        """How long it may act unless that is extended; 0 where it may not, infinite where no other server could."""
        ...

    @property
    def leader(self) -> Replica | None:
        """The one that leads, as far as this server knows; None where none does, or the store does not answer."""
        ...

    @property
    def leaderless(self) -> Leaderless | None:
        """Why `leader` is None; None where it is not."""
        ...

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """All servers that are there, by name, as far as this server knows; at least this one."""
        ...

    @property
    def secret(self) -> str | None:
        """What these servers show each other to be believed; None where there is one server only."""
        ...

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back, synchronously, whenever one of the above but `seconds_left` has changed; returns how to stop."""
        ...

    def begin_only_while(self, rests: Callable[[], bool]) -> None:
        """This server does not begin to lead while `rests` is false: what acts here would go on with what it knew.

        For example it is stopped for a minute. Another server takes over, ends what was under way, and is killed. This
        one leads again within milliseconds, perhaps before its operations have noticed that it did not.
        """
        ...

    def describe(self, *, barred: str | None, reads_exo: bool | None) -> None:
        """Shows this of this server to the others: see `Replica`."""
        ...

    def resign(self) -> None:
        """This server leads no more. Unless `begin_only_while` keeps it from that, it may begin again at once."""
        ...


class Alone:
    """The `Leadership` of a server that shares its store with none."""

    def __init__(self, own: Replica) -> None:
        self.own = own
        self.leads = True
        self.seconds_left = math.inf
        self.leader = own
        self.leaderless = None
        self.replicas = (own,)
        self.secret = None

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002  # nothing ever changes
        """See `Leadership`."""
        return lambda: None

    def begin_only_while(self, rests: Callable[[], bool]) -> None:
        """See `Leadership`."""

    def describe(self, *, barred: str | None, reads_exo: bool | None) -> None:
        """See `Leadership`: there are no others."""

    def resign(self) -> None:
        """See `Leadership`: no other server could lead."""


def is_shared(leadership: Leadership) -> bool:
    """Whether other servers may use the same store."""
    return leadership.seconds_left != math.inf
