"""The `Leadership` of a server that shares a database: a task takes the lease when it is free, and renews it.

Whether this server leads is read off the clock at each question: a process that was stopped and goes on does not
lead any more, before any of its tasks has run. A timer calls the listeners when the time alone has changed something.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from exo_graphql.storage.changes import Changes
from exo_graphql.storage.leadership import Leaderless, Replica
from exo_graphql.storage.lease import Lease, Row
from exo_graphql.storage.lease_rules import LeaseRules
from exo_graphql.storage.postgres_session import CONNECT_ANY_SECONDS, Connection, Session, Unknown, within
from exo_graphql.storage.replica_rows import ReplicaRows
from exo_graphql.storage.store import NotLeader, StoreError

log = logging.getLogger(__name__)

# A timer of the event loop may fire a little before the time of another clock.
SOON = 0.002
# A notification that is later than this is lost.
NOTIFIED_WITHIN = 0.1


class SharedLeadership:
    """See `Leadership`."""

    def __init__(
        self, url: str, namespace: str, name: str, address: str | None, rules: LeaseRules, elapsed: Callable[[], float]
    ) -> None:
        """`address`: where other servers reach this one over HTTP. `elapsed`: see `Lease`."""
        self._url = url
        self._elapsed = elapsed
        self._own = Replica(uuid4().hex, name, address, datetime.now(UTC), leads=False)
        self.lease = Lease(namespace, self._own.id, name, rules, elapsed=elapsed, changed=self._notice)
        self.rows = ReplicaRows(namespace)
        self.changes = Changes(namespace, self._own.id, writes_alone=lambda: self.leads)
        self.secret: str | None = None
        """See `Leadership`; None until `open`."""
        self.changes.listen(self._another_wrote)
        self._session = Session(url)
        """Of its own, so that the lease is not lost behind a call that takes long."""
        self._listeners: dict[object, Callable[[], None]] = {}
        self._others: tuple[Replica, ...] = ()
        self._other_leader: tuple[Row, float] | None = None
        """The lease of another server, and until when it is valid, by `elapsed`."""
        self._announced: object = None
        self._timer: asyncio.TimerHandle | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._shown_at = -float("inf")
        """When this server has last said that it is there."""
        self._failure: str | None = None
        """Why the database cannot be used; None while it can."""
        self._double: set[str] = set()
        """Servers that advertise the URL of this one."""

    # As `Leadership`

    @property
    def own(self) -> Replica:
        """See `Leadership`."""
        return replace(self._own, leads=self.leads)

    @property
    def leads(self) -> bool:
        """See `Leadership`."""
        return self.lease.is_held

    @property
    def seconds_left(self) -> float:
        """See `Leadership`."""
        return self.lease.seconds_left

    @property
    def leader(self) -> Replica | None:
        """See `Leadership`."""
        return next((replica for replica in self.replicas if replica.leads), None)

    @property
    def leaderless(self) -> Leaderless | None:
        """See `Leadership`."""
        other = self._other_leader
        return None if self.leads or (other is not None and self._elapsed() < other[1]) else self._leaderless()

    def _leaderless(self) -> Leaderless:
        failure = self._trouble() or self._failure
        if failure is not None:
            return Leaderless(f"No server is known to lead. {failure}", is_certain=False)
        barred = [f"{server.name} {server.barred}" for server in self.replicas if server.barred is not None]
        if len(barred) == len(self.replicas):
            return Leaderless(f"No server can lead: {'; '.join(barred)}.")
        return Leaderless("No server leads now.")

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """See `Leadership`."""
        own, others = self.own, self._others
        leader = self._other_leader
        if not own.leads and leader is not None and self._elapsed() < leader[1]:
            row = leader[0]
            others = tuple(replace(other, leads=other.id == row.holder) for other in others)
        return tuple(sorted((own, *others), key=lambda replica: (replica.name, replica.id)))

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """See `Leadership`."""
        key = object()
        self._listeners[key] = callback
        return lambda: (self._listeners.pop(key, None), None)[1]

    def begin_only_while(self, rests: Callable[[], bool]) -> None:
        """See `Leadership`."""
        self.lease.rests = rests

    def _trouble(self) -> str | None:
        passing = self._session.last_error
        return None if passing is None else f"The database cannot be used: {passing}"

    def describe(self, *, barred: str | None, reads_exo: bool | None) -> None:
        """See `Leadership`."""
        described = replace(self._own, barred=barred, reads_exo=reads_exo)
        if described != self._own:
            self._own = described
            self._shown_at = -float("inf")
            self._wake.set()
            self._notice()

    def resign(self) -> None:
        """See `Leadership`. The others find that out by the end of the lease."""
        self.lease.lose()

    def term(self) -> int:
        """The term in which this server leads. Raises `NotLeader`."""
        held = self.lease.held
        if held is not None and self.leads:
            return held.term
        leader = self.leader
        if leader is not None:
            raise NotLeader(f"Another server leads: {leader.name}.")
        raise NotLeader(f"{self._leaderless().message} Try again in some seconds.")

    # Its task

    async def open(self) -> None:
        """Finds the others, and takes the lease if it is free; then goes on with that. Raises `StoreError`."""
        await within(CONNECT_ANY_SECONDS, self._session, self._introduce)
        self._renewing = asyncio.create_task(self._renew(), name="lease")

    async def _introduce(self, connection: Connection) -> None:
        await self.rows.succeed(connection, self._own)
        self.changes.start_from(await self.rows.versions(connection))
        await self._take_turn(connection)
        await self._meet(connection)

    async def close(self) -> None:
        """Gives the lease up, so that another server need not wait for its end."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])
            with suppress(StoreError):
                await within(self.lease.rules.renew_every, self._session, self._leave)
        self.lease.lose()
        self._stop_timer()
        await self._session.close()

    async def _leave(self, connection: Connection) -> None:
        await self.lease.give_up(connection)
        await self.rows.leave(connection, self._own)

    async def _renew(self) -> None:
        failed = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause(failed=failed)):
                    await self._wake.wait()
            self._wake.clear()
            try:
                # The time to connect is no part of the time to answer: of several hosts the first may be gone.
                await within(CONNECT_ANY_SECONDS, self._session, _nothing)
                await within(self.lease.rules.renew_every, self._session, self._take_turn)
                # A slow database takes longer for these statements than the lease can wait for.
                await within(self.lease.rules.duration / 2, self._session, self._meet)
            except StoreError as error:
                if not failed:
                    log.warning("The lease could not be %s: %s", "renewed" if self.leads else "read", error)
                failed = True
                self._failure = self._trouble() or str(error)
                if isinstance(error, Unknown):
                    # It may hang for minutes on a connection that is cut.
                    self._session = Session(self._url)
                self._notice()
            except Exception:
                # Whatever is wrong here: a server that never tries again would never lead.
                log.exception("The lease could not be read.")
                failed = True
            else:
                if failed:
                    log.info("The database answers again.")
                failed, self._failure = False, None
                self._notice()

    def _another_wrote(self, *_: object) -> None:
        if self.leader is None:
            self._wake.set()  # it leads, and is seen now

    def _pause(self, *, failed: bool) -> float:
        rules = self.lease.rules
        if self.changes.is_waiting and not failed:
            return min(NOTIFIED_WITHIN, rules.look_every)
        if self.lease.held is not None and not failed:
            return rules.renew_every
        leader = self._other_leader
        until_end = rules.look_every if leader is None or failed else leader[1] - self._elapsed()
        return min(max(until_end, SOON), rules.look_every)

    async def _take_turn(self, connection: Connection) -> None:
        """Renews the lease, or takes it if it is free."""
        lease = self.lease
        if lease.held is None or not await lease.take(connection):
            row = await lease.observe(connection)
            if lease.is_free(row) and await lease.take(connection):
                row = None
            self._see(row)
        else:
            self._see(None)
        self._notice()

    async def _meet(self, connection: Connection) -> None:
        """Sees what the others have written; now and then shows this server, and sees who is there."""
        await self._show(connection)
        self.changes.compare(await self.rows.versions(connection))
        self._notice()

    async def _show(self, connection: Connection) -> None:
        rules, leader = self.lease.rules, self._other_leader
        is_known = leader is None or any(other.id == leader[0].holder for other in self._others)
        if is_known and self._elapsed() - self._shown_at < rules.renew_every - SOON:
            return
        gone = 2 * rules.duration
        # Each time: a standby that takes the place of the database may not have it, and another server makes one.
        self.secret = await self.rows.secret(connection)
        await self.rows.show(connection, self.own)
        if self.leads:
            await self.rows.forget(connection, gone)
        self._others = tuple(await self.rows.others(connection, self._own, gone))
        self._shown_at = self._elapsed()
        self._warn_of_double_urls()

    def _warn_of_double_urls(self) -> None:
        double = {other.name for other in self._others if other.url is not None and other.url == self._own.url}
        for name in double - self._double:
            log.warning(
                "%s is said to be reached at %s, as this server is: mutations cannot be passed on. Give both a "
                "--advertise-url where other machines reach them.",
                name,
                self._own.url,
            )
        self._double = double

    def _see(self, row: Row | None) -> None:
        """Whose lease it is; None where it is this server's, or nobody's."""
        if row is None or row.holder == self._own.id or row.left <= 0 or row.seconds == 0:
            self._other_leader = None
        else:
            self._other_leader = row, self._elapsed() + min(row.left, row.seconds)

    # Listeners

    def _notice(self) -> None:
        """Calls the listeners if something has changed since they were called last."""
        if self.leads is not self._own.leads:
            self._own = replace(self._own, leads=self.leads, since=datetime.now(UTC))
            self._shown_at = -float("inf")
            self._wake.set()
            log.info("This server leads." if self._own.leads else "This server does not lead any more.")
        state = self.replicas, self.leaderless, self.secret
        if state != self._announced:
            self._announced = state
            for callback in tuple(self._listeners.values()):
                try:
                    callback()
                except Exception:
                    # It must not keep this server from its lease.
                    log.exception("A change of the leader could not be taken over.")
        self._set_timer()

    def _set_timer(self) -> None:
        """For the next moment at which the time alone changes something."""
        self._stop_timer()
        now, held, leader = self._elapsed(), self.lease.held, self._other_leader
        moments = [] if held is None else [held.begins, held.until]
        if leader is not None:
            moments.append(leader[1])
        coming = [moment for moment in moments if moment > now]
        if coming:
            self._timer = asyncio.get_running_loop().call_later(min(coming) - now + SOON, self._notice)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def _nothing(_: Connection) -> None:
    """To connect."""
