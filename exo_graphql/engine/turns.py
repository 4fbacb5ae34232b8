"""Turns for short work on the event loop that many clients ask for at the same moment.

The loop calls everything that is ready before it looks at the network again. 200 requests that arrive together, each
with 1 ms of work, would keep everybody else waiting for 200 ms; in turns, for some 5.
"""

import asyncio
import time

# Seconds of work in one iteration of the event loop, from which on who comes later waits for the next one.
_SHARE = 0.005


class Turns:
    """Lets callers go on until their work has taken its share of an iteration; the others wait, the first one first."""

    def __init__(self) -> None:
        self._began: float | None = None
        """When the first turn of this iteration began, by `time.perf_counter`; None before it."""
        self._waiting = asyncio.Lock()

    async def next(self) -> None:
        """Waits for the caller's turn, which lasts until it waits for something else. Usually that is at once."""
        if not self._waiting.locked() and self._may_begin():
            return
        async with self._waiting:
            if not self._may_begin():
                await asyncio.sleep(0)
                self._may_begin()

    def _may_begin(self) -> bool:
        now = time.perf_counter()
        if self._began is None:
            self._began = now
            asyncio.get_running_loop().call_soon(self._end)
        return now - self._began < _SHARE

    def _end(self) -> None:
        self._began = None
