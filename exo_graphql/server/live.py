"""Live queries: a subscription executed once for all who share it, and sent when what they selected has changed.

Subscriptions with the same text, variables, operation and rights are one `Share`. At each new picture it is executed
and encoded once; subscribers are woken and take the newest message when they are able to. Who reads slowly skips what
is out of date and holds up nobody; what waits for a subscriber is one message, and that is shared.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from graphql import DocumentNode

from exo_graphql.schema.context import Context
from exo_graphql.server.execution import Answer, Executor

logger = logging.getLogger("exo_graphql")

# What takes longer than this gives way to others in between.
BREATH_SECONDS = 0.010


@dataclass(eq=False, slots=True)
class Share:
    """One execution for all who asked the same. `number` counts the messages; 0 before the first."""

    document: DocumentNode
    operation_name: str | None
    variables: Mapping[str, Any] | None
    answer: Answer | None = None
    number: int = 0
    ended: bool = False
    subscribers: set["Subscriber"] = field(default_factory=set)

    def publish(self, answer: Answer) -> None:
        """Makes `answer` the newest message if it differs in more than clocks, and wakes the subscribers."""
        before = self.answer
        if before is not None and before.signature == answer.signature and not answer.completed:
            return
        self.answer = answer
        self.number += 1
        self.ended = self.ended or answer.completed or (self.number == 1 and answer.failed)
        for subscriber in self.subscribers:
            subscriber.wake()


class Subscriber:
    """One reader of a share: iterate it for messages, newest first come."""

    __slots__ = ("_seen", "_share", "_taken", "_waiting")

    def __init__(self, share: Share) -> None:
        self._share = share
        self._seen = 0
        self._taken = 0
        self._waiting: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """A new message is there."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    @property
    def is_first(self) -> bool:
        """Whether one message has been taken so far."""
        return self._taken == 1

    def __aiter__(self) -> "Subscriber":
        return self

    async def __anext__(self) -> Answer:
        share = self._share
        while self._seen == share.number or share.answer is None:
            if share.ended:
                raise StopAsyncIteration
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        self._seen = share.number
        self._taken += 1
        return share.answer


class Live:
    """The table of shares. `run` drives it; `touch` tells it that there is a new picture."""

    def __init__(
        self,
        executor: Executor,
        context: Callable[[], Context],
        interest: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._executor = executor
        self._context = context
        self._interest = interest
        self._ending = False
        self._shares: dict[object, Share] = {}
        self._touched = asyncio.Event()

    @property
    def share_count(self) -> int:
        """Executions that are kept up to date."""
        return len(self._shares)

    @property
    def subscriber_count(self) -> int:
        """Subscriptions that are open."""
        return sum(len(share.subscribers) for share in self._shares.values())

    def end(self) -> None:
        """Ends every share: each subscriber takes what is newest, then completes."""
        self._ending = True
        for share in self._shares.values():
            share.ended = True
            for subscriber in share.subscribers:
                subscriber.wake()

    def touch(self) -> None:
        """There is a new picture, or an operation has moved."""
        self._touched.set()

    @asynccontextmanager
    async def subscribe(
        self,
        key: object,
        document: DocumentNode,
        operation_name: str | None,
        variables: Mapping[str, Any] | None,
    ) -> AsyncIterator[Subscriber]:
        """Joins the share of `key`, or makes it. Leaving it leaves nothing behind."""
        share = self._shares.get(key)
        if share is None or share.ended:
            share = self._shares[key] = Share(document, operation_name, variables, ended=self._ending)
            self._execute(share)
        subscriber = Subscriber(share)
        share.subscribers.add(subscriber)
        try:
            with self._interest():
                yield subscriber
        finally:
            share.subscribers.discard(subscriber)
            if not share.subscribers and self._shares.get(key) is share:
                del self._shares[key]

    async def run(self) -> None:
        """Executes every share at each new picture, until cancelled."""
        while True:
            await self._touched.wait()
            self._touched.clear()
            began = time.perf_counter()
            for share in tuple(self._shares.values()):
                if share.subscribers and not share.ended:
                    self._execute(share)
                if time.perf_counter() - began > BREATH_SECONDS:
                    await asyncio.sleep(0)
                    began = time.perf_counter()

    def _execute(self, share: Share) -> None:
        context = self._context()
        if context.picture is None:
            return
        answer = self._executor.execute(share.document, context, share.variables, share.operation_name)
        if isinstance(answer, Answer):
            share.publish(answer)
        else:
            # No subscription field waits for anything; one that did would have to be awaited elsewhere.
            raise TypeError("a subscription's resolver must not wait")
