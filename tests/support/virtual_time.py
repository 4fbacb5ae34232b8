"""An event loop whose time passes only when nothing is left to do: a minute of waiting costs no second.

Everything that the poller waits for (pauses, timeouts, the simulated latency of exo) is kept by the loop's clock, so
the real code runs under a clock that is exact and repeatable.
"""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class _ImpatientSelector(selectors.BaseSelector):
    """Never waits: where a selector would, it moves the time on."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.time = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            return []  # something is left to do, so nothing needs to be looked for: half a million calls a run
        ready = self._selector.select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everything waits for something that will never happen")
            self.move_on(timeout)
        return ready

    def move_on(self, seconds: float) -> None:
        self.time += max(0.0, seconds)

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


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop for tests that use neither sockets nor threads."""

    def __init__(self) -> None:
        self._impatient = _ImpatientSelector()
        super().__init__(self._impatient)

    def time(self) -> float:
        return self._impatient.time
