"""The events that were passed on to listeners: the newest in memory, all of them in the store."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from exo_graphql.events.event import Event
from exo_graphql.events.filter import EVERYTHING, Filter, first_of
from exo_graphql.events.losses import Losses
from exo_graphql.events.records import decode
from exo_graphql.storage import Collection as Table
from exo_graphql.storage import Entry, Store

log = logging.getLogger(__name__)

# Events in memory: a day of a busy cluster, some 3 MB.
IN_MEMORY = 5_000
# Events of one write to the store, and of one read from it.
BATCH = 500
PREFIX = "event-"


class Published:
    """What everybody sees of the events. `EventLog` records them, and passes on what the leader has recorded."""

    def __init__(self, store: Store, now: Callable[[], datetime], losses: Losses) -> None:
        """`now` is the wall clock (UTC)."""
        self.version = 0
        """Increases at every event and every acknowledgement."""
        self._store = store
        self._now = now
        self._losses = losses
        self._newest: deque[Event] = deque(maxlen=IN_MEMORY)
        """The newest events, oldest first."""
        self._last = 0
        """The sequence of the newest event that was passed on."""
        self._listeners: list[Callable[[Event], None]] = []
        self._watchers: list[Callable[[], None]] = []
        self.on_acknowledged: Callable[[], None] = lambda: None
        """Called after each acknowledgement; it must neither block nor raise."""

    # Reading

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

    @property
    def last_sequence(self) -> int:
        """The `sequence` of the newest event that was passed on; 0 before the first."""
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
        await self._before_reading()  # a burst may have displaced unwritten events from memory
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
        number = number_of(event_id)
        if number is None:
            return None
        found = await self.numbered(number)
        return found if found is not None and found.id == event_id else None

    async def numbered(self, sequence: int) -> Event | None:
        """The event of that sequence; None if it is not kept. Raises `StoreError`."""
        place = sequence - self._newest[0].sequence if self._newest else -1
        if 0 <= place < len(self._newest) and self._newest[place].sequence == sequence:
            return self._newest[place]
        known = next((event for event in self._newest if event.sequence == sequence), None)
        if known is not None or sequence > self._last:
            return known
        await self._before_reading()
        entries = await self._store.newest(Table.EVENTS, 1, sequence + 1)
        return next((decode(entry) for entry in entries if entry.sequence == sequence), None)

    # Listening

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

    # Passing on

    async def _before_reading(self) -> None:
        """Called before the store is read: what was passed on must be there."""

    def _before_passing_on(self, event: Event) -> None:
        """Called with each event that another server has recorded."""

    async def _read(self) -> None:
        """Takes over what is stored, at the start."""
        for entry in reversed(await self._store.newest(Table.EVENTS, IN_MEMORY)):
            self._last = entry.sequence
            event = decode(entry)
            if event is not None:
                self._take(event)

    async def _catch_up(self) -> None:
        """Passes on the events that were stored since the last one, in their order."""
        found: list[Entry] = []
        count, before = 20, None
        while True:
            entries = await self._store.newest(Table.EVENTS, count, before)
            found += [entry for entry in entries if entry.sequence > self._last]
            if len(entries) < count or entries[-1].sequence <= self._last:
                break
            count, before = BATCH, entries[-1].sequence
        for entry in reversed(found):
            self._last = entry.sequence
            event = decode(entry)
            if event is not None:
                self._before_passing_on(event)
                self._publish(event)

    def _publish(self, event: Event) -> None:
        self._take(event)
        self._changed()
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                log.exception("A listener for events failed; the others are still called.")

    def _take(self, event: Event) -> None:
        self._newest.append(event)
        self._losses.note(event)
        if event.acknowledged_at is not None:
            self._losses.acknowledged(event)

    def _note_acknowledged(self, event: Event) -> None:
        """Somebody has acknowledged it, here or at another server."""
        for number, each in enumerate(self._newest):
            if each.id == event.id:
                if each == event:
                    return
                self._newest[number] = event
        self._losses.acknowledged(event)
        self._changed()
        self.on_acknowledged()


def number_of(event_id: str) -> int | None:
    """The sequence of the event with that id; None where it is no id of an event."""
    number = event_id.removeprefix(PREFIX)
    decimal = event_id.startswith(PREFIX) and number.isascii() and number.isdecimal()
    return int(number) if decimal else None
