"""The clocks of this server. Every age, timeout and lease is measured by `elapsed`.

`elapsed` cannot be set, and it keeps running while the machine sleeps: after an hour of sleep, a laptop must not take
the state from before for current. The clock of each platform:

- Linux, Android, and FreeBSD from 14 on: `CLOCK_BOOTTIME`. `time.monotonic()` stops during sleep there.
- macOS: `CLOCK_MONOTONIC_RAW`, which keeps running during sleep and is never adjusted. `time.monotonic()` is
  `mach_absolute_time()` and stops. (`CLOCK_MONOTONIC` keeps running too, but it is the wall clock minus the boot time.)
- Windows: `time.monotonic()`. Up to Python 3.12 it is `GetTickCount64`, which counts sleep and moves in steps of
  10 to 16 ms; from 3.13 on it is `QueryPerformanceCounter`, and Microsoft does not guarantee that it counts sleep.
- Any other: `time.monotonic()`, which may stop during sleep. The last state then counts as younger than it is, until
  the next read.

The event loop's own clock (`loop.time()`, that of `asyncio.timeout`) is `time.monotonic()` on every platform: it only
times waits within this process. The wall clock is used for timestamps, and to decide only schedules.
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
"""Seconds since some point before the start of this process; see above."""


def utc_now() -> datetime:
    """The wall clock, for timestamps."""
    return datetime.now(UTC)


def now() -> Moment:
    """Now, by both clocks."""
    return Moment(utc_now(), elapsed())
