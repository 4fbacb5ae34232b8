"""Which reads of the state have begun and how they ended, for those who wait for one.

Reads are numbered, so that the order of two never depends on the resolution of a clock.
"""

import asyncio


class Reads:
    """The reads of one poller, of which at most one is under way."""

    def __init__(self) -> None:
        self.under_way = False
        """Whether a poller reads: False before it is entered and once it is left."""
        self.begun = 0
        """The number of the last read that has begun."""
        self.succeeded = 0
        """The number of the last read that gave a state."""
        self.failed = 0
        """The number of the last read that gave none, from any URL."""
        self._ended = asyncio.Event()
        """Set, and replaced, when a read ends, good or not, and when exo counts as lost."""

    def begin(self) -> None:
        """A read begins."""
        self.begun += 1

    def succeed(self) -> None:
        """The read gave a state."""
        self.succeeded = self.begun

    def fail(self) -> None:
        """The read gave no state, from any URL."""
        self.failed = self.begun

    def announce_end(self) -> None:
        """Wakes up those who wait in `ended`: the read has ended, or none will."""
        ended, self._ended = self._ended, asyncio.Event()
        ended.set()

    async def ended(self) -> None:
        """Waits for the next `announce_end`."""
        await self._ended.wait()
