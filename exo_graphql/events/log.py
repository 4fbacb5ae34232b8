"""The events of this server: the newest in memory, all of them in the store, each passed to the listeners.

Where servers share the store, the leader alone records, and an event is passed on only once it is stored: so an id
never names two of them, and nobody has seen one that is lost with the leader. The others pass on what the leader has
stored, in its order, each event once.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Self

from exo_graphql.events.age import forgotten_until
from exo_graphql.events.event import Event, EventKind, Occurrence, Severity
from exo_graphql.events.held import HELD_FOR, Held
from exo_graphql.events.log_line import LEVELS, log_keys
from exo_graphql.events.losses import REMEMBERED, Losses
from exo_graphql.events.published import BATCH, PREFIX, Published, number_of
from exo_graphql.events.records import decode, encode
from exo_graphql.events.serving import Serving
from exo_graphql.events.serving import decode as decode_serving
from exo_graphql.events.serving import encode as encode_serving
from exo_graphql.storage import Collection as Table
from exo_graphql.storage import Store, StoreError, is_shared

log = logging.getLogger(__name__)

# Events that are kept, and for how long: 100,000 take some 40 MB.
MAX_COUNT = 100_000
MAX_AGE = timedelta(days=30)
# Events that may wait to be written. Beyond that the oldest are dropped: the disk has been full for a long time.
WAITING = 10_000
# Seconds after a write that failed.
RETRY_AFTER = 10.0
# The same where the store is shared: until they are written, nobody is sent the events.
RETRY_SOON = 1.0
# Seconds between two deletions of events that are too old.
FORGET_EVERY = 3600.0


class EventLog(Published):
    """Numbers and keeps events, and passes them on. Writes while entered (`async with`), to a store that is open."""

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], datetime],
        max_count: int = MAX_COUNT,
        max_age: timedelta = MAX_AGE,
        losses_for: timedelta = REMEMBERED,
    ) -> None:
        """`now` is the wall clock (UTC). The newest `max_count` events are kept, none for longer than `max_age`.

        `losses_for` is how long a loss is open that nobody deals with.
        """
        super().__init__(store, now, Losses(losses_for))
        self._max_count = max_count
        self._max_age = max_age
        self.counts: Counter[tuple[EventKind, Severity]] = Counter()
        """Events that were recorded since the start, by kind and severity."""
        self._numbered = 0
        """The sequence of the event that was recorded last. Where the store is shared, it may have to be stored yet."""
        self._shared = is_shared(store.leadership)
        self.leads = False
        """Whether this server records."""
        self._term = 0
        """How often this server has stopped recording."""
        self._has_read = False
        self._held = Held()
        self.served: Serving | None = None
        """What was ready when the server before this one last noted it."""
        self._unwritten_serving: Serving | None = None
        self._unwritten: deque[Event] = deque(maxlen=WAITING)
        self._writing = asyncio.Lock()
        self._recorded = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.lead()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Its share in the roles of this server: see `replicas.Part`

    async def follow(self) -> None:
        """Shows the events of the store. Raises `StoreError`."""
        await self._read()
        self._numbered = self._last
        self._has_read = True

    async def changed(self, changes: Mapping[Table, frozenset[str] | None]) -> None:
        """Passes on what another server has recorded, and notes what it says of earlier events. Raises `StoreError`."""
        if Table.EVENTS not in changes:
            return
        before, ids = self._last, changes[Table.EVENTS]
        await self._catch_up()
        if ids is None:
            known = await self._store.newest(Table.EVENTS, BATCH, before + 1)
        else:
            earlier = [id_ for id_ in ids if (number := number_of(id_)) is not None and number <= before]
            known = await self._store.some(Table.EVENTS, earlier) if earlier else []
        for event in map(decode, known):
            if event is not None and event.acknowledged_at is not None:
                self._note_acknowledged(event)

    async def refresh(self) -> None:
        """Passes on what was recorded last. Raises `StoreError`."""
        await self._catch_up()

    async def lead(self) -> None:
        """Records from here on, after all that is stored. Raises `StoreError`."""
        if self._has_read:
            await self._catch_up()
        else:
            await self.follow()
        self.served = decode_serving(await self._store.entries(Table.SERVING))
        self._numbered = self._last
        self.leads = True
        for at, occurrence in self._held.take():
            self._accept(occurrence, at)
        self._writer = asyncio.create_task(self._write(), name="events")

    async def rest(self) -> None:
        """Records no more. What could not be written is held until another server has recorded it, or this one can."""
        if not self.leads:
            return
        self.leads = False
        self._term += 1
        await self._end_writer()
        if self._shared:
            for event in self._unwritten:
                self._held.hold(event, event.at)
            self._unwritten.clear()
            self._unwritten_serving = None

    async def close(self) -> None:
        """Writes what is left, if this server leads; at its end."""
        await self._end_writer()
        if self.leads:
            with suppress(StoreError):
                await self._write_waiting()

    async def _end_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    @property
    def has_another_leader(self) -> bool:
        """Whether another server records."""
        leader = self._store.leadership.leader
        # This one may have the lead, and not have begun to record.
        return not self.leads and leader is not None and leader.id != self._store.leadership.own.id

    def record(self, occurrences: Iterable[Occurrence]) -> None:
        """Records what happened just now, in this order. It never blocks and never fails.

        While another server leads, that one records it: see `held.py`.
        """
        now = self._now()
        for occurrence in occurrences:
            if not self._shared:
                self._accept(occurrence, now)
            elif not self.leads:
                self._held.hold(occurrence, now)
            elif not self._held.is_known(occurrence, now):
                self._accept(occurrence, now)
        if self.has_another_leader:
            self._held.drop_until(now - HELD_FOR)

    def _accept(self, occurrence: Occurrence, at: datetime) -> None:
        self._numbered += 1
        fields = {name: getattr(occurrence, name) for name in _FIELDS}
        event = Event(id=f"{PREFIX}{self._numbered}", sequence=self._numbered, at=at, **fields)
        self._unwritten.append(event)
        if not self._shared:
            self._recorded_here(event)
        self._recorded.set()

    def _recorded_here(self, event: Event) -> None:
        self._last = event.sequence
        self.counts[event.kind, event.severity] += 1
        log.log(LEVELS[event.severity], "%s", event.message, extra=log_keys(event))
        self._publish(event)

    def note_serving(self, serving: Serving) -> None:
        """Keeps what is ready now in the store, once the events before are there; the leader does."""
        if self.leads:
            self._unwritten_serving = serving
            self._recorded.set()

    @property
    def last_recorded(self) -> int:
        """The `sequence` of the event that was recorded last, whether or not it is stored yet."""
        return self._numbered

    async def acknowledge(self, event_id: str) -> Event | None:
        """Notes that somebody has seen the event; returns it, or None for one that is not kept.

        Raises `StoreError`.
        """
        known = await self.find(event_id)
        if known is None or known.acknowledged_at is not None:
            return known
        event = replace(known, acknowledged_at=self._now())
        await self._write_waiting()
        await self._store.save(Table.EVENTS, encode(event))
        self._note_acknowledged(event)
        return event

    # Writing

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        forget_at = loop.time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, forget_at - loop.time())):
                    await self._recorded.wait()
            self._recorded.clear()
            try:
                await self._write_waiting()
                if loop.time() >= forget_at:
                    forget_at = loop.time() + FORGET_EVERY
                    await self._forget()
            except StoreError as error:
                log.warning("Events cannot be written (%s); they are kept in memory until they can.", error)
                await asyncio.sleep(RETRY_SOON if self._shared else RETRY_AFTER)
                self._recorded.set()

    async def _before_reading(self) -> None:
        await self._write_waiting()

    def _before_passing_on(self, event: Event) -> None:
        self._held.recorded(event, event.at)

    async def _write_waiting(self) -> None:
        if not self.leads:
            return
        term = self._term
        async with self._writing:
            while self._unwritten and term == self._term:
                batch = list(islice(self._unwritten, BATCH))
                await self._store.append(Table.EVENTS, [encode(event) for event in batch])
                if term != self._term:
                    return  # it has rested meanwhile: these are read from the store
                for event in batch:
                    # More may have been recorded meanwhile, and the oldest dropped for them.
                    if self._unwritten and self._unwritten[0] is event:
                        self._unwritten.popleft()
                    if self._shared:
                        self._recorded_here(event)
            # After the events: if the server is killed in between, its loss is reported, and not reported again.
            serving = self._unwritten_serving
            if serving is not None and term == self._term:
                await self._store.save(Table.SERVING, encode_serving(serving))
                if self._unwritten_serving is serving:
                    self._unwritten_serving = None

    async def _forget(self) -> None:
        before = self._now() - self._max_age
        until = await forgotten_until(self._store, self._last, max_count=self._max_count, before=before)
        if until > 0:
            await self._store.forget_until(Table.EVENTS, until)
        while self._newest and self._newest[0].sequence <= until:
            self._newest.popleft()


_FIELDS = tuple(Occurrence.__dataclass_fields__)
