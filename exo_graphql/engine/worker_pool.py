"""Work that may take long, on threads beside the event loop: the loop gives way to others meanwhile.

Python runs one thread at a time, so nothing gets quicker by this. What it buys is that a long piece of work is
interrupted every few milliseconds, where on the loop it would be finished before anybody else is served.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from exo_graphql.schema.errors import NamedError

T = TypeVar("T")


class Overloaded(NamedError):
    """More expensive requests are under way than the server takes on. `extensions` hold the limit, and its value."""

    def __init__(self, waiting: int, cost: float, limit: float) -> None:
        super().__init__(
            "OVERLOADED",
            f"{waiting} requests that take long are under way already, at an estimated cost of {cost:,.15g}; with this "
            f"one it would be more than {limit:,.15g} (the limit max_waiting_cost).",
            "Ask again in a few seconds, or ask for less.",
            limit="max_waiting_cost",
            value=limit,
        )


class GivenUp(BaseException):
    """Nobody waits for this work any more. No `Exception`, so that nothing on its way takes it for the work's error."""


class Waiter:
    """Whether anybody waits for a piece of work; it is set on the event loop and asked on a thread."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = False

    def check(self) -> None:
        """Raises `GivenUp` if nobody does."""
        if self.left:
            raise GivenUp


# What work counts whose cost its caller does not know: about 40 ms.
USUAL_COST = 10_000.0
# Cost of all work that is under way or queued, unless `--max-waiting-cost` says otherwise: ten operations of the
# largest cost that is allowed, some 16 s of work. What comes later would wait for longer than its callers do.
MAX_WAITING_COST = 4_000_000


class WorkerPool:
    """A few threads, and a bounded queue before them. Call from one event loop alone."""

    def __init__(self, threads: int = 2, max_cost: float = MAX_WAITING_COST) -> None:
        """At most `max_cost` is under way or queued, in the unit of `cost`; one piece may always be.

        The loop waits in turn with each of the threads.
        """
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="exo-graphql")
        self._max_cost = max_cost
        self._cost = 0.0
        self._under_way = 0

    @property
    def under_way(self) -> int:
        """Pieces of work running or queued."""
        return self._under_way

    @property
    def cost(self) -> float:
        """Estimated cost of what is running or queued."""
        return self._cost

    async def run(self, work: Callable[[], T], cost: float = USUAL_COST, waiter: Waiter | None = None) -> T:
        """What `work` returns or raises. Raises `Overloaded`, at once, where the queue would cost too much with it.

        A caller that is cancelled takes work that has not begun with it; what has begun may ask `waiter`.
        """
        if self._under_way and self._cost + cost > self._max_cost:
            raise Overloaded(self._under_way, self._cost, self._max_cost)
        loop = asyncio.get_running_loop()
        self._under_way += 1
        self._cost += cost
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: self._left(loop, cost))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if waiter is not None:
                waiter.left = True
            raise

    def _left(self, loop: asyncio.AbstractEventLoop, cost: float) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(partial(self._count_down, cost))

    def _count_down(self, cost: float) -> None:
        self._under_way -= 1
        # What is left of sums of fractions is no cost.
        self._cost = self._cost - cost if self._under_way else 0.0

    def close(self) -> None:
        """Takes no more work, and drops what has not begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)
