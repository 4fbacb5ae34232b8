"""The events of this server: the newest in memory, all of them in the store, each passed to the listeners."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Self

from exo_graphql.events.event import Event, EventKind, Occurrence, Severity
from exo_graphql.events.filter import EVERYTHING, Filter, first_of
from exo_graphql.events.log_line import LEVELS, log_keys
from exo_graphql.events.losses import REMEMBERED, Losses
from exo_graphql.events.records import decode, encode
from exo_graphql.events.serving import Serving
from exo_graphql.events.serving import decode as decode_serving
from exo_graphql.events.serving import encode as encode_serving
from exo_graphql.storage import Collection as Table
from exo_graphql.storage import Store, StoreError

log = logging.getLogger(__name__)

# Events that are kept, and for how long: 100,000 take some 40 MB.
MAX_COUNT = 100_000
MAX_AGE = timedelta(days=30)
# Events in memory: a day of a busy cluster, some 3 MB.
IN_MEMORY = 5_000
# Events that may wait to be written. Beyond that the oldest are dropped: the disk has been full for a long time.
WAITING = 10_000
# Events of one write to the store, and of one read from it.
BATCH = 500
# Seconds after a write that failed.
RETRY_AFTER = 10.0
# Seconds between two deletions of events that are too old.
FORGET_EVERY = 3600.0
_PREFIX = "event-"


class EventLog:
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
        self.version = 0
        """Increases at every event and every acknowledgement."""
        self._store = store
        self._now = now
        self._max_count = max_count
        self._max_age = max_age
        self.counts: Counter[tuple[EventKind, Severity]] = Counter()
        """Events that were recorded since the start, by kind and severity."""
        self._losses = Losses(losses_for)
        self._newest: deque[Event] = deque(maxlen=IN_MEMORY)
        """The newest events, oldest first."""
        self._last = 0
        """The sequence of the newest event."""
        self.served: Serving | None = None
        """What was ready when the server before this one last noted it."""
        self._unwritten_serving: Serving | None = None
        self._unwritten: deque[Event] = deque(maxlen=WAITING)
        self._writing = asyncio.Lock()
        self._recorded = asyncio.Event()
        self._listeners: list[Callable[[Event], None]] = []
        self._watchers: list[Callable[[], None]] = []
        self.on_acknowledged: Callable[[], None] = lambda: None
        """Called after each acknowledgement; it must neither block nor raise."""
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for entry in reversed(await self._store.newest(Table.EVENTS, IN_MEMORY)):
            self._last = entry.sequence
            event = decode(entry)
            if event is not None:
                self._newest.append(event)
                self._losses.note(event)
                if event.acknowledged_at is not None:
                    self._losses.acknowledged(event)
        self.served = decode_serving(await self._store.entries(Table.SERVING))
        self._writer = asyncio.create_task(self._write(), name="events")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        with suppress(StoreError):
            await self._write_waiting()

    def now(self) -> datetime:
        """Now (UTC), by the clock that dates the events."""
        return self._now()

    @property
    def in_memory(self) -> tuple[Event, ...]:
        """The newest events, oldest first."""
        return tuple(self._newest)

    def open_losses(self) -> tuple[Event, ...]:
        """The models that were lost, and that nobody has dealt with: the last loss of each."""
        return self._losses.open(self._now())

    def record(self, occurrences: Iterable[Occurrence]) -> None:
        """Records what happened just now, in this order. It never blocks and never fails."""
        for occurrence in occurrences:
            self._last += 1
            fields = {name: getattr(occurrence, name) for name in _FIELDS}
            event = Event(id=f"{_PREFIX}{self._last}", sequence=self._last, at=self._now(), **fields)
            self._newest.append(event)
            self._losses.note(event)
            self.counts[event.kind, event.severity] += 1
            self._unwritten.append(event)
            log.log(LEVELS[event.severity], "%s", event.message, extra=log_keys(event))
            self._notify(event)
        self._recorded.set()

    def note_serving(self, serving: Serving) -> None:
        """Keeps what is ready now in the store, once the events before are there."""
        self._unwritten_serving = serving
        self._recorded.set()

    @property
    def last_sequence(self) -> int:
        """The `sequence` of the newest event; 0 before the first."""
        return self._last

    def newest(self, count: int, wanted: Filter = EVERYTHING) -> tuple[Event, ...] | None:
        """The last `count` events that match `wanted`, newest first; None where the store has to be read for them."""
        newest = self.in_memory  # copied: this may run in a thread while the event loop records another one
        found = first_of(count, wanted, reversed(newest))
        whole = len(newest) < IN_MEMORY or newest[0].sequence == 1
        reached = wanted.since is not None and bool(newest) and newest[0].at < wanted.since
        return found if len(found) == count or whole or reached else None

    async def stored(self, count: int, wanted: Filter = EVERYTHING) -> tuple[Event, ...]:
        """The same, read from the store too. Raises `StoreError`."""
        await self._write_waiting()  # a burst may have displaced unwritten events from memory
        found = list(first_of(count, wanted, reversed(self._newest)))
        before = self._newest[0].sequence if self._newest else None
        while len(found) < count:
            entries = await self._store.newest(Table.EVENTS, BATCH, before)
            if not entries:
                break
            before = entries[-1].sequence
            events = [event for entry in entries if (event := decode(entry)) is not None]
            found.extend(first_of(count - len(found), wanted, events))
            if wanted.since is not None and events and events[-1].at < wanted.since:
                break
        return tuple(found)

    async def find(self, event_id: str) -> Event | None:
        """The event of that id; None if it is not kept. Raises `StoreError`."""
        number = event_id.removeprefix(_PREFIX)
        if not event_id.startswith(_PREFIX) or not number.isascii() or not number.isdecimal():
            return None
        found = await self.numbered(int(number))
        return found if found is not None and found.id == event_id else None

    async def numbered(self, sequence: int) -> Event | None:
        """The event of that sequence; None if it is not kept. Raises `StoreError`."""
        place = sequence - self._newest[0].sequence if self._newest else -1
        if 0 <= place < len(self._newest) and self._newest[place].sequence == sequence:
            return self._newest[place]
        known = next((event for event in self._newest if event.sequence == sequence), None)
        if known is not None or sequence > self._last:
            return known
        await self._write_waiting()
        entries = await self._store.newest(Table.EVENTS, 1, sequence + 1)
        return next((decode(entry) for entry in entries if entry.sequence == sequence), None)

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
        for number, each in enumerate(self._newest):
            if each.id == event_id:
                self._newest[number] = event
        self._losses.acknowledged(event)
        self._changed()
        self.on_acknowledged()
        return event

    @contextmanager
    def listen(self, listener: Callable[[Event], None]) -> Iterator[None]:
        """Calls `listener` with each new event while the context is active. It must neither block nor raise."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back whenever `version` has increased, synchronously; returns how to stop it."""
        self._watchers.append(callback)

        def stop() -> None:
            with suppress(ValueError):
                self._watchers.remove(callback)

        return stop

    def _changed(self) -> None:
        self.version += 1
        for watcher in tuple(self._watchers):
            watcher()

    def _notify(self, event: Event) -> None:
        self._changed()
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                log.exception("A listener for events failed; the others are still called.")

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
                await asyncio.sleep(RETRY_AFTER)
                self._recorded.set()

    async def _write_waiting(self) -> None:
        async with self._writing:
            while self._unwritten:
                batch = list(islice(self._unwritten, BATCH))
                await self._store.append(Table.EVENTS, [encode(event) for event in batch])
                for event in batch:
                    # More may have been recorded meanwhile, and the oldest dropped for them.
                    if self._unwritten and self._unwritten[0] is event:
                        self._unwritten.popleft()
            # After the events: if the server is killed in between, its loss is reported, and not reported again.
            serving = self._unwritten_serving
            if serving is not None:
                await self._store.save(Table.SERVING, encode_serving(serving))
                if self._unwritten_serving is serving:
                    self._unwritten_serving = None

    async def _forget(self) -> None:
        # Everything up to `low` goes, and nothing above `high`. The last one stays however old it is: events are
        # numbered on from it, and an id never names two of them.
        low, high = max(0, self._last - self._max_count), self._last - 1
        limit = self._now() - self._max_age
        # By bisection: of 100,000 events 17 times 10 are read.
        while low < high:
            middle = (low + high + 1) // 2
            # Several, since one that a newer version has written may not be readable.
            entries = await self._store.newest(Table.EVENTS, 10, middle + 1)
            event = next((event for event in map(decode, entries) if event is not None), None)
            if not entries or entries[0].sequence <= low or (event is not None and event.at < limit):
                low = middle
            else:
                high = entries[0].sequence - 1
        low = min(low, self._last - 1)
        if low > 0:
            await self._store.forget_until(Table.EVENTS, low)
        while self._newest and self._newest[0].sequence <= low:
            self._newest.popleft()


_FIELDS = tuple(Occurrence.__dataclass_fields__)
