"""One execution of a subscription for everyone who sent the same, and the subscribers who read its messages."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from graphql import DocumentNode

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.engine.execution import Answer
from exo_graphql.schema.context import Context

# Seconds. Ages in an answer ("seen 2.1 s ago") are right when it was computed: a new subscriber gets none that was
# computed longer ago than this.
DATED_AFTER = 0.1


@dataclass(eq=False, slots=True)
class SharedSubscription:
    """Subscriptions with the same text, variables, operation and rights: executed and encoded once for all."""

    document: DocumentNode
    operation_name: str | None
    variables: Mapping[str, Any] | None
    estimate: Callable[[], float] = lambda: 0.0
    """Returns the estimated cost of an execution now."""
    cost: float = 0.0
    """The estimate at the last execution, or when the subscription was made."""
    listed: bool = False
    """Whether it is in the table of live queries, and its cost in their sum."""
    work: "asyncio.Future[Answer] | None" = None
    """Its execution on a thread, while there is one."""
    answer: Answer | None = None
    """The newest message; None before the first."""
    number: int = 0
    """Messages so far."""
    ended: bool = False
    """Whether `answer` is the last message."""
    version: tuple[str, int] | None = None
    """Of what it was executed on last: `Context.version`, and the newest sample if its text names a history."""
    observed_at: datetime | None = None
    """`Snapshot.observed_at` at the last execution."""
    executed_at: float = 0.0
    """When that was, by the event loop's clock."""
    subscribers: set["Subscriber"] = field(default_factory=set)
    names_history: bool = field(init=False)
    """Whether the result may depend on samples. Where only an alias is called so, it is executed without need."""

    def __post_init__(self) -> None:
        text = self.document.loc
        self.names_history = text is None or "history" in text.source.body

    def is_current(self, context: Context) -> bool:
        """Whether a new execution could differ in time-dependent fields alone."""
        return self.version is not None and self.version == self._version_of(context)

    def is_exact(self, context: Context, now: float) -> bool:
        """Whether a new execution could not even differ in these."""
        return (
            self.is_current(context)
            and self.observed_at == context.snapshot.observed_at
            and (self.answer is None or not self.answer.time_dependent or now - self.executed_at < DATED_AFTER)
        )

    def executed(self, answer: Answer, context: Context, snapshot: Snapshot) -> None:
        """Takes over the result of an execution on `snapshot`, which ended now."""
        self.version = self._version_of(context)
        self.observed_at = snapshot.observed_at
        self.executed_at = asyncio.get_running_loop().time()
        self._publish(answer)

    def _version_of(self, context: Context) -> tuple[str, int]:
        return context.version, context.sampled if self.names_history else 0

    def _publish(self, answer: Answer) -> None:
        """Makes `answer` the newest; if it differs in more than time it is a new message, and subscribers wake."""
        before = self.answer
        self.answer = answer
        if before is not None and before.signature == answer.signature and not answer.completed:
            return
        self.number += 1
        self.ended = self.ended or answer.completed or (self.number == 1 and answer.failed)
        self.wake()

    def wake(self) -> None:
        """Wakes every subscriber: there is a new message, or there will be none."""
        for subscriber in self.subscribers:
            subscriber.wake()


class Subscriber:
    """Reads the messages of a shared subscription: iterate it. Messages that it is too slow for are skipped."""

    __slots__ = ("_seen", "_shared", "_waiting", "refused")

    def __init__(self, shared: SharedSubscription) -> None:
        self._shared = shared
        self._seen = 0
        """The number of the message that was read last."""
        self._waiting: asyncio.Future[None] | None = None
        self.refused = False
        """Whether the first message was an error instead of data; then it is the only one."""

    def wake(self) -> None:
        """Ends the wait for a message."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def __aiter__(self) -> "Subscriber":
        return self

    async def __anext__(self) -> Answer:
        shared = self._shared
        while self._seen == shared.number or shared.answer is None:
            if shared.ended or self.refused:
                raise StopAsyncIteration
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        if self.refused:
            raise StopAsyncIteration
        self.refused = not self._seen and shared.answer.failed
        self._seen = shared.number
        return shared.answer
