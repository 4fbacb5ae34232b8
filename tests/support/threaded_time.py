"""Virtual time with work in threads: it moves on only when neither the loop nor a thread has work left."""

import asyncio
import contextvars
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

from tests.support.virtual_time import VirtualTimeLoop

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class ThreadedTimeLoop(VirtualTimeLoop):
    """The journal writes in a thread: while it does, no time passes."""

    def __init__(self) -> None:
        super().__init__()
        self._in_threads = 0
        impatient = self._impatient
        wait, look = impatient._selector.select, impatient.select

        def select(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if self._in_threads:
                return wait(0 if timeout == 0 else 0.05)
            if timeout is None:
                return look(timeout)
            impatient.move_on(timeout)  # no thread has work left: there is nothing to look for
            return []

        impatient.select = select  # type: ignore[method-assign]

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _T], *args: *_Ts
    ) -> "asyncio.Future[_T]":
        self._in_threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_is_done)
        return future

    async def shutdown_default_executor(self, *arguments: Any) -> None:
        self._in_threads += 1
        try:
            await super().shutdown_default_executor(*arguments)
        finally:
            self._in_threads -= 1

    def _thread_is_done(self, _: "asyncio.Future[Any]") -> None:
        self._in_threads -= 1


class InlineTimeLoop(VirtualTimeLoop):
    """Runs what is meant for a thread by itself, in the order of the calls, each in an iteration of its own.

    Other tasks go on between a call and its result, as they do beside a thread, and always the same ones do. A call
    costs a tenth of what two changes of thread cost. For tests that are not about the threads themselves.
    """

    def __init__(self) -> None:
        super().__init__()
        impatient = self._impatient

        def select(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is None:
                raise RuntimeError("everything waits for something that will never happen")
            impatient.move_on(timeout)  # there are no threads and no sockets to look for
            return []

        impatient.select = select  # type: ignore[method-assign]

    def run_in_executor(
        self,
        executor: Executor | None,  # noqa: ARG002  # nothing is handed to it
        func: Callable[[Unpack[_Ts]], _T],
        *args: *_Ts,
    ) -> "asyncio.Future[_T]":
        future: asyncio.Future[_T] = self.create_future()
        self.call_soon(_run, future, func, args, context=contextvars.Context())  # a thread's context is empty too
        return future


def _run(future: "asyncio.Future[_T]", func: Callable[[Unpack[_Ts]], _T], args: tuple[*_Ts]) -> None:
    if future.cancelled():
        return
    try:
        result = func(*args)
    except Exception as error:  # noqa: BLE001  # it is the caller's, as from a thread
        future.set_exception(error)
    else:
        future.set_result(result)
