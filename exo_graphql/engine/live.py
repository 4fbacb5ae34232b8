"""Live queries: a subscription executed once for all who share it, and sent when what they selected has changed.

Subscriptions with the same text, variables, operation and rights are one `Share`. At each picture that differs in more
than clocks it is executed and encoded once; subscribers are woken and take the newest message when they are able to.
Who reads slowly skips what is out of date and holds up nobody; what waits for a subscriber is one message, and that is
shared. Dear shares are executed on a thread, in turn, while the others go on.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from graphql import DocumentNode

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.engine.budget import AT_ONCE, PLAIN_AT_ONCE
from exo_graphql.engine.errors import internal_error, new_error_id
from exo_graphql.engine.execution import Answer, Executor, refusal
from exo_graphql.engine.limits import LimitExceeded
from exo_graphql.engine.worker_pool import Overloaded, Waiter, WorkerPool
from exo_graphql.schema.context import Context

logger = logging.getLogger("exo_graphql")

# What takes longer than this gives way to others in between.
BREATH_SECONDS = 0.010
# The age in an answer is true when it is given: to a newcomer, none is given that was computed longer ago.
DATED_AFTER_SECONDS = 0.1
# Where the threads have too much to do, a dear share waits this long for its next try.
OVERLOADED_SECONDS = 0.1

_FAULT = "internal error %s in a live query"


@dataclass(eq=False, slots=True)
class SharedSubscription:
    """One execution for all who asked the same. `number` counts the messages; 0 before the first."""

    document: DocumentNode
    operation_name: str | None
    variables: Mapping[str, Any] | None
    price: Callable[[], float] = lambda: 0.0
    """The estimated cost of an execution now."""
    cost: float = 0.0
    """What it was at the last execution, or when the share was made."""
    listed: bool = False
    """Whether it is in the table, and its cost in the sum."""
    work: "asyncio.Future[Answer] | None" = None
    """Its execution on a thread, while there is one."""
    answer: Answer | None = None
    number: int = 0
    ended: bool = False
    version: str | None = None
    """`Context.version` and `Snapshot.observed_at` of the picture that the answer was read off, and when it was."""
    observed_at: datetime | None = None
    executed_at: float = 0.0
    subscribers: set["Subscriber"] = field(default_factory=set)

    def is_current(self, context: Context) -> bool:
        """Whether nothing but clocks can differ in a new execution."""
        return self.version is not None and self.version == context.version

    def is_exact(self, context: Context, now: float) -> bool:
        """Whether not even clocks would differ."""
        return (
            self.is_current(context)
            and self.observed_at == context.snapshot.observed_at
            and (self.answer is None or not self.answer.time_dependent or now - self.executed_at < DATED_AFTER_SECONDS)
        )

    def publish(self, answer: Answer) -> None:
        """Makes `answer` the newest; if it differs in more than clocks it is a new message, and subscribers wake."""
        before = self.answer
        self.answer = answer
        if before is not None and before.signature == answer.signature and not answer.completed:
            return
        self.number += 1
        self.ended = self.ended or answer.completed or (self.number == 1 and answer.failed)
        self.wake()

    def wake(self) -> None:
        """There is something to take, or to learn."""
        for subscriber in self.subscribers:
            subscriber.wake()


class Subscriber:
    """One reader of a share: iterate it for messages, newest first come."""

    __slots__ = ("_seen", "_share", "_waiting", "refused")

    def __init__(self, share: SharedSubscription) -> None:
        self._share = share
        self._seen = 0
        self._waiting: asyncio.Future[None] | None = None
        self.refused = False
        """Whether the first message was that there is nothing to subscribe to; then it was the last, too."""

    def wake(self) -> None:
        """A new message is there."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def __aiter__(self) -> "Subscriber":
        return self

    async def __anext__(self) -> Answer:
        share = self._share
        while self._seen == share.number or share.answer is None:
            if share.ended or self.refused:
                raise StopAsyncIteration
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        if self.refused:
            raise StopAsyncIteration
        self.refused = not self._seen and share.answer.failed
        self._seen = share.number
        return share.answer


class Live:
    """The table of shares. `run` and `run_elsewhere` drive it; `touch` tells it that there is a new picture."""

    def __init__(
        self,
        executor: Executor,
        context: Callable[[], Context],
        interest: Callable[[], AbstractContextManager[None]],
        worker_pool: WorkerPool | None = None,
        max_cost: float = math.inf,
    ) -> None:
        """Without `elsewhere` dear shares are executed like others. `max_cost`: of all shares together."""
        self._executor = executor
        self._context = context
        self._interest = interest
        self._worker_pool = worker_pool
        self._max_cost = max_cost
        self._cost = 0.0
        self._shares: dict[object, SharedSubscription] = {}
        self._touched = asyncio.Event()
        self._expensive: dict[SharedSubscription, None] = {}
        self._expensive_added = asyncio.Event()

    @property
    def cost(self) -> float:
        """Estimated cost of executing all shares once."""
        return self._cost

    @property
    def share_count(self) -> int:
        """Executions that are kept up to date."""
        return len(self._shares)

    @property
    def subscriber_count(self) -> int:
        """Subscriptions that are open."""
        return sum(len(share.subscribers) for share in self._shares.values())

    def notify(self) -> None:
        """There is a new picture, or an operation has moved."""
        self._touched.set()

    @asynccontextmanager
    async def subscribe(
        self,
        key: object,
        document: DocumentNode,
        operation_name: str | None,
        variables: Mapping[str, Any] | None,
        price: Callable[[], float] = lambda: 0.0,
    ) -> AsyncIterator[Subscriber]:
        """Joins the share of `key`, or makes it. Leaving it leaves nothing behind. `price`: its cost at any time.

        Raises `LimitExceeded` where a new share would be too much.
        """
        share = self._shares.get(key)
        if share is None or share.ended:
            share = SharedSubscription(document, operation_name, variables, price, price())
            self._add(key, share)
        context = self._context()
        if not share.is_exact(context, asyncio.get_running_loop().time()):
            self._execute(share, context)
        subscriber = Subscriber(share)
        share.subscribers.add(subscriber)
        try:
            with self._interest():
                yield subscriber
        finally:
            share.subscribers.discard(subscriber)
            if not share.subscribers:
                if share.work is not None:
                    share.work.cancel()
                if self._shares.get(key) is share:
                    self._drop(key)

    def _add(self, key: object, share: SharedSubscription) -> None:
        # In one step with the look at the sum: many subscriptions are on their way here at once.
        if key in self._shares:
            self._drop(key)
        total = self._cost + share.cost
        if total > self._max_cost:
            raise LimitExceeded(
                "max_live_cost",
                self._max_cost,
                f"an estimated cost of {share.cost:,.15g}, and all live queries one of {total:,.15g}",
                "Subscribe to less, or to exactly what others subscribe to: that is shared.",
                actual=total,
            )
        self._shares[key] = share
        share.listed = True
        self._cost = total

    def _drop(self, key: object) -> None:
        share = self._shares.pop(key)
        share.listed = False
        # What is left of sums of fractions is no cost.
        self._cost = self._cost - share.cost if self._shares else 0.0

    def _price(self, share: SharedSubscription) -> float:
        """Its cost now, which is its part of the sum from here on: the cluster grows, and so do its shares."""
        cost = share.price()
        if share.listed:
            self._cost += cost - share.cost
        share.cost = cost
        return cost

    async def run(self) -> None:
        """Executes every share at each picture that differs, until cancelled; dear ones are left to `run_elsewhere`."""
        while True:
            await self._touched.wait()
            self._touched.clear()
            began = time.perf_counter()
            for share in tuple(self._shares.values()):
                context = self._context()
                if self._is_due(share, context):
                    self._execute(share, context)
                if time.perf_counter() - began > BREATH_SECONDS:
                    await asyncio.sleep(0)
                    began = time.perf_counter()

    async def run_in_pool(self, worker_pool: WorkerPool) -> None:
        """Executes the dear shares, in turn, until cancelled."""
        while True:
            await self._expensive_added.wait()
            self._expensive_added.clear()
            while self._expensive:
                share = next(iter(self._expensive))
                del self._expensive[share]
                context = self._context()
                if not self._is_due(share, context) or context.latest is None:
                    continue
                waiter = Waiter()
                share.work = asyncio.ensure_future(
                    worker_pool.run(partial(self._answer, share, context, waiter), share.cost, waiter)
                )
                try:
                    await asyncio.wait([share.work])
                    if share.work.cancelled():  # the last subscriber has left
                        continue
                    self._publish(share, context, context.latest, share.work.result())
                except Overloaded:
                    self._expensive[share] = None
                    await asyncio.sleep(OVERLOADED_SECONDS)
                finally:
                    share.work.cancel()
                    share.work = None

    @staticmethod
    def _is_due(share: SharedSubscription, context: Context) -> bool:
        return bool(share.subscribers) and not share.ended and not share.is_current(context)

    def _execute(self, share: SharedSubscription, context: Context) -> None:
        if context.latest is None:
            return
        answer = self._answer_at_once(share, context)
        if answer is None:
            self._expensive[share] = None
            self._expensive_added.set()
        else:
            self._publish(share, context, context.latest, answer)

    def _answer_at_once(self, share: SharedSubscription, context: Context) -> Answer | None:
        try:
            cost = self._price(share)
            quick = self._executor.is_quick(share.document, share.variables, share.operation_name)
            if self._worker_pool is None or (cost <= AT_ONCE and quick):
                return self._executed(share, context)
            if cost > PLAIN_AT_ONCE or not quick:
                return None
            return self._executor.plain(share.document, context, share.variables, share.operation_name)
        except Exception:
            logger.exception(_FAULT, error_id := new_error_id())
            return _fault(error_id)

    @staticmethod
    def _publish(share: SharedSubscription, context: Context, snapshot: Snapshot, answer: Answer) -> None:
        share.version = context.version
        share.observed_at = snapshot.observed_at
        share.executed_at = asyncio.get_running_loop().time()
        share.publish(answer)

    def _answer(self, share: SharedSubscription, context: Context, waiter: Waiter) -> Answer:
        try:
            return self._executed(share, context, waiter)
        except Exception:
            logger.exception(_FAULT, error_id := new_error_id())
            return _fault(error_id)

    def _executed(self, share: SharedSubscription, context: Context, waiter: Waiter | None = None) -> Answer:
        answer = self._executor.execute(share.document, context, share.variables, share.operation_name, waiter)
        if not isinstance(answer, Answer):
            # No subscription field waits for anything; one that did would have to be awaited elsewhere.
            raise TypeError("a subscription's resolver must not wait")
        return answer


def _fault(error_id: str) -> Answer:
    """The last message of a share that met a fault."""
    payload = refusal((internal_error(error_id),))
    return Answer(payload, failed=True, refused=True, time_dependent=False, completed=True, signed=payload)
