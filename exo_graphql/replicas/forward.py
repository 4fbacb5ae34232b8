"""Sends mutations to the server that leads, over HTTP, and never twice what may happen once.

    leader known ──▶ asked whether it leads ──▶ sent ──▶ answered
         ▲             │                          │
         │             │ fails                    │ breaks off, is garbage, or another server leads
         └── a change, ◀──────────────────────────┤ repeatable: sent again, to the leader of then
             or 0.25 s                            └ else: NoAnswer

What cannot have been carried out (no answer to the question; an answer that says so) is sent again until the time of
one take-over is over. The question is for leaders that hang: what is sent to one may be carried out when it goes on.
A server that receives a mutation and does not lead says so, and passes nothing on: two servers that each take the other
for the leader do not send it to and fro.
"""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

from exo_graphql.replicas.leader_client import LeaderClient, NotDone
from exo_graphql.replicas.mutation import Answered, LeaderError, Mutation, NoAnswer, NoDatabase, NoLeader, TooMany
from exo_graphql.storage import Leadership, Replica, StoreError
from exo_graphql.tls import client_context

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ForwardRules:
    """In seconds, or counts."""

    take_over: float = 4.0
    """How long a leader is waited for after a whole lease: until the next one has noticed its end, and has begun."""
    retry_every: float = 0.25
    """Between two attempts, unless something changes before."""
    connect: float = 2.0
    """Until a leader that does not say that it leads counts as unreachable."""
    probe: float = 1.0
    """Until the database counts as away, where no server leads."""
    answer: float = 30.0
    """Until a leader counts as hanging: `testWebhooks` and `addModel` take up to 15 s."""
    grace: float = 2.5
    """How long a server that no longer leads may go on answering."""
    max_waiting: int = 500
    """Mutations that wait for the leader at once; further ones are refused."""
    max_connections: int = 32
    """Mutations that are sent at once."""
    max_answer_bytes: int = 16 << 20
    """The cost of a mutation's result is limited: no leader answers as much."""


DEFAULT_FORWARD_RULES = ForwardRules()


class Role(Protocol):
    """`Roles`, as far as it is needed here."""

    @property
    def leading(self) -> bool:
        """Whether all parts of this server act."""
        ...

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back whenever `leading` or the leadership has changed; returns how to stop."""
        ...

    async def refresh(self) -> None:
        """Waits until what others have written is shown here. Bounded in time; never raises."""
        ...


class Forwarding:
    """A `Forwarder` of a server that shares its store. Use as `async with`."""

    def __init__(
        self,
        leadership: Leadership,
        role: Role,
        read: Callable[[], Awaitable[object]],
        *,
        lease_seconds: float,
        tls: Callable[[], ssl.SSLContext] = client_context,
        rules: ForwardRules = DEFAULT_FORWARD_RULES,
    ) -> None:
        """`read` reads something of the store, whatever it is; it may raise `StoreError`.

        `tls` is called where a leader's URL is of https; it may raise `NoCertificates`.
        """
        self._leadership = leadership
        self._role = role
        self._read_store = read
        self._client = LeaderClient(tls, connect=rules.connect, max_answer_bytes=rules.max_answer_bytes)
        self._rules = rules
        self._patience = lease_seconds + rules.take_over
        """Seconds that a leader is waited for."""
        self._last: Replica | None = None
        """The leader that was known last."""
        self._sending = asyncio.Semaphore(rules.max_connections)
        self._logged = ""
        """Why mutations are not answered at present, as the log says."""
        self.waiting = 0
        """Mutations that wait for their answer."""
        self.ended: Counter[str] = Counter()
        """How many have ended in each of `FORWARD_OUTCOMES`."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    @property
    def leads(self) -> bool:
        """See `Forwarder`. Not any more once the lease is over, though the parts of the server have yet to rest."""
        return self._role.leading and self._leadership.leads

    async def forward(self, mutation: Mutation) -> Answered | None:
        """See `Forwarder`. What is answered afterwards on this server shows what the mutation changed."""
        if self.waiting >= self._rules.max_waiting:
            self.ended["refused"] += 1
            raise TooMany(self._rules.max_waiting)
        self.waiting += 1
        try:
            with _Changes(self._role) as changes:
                answered = await self._forward(mutation, changes)
        except LeaderError as error:
            self.ended["unknown" if isinstance(error, NoAnswer) else "unreachable"] += 1
            if str(error) != self._logged:  # not once for each caller who tries again
                self._logged = str(error)
                log.warning("A mutation was not answered by the server that leads: %s", error)
            raise
        finally:
            self.waiting -= 1
        if answered is not None:
            self.ended["answered"] += 1
            self._logged = ""
            await self._role.refresh()
        return answered

    async def _forward(self, mutation: Mutation, changes: "_Changes") -> Answered | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        is_extended = False
        while not self.leads:
            seen = changes.count
            try:
                return await self._attempt(mutation, changes, until)
            except NotDone as failure:
                reason = str(failure)
            except NoAnswer as failure:
                if not mutation.repeatable or is_extended:
                    raise
                # It may have taken all the time. The leader of now is waited for as if the mutation had just arrived.
                reason, is_extended, until = str(failure), True, loop.time() + self._patience
            if loop.time() >= until:
                raise await self._no_leader(reason)
            await changes.wait(seen, min(until, loop.time() + self._rules.retry_every))
        return None

    async def _no_leader(self, reason: str) -> NoLeader:
        leaderless = self._leadership.leaderless
        if leaderless is not None and not leaderless.is_certain:
            return NoDatabase(leaderless.message)
        if leaderless is not None:
            try:
                async with asyncio.timeout(self._rules.probe):
                    await self._read_store()
            except (StoreError, TimeoutError):
                return NoDatabase("The database does not answer, so no server leads.")
        return NoLeader(reason)

    async def _attempt(self, mutation: Mutation, changes: "_Changes", until: float) -> Answered:
        """Sends it to the leader of now. Raises `NotDone` and `NoAnswer`."""
        # The last one may lead all the same: the database may be away for this server alone. It is asked.
        leader = self._last = self._leadership.leader or self._last
        if leader is None:
            leaderless = self._leadership.leaderless
            raise NotDone("No server leads." if leaderless is None else leaderless.message)
        if leader.id == self._leadership.own.id:
            raise NotDone("This server leads, and has not begun to act.")
        try:
            async with asyncio.timeout_at(until):
                await self._sending.acquire()
        except TimeoutError:
            raise NotDone(f"Many mutations wait for {leader.name}, which leads.") from None
        try:
            await self._ask(leader, changes)
            return await self._send(leader, mutation, changes)
        finally:
            self._sending.release()

    async def _ask(self, leader: Replica, changes: "_Changes") -> None:
        """Returns if it says that it leads. Raises `NotDone`, also as soon as another server leads."""
        loop = asyncio.get_running_loop()
        asking = asyncio.create_task(self._client.ask(leader, self._leadership.secret), name="question to the leader")
        try:
            while not asking.done():
                seen = changes.count
                if self._is_replaced(leader):
                    raise NotDone(f"{leader.name} no longer leads.")
                await changes.wait(seen, loop.time() + self._rules.connect, asking)
            asking.result()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _send(self, leader: Replica, mutation: Mutation, changes: "_Changes") -> Answered:
        posting = asyncio.create_task(
            self._client.post(leader, self._leadership.secret, mutation), name="mutation to the leader"
        )
        loop = asyncio.get_running_loop()
        until = loop.time() + self._rules.answer
        was_replaced = False
        try:
            while not posting.done() and loop.time() < until:
                seen = changes.count
                if not was_replaced and self._is_replaced(leader):
                    was_replaced, until = True, min(until, loop.time() + self._rules.grace)
                await changes.wait(seen, until, posting)
            if posting.done():
                return posting.result()
        finally:
            posting.cancel()
            await asyncio.gather(posting, return_exceptions=True)
        if was_replaced:
            raise NoAnswer(f"{leader.name} did not answer, and no longer leads.")
        raise NoAnswer(f"{leader.name} did not answer within {self._rules.answer:g} s.")

    def _is_replaced(self, leader: Replica) -> bool:
        # Not where none is known: the database may be away for this server alone.
        now = self._leadership.leader
        return now is not None and now.id != leader.id


class _Changes:
    """Notices changes of the roles, within `with`."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self._wake = asyncio.Event()
        self.count = 0
        """How many there have been."""

    def __enter__(self) -> Self:
        self._stop = self._role.listen(self._changed)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _changed(self) -> None:
        self.count += 1
        self._wake.set()

    async def wait(self, count: int, until: float, ended: "asyncio.Task[Any] | None" = None) -> None:
        """Waits until there have been more changes than that, or the task has ended, or until that time of the loop."""
        if ended is not None:
            ended.add_done_callback(self._woken)
        try:
            async with asyncio.timeout_at(until):
                while self.count == count and not (ended is not None and ended.done()):
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            pass
        finally:
            if ended is not None:
                ended.remove_done_callback(self._woken)

    def _woken(self, _: "asyncio.Task[Any]") -> None:
        self._wake.set()
