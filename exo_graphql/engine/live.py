"""Live queries: subscriptions that are executed once for everyone who shares them, whenever the snapshot changes.

Subscriptions with the same text, variables, operation and rights are one `SharedSubscription`. At each snapshot that
differs in more than time it is executed and encoded once; if the result differs too, its subscribers wake and take the
newest message when they can. A slow reader skips outdated messages and delays nobody: what waits for it is one message,
and everybody shares that one. Expensive ones are executed on a thread, one after the other, while the rest go on.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

from graphql import DocumentNode

from exo_graphql.engine.budget import MAX_COMPILED_COST_AT_ONCE, MAX_COST_AT_ONCE
from exo_graphql.engine.execution import Answer, Executor, fault_of
from exo_graphql.engine.limits import LimitExceeded
from exo_graphql.engine.shared_subscription import SharedSubscription, Subscriber
from exo_graphql.engine.turns import Turns
from exo_graphql.engine.worker_pool import Overloaded, Waiter, WorkerPool
from exo_graphql.schema.context import Context

# Seconds of executing after which the event loop serves others: 1,000 live queries of 0.3 ms would hold it for 0.3 s.
YIELD_AFTER = 0.010
# Seconds until the next try of an expensive subscription where the worker pool is overloaded.
RETRY_AFTER = 0.1


class Live:
    """The table of shared subscriptions. `run` and `run_in_pool` execute them; `notify` says that something changed."""

    def __init__(
        self,
        executor: Executor,
        context: Callable[[], Context],
        demand: Callable[[], AbstractContextManager[None]],
        worker_pool: WorkerPool | None = None,
        max_cost: float = math.inf,
    ) -> None:
        """`demand` is active while there is a subscriber. `max_cost`: of all shared subscriptions together.

        Without `worker_pool` expensive ones are executed like the others.
        """
        self._executor = executor
        self._context = context
        self._demand = demand
        self._worker_pool = worker_pool
        self._max_cost = max_cost
        self._cost = 0.0
        """Sum of the costs of all shared subscriptions."""
        self._unshared = 0
        """Subscriptions that are not shared, see `counting`."""
        self._unshared_cost = 0.0
        self._shared: dict[object, SharedSubscription] = {}
        """By what two subscriptions must have in common to share: text, variables, operation and rights."""
        self._changed = asyncio.Event()
        self._expensive: dict[SharedSubscription, bool] = {}
        """What waits for `run_in_pool`, in order; True where its compiled plan has failed on this snapshot already."""
        self._expensive_added = asyncio.Event()
        self._turns = Turns()

    @property
    def cost(self) -> float:
        """Estimated cost of executing all subscriptions once."""
        return self._cost + self._unshared_cost

    @property
    def share_count(self) -> int:
        """Shared subscriptions that are kept up to date."""
        return len(self._shared)

    @property
    def subscriber_count(self) -> int:
        """Subscriptions that are open."""
        return sum(len(shared.subscribers) for shared in self._shared.values()) + self._unshared

    def notify(self) -> None:
        """There is a new snapshot, or an operation has changed."""
        self._changed.set()

    @asynccontextmanager
    async def subscribe(
        self,
        key: object,
        document: DocumentNode,
        operation_name: str | None,
        variables: Mapping[str, Any] | None,
        estimate: Callable[[], float] = lambda: 0.0,
    ) -> AsyncIterator[Subscriber]:
        """Joins the shared subscription of `key`, or makes it; it ends with its last subscriber.

        `estimate` returns its cost at any time. Raises `LimitExceeded` where a new one would cost too much.
        """
        if not self._is_exact(key):
            await self._turns.next()
        shared = self._shared.get(key)
        if shared is None or shared.ended:
            shared = SharedSubscription(document, operation_name, variables, estimate, estimate())
            self._add(key, shared)
        context = self._context()
        if not shared.is_exact(context, asyncio.get_running_loop().time()):
            self._execute(shared, context)
        subscriber = Subscriber(shared)
        shared.subscribers.add(subscriber)
        try:
            with self._demand():
                yield subscriber
        finally:
            shared.subscribers.discard(subscriber)
            if not shared.subscribers:
                if shared.work is not None:
                    shared.work.cancel()
                if self._shared.get(key) is shared:
                    self._drop(key)

    def _is_exact(self, key: object) -> bool:
        """Whether a subscription of `key` can be joined without being executed."""
        shared = self._shared.get(key)
        now = asyncio.get_running_loop().time()
        return shared is not None and not shared.ended and shared.is_exact(self._context(), now)

    @contextmanager
    def counting(self, cost: float) -> Iterator[None]:
        """While active, counts a subscription to events: it is not executed here, and for itself alone.

        Raises `LimitExceeded` where all together would cost too much.
        """
        self._check(cost)
        self._unshared += 1
        self._unshared_cost += cost
        try:
            yield
        finally:
            self._unshared -= 1
            # Sums of fractions do not return to exactly 0 by themselves.
            self._unshared_cost = self._unshared_cost - cost if self._unshared else 0.0

    def _check(self, cost: float) -> None:
        total = self.cost + cost
        if total > self._max_cost:
            raise LimitExceeded(
                "max_live_cost",
                self._max_cost,
                f"an estimated cost of {cost:,.15g}, and all live queries one of {total:,.15g}",
                "Subscribe to less, or to exactly what others subscribe to: that is shared, except for events.",
                actual=total,
            )

    def _add(self, key: object, shared: SharedSubscription) -> None:
        # The check and the addition are one step: many subscriptions may arrive at the same time.
        if key in self._shared:
            self._drop(key)
        self._check(shared.cost)
        self._shared[key] = shared
        shared.listed = True
        self._cost += shared.cost

    def _drop(self, key: object) -> None:
        shared = self._shared.pop(key)
        shared.listed = False
        # Sums of fractions do not return to exactly 0 by themselves.
        self._cost = self._cost - shared.cost if self._shared else 0.0

    def _estimate(self, shared: SharedSubscription) -> float:
        """Its cost now, which also becomes its part of the sum: as the cluster grows, so do the costs."""
        cost = shared.estimate()
        if shared.listed:
            self._cost += cost - shared.cost
        shared.cost = cost
        return cost

    async def run(self) -> None:
        """Executes at each change what is affected, until cancelled. Expensive ones are left to `run_in_pool`."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            began = time.perf_counter()
            for shared in tuple(self._shared.values()):
                context = self._context()
                if self._is_due(shared, context):
                    self._execute(shared, context)
                if time.perf_counter() - began > YIELD_AFTER:
                    await asyncio.sleep(0)
                    began = time.perf_counter()

    async def run_in_pool(self, worker_pool: WorkerPool) -> None:
        """Executes the expensive ones, one after the other, until cancelled."""
        while True:
            await self._expensive_added.wait()
            self._expensive_added.clear()
            while self._expensive:
                shared = next(iter(self._expensive))
                uncompiled = self._expensive.pop(shared)
                context = self._context()
                if self._is_due(shared, context):
                    await self._execute_in_pool(worker_pool, shared, context, uncompiled=uncompiled)

    async def _execute_in_pool(
        self, worker_pool: WorkerPool, shared: SharedSubscription, context: Context, *, uncompiled: bool
    ) -> None:
        if context.latest is None:
            return
        waiter = Waiter()
        work = partial(self._answer, shared, context, waiter, uncompiled=uncompiled)
        shared.work = asyncio.ensure_future(worker_pool.run(work, shared.cost, waiter))
        try:
            await asyncio.wait([shared.work])
            if not shared.work.cancelled():  # as it is once the last subscriber has left
                shared.executed(shared.work.result(), context, context.latest)
        except Overloaded:
            self._expensive[shared] = False
            await asyncio.sleep(RETRY_AFTER)
        finally:
            shared.work.cancel()
            shared.work = None

    @staticmethod
    def _is_due(shared: SharedSubscription, context: Context) -> bool:
        return bool(shared.subscribers) and not shared.ended and not shared.is_current(context)

    def _execute(self, shared: SharedSubscription, context: Context) -> None:
        """Executes it here, or leaves it to `run_in_pool`."""
        if context.latest is None:
            return
        try:
            at_once, compiled_at_once = self._may_execute(shared)
            if at_once:
                answer: Answer | None = self._executed(shared, context)
            elif compiled_at_once:
                answer = self._executor.execute_compiled(
                    shared.document, context, shared.variables, shared.operation_name
                )
            else:
                answer = None
        except Exception as error:  # noqa: BLE001  # logged, and the last message of this subscription
            answer = fault_of(error)
        if answer is None:
            self._expensive[shared] = compiled_at_once
            self._expensive_added.set()
        else:
            shared.executed(answer, context, context.latest)

    def _may_execute(self, shared: SharedSubscription) -> tuple[bool, bool]:
        """Whether it may be executed on the event loop, and whether it may where it is compiled."""
        cost = self._estimate(shared)
        if self._worker_pool is None:
            return True, True
        quick = self._executor.starts_at_once(shared.document, shared.variables, shared.operation_name)
        return quick and cost <= MAX_COST_AT_ONCE, quick and cost <= MAX_COMPILED_COST_AT_ONCE

    def _answer(self, shared: SharedSubscription, context: Context, waiter: Waiter, *, uncompiled: bool) -> Answer:
        try:
            return self._executed(shared, context, waiter, uncompiled=uncompiled)
        except Exception as error:  # noqa: BLE001  # as in `_execute`
            return fault_of(error)

    def _executed(
        self, shared: SharedSubscription, context: Context, waiter: Waiter | None = None, *, uncompiled: bool = False
    ) -> Answer:
        execute = self._executor.execute_uncompiled if uncompiled else self._executor.execute
        answer = execute(shared.document, context, shared.variables, shared.operation_name, waiter)
        if not isinstance(answer, Answer):
            # No subscription field waits for anything. One that did would have to be awaited by a task of its own.
            raise TypeError("a subscription's resolver must not wait")
        return answer
