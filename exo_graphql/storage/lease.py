"""Which of several servers may write: a row with an end, by the clock of the database.

The holder renews it. Each write checks, in its own transaction, that the row still names its holder and term: so what
a server that was stopped for a while writes late is refused, whatever that server believes.

exo itself checks no row. So that no two servers act on it at once, each also measures by its own clock, which nobody
can set: the holder acts only for `duration` from before it asked, and the next one only once that has passed since it
saw the last renewal. The clock of the database may then jump without harm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from exo_graphql.storage.lease_rules import DEFAULT_LEASE_RULES, LeaseRules
from exo_graphql.storage.store import NotLeader


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that was held when it was renewed last. Times by `elapsed`."""

    term: int
    begins: float
    """Before, the holder before this one may still act."""
    until: float
    """Counted from before the database was asked: its end comes earlier here."""


@dataclass(frozen=True, slots=True)
class Row:
    """The lease of a server, as the database has it."""

    holder: str
    name: str
    term: int
    expires_at: str
    """As the database writes it: it is compared, and read by the database alone."""
    seconds: float
    """How long it lasts from each renewal on; 0 where it was given up."""
    left: float
    """Seconds until its end, by the clock of the database."""


class Lease:
    """This server's share in the lease of a namespace."""

    def __init__(
        self,
        namespace: str,
        holder: str,
        name: str,
        rules: LeaseRules = DEFAULT_LEASE_RULES,
        *,
        elapsed: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`holder` is another one after each start, since what this server's predecessor sent late is not its own.

        `name` says which server it is, to people. `elapsed` is a clock that also counts while the machine sleeps.
        `changed` is called after each change of `held`.
        """
        self.rules = rules
        self.held: Held | None = None
        self.rests: Callable[[], bool] = lambda: True
        """Whether nothing of this server acts any more because of a lease that it held before."""
        self.first_term = 0
        """All terms from here to the present one were this server's."""
        self._namespace = namespace
        self._holder = holder
        self._name = name
        self._elapsed = elapsed
        self._changed = changed
        self._seen: Row | None = None
        """The last row of another server."""
        self._ends: dict[str, float] = {}
        """Until when each other holder may act, by `elapsed`."""
        self._newest_term = 0
        """Of all that were seen: a row that somebody deletes must not begin at 1 again."""
        self._own_term = -1
        """This server's last one."""

    @property
    def is_held(self) -> bool:
        """Whether this server may act: it is the holder, and the time is not over."""
        return self.held is not None and self.held.begins <= self._elapsed() < self.held.until

    @property
    def seconds_left(self) -> float:
        """Until its end; 0 where this server may not act."""
        if self.held is None or not self.is_held:
            return 0.0
        return max(0.0, self.held.until - self._elapsed())

    async def observe(self, connection: AsyncConnection[Any]) -> Row | None:
        """Reads the row, and remembers when it changed."""
        found = await connection.execute(
            "SELECT holder, name, term, expires_at::text, seconds, (extract(epoch FROM expires_at) - "
            "extract(epoch FROM clock_timestamp()))::float8 FROM exo_graphql_leases WHERE namespace = %s",
            (self._namespace,),
        )
        read = await found.fetchone()
        if read is None:
            return None
        row = Row(*read)
        self._newest_term = max(self._newest_term, row.term)
        if row.holder != self._holder:
            self._remember(row)
        return row

    def _remember(self, row: Row) -> None:
        seen, self._seen = self._seen, row
        now = self._elapsed()
        if row.seconds == 0:
            self._ends[row.holder] = now
        elif seen is None:
            # When it was renewed is not known here: only the database can say how long it is still valid.
            self._ends[row.holder] = now + min(max(row.left, 0.0), row.seconds)
        elif (seen.holder, seen.term, seen.expires_at) != (row.holder, row.term, row.expires_at):
            self._ends[row.holder] = now + row.seconds

    def is_free(self, row: Row | None) -> bool:
        """Whether the lease may be taken: it has ended by the clock of the database, or by this server's."""
        return row is None or row.holder == self._holder or row.left <= 0 or self.ends(row) <= self._elapsed()

    def ends(self, row: Row) -> float:
        """Until when the holder of that row may act, by `elapsed`."""
        return self._ends.get(row.holder, 0.0)

    async def take(self, connection: AsyncConnection[Any]) -> bool:
        """Takes or renews the lease; False where another server has it, or this one must rest first.

        A lease that was over is taken anew, with another term: what was sent before must not be written any more. And
        not before this server rests: what still acts here knows nothing of what another one may have done meanwhile.
        """
        while True:
            asked_at = self._elapsed()
            before = self.held if self.held is not None and asked_at < self.held.until else None
            if before is None:
                self.lose()
                if not self.rests():
                    return False
            term = await self._ask(connection, before)
            if term is None:
                self.lose()
                return False
            until = asked_at + self.rules.duration
            if before is not None and before.term == term:
                if self._elapsed() < before.until:
                    self._hold(Held(term, before.begins, until))
                    return True
                self.lose()  # it ended while the database did not answer
                continue
            self.lose()
            if before is not None and not self.rests():
                return False  # somebody has removed the row, for example
            if term != self._own_term + 1:
                self.first_term = term
            self._own_term = term
            self._newest_term = max(term, self._newest_term)
            now = self._elapsed()
            self._ends = {holder: end for holder, end in self._ends.items() if end > now}
            self._hold(Held(term, max(self._ends.values(), default=now), until))
            return True

    async def _ask(self, connection: AsyncConnection[Any], before: Held | None) -> int | None:
        seen = self._seen
        # One that has not been renewed for its whole duration may be taken though the database says that it lasts:
        # its clock was set back.
        ended = seen if seen is not None and self.ends(seen) <= self._elapsed() else None
        taken = await connection.execute(
            "INSERT INTO exo_graphql_leases AS lease (namespace, holder, name, term, expires_at, seconds) VALUES "
            "(%(namespace)s, %(holder)s, %(name)s, %(known)s + 1, "
            "clock_timestamp() + %(seconds)s * interval '1 second', %(seconds)s) "
            "ON CONFLICT (namespace) DO UPDATE SET holder = excluded.holder, name = excluded.name, "
            "expires_at = excluded.expires_at, seconds = excluded.seconds, "
            "term = CASE WHEN lease.holder = excluded.holder AND lease.term = %(held)s THEN lease.term "
            "ELSE greatest(lease.term, %(known)s) + 1 END "
            "WHERE lease.holder = excluded.holder OR lease.expires_at <= clock_timestamp() "
            "OR (lease.holder = %(ended_holder)s AND lease.term = %(ended_term)s "
            "AND lease.expires_at = %(ended_at)s::timestamptz) RETURNING term",
            {
                "namespace": self._namespace,
                "holder": self._holder,
                "name": self._name,
                "seconds": self.rules.duration,
                "known": self._newest_term,
                "held": 0 if before is None else before.term,
                "ended_holder": None if ended is None else ended.holder,
                "ended_term": None if ended is None else ended.term,
                "ended_at": None if ended is None else ended.expires_at,
            },
        )
        row = await taken.fetchone()
        return None if row is None else int(row[0])

    def lose(self) -> None:
        """From now on this server may not act."""
        if self.held is not None:
            self.held = None
            self._changed()

    def _hold(self, held: Held) -> None:
        self.held = held
        self._changed()

    async def check(self, connection: AsyncConnection[Any], term: int) -> None:
        """Holds the lease of that term for the rest of the transaction. Raises `NotLeader`."""
        found = await connection.execute(
            "SELECT 1 FROM exo_graphql_leases WHERE namespace = %s AND holder = %s AND term = %s FOR SHARE",
            (self._namespace, self._holder, term),
        )
        if await found.fetchone() is None:
            if self.held is not None and self.held.term == term:
                self.lose()
            raise NotLeader("Another server has taken over. Send the request again: it then reaches that server.")

    async def give_up(self, connection: AsyncConnection[Any]) -> None:
        """Ends the lease now, so that another server need not wait. The caller has stopped acting."""
        self.lose()
        await connection.execute(
            "UPDATE exo_graphql_leases SET expires_at = clock_timestamp(), seconds = 0 "
            "WHERE namespace = %s AND holder = %s",
            (self._namespace, self._holder),
        )
