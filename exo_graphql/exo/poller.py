"""One reader of exo's state for all queries, subscriptions and operations.

The poller owns the newest snapshot, the one loop that replaces it, and the event that announces the next.
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
from exo_graphql.cluster.expectations import NO_EXPECTATIONS, Expectations
from exo_graphql.cluster.loads import NO_LOADS, Loads
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.rules import DEFAULT_RULES, Rules
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.cluster.state import State
from exo_graphql.cluster.upstream import Refused, Unreachable, UpstreamError
from exo_graphql.exo.catalogue import Catalogue
from exo_graphql.exo.client import ExoClient, Untrusted
from exo_graphql.exo.commands import Commands
from exo_graphql.exo.credit import Credit
from exo_graphql.exo.demand import Demand, shows_in_runners
from exo_graphql.exo.endpoints import Endpoint, Endpoints
from exo_graphql.exo.notice import News, Notices, NotRunners, find_news
from exo_graphql.exo.pacing import (
    PROGRESS_EVERY,
    WHOLE_EVERY,
    Mode,
    PollerRules,
    longest_gap,
    notice_timeout,
    pause,
    read_timeout,
    usual_cost,
)
from exo_graphql.exo.parse import NotAState, StateReader
from exo_graphql.exo.poller_stats import PollerStats
from exo_graphql.exo.silence import LOOK_AGAIN, SUSPENDED, Silence

logger = logging.getLogger(__name__)

# Seconds for which a state may be confirmed by its ETag alone (304). exo's state changes every second even at rest, so
# this costs nothing. It bounds the harm of an ETag that is an event index: an exo that was restarted reaches index 500
# again with another state.
_KNOWN_LASTS = 10.0

_NO_STATE = "No exo node has reported the state of the cluster yet."
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
        super().__init__(Endpoints(clients, self.rules, self._demand.wake_up.set))
        self._catalogue = Catalogue(self.rules, self._republish_if_changed)
        self._readiness = readiness
        self._now = now
        self._source = Source(self._endpoints.current.client.url)
        self._snapshot: Snapshot | None = None
        self._unloading: Mapping[str, str] = {}
        self._loads = NO_LOADS
        self._expectations = NO_EXPECTATIONS
        self._listeners: list[Callable[[Snapshot], None]] = []
        self._published = asyncio.Event()
        """Set, and replaced, with each snapshot."""
        self._task: asyncio.Task[None] | None = None
        self._credit = Credit()
        self._known: _Known | None = None
        self._reader = StateReader()
        self._state: State | None = None
        """The last state that was read, whether or not a snapshot shows it."""
        self._notices = Notices(self.rules)
        self._news = News.NONE
        """What the last cheap read found; nothing any more once the whole state has been read."""

        # Reads are numbered, so that the order of two never depends on the resolution of a clock.
        self._begun = 0
        """The number of the last read that has begun."""
        self._succeeded = 0
        """The number of the last read that gave a state."""
        self._failed = 0
        """The number of the last read that gave none, from any URL."""
        self._read_ended = asyncio.Event()
        """Set, and replaced, when a read ends, good or not, and when exo counts as lost."""

        # Times are `Moment.elapsed`.
        self._asked_at = float("-inf")
        """Start of the read that the last state came from."""
        self._rested_at = float("-inf")
        """End of the last read, good or not."""
        self._silence = Silence(self.rules, readiness.unseen_after)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="poller")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        try:
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
            self._announce_end()
        finally:
            for endpoint in self._endpoints.all:
                await endpoint.client.aclose()

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._reading())
                tasks.create_task(self._watch_time())
                tasks.create_task(self._catalogue.keep())
                for endpoint in self._endpoints.all:
                    tasks.create_task(self._endpoints.keep(endpoint))
        except Exception:
            # A bug of ours. Clients must at least see that the state is no longer updated.
            logger.exception("The poller has ended; exo's state is no longer read.")
            self._source = replace(self._source, connected=False)
            self._republish_if_changed()
            self._announce_end()

    # Snapshots

    @property
    def snapshot(self) -> Snapshot | None:
        """The newest snapshot; None before the first state."""
        return self._snapshot

    async def fresh(self, max_age: float = 1.0) -> Snapshot:
        """A snapshot read from exo at most `max_age` seconds ago, if it arrives within `fresh_wait`.

        Otherwise the newest one; its `connected`, `stale` and `observed_at` say how far to trust it. All waiting
        callers share one read. Raises `Unreachable` when there is no first snapshot within `first_wait`.
        """
        now = self._elapsed()
        self._demand.query_at(now)
        oldest = now - max_age
        if self._snapshot is None or self._is_worth_waiting(oldest):
            patience = self.rules.first_wait if self._snapshot is None else self.rules.fresh_wait
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    while self._snapshot is None or self._is_worth_waiting(oldest):
                        self._demand.request_read()
                        await self._published.wait()
        if self._snapshot is None:
            raise self._unreachable(_NO_STATE)
        return self._snapshot

    def _is_worth_waiting(self, oldest: float) -> bool:
        """Whether the snapshot is older than requested and exo is not known to be silent."""
        return self._asked_at < oldest and self._source.connected

    def _unreachable(self, message: str) -> Unreachable:
        """The error, with its cause if only the operator of this server can fix it (an untrusted certificate)."""
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
                        raise self._unreachable(_SILENT if self._snapshot is not None else _NO_STATE)
                    self._demand.request_read_now()
                    await self._read_ended.wait()
        except TimeoutError as error:
            raise self._unreachable(_NO_STATE) from error
        if self._snapshot is None:
            raise self._unreachable(_NO_STATE)
        return self._snapshot

    async def changed(self, since: Snapshot | None, *, urgent: bool = False) -> Snapshot:
        """Waits for a snapshot other than `since`. Returns after each read, changed or not; see `Upstream`."""
        while self._snapshot is None or self._snapshot is since:
            if urgent:
                self._demand.request_read_now()
            await self._published.wait()
        return self._snapshot

    @contextmanager
    def listen(self, listener: Callable[[Snapshot], None]) -> Iterator[None]:
        """Calls `listener` with each snapshot while the context is active. It must neither block nor raise."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def subscriber(self) -> AbstractContextManager[None]:
        """While active, the state is read at the normal pace, and faster while a model is in transition."""
        return self._demand.subscriber()

    def operation(self) -> AbstractContextManager[None]:
        """While active, the state is read at the fast pace, because an operation runs."""
        return self._demand.operation()

    def mark_unloading(self, unloading: Mapping[str, str]) -> None:
        """Sets the instances (id → model id) whose deletion this server has requested and not yet seen complete."""
        self._unloading = dict(unloading)
        self._republish_if_changed()

    def mark_loads(self, loads: Loads) -> None:
        """Sets which models this server's operations are loading, and which they failed to load."""
        self._loads = loads
        self._republish_if_changed()

    def mark_expectations(self, expectations: Expectations) -> None:
        """Sets what this server's deployments expect of the cluster."""
        self._expectations = expectations
        self._republish_if_changed()

    # Reading

    @property
    def mode(self) -> Mode:
        """The pace of reading at present."""
        return self._demand.mode(self._snapshot)

    async def _reading(self) -> None:
        while True:
            whole = await self._wait_until_due()
            try:
                await (self._read() if whole else self._notice())
            except Exception:
                # A state on which our own code fails must not end all reading: it counts as a failed read.
                logger.exception("A state of exo could not be processed.")
                self.stats.failures += 1
                self._failed = self._begun
                self._announce_end()
                await asyncio.sleep(self.rules.idle_pause)

    def _elapsed(self) -> float:
        return self._now().elapsed

    async def _wait_until_due(self) -> bool:
        """Waits until the next read is due: True for the whole state, False for a cheap read.

        A wake-up from `Demand` computes the time again.
        """
        while True:
            self._demand.wake_up.clear()
            now = self._elapsed()
            due = self._due(now)
            delay = min(due, self._notice_due(now)) - now
            if delay <= 0:
                return due <= now
            with suppress(TimeoutError):
                async with asyncio.timeout(delay if delay < float("inf") else None):
                    await self._demand.wake_up.wait()

    def _due(self, now: float) -> float:
        if self._endpoints.all_down:
            return float("inf")
        if self._silence.since is not None:
            return float("-inf")
        cost = self.stats.cost or 0.0
        fast = pause(Mode.FAST, cost, self.rules)
        if self._demand.urgent:
            return self._rested_at + self._credit.urgent(fast)
        if self._demand.query_waits:
            return self._rested_at + self._credit.usual(fast)
        if self.mode is not Mode.FAST:
            return self._rested_at + pause(self.mode, cost, self.rules)
        if self._notice_due(now) < float("inf"):
            return self._rested_at + (PROGRESS_EVERY if self._news is News.PROGRESS else WHOLE_EVERY) * fast
        return max(self._rested_at + self._credit.usual(fast), self._notices.whole_read_due(cost, now))

    def _notice_due(self, now: float) -> float:
        """When a cheap read is next; never while exo is silent, or if it has none.

        Nor while something is waited for that runners do not show: then the whole state is read at the usual pace.
        """
        endpoint = self._endpoints.current
        if not endpoint.has_runners or not endpoint.answers or self._silence.since is not None or self._state is None:
            return float("inf")
        if self.mode is Mode.FAST and (self._snapshot is None or not shows_in_runners(self._snapshot)):
            return float("inf")
        return self._notices.due(self.mode, self.stats.cost or 0.0, self._rested_at, now)

    async def _notice(self) -> None:
        """A cheap read. If it finds news, or exo does not answer, the whole state is read at once."""
        endpoint = self._endpoints.current
        began = self._elapsed()
        self._silence.begins(began)
        try:
            body = await endpoint.client.runners(notice_timeout(self.stats.cost, self._notices.cost, self.rules))
            self._news = find_news(body, self._state.runners if self._state is not None else {})
        except (Refused, NotRunners) as error:
            logger.info("exo at %s has no cheap reads: %s", endpoint.client.url, error)
            endpoint.has_runners = False
            self._news = News.NONE
            self._silence.ends()
        except UpstreamError:
            self._news = News.STATUS
        else:
            self._silence.ends()
        now = self._elapsed()
        self._notices.noticed(self.mode, now - began, now)
        if self.mode is Mode.FAST:
            share = self.rules.quick_share
            paid_by = (now - began) * (1 - share) / share
            self._credit.charge(paid_by, pause(Mode.FAST, self.stats.cost or 0.0, self.rules))
        if self._news is News.STATUS:
            self._demand.request_read_now()

    async def _read(self) -> None:
        """Reads the state from the first URL that gives one."""
        # What an operation acts upon is read whole. exo's ETag is the index of an event and names no session: after a
        # restart index 500 may be another state, and a 304 would confirm the old one.
        whole = self._demand.urgent
        self._demand.clear_requests()
        self._begun += 1
        began = self._elapsed()
        if self._silence.since is None:
            self._silence.begins(began)
            fast = pause(Mode.FAST, self.stats.cost or 0.0, self.rules)
            self._credit.spend(fast, kept=began - self._rested_at)
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
        self._notices.spent(self.mode, self._rested_at - began, self._rested_at)
        self._announce_end()

    def _announce_end(self) -> None:
        ended, self._read_ended = self._read_ended, asyncio.Event()
        ended.set()

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
        self._state = state
        self._news = News.NONE
        self._silence.ends()
        self._demand.clear_requests()
        self._publish(self._next(state, unbroken=gap <= longest_gap(self.stats.cost, self.rules)))
        self.stats.cost = usual_cost(self.stats.cost, cost, self.stats.reads, self.rules)
        self.stats.reads += 1
        self._catalogue.after_a_read(endpoint, has_demand=self._demand.exists(self._elapsed()))

    def _is_another(self, endpoint: Endpoint, state: State) -> bool:
        """Whether exo may have been restarted behind the same URL: its node id is no member, and the members changed.

        While the members do not change, exo would answer the same id again, so it is not requested before each read.
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
            contact=Contact(self._silence.since, self._asked_at, unbroken),
            catalogue=self._catalogue.cards,
            unloading=self._unloading,
            loads=self._loads,
            expectations=self._expectations,
            rules=self._readiness,
        )
        return snapshot

    def _republish_if_changed(self) -> None:
        """Publishes the last state again if anything but its age has changed."""
        snapshot = self._next(None)
        if snapshot is not None and self._snapshot is not None and snapshot.version != self._snapshot.version:
            self._publish(snapshot)

    def _publish(self, snapshot: Snapshot | None) -> None:
        if snapshot is None:
            return
        self._snapshot = snapshot
        published, self._published = self._published, asyncio.Event()
        published.set()
        for listener in tuple(self._listeners):
            try:
                listener(snapshot)
            except Exception:
                logger.exception("A listener failed; the others are still called.")

    # Time

    async def _watch_time(self) -> None:
        """Notices without any read that exo does not answer, and what that means for the last snapshot."""
        before = self._elapsed()
        while True:
            now = self._elapsed()
            if now - before >= SUSPENDED:
                self._resume(now)
            before = now
            wait = LOOK_AGAIN
            if self._silence.since is not None and self._snapshot is not None:
                lost_at = self._silence.lost_at(self.mode, self.stats.cost, standby=self._endpoints.have_a_standby)
                if now >= lost_at and self._source.connected:
                    logger.warning("No response from exo for %.1f s.", now - self._silence.since)
                    self._source = replace(self._source, connected=False)
                    self._republish_if_changed()
                    self._announce_end()
                elif self._silence.is_slow(now):
                    self._republish_if_changed()
                if now < lost_at:
                    wait = min(wait, lost_at - now)
            await asyncio.sleep(wait)

    def _resume(self, now: float) -> None:
        logger.info("This server was suspended for a while; reading exo's state again.")
        self._silence.restart(now)
        self._demand.wake_up.set()
