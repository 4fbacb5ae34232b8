"""Ctrl-C: the first one ends the command cleanly; more of them within a second are ignored.

Otherwise a second Ctrl-C would interrupt the cleanup after the first and print a traceback.
"""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

# A second Ctrl-C later than this means that the cleanup hangs: the process exits immediately.
PATIENCE_SECONDS = 1.0
EXIT_CODE = 130


class _Interrupts:
    """How the process handles SIGINT."""

    def __init__(self) -> None:
        self.installed = False
        self._first: float | None = None
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """The signal's handler."""
        now = time.perf_counter()
        if self._first is None:
            self._first = now
            if self._running is None:
                raise KeyboardInterrupt
            loop, task = self._running
            loop.call_soon_threadsafe(task.cancel)
        elif now - self._first > PATIENCE_SECONDS:
            os._exit(EXIT_CODE)

    async def cancelled_by_it(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs it so that an interrupt cancels it; raises KeyboardInterrupt then."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not inside a task")
        self._running = asyncio.get_running_loop(), task
        try:
            return await work
        except asyncio.CancelledError:
            if self._first is None:
                raise
            raise KeyboardInterrupt from None
        finally:
            self._running = None


_interrupts = _Interrupts()


def install() -> None:
    """Handles SIGINT for the rest of the process, unless it is ignored, as by what a shell runs in the background."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupts.handle)
        _interrupts.installed = True


def finish() -> None:
    """Ignores SIGINT while the interpreter ends: it would end the process by the signal, not with its exit code."""
    if _interrupts.installed:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def run(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, ended by the first Ctrl-C alone. Raises KeyboardInterrupt then."""
    return asyncio.run(_interrupts.cancelled_by_it(work) if _interrupts.installed else work)
