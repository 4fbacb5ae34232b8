"""One reader of exo's state for all queries, subscriptions and operations: the loop that reads it again and again."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

import httpx

from exo_graphql import clock
from exo_graphql.cluster.lag import has_more_events, is_much_newer
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.rules import DEFAULT_RULES, Rules
from exo_graphql.cluster.snapshot import Source
from exo_graphql.cluster.state import State
from exo_graphql.cluster.upstream import Refused, UpstreamError
from exo_graphql.exo.bodies import Bodies
from exo_graphql.exo.client import ExoClient
from exo_graphql.exo.commands import Commands
from exo_graphql.exo.conditional_reader import StateRead
from exo_graphql.exo.demand import Demand
from exo_graphql.exo.endpoints import Endpoint, Endpoints
from exo_graphql.exo.followed import Followed
from exo_graphql.exo.following import Following
from exo_graphql.exo.gate import Gate
from exo_graphql.exo.notice import News, NotRunners, find_news, read_runners
from exo_graphql.exo.pacing import COPY_WAIT, Mode, PollerRules, longest_gap, read_timeout, usual_cost
from exo_graphql.exo.parse import NotAState
from exo_graphql.exo.poller_stats import PollerStats
from exo_graphql.exo.schedule import Schedule
from exo_graphql.exo.silence import CHECK_EVERY, HELD_UP, SUSPENDED

logger = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""How often other nodes are read, in seconds, while the one in use shows the past."""


class Poller(Following, Commands):
    """`Upstream` for one cluster behind one or several URLs. It reads while it is entered (`async with`).

    `transport` reaches an exo in this process; None means the network. `now` measures every age and every silence.
    `gate` decides whether a command may be sent; None lets all pass.
    `awaits_past`: there is no snapshot before `recall` has said what was known before the start.
    `followed_transport`, `followed_tls`: see `Followed`. `shared`: other servers rely on it that this is their cluster.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        tls: ssl.SSLContext | None = None,
        token: str | None = None,
        rules: PollerRules | None = None,
        readiness: Rules = DEFAULT_RULES,
        now: Callable[[], Moment] = clock.now,
        gate: Gate | None = None,
        awaits_past: bool = False,
        followed_transport: httpx.AsyncBaseTransport | None = None,
        followed_tls: Callable[[], ssl.SSLContext | None] = lambda: None,
        shared: bool = False,
    ) -> None:
        rules = rules if rules is not None else PollerRules()
        self.stats = PollerStats()
        """What reading costs exo, and how it goes."""
        timeout = rules.command_timeout
        clients = [ExoClient(url, transport, tls=tls, token=token, command_timeout=timeout, gate=gate) for url in urls]
        demand = Demand(rules.query_lasts)
        endpoints = Endpoints(clients, rules, demand.wake_up.set)
        followed = Followed(endpoints, transport=followed_transport, tls=followed_tls)
        Following.__init__(self, endpoints, demand, rules, readiness, now, followed, shared=shared)
        Commands.__init__(self, endpoints)
        if awaits_past:
            self._recalled.expect()
        self._schedule = Schedule(rules, demand, endpoints, self._silence, self.stats)
        self.bodies = Bodies(self._elapsed)
        """What exo sent last, for servers that follow this one."""
        self._looked_elsewhere = float("-inf")
        """When (`Moment.elapsed`) other nodes were last read because the state of the current one was old."""
        self._task: asyncio.Task[None] | None = None
        """The loops, while the poller is entered."""

    async def __aenter__(self) -> Self:
        self._reads.under_way = True
        self._task = asyncio.create_task(self._run(), name="poller")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        self._reads.under_way = False
        try:
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
            self._reads.announce_end()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections. Leaving does that, too."""
        await self._followed.aclose()
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
            self._reads.announce_end()

    # How often

    def subscriber(self) -> AbstractContextManager[None]:
        """While active, the state is read at the normal pace, and faster while a model is in transition."""
        return self._demand.subscriber()

    def operation(self) -> AbstractContextManager[None]:
        """While active, the state is read at the fast pace, because an operation runs."""
        return self._demand.operation()

    # Reading

    async def _reading(self) -> None:
        while True:
            whole = await self._wait_until_due()
            try:
                await (self._read() if whole else self._notice())
            except Exception:
                # A state on which our own code fails must not end all reading: it counts as a failed read.
                logger.exception("A state of exo could not be processed.")
                self.stats.failures += 1
                self._reads.fail()
                self._reads.announce_end()
                await asyncio.sleep(self.rules.idle_pause)

    async def _wait_until_due(self) -> bool:
        """Waits until the next read is due: True for the whole state, False for a cheap read.

        A wake-up from `Demand` computes the time again.
        """
        while True:
            self._demand.wake_up.clear()
            now = self._elapsed()
            due = self._schedule.whole_read_due(self._snapshot, now)
            delay = min(due, self._schedule.cheap_read_due(self._snapshot, now)) - now
            if delay <= 0:
                return due <= now
            with suppress(TimeoutError):
                async with asyncio.timeout(delay if delay < float("inf") else None):
                    await self._demand.wake_up.wait()

    async def _notice(self) -> None:
        """A cheap read. If it finds news, or exo does not answer, the whole state is read at once."""
        endpoint = self._endpoints.current
        began, timeout = self._elapsed(), self._schedule.cheap_read_timeout()
        self._silence.begins(began)
        news, runners = News.NONE, None
        try:
            runners = read_runners(await endpoint.client.runners(timeout))
            news = find_news(runners, self._state.runners if self._state is not None else {})
        except (Refused, NotRunners) as error:
            logger.info("exo at %s does not offer GET /state/runners: %s", endpoint.client.url, error)
            endpoint.has_runners = False
            self._silence.ends()
        except UpstreamError:
            self._demand.request_read_now()
        else:
            self._silence.ends()
        now = self._elapsed()
        self._schedule.cheap_read_ended(self.mode, news, runners, _cost(endpoint, now - began, timeout), now)

    async def _read(self) -> None:
        """Reads the state from the first URL that gives one."""
        # What an operation acts upon, or a cheap read has found, is read whole. exo's ETag is the index of an event and
        # names no session: after a restart index 500 may be another state, and a 304 would confirm the old one.
        whole = self._demand.urgent or self._schedule.has_news
        wait = COPY_WAIT if not whole and self._schedule.waits_for_news(self._snapshot) else 0
        # While nobody needs the state, a copy need not be newer than what exo would be read for.
        max_age = self.rules.idle_pause if self.mode is Mode.IDLE and not self._demand.is_requested else None
        self._demand.clear_requests()
        self._reads.begin()
        began = self._elapsed()
        first = self._endpoints.next_to_read(frozenset(), exo_itself=whole)
        asks_another = first is not None and first is self._endpoints.copy
        # exo is not silent while another server is asked: it is asked itself once that one has had its time.
        self._schedule.whole_read_begins(began, wait + (self.rules.read_timeout if asks_another else 0.0))
        tried: set[Endpoint] = set()
        found: tuple[Endpoint, StateRead] | None = None
        unfit = False
        cost = 0.0
        while (endpoint := self._endpoints.next_to_read(tried, exo_itself=whole)) is not None:
            tried.add(endpoint)
            tried_at = self._elapsed()
            is_copy = endpoint is self._endpoints.copy
            if asks_another and not is_copy:
                self._silence.begins_by(tried_at)
            timeout = (
                self.rules.read_timeout if is_copy else read_timeout(self.stats.cost, self.rules, endpoint.failures)
            )
            try:
                if not endpoint.identified and not is_copy:
                    await endpoint.identify(self.rules.read_timeout)
                read = await self._reader.read(endpoint, timeout, whole=whole, wait=wait, max_age=max_age)
                await self._recalled.ready.wait()
                self._check_cluster(endpoint, read.state)
            except UpstreamError as error:
                self._endpoints.failed(endpoint, error)
            except NotAState as error:
                self._endpoints.failed(endpoint, error, logging.ERROR)
            else:
                if not self._endpoints.is_known(endpoint):
                    continue  # another server is followed meanwhile, or none
                if self._handover.is_too_early(endpoint, read, self._state, self._asked_at):
                    unfit = not is_copy
                    continue
                strange = self._has_only_strangers(read.state)
                if found is None or not strange:
                    found = endpoint, read
                if not strange:
                    break
                continue  # another node may know the members
            finally:
                cost += _cost(endpoint, self._elapsed() - tried_at, timeout)
            self.stats.failures += 1
        await self._followed.close_left()
        if found is None and unfit:
            # It answers: it will have caught up with the next read.
            self._silence.ends()
            self._demand.request_read()
        elif found is None:
            self._reads.fail()
        else:
            self._received(*found)
            self._reads.succeed()
            await self._leave_a_node_that_is_behind()
        self._schedule.whole_read_ended(self.mode, cost, self._elapsed())
        self._reads.announce_end()

    def _received(self, endpoint: Endpoint, read: StateRead) -> None:
        gap = read.asked_at - self._asked_at
        # What reading exo costs says nothing of reading a copy, and the other way round.
        cost = self.stats.cost if endpoint.is_copy is self._endpoints.current.is_copy else None
        self._endpoints.succeeded(endpoint)
        self._handover.received(endpoint)
        if self._is_another(endpoint, read.state):
            endpoint.identified = False
        self._source = Source(endpoint.client.url, endpoint.node_id)
        self._asked_at = read.asked_at
        self._state = read.state
        now = self._now()
        # What has changed, changed at the same moment for this server and for those that follow it.
        seen_at = now.at if read.copied is None or read.copied.received_at is None else read.copied.received_at
        self.bodies.received(read, seen_at)
        self._schedule.state_received()
        self._silence.ends()
        if endpoint is not self._endpoints.copy:
            self._silence.exo_answered()
        self._demand.clear_requests()
        unbroken = gap <= longest_gap(self.stats.cost, self.rules)
        self._publish(self._next(read.state, now, unbroken=unbroken, seen_at=seen_at))
        self._resumed = False
        if read.cost is not None:
            self.stats.cost = usual_cost(cost, read.cost, self.stats.reads, self.rules)
            self.stats.reads += 1
        models = None if read.copied is None else read.copied.models
        self._catalogue.after_a_read(endpoint, models, has_demand=self._demand.exists(self._elapsed()))

    async def _leave_a_node_that_is_behind(self) -> None:
        """Reads another node where the state of this one is old or no longer moves, and changes to one that is newer.

        After its master hung for a while, a node may stay at event 2,999 for good while others are at 11,572; one that
        has just joined replays all of these. A state that is hardly newer is not taken: where all nodes fall behind,
        none is better than the others.
        """
        snapshot, state = self._snapshot, self._state
        if snapshot is None or state is None or state.index is None:
            return
        behind = snapshot.history.behind_since is not None
        if not behind and not snapshot.pulse.still:
            return
        now = self._elapsed()
        if now - self._looked_elsewhere < (LOOK_EVERY if behind else self._readiness.still_after):
            return
        self._looked_elsewhere = now
        members = {*snapshot.state.nodes, *state.nodes}
        for endpoint in self._endpoints.all:
            if endpoint is self._endpoints.current or not endpoint.answers:
                continue
            try:
                read = await self._reader.read(endpoint, read_timeout(self.stats.cost, self.rules, 0), whole=True)
            except (UpstreamError, NotAState) as error:
                logger.info("No state of exo from %s either: %r", endpoint.client.url, error)
                continue
            is_ours = not members.isdisjoint(read.state.nodes)  # and not another cluster's, by mistake
            if is_ours and (is_much_newer(read.state, state) if behind else has_more_events(read.state, state)):
                logger.warning(
                    "exo at %s is at event %d; %s is at %s, and is read from now on.",
                    self._endpoints.current.client.url,
                    state.index,
                    endpoint.client.url,
                    read.state.index,
                )
                self._received(endpoint, read)
                return

    def _has_only_strangers(self, state: State) -> bool:
        """Whether none of the members is in it: all of exo was started again, or this node alone.

        A node that was started again is alone for some seconds, until it joins. Its state looks as if everything had
        been lost.
        """
        members = self._recalled.members if self._snapshot is None else self._snapshot.state.nodes
        return bool(members) and bool(state.nodes) and state.nodes.keys().isdisjoint(members)

    def _is_another(self, endpoint: Endpoint, state: State) -> bool:
        """Whether exo may have been restarted behind the same URL: its node id is no member, and the members changed.

        While the members do not change, exo would answer the same id again, so it is not requested before each read.
        """
        if endpoint.node_id is None or not state.nodes or endpoint.node_id in state.nodes:
            return False
        return self._snapshot is None or self._snapshot.state.nodes.keys() != state.nodes.keys()

    # Time

    async def _watch_time(self) -> None:
        """Notices without any read that exo does not answer, and what that means for the last snapshot."""
        due = self._elapsed()
        while True:
            now = self._elapsed()
            if now - due >= SUSPENDED:
                self._resume(now)
            elif now - due >= HELD_UP:
                self._silence.held_up(now, now - due)
            wait = CHECK_EVERY
            if self._silence.since is not None:
                lost_at = self._silence.lost_at(self.mode, self.stats.cost, standby=self._endpoints.have_a_standby)
                if now < lost_at:
                    wait = min(wait, lost_at - now)
                else:
                    self._silence.lost(now)
                if self._snapshot is not None:
                    self._show_silence(now, is_lost=now >= lost_at, since=self._silence.since)
            due = now + wait
            await asyncio.sleep(wait)

    def _show_silence(self, now: float, *, is_lost: bool, since: float) -> None:
        if is_lost and self._source.connected:
            # Not a warning: the event EXO_UNREACHABLE is one, and the failed reads before.
            logger.info("No response from exo for %.1f s.", now - since)
            self._source = replace(self._source, connected=False, refusals=self._endpoints.refusals)
            self._republish_if_changed()
            self._reads.announce_end()
        elif not self._source.connected and self._source.refusals != self._endpoints.refusals:
            self._source = replace(self._source, refusals=self._endpoints.refusals)
            self._republish_if_changed()
        elif self._silence.is_slow(now):
            self._republish_if_changed()

    def _resume(self, now: float) -> None:
        logger.info("This server was suspended for a while; reading exo's state again.")
        self._silence.restart(now)
        self._resumed = True
        self._demand.wake_up.set()


def _cost(endpoint: Endpoint, seconds: float, timeout: float) -> float:
    """What an attempt that took so long has cost exo: nothing where another server answered.

    No more than its time-out: this process may have been stopped meanwhile, or the machine have slept.
    """
    return 0.0 if endpoint.is_copy else min(seconds, timeout)
