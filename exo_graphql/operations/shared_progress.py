"""What operations under way show, written for the servers that follow this one: messages and progress between steps.

A step is stored when it begins and when it ends, and what is written here never says more than that about what has been
done: it is the last stored record, with the newest messages and percentage. Nothing waits for it, and nothing of it is
needed to resume. A server with a store of its own has no use for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from exo_graphql.operations.operation import Operation, Step
from exo_graphql.operations.records import with_operation
from exo_graphql.storage import Entry, StoreError

PROGRESS_SECONDS = 0.5
"""The shortest time between two writes. While the store is slow, what changes meanwhile is skipped."""


class SharedProgress:
    """`run` is awaited until it is cancelled; `write` writes an entry and may raise `StoreError`."""

    def __init__(self, write: Callable[[Entry], Awaitable[None]]) -> None:
        self._write = write
        self._stored: dict[str, tuple[Entry, Operation]] = {}
        """By id: what was last stored of those under way. None of one that is being stored: it must not come later."""
        self._changed: dict[str, Operation] = {}
        self._wake = asyncio.Event()

    def storing(self, operation_id: str) -> None:
        """It is about to be stored, or has ended: nothing older may be written from here on."""
        self._stored.pop(operation_id, None)

    def stored(self, entry: Entry, operation: Operation) -> None:
        """It is stored as this entry."""
        if operation.active:
            self._stored[operation.id] = entry, operation

    def note(self, operation: Operation) -> None:
        """It shows something else."""
        self._changed[operation.id] = operation
        self._wake.set()

    def clear(self) -> None:
        """Another server may write them now."""
        self._stored.clear()
        self._changed.clear()

    async def run(self) -> None:
        """Writes what changes."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            changed, self._changed = self._changed, {}
            for operation_id, operation in changed.items():
                known = self._stored.get(operation_id)
                if known is None:
                    continue
                entry, stored = known
                shown = _shown(stored, operation)
                if shown != stored:
                    entry = with_operation(entry, shown)
                    self._stored[operation_id] = entry, shown
                    with suppress(StoreError):
                        await self._write(entry)
            await asyncio.sleep(PROGRESS_SECONDS)


def _shown(stored: Operation, now: Operation) -> Operation:
    """The stored operation with what `now` says about the same steps."""
    steps = tuple(_step(step, now.step(step.name)) for step in stored.steps)
    if now.state is not stored.state:
        return replace(stored, steps=steps)
    return replace(
        stored,
        steps=steps,
        message=now.message,
        progress_percent=now.progress_percent,
        waiting_for=now.waiting_for,
    )


def _step(stored: Step, now: Step | None) -> Step:
    return stored if now is None or now.state is not stored.state else replace(stored, message=now.message)
