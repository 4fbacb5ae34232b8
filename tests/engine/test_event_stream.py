"""The stream of events for one subscriber: in order, bounded, and ended with a reason where it cannot keep up."""

import asyncio
from datetime import UTC, datetime

import orjson
import pytest
from graphql import OperationDefinitionNode, parse

from exo_graphql.engine import event_stream
from exo_graphql.engine.event_stream import EventSubscriber, asks_for_earlier, event_field
from exo_graphql.engine.execution import Answer
from exo_graphql.events import Event, EventKind, Severity

pytestmark = pytest.mark.anyio


def happened(number: int) -> Event:
    return Event(
        id=f"event-{number}",
        sequence=number,
        at=datetime(2026, 6, 22, tzinfo=UTC),
        kind=EventKind.ELECTION,
        severity=Severity.WARNING,
        message="An election.",
    )


async def answer(event: Event) -> Answer | None:
    """The event's number; none for odd ones."""
    if event.sequence % 2:
        return None
    text = str(event.sequence).encode()
    return Answer(text, failed=False, refused=False, time_dependent=False, completed=False, signed=text)


async def test_events_come_in_order_without_those_that_are_not_asked_for() -> None:
    subscriber = EventSubscriber(answer, (happened(2),))
    for number in range(3, 7):
        subscriber.add(happened(number))
    assert [(await anext(subscriber)).payload for _ in range(3)] == [b"2", b"4", b"6"]
    waiting = asyncio.ensure_future(anext(subscriber))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    subscriber.add(happened(8))
    assert (await waiting).payload == b"8"


async def test_who_falls_behind_gets_what_was_waiting_then_the_reason_and_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_stream, "WAITING", 2)
    subscriber = EventSubscriber(answer)
    for number in (2, 4, 6):
        subscriber.add(happened(number))
    received = [each async for each in subscriber]
    assert [each.payload for each in received[:2]] == [b"2", b"4"]
    (error,) = orjson.loads(received[2].payload)["errors"]
    assert error["extensions"]["code"] == "EVENTS_LOST"
    assert subscriber.refused
    assert len(received) == 3


async def test_nothing_follows_an_event_that_did_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "WAITING", 2)
    subscriber = EventSubscriber(answer)
    for number in (2, 4, 6):
        subscriber.add(happened(number))
    assert (await anext(subscriber)).payload == b"2"
    subscriber.add(happened(8))  # there is room again, but 6 is missing
    assert [each.refused async for each in subscriber] == [False, True]


async def test_events_from_before_the_subscription_do_not_count_as_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "WAITING", 2)
    subscriber = EventSubscriber(answer, tuple(map(happened, (2, 4, 6, 8))))
    subscriber.add(happened(10))
    subscriber.add(happened(12))
    assert [(await anext(subscriber)).payload for _ in range(6)] == [b"2", b"4", b"6", b"8", b"10", b"12"]


async def test_others_are_served_between_two_events() -> None:
    subscriber = EventSubscriber(answer, (happened(2), happened(4)))
    served: list[int] = []
    for turn in range(2):
        asyncio.get_running_loop().call_soon(served.append, turn)
        await anext(subscriber)
        assert len(served) == turn + 1


@pytest.mark.parametrize(
    ("document", "is_one", "earlier"),
    [
        ("subscription { events { id } }", True, False),
        ('subscription { mine: events(since: "2026-01-01T00:00:00Z") { id } }', True, True),
        (
            "subscription ($t: DateTime) { ... { ...F } } fragment F on Subscription { events(since: $t) { id } }",
            True,
            True,
        ),
        ("subscription { events: cluster { stale } }", False, False),
    ],
)
def test_a_subscription_to_events_differs_from_a_live_query(document: str, is_one: bool, earlier: bool) -> None:
    node = parse(document)
    operation = node.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    field = event_field(node, operation)
    assert (field is not None) is is_one
    assert (field is not None and asks_for_earlier(field)) is earlier
