"""The newest snapshot: how it is made from a state, who is notified of it, and who waits for one."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial

from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.contact import Contact
from exo_graphql.cluster.expectations import NO_EXPECTATIONS, Expectations
from exo_graphql.cluster.history import ModelHistory
from exo_graphql.cluster.loads import NO_LOADS, Loads
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.past import Past
from exo_graphql.cluster.rules import Rules
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.cluster.state import State
from exo_graphql.cluster.transitions import Transitions
from exo_graphql.cluster.upstream import Unreachable
from exo_graphql.exo.catalogue import Catalogue
from exo_graphql.exo.client import Untrusted
from exo_graphql.exo.demand import Demand
from exo_graphql.exo.endpoints import Endpoints
from exo_graphql.exo.pacing import PollerRules
from exo_graphql.exo.reads import Reads
from exo_graphql.exo.recalled import Recalled
from exo_graphql.exo.silence import Silence

logger = logging.getLogger(__name__)

_NO_STATE = "No exo node has reported the state of the cluster yet."
_SILENT = "No exo node answers at present."


class Snapshots:
    """The half of `Upstream` that gives snapshots. It reads nothing itself: a caller that waits adds to the `Demand`.

    `now` stamps snapshots and measures every age; the event loop's own clock only times the waits.
    """

    def __init__(
        self, endpoints: Endpoints, demand: Demand, rules: PollerRules, readiness: Rules, now: Callable[[], Moment]
    ) -> None:
        self.rules = rules
        self._readiness = readiness
        self._now = now
        self._endpoints = endpoints
        self._demand = demand
        self._silence = Silence(rules, readiness.unseen_after)
        self._catalogue = Catalogue(rules, self._republish_if_changed)
        self._reads = Reads()
        self._source = Source(endpoints.current.client.url)
        """Where the last state came from, and whether exo still answers."""
        self._asked_at = float("-inf")
        """Start (`Moment.elapsed`) of the read that the last state came from."""
        self._resumed = False
        """Whether this machine slept since the last state was read."""
        self._unloading: Mapping[str, str] = {}
        """As `mark_unloading` has set it; the next two likewise. exo's state says nothing about them."""
        self._unloading_then: Mapping[str, str] | None = None
        """From the next state on; None: the same."""
        self._loads = NO_LOADS
        self._expectations = NO_EXPECTATIONS
        self._lost: Mapping[str, str] = {}
        self._recalled = Recalled()
        """What was known before the start, and what another server that reads the same exo knows."""
        self._snapshot: Snapshot | None = None
        """The newest; None before the first state."""
        self._published = asyncio.Event()
        """Set, and replaced, with each snapshot."""
        self._listeners: list[Callable[[Snapshot], None]] = []
        """Called with each snapshot, in this order."""
        self._transition_listeners: list[Callable[[Snapshot | None, Snapshot, Transitions], None]] = []

    @property
    def snapshot(self) -> Snapshot | None:
        """The newest snapshot; None before the first state."""
        return self._snapshot

    @property
    def catalogue_body(self) -> bytes | None:
        """The last answer to `GET /models`; None before the first."""
        return self._catalogue.body

    @property
    def catalogue_number(self) -> int:
        """Increases with each other catalogue; 0 before the first."""
        return self._catalogue.number

    def reread_catalogue(self) -> None:
        """Reads the catalogue again soon, rather than when it is due."""
        self._catalogue.request()

    # Waiting

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

    async def read_now(self) -> Snapshot:
        """A snapshot whose read began after this call, at once as far as there is credit; see `Upstream`.

        Raises `Unreachable` as soon as a read that began after the call has failed at every URL, or while exo counts
        as lost; where there has never been a snapshot, after `first_wait` at the latest.
        """
        after = self._reads.begun
        try:
            async with asyncio.timeout(self.rules.first_wait if self._snapshot is None else None):
                while self._reads.succeeded <= after:
                    if self._reads.failed > after or not self._source.connected or not self._reads.under_way:
                        raise self._unreachable(_SILENT if self._snapshot is not None else _NO_STATE)
                    self._demand.request_read_now()
                    await self._reads.ended()
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

    @contextmanager
    def listen_transitions(self, listener: Callable[[Snapshot | None, Snapshot, Transitions], None]) -> Iterator[None]:
        """Calls `listener` with each two successive snapshots (None before the first), and what changed between them.

        It is called before the listeners, and must neither block nor raise.
        """
        self._transition_listeners.append(listener)
        try:
            yield
        finally:
            self._transition_listeners.remove(listener)

    def _elapsed(self) -> float:
        return self._now().elapsed

    def _unreachable(self, message: str) -> Unreachable:
        """The error, with its cause if only the operator of this server can fix it (an untrusted certificate)."""
        cause = self._endpoints.untrusted
        refusals = self._endpoints.refusals
        if self._snapshot is None and cause is None:
            message = " ".join((message, *map(str, refusals)))
        error = Unreachable(message) if cause is None else Untrusted(f"{message} {cause}")
        error.refusals = refusals
        return error

    # What this server itself contributes

    def mark_unloading(self, unloading: Mapping[str, str]) -> None:
        """Sets the instances (id → model id) whose deletion this server has requested and not yet seen complete."""
        if self._resumed:
            # The last state is older than what is said here, and the next one is being read. For example A was being
            # unloaded when this server was stopped: by now it is gone, and must not seem to be ready until then.
            self._unloading_then = dict(unloading)
            return
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

    def mark_lost(self, lost: Mapping[str, str]) -> None:
        """Sets which models were lost (id to a sentence), and not loaded, unloaded or acknowledged since."""
        self._lost = dict(lost)
        self._republish_if_changed()

    def recall(self, past: Past | None) -> None:
        """Sets what was known before the start. To be called before the first snapshot, see `awaits_past`."""
        self._recalled.recall(past)

    def is_known(self, models: Mapping[str, ModelHistory]) -> None:
        """Sets what another server knows of models, from the same exo: since when a phase lasts, and what failed.

        It counts where both show the same phase, now or within `KNOWN_FOR`.
        """
        self._recalled.know(models, self._elapsed())
        self._republish_if_changed()

    @property
    def past_is_open(self) -> bool:
        """Whether no state has shown yet what has become of what was known before the start."""
        return self._recalled.is_open

    # Publishing

    def _next(
        self,
        state: State | None,
        now: Moment | None = None,
        *,
        unbroken: bool = False,
        seen_at: datetime | None = None,
    ) -> tuple[Snapshot, Transitions] | None:
        """The next snapshot; None only while there has never been a state. `unbroken`: see `Contact`.

        `now` is when the state was received; `seen_at` the same of the server whose copy it is (UTC).
        """
        if state is None and self._snapshot is None:
            return None
        if state is not None and self._unloading_then is not None:
            self._unloading, self._unloading_then = self._unloading_then, None
        now = self._now() if now is None else now
        past = None if state is None else self._recalled.past_for(state, now, self._readiness)
        following = advance(
            self._snapshot,
            state,
            now,
            self._source,
            contact=Contact(self._silence.since, self._asked_at, unbroken, self._resumed),
            catalogue=self._catalogue.cards,
            unloading=self._unloading,
            loads=self._loads,
            expectations=self._expectations,
            lost=self._lost,
            rules=self._readiness,
            past=past,
            known=self._recalled.known(now.elapsed),
            seen_at=seen_at,
        )
        self._recalled.shown(following[0].history.models)
        return following

    def _republish_if_changed(self) -> None:
        """Publishes the last state again if anything but its age has changed."""
        following = self._next(None)
        if following is not None and self._snapshot is not None and following[0].version != self._snapshot.version:
            self._publish(following)

    def _publish(self, following: tuple[Snapshot, Transitions] | None) -> None:
        if following is None:
            return
        before = self._snapshot
        snapshot, transitions = following
        self._snapshot = snapshot
        published, self._published = self._published, asyncio.Event()
        published.set()
        for transition_listener in tuple(self._transition_listeners):
            _call(partial(transition_listener, before, snapshot, transitions))
        for listener in tuple(self._listeners):
            _call(partial(listener, snapshot))


def _call(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        logger.exception("A listener failed; the others are still called.")
