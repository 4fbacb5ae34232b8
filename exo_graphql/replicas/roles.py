"""The roles of this server: it leads while it may act on the cluster, else it follows the server that does.

The parts change their role one after the other, in the order of their dependence: events first, since all others record
some; what acts comes last, and rests first. A server that has a store of its own leads from its start to its end, and
nothing here runs for it.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Protocol, Self

from exo_graphql.storage import Collection, Store, StoreError, is_shared

log = logging.getLogger(__name__)

RETRY_AFTER = 1.0
"""Seconds until what the store could not answer is read again."""
REFRAIN_SECONDS = 20.0
"""How long this server leaves the lead to others after an internal error kept it from leading."""
REFRESH_SECONDS = 2.0
"""How long a caller waits for what others have written to be read."""

Changes = dict[Collection, frozenset[str] | None]
"""Ids of the entries that another server has written; None: any."""


class Part(Protocol):
    """A part of the server that shows what the store says and that, in the leader, acts and writes to it.

    It is made resting. `follow`, `changed` and `lead` may be cancelled at any point, after which `rest` is called.
    """

    async def follow(self) -> None:
        """Shows what the store says; acts on nothing. Raises `StoreError`; then it shows what it has shown before."""
        ...

    async def changed(self, changes: Changes) -> None:
        """The same after another server has written these entries; those of other parts are among them."""
        ...

    async def refresh(self) -> None:
        """Shows what was written last, before any notice of it has come. Raises `StoreError`."""
        ...

    async def lead(self) -> None:
        """Reads the store, then begins to act. Raises `StoreError`; then it does not act. It never waits for exo."""
        ...

    async def rest(self) -> None:
        """Stops acting, at once: it waits for neither exo nor the store. It goes on showing what it knows.

        Nothing happens where it does not act. Never raises.
        """
        ...

    async def close(self) -> None:
        """Ends all that it does, at the end of this server; it may then write what is left. Never raises."""
        ...


class Roles:
    """Keeps the parts in the role of this server while it is entered (`async with`), with a store that is open."""

    def __init__(
        self,
        store: Store,
        parts: Sequence[Part],
        may_lead: Callable[[], bool] = lambda: True,
        catch_up: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`parts` in the order in which they begin to act. `may_lead`: whether this server may begin to lead at all.

        `catch_up` waits until exo is shown here as by the server that is followed.
        """
        self.leading = False
        """Whether all parts act. Sometime after `Leadership.leads` becomes true, and until it is false."""
        self.version = 0
        """Increases with every change of what `Leadership` says, and of `leading`."""
        self._may_lead = may_lead
        self._catch_up_with_exo = catch_up
        self._store = store
        self._parts = tuple(parts)
        self._changes: Changes = {}
        """What others have written and is to be read."""
        self._wake = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self._refreshing: list[asyncio.Future[None]] = []
        """Of callers that wait until what was written last has been read."""
        self._lost = False
        """Whether the leadership was lost since this server began to lead, even if it has it again."""
        self._rests = True
        """Whether no part acts."""
        self._refrains_until = float("-inf")
        """By the event loop's clock: until then this server does not begin to lead."""
        self._unread = False
        """Whether the last attempt to read the store has failed."""
        self._work: asyncio.Task[None] | None = None
        """While the parts begin to lead, or read: in neither role anything waits for a store that does not answer."""
        self._works_to_lead = False
        self._active = AsyncExitStack()
        # Before the store is opened, which takes the lease if it is free.
        store.leadership.begin_only_while(self._is_able_to_lead)

    async def __aenter__(self) -> Self:
        """Leads at once where no other server can. Raises `StoreError`."""
        self._active.push_async_callback(self._close)
        try:
            if not is_shared(self._store.leadership):
                await self._lead()
                return self
            for part in self._parts:
                await part.follow()
            if self._store.leadership.leads:
                await self._lead()
        except BaseException:
            await self._active.aclose()
            raise
        self._active.callback(self._store.on_change(self._on_change))
        self._active.callback(self._store.leadership.listen(self._on_leadership))
        # What was written between the reading and the listening.
        self._changes = dict.fromkeys(Collection)
        self._wake.set()
        self._active.push_async_callback(_ended, asyncio.create_task(self._run(), name="roles"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._active.aclose()

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back whenever `version` has increased, synchronously; returns how to stop it."""
        self._listeners.append(callback)

        def stop() -> None:
            with suppress(ValueError):
                self._listeners.remove(callback)

        return stop

    async def refresh(self) -> None:
        """Waits until what others had written before this call is shown here, as far as the store answers in time."""
        if self.leading or not is_shared(self._store.leadership):
            return
        read = asyncio.get_running_loop().create_future()
        self._refreshing.append(read)
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(REFRESH_SECONDS):
                await read
                if self._catch_up_with_exo is not None:
                    await self._catch_up_with_exo()

    async def settled(self, seconds: float) -> bool:
        """Waits, so many seconds at most, until this server leads or knows one that does; whether that is so."""
        found = asyncio.Event()

        def look() -> None:
            leader = self._store.leadership.leader
            if self.leading or (leader is not None and leader.id != self._store.leadership.own.id):
                found.set()

        stop = self.listen(look)
        try:
            look()
            async with asyncio.timeout(seconds):
                await found.wait()
        except TimeoutError:
            return False
        finally:
            stop()
        return True

    def _on_change(self, collection: Collection, ids: frozenset[str] | None) -> None:
        known = self._changes.get(collection, frozenset())
        self._changes[collection] = None if known is None or ids is None else known | ids
        self._wake.set()

    def _on_leadership(self) -> None:
        if not self._store.leadership.leads:
            self._lost = True
        if self._work is not None and self._store.leadership.leads is not self._works_to_lead:
            self._work.cancel()
        self._wake.set()
        self._notify()

    def _is_able_to_lead(self) -> bool:
        return self._rests and asyncio.get_running_loop().time() >= self._refrains_until and self._may_lead()

    def _notify(self) -> None:
        self.version += 1
        for listener in tuple(self._listeners):
            listener()

    # The loop

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._step()
                if self._unread:
                    log.info("The store is read again.")
                self._unread = False
            except StoreError as error:
                # Once, not at each attempt: it may last for hours.
                log.log(
                    logging.DEBUG if self._unread else logging.WARNING,
                    "The store cannot be read (%s). What is shown may be old.",
                    error,
                )
                self._unread = True
                asyncio.get_running_loop().call_later(RETRY_AFTER, self._wake.set)
            except Exception:
                log.exception("A change of the role failed; it is tried again.")
                asyncio.get_running_loop().call_later(RETRY_AFTER, self._wake.set)

    async def _step(self) -> None:
        if self.leading and (self._lost or not self._store.leadership.leads):
            log.warning("Another server may lead from here on: this one follows.")
            await self._rest()
            self._changes = dict.fromkeys(Collection)
        if self._store.leadership.leads:
            if not self.leading:
                await self._take_over()
            self._changes.clear()  # what others wrote before has been read
            self._refreshed(self._refreshing)
        else:
            await self._until_the_role_changes(self._catch_up(), leads=False)

    async def _take_over(self) -> None:
        """Begins to lead, unless the leadership is lost meanwhile. Raises `StoreError`; then it goes on following."""
        self._lost = False
        try:
            await self._until_the_role_changes(self._lead(), leads=True)
        except StoreError:
            raise
        except Exception:
            # Perhaps another server can: with the lease kept here, nobody would act.
            self._refrains_until = asyncio.get_running_loop().time() + REFRAIN_SECONDS
            self._store.leadership.resign()
            raise
        finally:
            if not self.leading:
                await self._rest()
                self._changes = dict.fromkeys(Collection)
                self._wake.set()

    async def _until_the_role_changes(self, work: Coroutine[object, object, None], *, leads: bool) -> None:
        self._works_to_lead = leads
        self._work = task = asyncio.create_task(work, name="roles at work")
        try:
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
        finally:
            self._work = None
            await _ended(task)

    async def _lead(self) -> None:
        self._rests = False
        for part in self._parts:
            await part.lead()
        self.leading = True
        self._notify()

    async def _rest(self) -> None:
        """What acts last rests first."""
        was_leading, self.leading = self.leading, False
        for part in reversed(self._parts):
            try:
                await part.rest()
            except Exception:
                log.exception("A part of the server failed to stop acting.")
        self._rests = True
        if was_leading:
            self._notify()

    async def _close(self) -> None:
        for part in reversed(self._parts):
            try:
                await part.close()
            except Exception:
                log.exception("A part of the server failed to end.")

    async def _catch_up(self) -> None:
        """Reads what others have written."""
        changes, self._changes = self._changes, {}
        refreshing, self._refreshing = self._refreshing, []
        try:
            for part in self._parts:
                if changes:
                    await part.changed(changes)
                if refreshing:
                    await part.refresh()
        except BaseException:
            self._changes = _both(changes, self._changes)
            raise
        finally:
            self._refreshed(refreshing)

    @staticmethod
    def _refreshed(waiting: list[asyncio.Future[None]]) -> None:
        for read in waiting:
            if not read.done():
                read.set_result(None)
        waiting.clear()


def _both(some: Changes, others: Changes) -> Changes:
    joined: defaultdict[Collection, frozenset[str] | None] = defaultdict(frozenset, some)
    for collection, ids in others.items():
        known = joined[collection]
        joined[collection] = None if known is None or ids is None else known | ids
    return dict(joined)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
