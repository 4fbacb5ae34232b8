"""Work that may take long, on threads beside the event loop: the loop gives way to others meanwhile.

Python runs one thread at a time, so nothing gets quicker by this. What it buys is that a long piece of work is
interrupted every few milliseconds, where on the loop it would be finished before anybody else is served.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from exo_graphql.schema.errors import NamedError

T = TypeVar("T")


class Overloaded(NamedError):
    """More dear requests are under way than the server takes on."""

    def __init__(self, waiting: int) -> None:
        super().__init__(
            "OVERLOADED",
            f"{waiting} requests that take long are under way already.",
            "Ask again in a few seconds, or ask for less.",
        )


class Elsewhere:
    """A few threads, and a bounded queue before them. Call from one event loop alone."""

    def __init__(self, threads: int = 2, waiting: int = 1000) -> None:
        """At most `waiting` pieces of work are under way or queued. The loop waits in turn with each of the threads."""
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="exo-graphql")
        self._waiting = waiting
        self._under_way = 0

    @property
    def under_way(self) -> int:
        """Pieces of work running or queued."""
        return self._under_way

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises. Raises `Overloaded`, at once, where the queue is full.

        A caller that is cancelled takes work that has not begun with it; what has begun ends by itself.
        """
        if self._under_way >= self._waiting:
            raise Overloaded(self._under_way)
        loop = asyncio.get_running_loop()
        self._under_way += 1
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: self._left(loop))
        return await asyncio.wrap_future(future)

    def _left(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._count_down)

    def _count_down(self) -> None:
        self._under_way -= 1

    def close(self) -> None:
        """Takes no more work, and drops what has not begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)
