"""An event loop whose clock counts what this process does itself, and not how long a busy machine holds it up.

`loop.time()` is the CPU time of the loop's thread, and the time that the loop waited because it had nothing to do. Real
sockets, processes and threads work as in any loop, and on an idle machine this clock keeps the pace of every other one.
Where other processes take the cores for 2 s between two lines of a test, those 2 s never were: no timeout ends, no
answer comes too late, and what a simulated exo was doing is still under way.
"""

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from exo_graphql import clock
from exo_graphql.simulator import clock as demo_clock

STEP = 0.02
"""Seconds that are waited at once: what a hold-up during a wait counts at most."""
GRAIN = 0.001
"""Seconds by which the kernel may round a wait up."""


class _HonestSelector(selectors.BaseSelector):
    """Waits in steps, and counts no more for one than it was to take."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return self._selector.select(0)
        step = STEP if timeout is None else min(timeout, STEP)
        began = time.perf_counter()
        ready = self._selector.select(step)
        self.waited += min(time.perf_counter() - began, step + GRAIN)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._selector.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.modify(fileobj, events, data)

    def close(self) -> None:
        self._selector.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._selector.get_map()


class OwnTimeLoop(asyncio.SelectorEventLoop):
    """The loop of all tests but those by virtual time, and those that share a clock with a database."""

    def __init__(self) -> None:
        self._honest = _HonestSelector()
        self._thread = threading.get_ident()
        self._zero = self._last = _elapsed() - time.thread_time()
        super().__init__(self._honest)

    def time(self) -> float:
        """Another thread reads what was true when the loop last looked."""
        if threading.get_ident() == self._thread:
            self._last = self._zero + self._honest.waited + time.thread_time()
        return self._last


Backend = tuple[str, dict[str, Any]]
OWN_TIME: Backend = ("asyncio", {"loop_factory": OwnTimeLoop})
"""For `anyio_backend`."""

_elapsed = clock.elapsed


def _own(otherwise: Callable[[], float]) -> Callable[[], float]:
    """The clock of the loop that runs in this thread, if it has a time of its own."""

    def now() -> float:
        loop = asyncio._get_running_loop()
        return loop.time() if isinstance(loop, OwnTimeLoop) else otherwise()

    return now


# How long an example takes says nothing on a busy machine: with its own default, Hypothesis fails after 0.2 s.
settings.register_profile("own time", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("own time")

# Before anything else takes them: many a part has its clock as the default of an argument.
clock.elapsed = _own(_elapsed)
vars(demo_clock)["time"] = SimpleNamespace(monotonic=_own(time.monotonic))


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    """Each test has a loop of its own, but where a fixture of the whole module keeps one."""
    return OWN_TIME
