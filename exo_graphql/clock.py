"""The clocks of this server. Everything that measures an age, a patience or a lease takes its time from `elapsed`.

`elapsed` cannot be set, and it goes on while the machine sleeps: a laptop that slept for an hour must not take what
it knew before for fresh. What each platform gives:

- Linux, Android, and FreeBSD from 14 on: `CLOCK_BOOTTIME`. `time.monotonic()` stops during sleep there.
- macOS: `CLOCK_MONOTONIC_RAW`, which goes on during sleep and which nothing adjusts. `time.monotonic()` is
  `mach_absolute_time()` and stops. (`CLOCK_MONOTONIC` goes on as well; it is the wall clock less the time of boot.)
- Windows: `time.monotonic()`. Up to Python 3.12 it is `GetTickCount64`, which counts sleep and moves in steps of
  10 to 16 ms; from 3.13 on it is `QueryPerformanceCounter`, of which Microsoft does not promise that it counts sleep.
- Elsewhere: `time.monotonic()`, which may stop during sleep. What is read after it then counts as younger than it is
  until the next read, a pause later.

The event loop's own clock (`loop.time()`, that of `asyncio.timeout`) is `time.monotonic()` everywhere: it only times
waits of this process. Wall time is for stamps alone; schedules alone are decided by it.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from exo_graphql.cluster.moment import Moment


def _clock() -> Callable[[], float]:
    name = "CLOCK_MONOTONIC_RAW" if sys.platform == "darwin" else "CLOCK_BOOTTIME"
    number = getattr(time, name, None)
    if number is None:
        return time.monotonic
    try:
        time.clock_gettime(number)
    except OSError:  # a kernel, or a sandbox, without it
        return time.monotonic
    return lambda: time.clock_gettime(number)


elapsed = _clock()
"""Seconds since some point before this process began; see above."""


def utc_now() -> datetime:
    """The wall clock, to stamp with."""
    return datetime.now(UTC)


def now() -> Moment:
    """Now, by both clocks."""
    return Moment(utc_now(), elapsed())
