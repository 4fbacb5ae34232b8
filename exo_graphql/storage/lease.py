"""Which of several servers may write: a row with an end, by the clock of the database.

The holder renews it. Each write checks, in its own transaction, that the row still names its holder and term: so what
a server that was stopped for a while writes late is refused, whatever that server believes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from psycopg import AsyncConnection

from exo_graphql.storage.leadership import Replica
from exo_graphql.storage.store import NotLeader


@dataclass(frozen=True, slots=True)
class LeaseRules:
    """In seconds."""

    duration: float = 6.0
    """How long a lease lasts unless it is renewed. A server that is killed is replaced after this time."""
    renew_every: float = 2.0
    """Between two renewals: two may fail before the lease ends."""


DEFAULT_LEASE_RULES = LeaseRules()


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that was held when it was renewed last."""

    term: int
    until: float
    """By `elapsed`, counted from before the database was asked: its end comes earlier here."""


class Lease:
    """This server's share in the lease of a namespace."""

    def __init__(
        self,
        namespace: str,
        name: str,
        rules: LeaseRules = DEFAULT_LEASE_RULES,
        *,
        elapsed: Callable[[], float],
    ) -> None:
        """`name` says which server it is, to people. `elapsed` is a clock that also counts while the machine sleeps."""
        self.rules = rules
        self._namespace = namespace
        self._name = name
        self._elapsed = elapsed
        # A server that starts again is another holder: what its predecessor sent late must not pass for its own.
        self._holder = uuid4().hex
        self.held: Held | None = None
        self._since = datetime.now(UTC)

    @property
    def is_held(self) -> bool:
        """Whether this server may act: it was the holder, and the time is not over."""
        return self.held is not None and self._elapsed() < self.held.until

    # As `Leadership`

    @property
    def own(self) -> Replica:
        """See `Leadership`."""
        return Replica(self._holder, self._name, None, self._since, self.is_held)

    @property
    def leads(self) -> bool:
        """See `Leadership`."""
        return self.is_held

    @property
    def seconds_left(self) -> float:
        """See `Leadership`."""
        return 0.0 if self.held is None else max(0.0, self.held.until - self._elapsed())

    @property
    def leader(self) -> Replica | None:
        """See `Leadership`."""
        return self.own if self.leads else None

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """See `Leadership`."""
        return (self.own,)

    @property
    def secret(self) -> str | None:
        """See `Leadership`."""
        return None

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002
        """See `Leadership`."""
        return lambda: None

    async def renew(self, connection: AsyncConnection[Any]) -> str | None:
        """Takes or renews the lease. Returns the name of the server that holds it instead, or None."""
        asked_at = self._elapsed()
        taken = await connection.execute(
            "INSERT INTO exo_graphql_leases AS lease (namespace, holder, name, term, expires_at) "
            "VALUES (%(namespace)s, %(holder)s, %(name)s, 1, clock_timestamp() + %(seconds)s * interval '1 second') "
            "ON CONFLICT (namespace) DO UPDATE SET holder = excluded.holder, name = excluded.name, "
            "term = lease.term + (lease.holder <> excluded.holder)::int, expires_at = excluded.expires_at "
            "WHERE lease.holder = excluded.holder OR lease.expires_at < clock_timestamp() RETURNING term",
            {"namespace": self._namespace, "holder": self._holder, "name": self._name, "seconds": self.rules.duration},
        )
        row = await taken.fetchone()
        if row is not None:
            self.held = Held(row[0], asked_at + self.rules.duration)
            return None
        self.held = None
        holders = await connection.execute(
            "SELECT name FROM exo_graphql_leases WHERE namespace = %s", (self._namespace,)
        )
        other = await holders.fetchone()
        return "another server" if other is None else str(other[0])

    async def check(self, connection: AsyncConnection[Any]) -> None:
        """Holds the lease for the rest of the transaction. Raises `NotLeader`."""
        if self.held is not None:
            found = await connection.execute(
                "SELECT 1 FROM exo_graphql_leases WHERE namespace = %s AND holder = %s AND term = %s FOR SHARE",
                (self._namespace, self._holder, self.held.term),
            )
            if await found.fetchone() is not None:
                return
        raise NotLeader("Another server has taken over. Send the request again: it then reaches that server.")

    async def give_up(self, connection: AsyncConnection[Any]) -> None:
        """Ends the lease now, so that another server need not wait."""
        if self.held is not None:
            self.held = None
            await connection.execute(
                "UPDATE exo_graphql_leases SET expires_at = clock_timestamp() WHERE namespace = %s AND holder = %s",
                (self._namespace, self._holder),
            )
