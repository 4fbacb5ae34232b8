"""The feed: one reader of exo's state for all who ask, whoever and however many they are.

It owns the latest snapshot, the one loop that replaces it, and the news that there is another.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import httpx

from exo_graphql import clock
from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.contact import Contact
from exo_graphql.cluster.loads import NO_LOADS, Loads
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.rules import DEFAULT_RULES, Rules
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.cluster.state import State
from exo_graphql.cluster.upstream import Unreachable, UpstreamError
from exo_graphql.exo.catalogue import Catalogue
from exo_graphql.exo.client import ExoClient, PollerStats, Untrusted
from exo_graphql.exo.commands import Commands
from exo_graphql.exo.credit import Credit
from exo_graphql.exo.demand import Demand
from exo_graphql.exo.endpoints import Endpoint, Endpoints
from exo_graphql.exo.pacing import Mode, PollerRules, longest_gap, lost_after, pause, read_timeout, usual_cost
from exo_graphql.exo.parse import NotAState, StateReader

logger = logging.getLogger(__name__)

# How often time alone is asked whether it changes what the last picture means, while exo is silent.
_LOOK_AGAIN = 0.5
# A turn of the loop below that took as long did not run: the machine slept, or this process was stopped.
_SUSPENDED = 3.0
# Seconds for which exo may answer that a state is what it was. Even at rest it moves every second, so this costs
# nothing; it bounds what an exo that was started again could hide behind an index it had before.
_KNOWN_LASTS = 10.0
# A read that has been under way for as long counts as silence.
_SLOW_READ = 1.0
# A read that hangs may last as long as the very silence that makes exo lost: another URL that answers gets its turn.
_LAST_CHANCE = 0.25

_NO_PICTURE = "No exo node has told the state of the cluster yet."
_SILENT = "No exo node answers at present."


@dataclass(frozen=True, slots=True)
class _Known:
    """A state that exo need not send again as long as it has the same ETag."""

    endpoint: Endpoint
    etag: str
    state: State
    read_at: float


class Poller(Commands):
    """`Upstream` for one cluster behind one or several URLs. It reads while it is entered (`async with`).

    `transport` reaches an exo in this process; None means the network. `now` stamps
    snapshots and measures every age and every silence; the event loop's own clock only times the waits.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        tls: ssl.SSLContext | None = None,
        rules: PollerRules | None = None,
        readiness: Rules = DEFAULT_RULES,
        now: Callable[[], Moment] = clock.now,
    ) -> None:
        self.rules = rules if rules is not None else PollerRules()
        self.stats = PollerStats()
        timeout = self.rules.command_timeout
        clients = [ExoClient(url, transport, tls=tls, command_timeout=timeout, stats=self.stats) for url in urls]
        self._demand = Demand(self.rules.look_lasts)
        super().__init__(Endpoints(clients, self.rules, self._demand.roused.set))
        self._catalogue = Catalogue(self.rules, self._look_again)
        self._readiness = readiness
        self._now = now
        self._source = Source(self._endpoints.current.client.url)
        self._snapshot: Snapshot | None = None
        self._unloading: Mapping[str, str] = {}
        self._loads = NO_LOADS
        self._listeners: list[Callable[[Snapshot], None]] = []
        self._news = asyncio.Event()
        """Set, and replaced, with each picture."""
        self._task: asyncio.Task[None] | None = None
        self._credit = Credit()
        self._known: _Known | None = None
        self._reader = StateReader()

        # Reads are numbered: which of two began first is never a question of how fine a clock is.
        self._begun = 0
        """The number of the last read that has begun."""
        self._succeeded = 0
        """The number of the last read that gave a state."""
        self._failed = 0
        """The number of the last read that gave none, from any URL."""
        self._turned = asyncio.Event()
        """Set, and replaced, when a read ends, good or not, and when exo counts as lost."""

        # When what happened (`Moment.elapsed`).
        self._asked_at = float("-inf")
        """Start of the read that the last state came from."""
        self._rested_at = float("-inf")
        """End of the last read, good or not."""
        self._silent_since: float | None = None
        """Start of the first read that has not been answered since the last good one."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="feed")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        try:
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
            self._turn_over()
        finally:
            for endpoint in self._endpoints.all:
                await endpoint.client.aclose()

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._reading())
                tasks.create_task(self._watching_the_time())
                tasks.create_task(self._catalogue.keep())
                for endpoint in self._endpoints.all:
                    tasks.create_task(self._endpoints.keep(endpoint))
        except Exception:
            # A fault of ours. Whoever asks must at least learn that what he sees will not move any more.
            logger.exception("The feed has ended; nothing reads exo's state any more.")
            self._source = replace(self._source, connected=False)
            self._look_again()
            self._turn_over()

    # What the house sees

    @property
    def snapshot(self) -> Snapshot | None:
        """The newest picture; None before the first state."""
        return self._snapshot

    async def fresh(self, max_age: float = 1.0) -> Snapshot:
        """A picture read from exo no more than `max_age` seconds ago, if one can be had within `fresh_wait`.

        Else the newest there is, which tells by `connected`, `stale` and `observed_at` what it is worth. Many who wait
        share one read. Raises `Unreachable` when there is no first picture within `first_wait`.
        """
        now = self._elapsed()
        self._demand.queries(now)
        oldest = now - max_age
        if self._snapshot is None or self._is_worth_waiting(oldest):
            patience = self.rules.first_wait if self._snapshot is None else self.rules.fresh_wait
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    while self._snapshot is None or self._is_worth_waiting(oldest):
                        self._demand.wait()
                        await self._news.wait()
        if self._snapshot is None:
            raise self._unreachable(_NO_PICTURE)
        return self._snapshot

    def _is_worth_waiting(self, oldest: float) -> bool:
        """Whether the picture is older than asked for and exo is not known to be silent."""
        return self._asked_at < oldest and self._source.connected

    def _unreachable(self, message: str) -> Unreachable:
        """With the cause where it is one that only whoever runs this server can mend."""
        causes = (
            endpoint.client.untrusted for endpoint in self._endpoints.all if endpoint.client.untrusted is not None
        )
        cause = next(causes, None)
        return Unreachable(message) if cause is None else Untrusted(f"{message} {cause}")

    async def read_now(self) -> Snapshot:
        """A snapshot whose read began after this call, at once as far as there is credit; see `Upstream`.

        Raises `Unreachable` as soon as a read that began after the call has failed at every URL, or while exo counts
        as lost; where there has never been a snapshot, after `first_wait` at the latest.
        """
        after = self._begun
        try:
            async with asyncio.timeout(self.rules.first_wait if self._snapshot is None else None):
                while self._succeeded <= after:
                    if self._failed > after or not self._source.connected or self._task is None:
                        raise self._unreachable(_SILENT if self._snapshot is not None else _NO_PICTURE)
                    self._demand.hurry()
                    await self._turned.wait()
        except TimeoutError as error:
            raise self._unreachable(_NO_PICTURE) from error
        if self._snapshot is None:
            raise self._unreachable(_NO_PICTURE)
        return self._snapshot

    async def changed(self, since: Snapshot | None, *, urgent: bool = False) -> Snapshot:
        """Waits for a snapshot other than `since`. Wakes at each reading, changed or not; see `Upstream`."""
        while self._snapshot is None or self._snapshot is since:
            if urgent:
                self._demand.hurry()
            await self._news.wait()
        return self._snapshot

    @contextmanager
    def listen(self, listener: Callable[[Snapshot], None]) -> Iterator[None]:
        """While inside, `listener` is called with each picture at once; it must neither block nor raise."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def interest(self) -> AbstractContextManager[None]:
        """While inside, somebody looks: the state is read at the pace of rest, and quicker in a transition."""
        return self._demand.interest()

    def watching(self) -> AbstractContextManager[None]:
        """While inside, the state is read at the quicker pace of an operation under way."""
        return self._demand.operation()

    def mark_unloading(self, unloading: Mapping[str, str]) -> None:
        """Tells the pictures which instances (id → model id) this server asked exo to delete and is not done with."""
        self._unloading = dict(unloading)
        self._look_again()

    def mark_loads(self, loads: Loads) -> None:
        """Tells the snapshots which models this server's operations are to load, and which they could not."""
        self._loads = loads
        self._look_again()

    # Reading

    @property
    def mode(self) -> Mode:
        """Who is looking at what now."""
        return self._demand.mode(self._snapshot)

    async def _reading(self) -> None:
        while True:
            await self._turn()
            try:
                await self._read()
            except Exception:
                # A state that our own code stumbles over must not end all reading: it is a read that failed.
                logger.exception("A state of exo could not be understood.")
                self.stats.failures += 1
                self._failed = self._begun
                self._turn_over()
                await asyncio.sleep(self.rules.idle_pause)

    def _elapsed(self) -> float:
        return self._now().elapsed

    async def _turn(self) -> None:
        """Waits until the state is to be read again."""
        while True:
            self._demand.roused.clear()
            delay = self._due() - self._elapsed()
            if delay <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(delay if delay < float("inf") else None):
                    await self._demand.roused.wait()

    def _due(self) -> float:
        if self._endpoints.shut:
            return float("inf")
        if self._silent_since is not None:
            return float("-inf")
        cost = self.stats.cost or 0.0
        quick = pause(Mode.QUICK, cost, self.rules)
        if self._demand.urgent:
            return self._rested_at + self._credit.urgent(quick)
        if self._demand.waits or self.mode is Mode.QUICK:
            return self._rested_at + self._credit.usual(quick)
        return self._rested_at + pause(self.mode, cost, self.rules)

    async def _read(self) -> None:
        """Reads the state from the first URL that gives one."""
        # What an operation acts upon is read whole: an ETag that is an event's index names no session of exo's.
        whole = self._demand.urgent
        self._demand.waits = self._demand.urgent = False
        self._begun += 1
        if self._silent_since is None:
            # Silence begins with a request that is not answered, never with a pause in which there was none.
            self._silent_since = self._elapsed()
            quick = pause(Mode.QUICK, self.stats.cost or 0.0, self.rules)
            self._credit.spend(quick, kept=self._silent_since - self._rested_at)
        tried: set[Endpoint] = set()
        while (endpoint := self._endpoints.next(tried)) is not None:
            tried.add(endpoint)
            try:
                state, asked_at, cost = await self._read_through(endpoint, whole=whole)
            except UpstreamError as error:
                self._endpoints.failed(endpoint, error)
            except NotAState as error:
                self._endpoints.failed(endpoint, error, logging.ERROR)
            else:
                self._received(endpoint, state, asked_at, cost)
                self._succeeded = self._begun
                break
            self.stats.failures += 1
        else:
            self._failed = self._begun
        self._rested_at = self._elapsed()
        self._turn_over()

    def _turn_over(self) -> None:
        turned, self._turned = self._turned, asyncio.Event()
        turned.set()

    async def _read_through(self, endpoint: Endpoint, *, whole: bool) -> tuple[State, float, float]:
        """The state, when it was asked for, and how many seconds that took."""
        if not endpoint.identified:
            await endpoint.identify(self.rules.read_timeout)
        asked_at = self._elapsed()
        known = None if whole or endpoint.failures else self._known
        if known is not None and (known.endpoint is not endpoint or asked_at - known.read_at >= _KNOWN_LASTS):
            known = None
        patience = read_timeout(self.stats.cost, self.rules, endpoint.failures)
        answer = await endpoint.client.state(patience, None if known is None else known.etag)
        cost = self._elapsed() - asked_at
        body = answer.body
        if body is None and known is not None:
            return known.state, asked_at, cost
        if body is None:
            raise NotAState("nothing, to a request that named no state")
        state = await self._reader.read(body)
        self._known = None if answer.etag is None else _Known(endpoint, answer.etag, state, asked_at)
        return state, asked_at, cost

    def _received(self, endpoint: Endpoint, state: State, asked_at: float, cost: float) -> None:
        gap = asked_at - self._asked_at
        self._endpoints.succeeded(endpoint)
        if self._is_another(endpoint, state):
            endpoint.identified = False
        self._source = Source(endpoint.client.url, endpoint.node_id)
        self._asked_at = asked_at
        self._silent_since = None
        self._demand.waits = self._demand.urgent = False
        self._publish(self._next(state, unbroken=gap <= longest_gap(self.stats.cost, self.rules)))
        self.stats.cost = usual_cost(self.stats.cost, cost, self.stats.reads, self.rules)
        self.stats.reads += 1
        self._catalogue.after_a_read(endpoint, looked_at=self._demand.looks(self._elapsed()))

    def _is_another(self, endpoint: Endpoint, state: State) -> bool:
        """Whether exo may have been started again behind the same URL: its id is no member, and the members changed.

        While they do not change it would tell the same id again: it is not asked before each read.
        """
        if endpoint.node_id is None or not state.nodes or endpoint.node_id in state.nodes:
            return False
        return self._snapshot is None or self._snapshot.state.nodes.keys() != state.nodes.keys()

    def _next(self, state: State | None, *, unbroken: bool = False) -> Snapshot | None:
        """The next snapshot; None only while there has never been a state."""
        if state is None and self._snapshot is None:
            return None
        snapshot, _ = advance(
            self._snapshot,
            state,
            self._now(),
            self._source,
            contact=Contact(self._silent_since, self._asked_at, unbroken),
            catalogue=self._catalogue.cards,
            unloading=self._unloading,
            loads=self._loads,
            rules=self._readiness,
        )
        return snapshot

    def _look_again(self) -> None:
        """Publishes the last picture anew if something but its age has changed."""
        snapshot = self._next(None)
        if snapshot is not None and self._snapshot is not None and snapshot.version != self._snapshot.version:
            self._publish(snapshot)

    def _publish(self, snapshot: Snapshot | None) -> None:
        if snapshot is None:
            return
        self._snapshot = snapshot
        news, self._news = self._news, asyncio.Event()
        news.set()
        for listener in tuple(self._listeners):
            try:
                listener(snapshot)
            except Exception:
                logger.exception("A listener failed; the others are told all the same.")

    # Time

    async def _watching_the_time(self) -> None:
        """Notices by time alone that exo does not answer, and what that makes of the last snapshot."""
        before = self._elapsed()
        while True:
            now = self._elapsed()
            if now - before >= _SUSPENDED:
                self._wake_up(now)
            before = now
            wait = _LOOK_AGAIN
            if self._silent_since is not None and self._snapshot is not None:
                silence = now - self._silent_since
                lost_at = self._silent_since + self._patience()
                if now >= lost_at and self._source.connected:
                    logger.warning("No response from exo for %.1f s.", silence)
                    self._source = replace(self._source, connected=False)
                    self._look_again()
                    self._turn_over()
                elif silence >= _SLOW_READ:
                    self._look_again()
                if now < lost_at:
                    wait = min(wait, lost_at - now)
            await asyncio.sleep(wait)

    def _patience(self) -> float:
        """Seconds without an answer after which exo counts as lost."""
        patience = lost_after(self.mode, self.stats.cost, self.rules, self._readiness.unseen_after)
        return patience + _LAST_CHANCE if self._endpoints.have_a_standby else patience

    def _wake_up(self, now: float) -> None:
        """This process, or the whole machine, was suspended: exo was not asked meanwhile, so it was not silent."""
        logger.info("This server was suspended for a while; reading exo's state again.")
        if self._silent_since is not None:
            self._silent_since = now
        self._demand.roused.set()
