"""Sends mutations to the server that leads, over HTTP, and never twice what may happen once.

    leader known ──▶ connect ──▶ sent ──▶ answered
         ▲             │           │
         │             │ fails     │ breaks off, is garbage, or another server leads
         └── a change, ◀───────────┤ repeatable: sent again, to the leader of then
             or 0.25 s             └ else: NoAnswer

What cannot have been carried out (no connection; an answer that says so) is sent again until the time of one take-over
is over. A server that receives a mutation and does not lead says so, and passes nothing on: two servers that each take
the other for the leader do not send it to and fro.
"""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol, Self

import httpx
import orjson

from exo_graphql import __version__
from exo_graphql.replicas.mutation import Answered, LeaderError, Mutation, NoAnswer, NoDatabase, NoLeader, TooMany
from exo_graphql.storage import Leadership, Replica, StoreError
from exo_graphql.tls import NoCertificates, client_context, why_not

log = logging.getLogger(__name__)

PATH = "/replica/graphql"
"""Of the route that takes mutations from other servers."""
OUTCOME_HEADER = "exo-graphql-outcome"
"""In the answer to a mutation that the leader dealt with: the name of its `Outcome`."""
ROLE_HEADER = "exo-graphql-role"
"""In the answer of a server that does not lead, with `NOT_LEADING`: nothing was carried out."""
NOT_LEADING = HTTPStatus.CONFLICT


@dataclass(frozen=True, slots=True)
class ForwardRules:
    """In seconds, or counts."""

    take_over: float = 4.0
    """How long a leader is waited for after a whole lease: until the next one has noticed its end, and has begun."""
    retry_every: float = 0.25
    """Between two attempts, unless something changes before."""
    connect: float = 2.0
    """Until a leader counts as unreachable."""
    probe: float = 1.0
    """Until the database counts as away, where no server leads."""
    answer: float = 30.0
    """Until a leader counts as hanging: `testWebhooks` and `addModel` take up to 15 s."""
    grace: float = 2.5
    """How long a server that no longer leads may go on answering. Longer than `connect`."""
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


class _NotDone(Exception):
    """An attempt that certainly changed nothing. The message says why."""


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
        self._tls = tls
        self._rules = rules
        self._patience = lease_seconds + rules.take_over
        """Seconds that a leader is waited for."""
        self._clients: dict[bool, httpx.AsyncClient] = {}
        """By whether it speaks https: reading the certificates takes 20 ms."""
        self._sending = asyncio.Semaphore(rules.max_connections)
        self.waiting = 0
        """Mutations that wait for their answer."""
        self.ended: Counter[str] = Counter()
        """How many have ended in each of `FORWARD_OUTCOMES`."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients.values():
            await client.aclose()

    @property
    def leads(self) -> bool:
        """See `Forwarder`."""
        return self._role.leading

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
            log.warning("A mutation was not answered by the server that leads: %s", error)
            raise
        finally:
            self.waiting -= 1
        if answered is not None:
            self.ended["answered"] += 1
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
            except _NotDone as failure:
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
        if self._leadership.leader is None:
            try:
                async with asyncio.timeout(self._rules.probe):
                    await self._read_store()
            except (StoreError, TimeoutError):
                return NoDatabase("The database does not answer, so no server leads.")
        return NoLeader(reason)

    async def _attempt(self, mutation: Mutation, changes: "_Changes", until: float) -> Answered:
        """Sends it to the leader of now. Raises `_NotDone` and `NoAnswer`."""
        leader = self._leadership.leader
        if leader is None:
            raise _NotDone("No server leads.")
        if leader.id == self._leadership.own.id:
            raise _NotDone("This server leads, and has not begun to act.")
        try:
            async with asyncio.timeout_at(until):
                await self._sending.acquire()
        except TimeoutError:
            raise _NotDone(f"Many mutations wait for {leader.name}, which leads.") from None
        try:
            return await self._send(leader, mutation, changes)
        finally:
            self._sending.release()

    async def _send(self, leader: Replica, mutation: Mutation, changes: "_Changes") -> Answered:
        posting = asyncio.create_task(self._post(leader, mutation), name="mutation to the leader")
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

    async def _post(self, leader: Replica, mutation: Mutation) -> Answered:
        secret = self._leadership.secret
        if leader.url is None or secret is None:
            raise _NotDone(f"{leader.name} leads, and has no address (--advertise-url).")
        body = {
            "to": leader.id,
            "query": mutation.query,
            "operationName": mutation.operation_name,
            "variables": mutation.variables,
            "by": mutation.by,
            "rights": "OPERATE",
            "trusted": mutation.trusted,
        }
        headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
        url = leader.url.rstrip("/") + PATH
        try:
            client = self._client(https=url.startswith("https:"))
            request = client.build_request("POST", url, content=orjson.dumps(body), headers=headers)
            response = await client.send(request, stream=True)
        except NoCertificates as error:
            raise _NotDone(str(error)) from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise _NotDone(f"{leader.name} leads, and cannot be reached: {_said(error)}") from error
        except httpx.HTTPError as error:
            raise NoAnswer(f"The connection to {leader.name} broke: {_said(error)}") from error
        except Exception as error:  # such as an OverflowError for the port 99999, in a group
            raise NoAnswer(f"It could not be sent to {leader.name}: {type(error).__name__}.") from error
        try:
            return await self._read(leader, response)
        finally:
            await response.aclose()

    def _client(self, *, https: bool) -> httpx.AsyncClient:
        client = self._clients.get(https)
        if client is None:
            # A connection for each request: one that is kept may be closed by the leader just as a request is sent, and
            # then nobody knows whether that was carried out. Proxies of the environment are for other things.
            client = self._clients[https] = httpx.AsyncClient(
                verify=self._tls() if https else False,
                timeout=httpx.Timeout(None, connect=self._rules.connect),
                limits=httpx.Limits(max_keepalive_connections=0),
                follow_redirects=False,
                trust_env=False,
                headers={"user-agent": f"exo-graphql/{__version__}", "accept-encoding": "identity"},
            )
        return client

    async def _read(self, leader: Replica, response: httpx.Response) -> Answered:
        outcome = response.headers.get(OUTCOME_HEADER)
        status = response.status_code
        if status == HTTPStatus.OK and outcome is not None:
            return Answered(outcome, await self._payload(leader, response))
        if status == NOT_LEADING and ROLE_HEADER in response.headers:
            raise _NotDone(f"{leader.name} has not begun to lead, or no longer leads.")
        if status == HTTPStatus.UNAUTHORIZED:
            raise _NotDone(f"What answers at the address of {leader.name} shares no database with this server.")
        if response.is_client_error or response.is_redirect:
            raise _NotDone(f"What answers at the address of {leader.name} refused it with HTTP {status}.")
        raise NoAnswer(f"{leader.name}, or a proxy before it, answered HTTP {status}.")

    async def _payload(self, leader: Replica, response: httpx.Response) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in response.aiter_raw():
                chunks.append(chunk)
                size += len(chunk)
                if size > self._rules.max_answer_bytes:
                    raise NoAnswer(f"The answer of {leader.name} is too long.")
        except httpx.HTTPError as error:
            raise NoAnswer(f"The connection to {leader.name} broke: {_said(error)}") from error
        payload = b"".join(chunks)
        try:
            if isinstance(orjson.loads(payload), dict):
                return payload
        except orjson.JSONDecodeError:
            pass
        raise NoAnswer(f"The answer of {leader.name} is not one of GraphQL.")


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


def _said(error: Exception) -> str:
    return why_not(error) or f"{str(error).rstrip('.') or type(error).__name__}."
