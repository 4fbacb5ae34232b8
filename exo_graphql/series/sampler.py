"""Takes a sample every 5 seconds, and keeps the coarser intervals in the store."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.series.records import decode, encode
from exo_graphql.series.series import SAMPLE_EVERY, Series
from exo_graphql.series.track import MINUTES, RESOLUTIONS, TEN_MINUTES
from exo_graphql.storage import Collection, Entry, Store, StoreError

log = logging.getLogger(__name__)

_STORED = {MINUTES: Collection.HISTORY_MINUTES, TEN_MINUTES: Collection.HISTORY_TEN_MINUTES}
# Entries of one read from the store.
BATCH = 50
# Seconds of restoring after which the event loop serves others.
YIELD_AFTER = 0.005
# Entries that may wait to be written: some two hours. Beyond that the oldest are dropped, since the disk is full.
WAITING = 150
# Seconds between two deletions of what is too old.
FORGET_EVERY = 3600.0


class Sampler:
    """Samples while it is entered (`async with`), with a store that is open."""

    def __init__(
        self, series: Series, store: Store, *, snapshot: Callable[[], Snapshot | None], now: Callable[[], Moment]
    ) -> None:
        """`snapshot` returns the newest one."""
        self._series = series
        self._store = store
        self._snapshot = snapshot
        self._now = now
        self._waiting: dict[tuple[int, int], Entry] = {}
        """Intervals to be written, by resolution and number."""
        self._restored = asyncio.Event()
        self._due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        work = {"samples": self._sample(), "restored samples": self._restore(), "stored samples": self._write()}
        self._tasks = [asyncio.create_task(each, name=name) for name, each in work.items()]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._restored.is_set():
            self._put_off(*(self._interval(resolution) for resolution in _STORED))
            with suppress(StoreError):
                await self._write_waiting()

    async def restored(self) -> None:
        """Waits until what is stored has been read."""
        await self._restored.wait()

    def _interval(self, resolution: int) -> tuple[int, int]:
        """The interval of a resolution that the newest sample lies in."""
        return resolution, self._series.newest * SAMPLE_EVERY // RESOLUTIONS[resolution][0]

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(self._series.seconds_to_next(self._now()))
            before = {self._interval(resolution) for resolution in _STORED}
            try:
                self._series.sample(self._snapshot(), self._now())
            except Exception:
                log.exception("A sample of the cluster failed; the next one is taken all the same.")
                await asyncio.sleep(SAMPLE_EVERY)
            self._put_off(*(before - {self._interval(resolution) for resolution in _STORED}))

    def _put_off(self, *intervals: tuple[int, int]) -> None:
        """Notes that these are to be written. What nothing is known of is not."""
        for resolution, interval in intervals:
            means = self._series.means(resolution, interval)
            if means is not None:
                number = self._series.stored_number(resolution, interval)
                self._waiting[resolution, number] = encode(number, *means)
                self._due.set()
        while len(self._waiting) > WAITING:
            del self._waiting[next(iter(self._waiting))]

    # The store

    async def _restore(self) -> None:
        try:
            for resolution, collection in _STORED.items():
                await self._restore_from(resolution, collection)
        except StoreError as error:
            log.warning("The history cannot be read (%s); it begins anew.", error)
        self._restored.set()

    async def _restore_from(self, resolution: int, collection: Collection) -> None:
        before: int | None = None
        began = time.perf_counter()
        while entries := await self._store.newest(collection, BATCH, before):
            for entry in entries:
                before = entry.sequence
                if before < self._series.kept_from(resolution):
                    return
                row = decode(entry)
                if row is not None:
                    self._series.restore(resolution, before, *row)
                if time.perf_counter() - began > YIELD_AFTER:
                    await asyncio.sleep(0)
                    began = time.perf_counter()

    async def _write(self) -> None:
        # An interval that was begun before a restart is written with what is stored of it, and not before.
        await self._restored.wait()
        loop = asyncio.get_running_loop()
        forget_at = loop.time()
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._write_waiting()
                if loop.time() >= forget_at:
                    forget_at = loop.time() + FORGET_EVERY
                    for resolution, collection in _STORED.items():
                        await self._store.forget_until(collection, self._series.kept_from(resolution) - 1)
            except StoreError as error:
                log.warning("The history cannot be written (%s); it is kept in memory.", error)

    async def _write_waiting(self) -> None:
        for key, entry in tuple(self._waiting.items()):
            await self._store.save(_STORED[key[0]], entry)
            if self._waiting.get(key) is entry:
                del self._waiting[key]
