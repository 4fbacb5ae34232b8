"""The deliveries to one receiver: one after the other, at least once each, within a day."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

import httpx

from exo_graphql.cluster.moment import Moment
from exo_graphql.events.event import Event
from exo_graphql.events.log import EventLog
from exo_graphql.storage import Collection, Store, StoreError
from exo_graphql.webhooks.attempt import TIMEOUT, attempt
from exo_graphql.webhooks.message import Message, message_of, sample_message
from exo_graphql.webhooks.names import NameLookup
from exo_graphql.webhooks.records import Progress, encode
from exo_graphql.webhooks.schedule import Schedule
from exo_graphql.webhooks.target import Target
from exo_graphql.webhooks.webhook import Result

log = logging.getLogger(__name__)

# An event that is older is no longer sent.
GIVE_UP_AFTER = timedelta(days=1)
# Seconds between two writes of the progress. What a process that was killed has not written is sent again.
SAVE_EVERY = 1.0
# Seconds after which the clock is looked at again: timers stop while the machine sleeps.
LONGEST_WAIT = 30.0
# Events that are looked at before others are served: thousands may have been recorded that a target does not want.
TAKE_AT_ONCE = 200
# Seconds after the store has failed.
RETRY_STORE_AFTER = 10.0


class Delivery:
    """Runs until it is cancelled. `number` orders the targets in the store."""

    def __init__(
        self,
        target: Target,
        number: int,
        progress: Progress,
        *,
        client: httpx.AsyncClient,
        secrets: Sequence[str],
        events: EventLog,
        store: Store,
        now: Callable[[], Moment],
        lookup: NameLookup | None = None,
    ) -> None:
        """`lookup` finds the host of the target; None where that needs none."""
        self.target = target
        self._client = client
        self._secrets = secrets
        self._events = events
        self._store = store
        self._now = now
        self._lookup = lookup
        self._saved_at = float("-inf")
        self._is_saved = True
        """Whether the last attempt to write the progress succeeded."""
        self._next_try = float("-inf")
        """When it may be written again after a failure."""
        self._wake = asyncio.Event()
        self._test: asyncio.Task[Result] | None = None
        self.resume(number, progress)

    def resume(self, number: int, progress: Progress) -> None:
        """Goes on from what is stored."""
        self.delivered = progress.delivered
        self.given_up = progress.given_up
        self.delivered_at = progress.delivered_at
        self.failing_since = progress.failing_since
        self.last_error = progress.last_error
        """See `Progress` for these five."""
        self.gone = False
        """Whether the receiver wants no more (410). Until the next start, or until a test succeeds."""
        self._number = number
        elapsed = self._now().elapsed
        # A server that was killed may have noted an event here that its log did not keep: the number is given again.
        self._schedule = Schedule(min(progress.cursor, self._events.last_sequence))
        for sequence in progress.pending:
            if sequence <= self._events.last_sequence:
                self._schedule.take(sequence, elapsed, wanted=True)
        self._saved: Progress | None = None

    @property
    def pending(self) -> int:
        """Events that are recorded and not delivered."""
        return len(self._schedule.pending) + self._events.last_sequence - self._schedule.cursor

    @property
    def seconds_to_next(self) -> float | None:
        """Seconds until the next attempt; None where there is nothing to send."""
        return None if self.gone else self._schedule.wait(self._now().elapsed)

    def wake(self) -> None:
        """There is a new event."""
        self._wake.set()

    async def test(self) -> Result:
        """Sends a test message, once. Who asks while one is under way gets its result."""
        if self._test is None or self._test.done():
            self._test = asyncio.create_task(self._send_test(), name=f"test of webhook {self.target.name}")
        return await asyncio.shield(self._test)

    def end(self) -> None:
        """Ends a test that is under way."""
        if self._test is not None:
            self._test.cancel()

    async def _send_test(self) -> Result:
        result = await self._attempt(sample_message(self._now().at))
        if result.delivered:
            self.gone = False
            self._schedule.closed_until = float("-inf")
            self.wake()
        return result

    async def save(self) -> None:
        """Writes the progress, if it has changed. Raises `StoreError`."""
        progress = Progress(
            self._schedule.cursor,
            tuple(self._schedule.pending),
            self.delivered,
            self.given_up,
            self.delivered_at,
            self.failing_since,
            self.last_error,
        )
        if progress != self._saved:
            await self._store.save(Collection.WEBHOOKS, encode(self._number, self.target.id, progress))
            self._saved = progress
        self._saved_at = self._now().elapsed

    async def run(self) -> None:
        """Delivers until cancelled."""
        while True:
            try:
                await self._step()
            except StoreError as error:
                log.warning("Webhook %s: events cannot be read (%s).", self.target.name, error)
                await asyncio.sleep(RETRY_STORE_AFTER)
            except Exception:
                log.exception("Webhook %s: an internal error.", self.target.name)
                await asyncio.sleep(RETRY_STORE_AFTER)

    async def _step(self) -> None:
        """One attempt, or one wait."""
        self._wake.clear()
        await self._take_up()
        now = self._now()
        sequence = None if self.gone else self._schedule.next(now.elapsed)
        if sequence is None or now.elapsed - self._saved_at >= SAVE_EVERY:
            await self._try_to_save()
        if sequence is not None:
            await self._deliver(sequence)
            return
        wait = self.seconds_to_next
        if wait is not None or not self._is_saved:
            wait = min(LONGEST_WAIT, wait or LONGEST_WAIT)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._wake.wait()

    async def _try_to_save(self) -> None:
        """Writes the progress, unless that has just failed. A disk that is full keeps nothing from being sent."""
        if self._now().elapsed < self._next_try:
            return
        try:
            await self.save()
            self._is_saved = True
        except StoreError as error:
            self._next_try = self._now().elapsed + RETRY_STORE_AFTER
            if self._is_saved:
                log.warning("Webhook %s: its progress cannot be written (%s).", self.target.name, error)
            self._is_saved = False

    async def _take_up(self) -> None:
        schedule = self._schedule
        while schedule.room > 0 and schedule.cursor < self._events.last_sequence and not self.gone:
            sequence = schedule.cursor + 1
            if sequence % TAKE_AT_ONCE == 0:
                await asyncio.sleep(0)
            event = await self._events.numbered(sequence)
            wanted = event is not None and self.target.takes(event)
            late = wanted and event is not None and self._is_too_old(event)
            schedule.take(sequence, self._now().elapsed, wanted=wanted and not late)
            self.given_up += late

    async def _deliver(self, sequence: int) -> None:
        event = await self._events.numbered(sequence)
        if event is None or self._is_too_old(event):
            self._schedule.drop(sequence)
            self.given_up += 1
            return
        try:
            result = await self._attempt(message_of(event))
        except Exception:
            # A fault of ours about one event must hold up no other.
            log.exception("Webhook %s: event %s cannot be sent.", self.target.name, event.id)
            result = Result("The event cannot be sent; see the log of this server.")
        now = self._now()
        if result.delivered:
            self._schedule.succeeded(sequence, now.elapsed)
            self.delivered += 1
            self.delivered_at = now.at
            if self.failing_since is not None:
                log.info("Webhook %s works again.", self.target.name)
            self.failing_since = None
            return
        self._schedule.failed(sequence, now.elapsed, result.retry_after)
        self.last_error = result.error
        if self.failing_since is None:
            self.failing_since = now.at
            log.warning("Webhook %s fails: %s Events are sent again for a day.", self.target.name, result.error)
        if result.gone:
            self.gone = True
            log.warning(
                "Webhook %s wants no more events (410). It gets none until `exo-graphql webhooks test` succeeds, or "
                "this server is restarted.",
                self.target.name,
            )

    async def _attempt(self, message: Message) -> Result:
        if self._lookup is not None:
            try:
                async with asyncio.timeout(TIMEOUT):
                    await self._lookup.ended()
            except TimeoutError:
                return Result(f"Its name could not be looked up within {TIMEOUT:g} s.")
        now = self._now().at
        headers = message.headers(self._secrets, now)
        return await attempt(self._client, self.target.url, message.body, headers, now)

    def _is_too_old(self, event: Event) -> bool:
        return self._now().at - event.at > GIVE_UP_AFTER
