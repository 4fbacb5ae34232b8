"""Where work that takes long runs beside the event loop."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Offload(Protocol):
    """Runs work off the event loop, as `asyncio.to_thread` does."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """What the work returns or raises."""
        ...


in_thread: Offload = asyncio.to_thread
"""The default, where the caller has no worker pool."""


def give_way() -> None:
    """Lets other threads run, the event loop's first: Python itself would let them wait for 5 ms."""
    time.sleep(5e-5)
