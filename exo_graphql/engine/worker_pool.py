"""Long work, on threads beside the event loop, so that the loop serves others meanwhile.

Python runs one thread at a time, so nothing gets faster. But a thread is interrupted every millisecond (see
`serve.SWITCH_SECONDS`): 400 ms of work on the loop would delay everybody by 400 ms.

Not anyio's `CapacityLimiter`: it bounds how many threads run, not how much waits for them. This pool refuses at once
what would wait too long, by estimated cost; it counts work whose caller has gone until it has ended; and closing it
drops what has not begun.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from exo_graphql.schema.errors import NamedError

T = TypeVar("T")


class Overloaded(NamedError):
    """Too many expensive requests are running or waiting. `extensions` hold the limit and its value."""

    def __init__(self, waiting: int, cost: float, limit: float) -> None:
        super().__init__(
            "OVERLOADED",
            f"{waiting} expensive requests are running or waiting, at an estimated cost of {cost:,.15g}; with this one "
            f"it would exceed {limit:,.15g} (the limit max_waiting_cost).",
            "Try again in a few seconds, or select less.",
            limit="max_waiting_cost",
            value=limit,
        )


class GivenUp(BaseException):
    """Nobody waits for this work any more. Not an `Exception`: graphql-core would take it for a resolver's error."""


class Waiter:
    """Whether a caller still waits for a piece of work: set on the event loop, checked on a thread."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = False

    def check(self) -> None:
        """Raises `GivenUp` if no caller waits any more."""
        if self.left:
            raise GivenUp


# The cost of work that has no estimate: about 40 ms.
USUAL_COST = 10_000.0
# Cost of all work that is running or queued, unless `--max-waiting-cost` says otherwise: ten operations of the
# largest cost that is allowed, some 16 s of work. What comes later would wait for longer than its callers do.
MAX_WAITING_COST = 4_000_000


class WorkerPool:
    """A few threads, and a bounded queue before them. Call from one event loop alone."""

    def __init__(self, threads: int = 2, max_cost: float = MAX_WAITING_COST) -> None:
        """`max_cost` of what is running or queued, in the unit of `cost`; a single piece may cost more.

        Few threads: the event loop competes with each of them for the interpreter.
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
        """What `work` returns or raises. Raises `Overloaded` at once where the queue would cost too much.

        When the caller is cancelled, work that has not begun is dropped; work that has begun may check `waiter`.
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
        # Sums of fractions do not return to exactly 0 by themselves.
        self._cost = self._cost - cost if self._under_way else 0.0

    def close(self) -> None:
        """Takes no more work, and drops what has not begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)
