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


# Intervals of each resolution that a server which follows keeps: the leader may be killed before it has written them.
KEPT_FOR_THE_LEADER = 2


class Sampler:
    """Samples while it is entered (`async with`), with a store that is open. Of several servers the leader writes."""

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
        self._seen: dict[tuple[int, int], Entry] = {}
        """What this server has sampled while another one led, the last of it, to be written if that one has not."""
        self._tasks: list[asyncio.Task[None]] = []
        self._writer: asyncio.Task[None] | None = None
        """While this server writes."""

    async def __aenter__(self) -> Self:
        await self.lead()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Its share in the roles of this server: see `replicas.Part`

    async def follow(self) -> None:
        """Samples for this server alone, after what is stored."""
        work = {"samples": self._sample(), "restored samples": self._restore()}
        self._tasks = [asyncio.create_task(each, name=name) for name, each in work.items()]

    async def changed(self, _: object) -> None:
        """Nothing: this server takes the same samples."""

    async def refresh(self) -> None:
        """Nothing."""

    async def lead(self) -> None:
        """Writes as well."""
        if not self._tasks:
            await self.follow()
        self._seen, self._waiting = self._waiting, {}
        self._due.set()
        self._writer = asyncio.create_task(self._write(), name="stored samples")

    async def rest(self) -> None:
        """Samples for this server alone."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            self._limit()

    async def close(self) -> None:
        """Writes what is left, if this server writes."""
        writes = self._writer is not None
        await self.rest()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if writes and self._restored.is_set():
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
        self._limit()

    def _limit(self) -> None:
        most = WAITING if self._writer is not None else KEPT_FOR_THE_LEADER * len(_STORED)
        while len(self._waiting) > most:
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
        for key, entry in tuple(self._seen.items()):
            # Not over what the other server has written: this one may have sampled a part of the interval.
            await self._store.append(_STORED[key[0]], [entry])
            self._seen.pop(key, None)
        for key, entry in tuple(self._waiting.items()):
            await self._store.save(_STORED[key[0]], entry)
            if self._waiting.get(key) is entry:
                del self._waiting[key]
