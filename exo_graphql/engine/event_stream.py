"""The subscription `events`: one message for each event, unlike the live queries, which show what is true now.

Each subscriber executes its own selection when it takes an event, so a slow one delays nobody. What it has not taken
waits in a bounded queue. One that falls behind gets an error, and its stream ends: it can subscribe again with `since`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
)

from exo_graphql.engine.execution import Answer, refusal
from exo_graphql.events import Event
from exo_graphql.schema.errors import NamedError

# Events that wait for one subscriber. A restart of exo with 32 nodes makes some 100.
WAITING = 500


class EventSubscriber:
    """Reads the messages of one subscription to events: iterate it. `execute` answers for one event (None: skip it)."""

    def __init__(self, execute: Callable[[Event], Awaitable[Answer | None]], earlier: tuple[Event, ...] = ()) -> None:
        self.refused = False
        """Whether the last message was an error of the request."""
        self._execute = execute
        self._earlier = deque(earlier)
        """Those from before the subscription: they do not count as waiting, since nobody was slow to take them."""
        self._waiting: deque[Event] = deque()
        self._fell_behind = False
        self._arrived = asyncio.Event()

    def add(self, event: Event) -> None:
        """Queues another event; the first that does not fit ends the stream."""
        if self._fell_behind or len(self._waiting) >= WAITING:
            self._fell_behind = True
        else:
            self._waiting.append(event)
        self._arrived.set()

    def __aiter__(self) -> "EventSubscriber":
        return self

    async def __anext__(self) -> Answer:
        while not self.refused:
            while waiting := self._earlier or self._waiting:
                # Sending does not suspend while the connection takes more: 5,000 events would hold the loop for 1 s.
                await asyncio.sleep(0)
                answer = await self._execute(waiting.popleft())
                if answer is not None:
                    self.refused = answer.refused
                    return answer
            if self._fell_behind:
                self.refused = True
                return _behind()
            self._arrived.clear()
            await self._arrived.wait()
        raise StopAsyncIteration


def _behind() -> Answer:
    error = NamedError(
        "EVENTS_LOST",
        f"More than {WAITING} events were waiting for this subscriber; further ones are not sent.",
        "Subscribe again with `since`, and read faster.",
    )
    payload = refusal((error,))
    return Answer(payload, failed=True, refused=True, time_dependent=False, completed=True, signed=payload)


def event_field(document: DocumentNode, operation: OperationDefinitionNode) -> FieldNode | None:
    """The root field of a valid subscription to events, which may be in fragments; None for another subscription."""
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    selection = operation.selection_set.selections[0]
    while not isinstance(selection, FieldNode):
        if isinstance(selection, FragmentSpreadNode):
            selection = fragments[selection.name.value].selection_set.selections[0]
        elif isinstance(selection, InlineFragmentNode):
            selection = selection.selection_set.selections[0]
    return selection if selection.name.value == "events" else None


def asks_for_earlier(field: FieldNode) -> bool:
    """Whether it may request events from before the subscription."""
    return any(argument.name.value == "since" for argument in field.arguments or ())
