"""Rates: a bucket for each address, none for loopback; requests beyond it are refused, messages wait."""

import asyncio
from typing import Any

import orjson
import pytest

from exo_graphql.server import rates
from exo_graphql.server.rates import RateLimit, Rates
from exo_graphql.server.wire import Message, Receive, Scope, Send, respond

pytestmark = pytest.mark.anyio


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_taken_at_once_and_what_follows_waits_its_turn() -> None:
    clock = _Clock()
    buckets = Rates(2.0, clock)
    assert [buckets.take("a") for _ in range(20)] == [0.0] * 20
    assert buckets.take("a") == pytest.approx(0.5)
    assert buckets.take("a") == pytest.approx(1.0)
    assert buckets.take("b") == 0.0
    clock.now += 1.5
    assert buckets.take("a") == 0.0


def test_a_bucket_is_never_fuller_than_a_burst() -> None:
    clock = _Clock()
    buckets = Rates(2.0, clock)
    buckets.take("a")
    clock.now += 3600
    assert [buckets.take("a") for _ in range(21)].count(0.0) == 20


def test_the_number_of_addresses_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MOST_ADDRESSES", 10)
    buckets = Rates(1.0, _Clock())
    for number in range(100):
        buckets.take(f"192.0.2.{number}")
    assert len(buckets._buckets) == 10


async def _behind(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        while (await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "text": "heard"})
    else:
        await respond(send, 200, b"{}", b"application/json")


async def _ask(limited: RateLimit, address: str | None, kind: str = "http", messages: int = 0) -> list[Message]:
    sent: list[Message] = []
    incoming: list[Message] = [
        {"type": "websocket.connect"},
        *({"type": "websocket.receive", "text": "x"} for _ in range(messages)),
        {"type": "websocket.disconnect"},
    ]

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    client = None if address is None else (address, 50_000)
    scope: dict[str, Any] = {"type": kind, "method": "POST", "path": "/graphql", "headers": [], "client": client}
    await limited(scope, receive, send)
    return sent


async def test_a_request_beyond_the_rate_is_refused_by_its_name_and_told_when_to_ask_again() -> None:
    limited = RateLimit(_behind, 0.1)
    assert (await _ask(limited, "192.0.2.1"))[0]["status"] == 200
    start, body = await _ask(limited, "192.0.2.1")
    assert start["status"] == 429
    assert dict(start["headers"])[b"retry-after"] == b"10"
    (error,) = orjson.loads(body["body"])["errors"]
    assert (error["extensions"]["limit"], error["extensions"]["value"]) == ("max_rate", 0.1)
    assert (await _ask(limited, "192.0.2.1", "websocket"))[0] == {"type": "websocket.close", "code": 1008}
    assert (await _ask(limited, "192.0.2.2"))[0]["status"] == 200


@pytest.mark.parametrize("address", ["127.0.0.1", "127.3.2.1", "::1", None])
async def test_loopback_is_not_counted(address: str | None) -> None:
    limited = RateLimit(_behind, 0.1)
    assert [(await _ask(limited, address))[0]["status"] for _ in range(50)] == [200] * 50


async def test_messages_beyond_the_rate_wait() -> None:
    limited = RateLimit(_behind, 100.0)
    began = asyncio.get_running_loop().time()
    sent = await _ask(limited, "192.0.2.1", "websocket", messages=1020)
    assert len(sent) == 1021
    assert asyncio.get_running_loop().time() - began >= 0.19
