"""Simulated time: one monotonic clock, and processes that run on it.

A process is a generator that yields how many simulated seconds pass before its next step.
Nothing happens between two steps, so an idle simulation costs nothing, and the next request or
the background task runs every step that is due, each at exactly its own time.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable, Generator

Process = Generator[float, None, None]

_LONGEST_STEP = 1.0


class Running:
    """A process under way; `cancel` ends it at its current step."""

    __slots__ = ("_executing", "_process", "done")

    def __init__(self, process: Process) -> None:
        self._process = process
        self._executing = False
        self.done = False

    def cancel(self) -> None:
        """End the process; allowed from inside itself, and more than once."""
        self.done = True
        if not self._executing:
            self._process.close()

    def step(self) -> float | None:
        """Run to the next yield: the seconds to wait, or None when the process is over."""
        if self.done:
            return None
        self._executing = True
        try:
            delay = next(self._process)
        except StopIteration:
            self.done = True
        finally:
            self._executing = False
        if self.done:
            self._process.close()
            return None
        return delay


class Clock:
    """Simulated seconds since `start`, `speed` of them to a real second."""

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self.speed = speed
        self._zero: float | None = None
        """The real clock at the start; None before it."""
        self._skipped = 0.0
        """Simulated seconds that `advance` has jumped."""
        self._at: float | None = None
        """The time of the step being run; None between steps."""
        self._due: list[tuple[float, int, Running]] = []
        """A heap: when, in which order among equals, what."""
        self._order = itertools.count()
        self._jumped = asyncio.Event()
        """Set, and replaced, by `advance`: sleepers compute their time again."""

    def start(self) -> None:
        """Let time run from now; later calls change nothing."""
        if self._zero is None:
            self._zero = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Simulated seconds since the start, 0 before it."""
        if self._zero is None:
            return self._skipped
        return (time.monotonic() - self._zero) * self.speed + self._skipped

    @property
    def now(self) -> float:
        """The simulated time of the step being run, else `elapsed`."""
        return self.elapsed if self._at is None else self._at

    @property
    def lag(self) -> float:
        """How far the step being run is behind the present (simulated seconds).

        Processes that only keep something moving skip ahead by it, so that a simulation without
        a request for a day does not run a day's worth of steps.
        """
        return self.elapsed - self.now

    def spawn(self, process: Process, delay: float = 0.0) -> Running:
        """Start `process` after `delay` simulated seconds."""
        running = Running(process)
        heapq.heappush(self._due, (self.now + delay, next(self._order), running))
        return running

    def call_later(self, delay: float, function: Callable[[], None]) -> Running:
        """Call `function` once after `delay` simulated seconds."""

        def once() -> Process:
            function()
            yield from ()

        return self.spawn(once(), delay)

    def run_due(self) -> None:
        """Run every step that is due by now, in order of time."""
        if self._at is not None:
            return
        target = self.elapsed
        try:
            while self._due and self._due[0][0] <= target:
                at, _, running = heapq.heappop(self._due)
                self._at = at
                delay = running.step()
                if delay is not None:
                    heapq.heappush(self._due, (at + max(delay, 0.0), next(self._order), running))
        finally:
            self._at = None

    def real_seconds_to_next(self) -> float | None:
        """Real seconds until a step is due, None when nothing is planned."""
        if not self._due:
            return None
        return max(0.0, (self._due[0][0] - self.elapsed) / self.speed)

    def advance(self, seconds: float) -> None:
        """Jump `seconds` simulated seconds ahead, running all that falls due on the way."""
        while seconds > 0:
            step = min(seconds, _LONGEST_STEP)
            seconds -= step
            self._skipped += step
            self.run_due()
        self._jumped.set()
        self._jumped = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of simulated time; a jump of the clock shortens it."""
        deadline = self.elapsed + seconds
        while (left := deadline - self.elapsed) > 0:
            try:
                async with asyncio.timeout(left / self.speed):
                    await self._jumped.wait()
            except TimeoutError:
                continue
        self.run_due()
