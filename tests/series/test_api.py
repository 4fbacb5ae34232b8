"""The field `history` as clients see it: its errors, what is kept of its answers, when a subscription sends it."""

from typing import Any

import pytest

from exo_graphql.series import Series
from tests.engine.test_live import LiveService, _nothing_from, body, live_service
from tests.series.reported import moment, node, snapshot
from tests.support.asking import ask
from tests.support.polled_cluster import loop_moment
from tests.support.threaded_time import ThreadedTimeLoop

pytestmark = pytest.mark.anyio
HISTORY = "subscription { cluster { history(minutes: 1, points: 12) { at powerWatts activeTasks } } }"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": ThreadedTimeLoop}


@pytest.mark.parametrize(
    ("arguments", "argument", "suggestion"),
    [
        ("(minutes: 0)", "minutes", "Request 1 to 43200 minutes (30 days)."),
        ("(minutes: 43201)", "minutes", "Request 1 to 43200 minutes (30 days)."),
        ("(points: 0)", "points", "Request 1 to 1440 points."),
        ("(points: 1441)", "points", "Request 1 to 1440 points."),
        ("(points: -5, minutes: 5)", "points", "Request 1 to 1440 points."),
    ],
)
def test_numbers_out_of_range_are_refused_with_the_range(arguments: str, argument: str, suggestion: str) -> None:
    answer = ask(snapshot(moment(0), node("a")), f"{{ nodes {{ history{arguments} {{ at }} }} }}")
    (error,) = answer.errors
    assert error["extensions"] == {"code": "INVALID_ARGUMENT", "suggestion": suggestion, "argument": argument}


@pytest.mark.parametrize("arguments", ["", "(minutes: null, points: null)", "(minutes: 60, points: 120)"])
def test_the_last_hour_by_half_minutes_is_what_is_answered_without_arguments(arguments: str) -> None:
    answer = ask(snapshot(moment(0), node("a")), f"{{ nodes {{ history{arguments} {{ at ramUsedGb }} }} }}")
    assert not answer.errors
    (only,) = answer.data["nodes"]
    assert [len(each) for each in only["history"].values()] == [120, 120]
    assert only["history"]["ramUsedGb"] == [None] * 120  # nothing has been sampled


def _series(live: LiveService) -> Series:
    series = live.service._series
    assert series is not None
    return series


def _watts(message: Any) -> list[float | None]:
    watts: list[float | None] = message["data"]["cluster"]["history"]["powerWatts"]
    return watts[-2:]


async def test_a_subscription_sends_a_history_when_a_sample_changes_its_values_and_only_then() -> None:
    async with live_service() as live, live.subscribe(HISTORY) as subscriber:
        first = body(await anext(subscriber))
        assert _watts(first) == [None, None]
        assert await _nothing_from(subscriber, 20)
        series = _series(live)
        series.sample(snapshot(loop_moment(), node("a", watts=12.0)), loop_moment())
        assert _watts(body(await anext(subscriber)))[-1] == 12.0
        assert await _nothing_from(subscriber, 6)
        # exo is gone: the value moves to the left, and nothing takes its place.
        series.sample(None, loop_moment())
        assert _watts(body(await anext(subscriber))) == [12.0, None]


async def test_a_sample_executes_no_subscription_that_has_no_history() -> None:
    async with live_service() as live, live.subscribe("subscription { nodes { friendlyName } }") as subscriber:
        await anext(subscriber)
        before = len(live.executions)
        _series(live).sample(snapshot(loop_moment(), node("a", watts=12.0)), loop_moment())
        assert await _nothing_from(subscriber, 0.1)
        assert len(live.executions) == before


async def test_an_answer_is_not_sent_again_after_the_next_sample() -> None:
    async with live_service() as live:
        before = live.service.snapshot
        assert live.service.snapshot == before
        _series(live).sample(None, loop_moment())
        assert live.service.snapshot != before
