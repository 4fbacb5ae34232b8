"""What many clients ask for at the same moment is not done in one go: others have their turns in between."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from exo_graphql.engine import turns
from exo_graphql.engine.prepared import Prepared
from exo_graphql.engine.requests import GraphQLRequest
from exo_graphql.engine.rights import ANYONE
from exo_graphql.engine.turns import Turns
from tests.support.running import Running, running

pytestmark = pytest.mark.anyio
TOGETHER = 20


def in_process(server: Running) -> httpx.AsyncClient:
    """Without a network, which would bring the requests one after the other."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(server.components.asgi), base_url="http://localhost")


async def most_at_once(work: Callable[[int], Awaitable[object]]) -> int:
    """Of pieces of work that are begun together, how many at most end in one iteration of the event loop."""
    iteration = 0
    ended: list[int] = []

    async def count() -> None:
        nonlocal iteration
        while True:
            await asyncio.sleep(0)
            iteration += 1

    async def do(number: int) -> None:
        await work(number)
        ended.append(iteration)

    counting = asyncio.create_task(count())
    await asyncio.gather(*(do(number) for number in range(TOGETHER)))
    counting.cancel()
    return max(map(ended.count, ended))


async def test_turns_are_shared_by_the_time_that_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    monkeypatch.setattr("exo_graphql.engine.turns.time.perf_counter", lambda: clock)
    shared = Turns()
    order: list[int] = []

    async def work(number: int) -> None:
        nonlocal clock
        await shared.next()
        order.append(number)
        clock += turns._SHARE / 2

    assert await most_at_once(work) == 2
    assert order == sorted(order)


async def test_a_caller_that_gives_up_costs_nobody_a_turn() -> None:
    shared = Turns()
    async with shared._waiting:
        waiting = [asyncio.create_task(shared.next()) for _ in range(3)]
        await asyncio.sleep(0.01)
        for task in waiting[:2]:
            task.cancel()
    await asyncio.wait_for(waiting[2], 1)


async def test_texts_answers_and_live_queries_that_are_new_come_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(max_age=60.0) as server, in_process(server) as client:
        service = server.components.service

        async def prepared(text: str) -> Prepared:
            found = await service.prepare(GraphQLRequest(text))
            assert isinstance(found, Prepared)
            return found

        queries = [await prepared(f"{{ a{number}: nodes {{ id }} }}") for number in range(TOGETHER)]
        live = [await prepared(f"subscription {{ b{number}: cluster {{ healthy }} }}") for number in range(TOGETHER)]

        async def subscribe(number: int) -> None:
            async with service.subscribe(live[number], ANYONE):
                pass

        pieces: tuple[Callable[[int], Awaitable[object]], ...] = (
            lambda number: prepared(f"{{ c{number}: nodes {{ id }} }}"),
            lambda number: service.answer(queries[number], ANYONE),
            subscribe,
            lambda _: client.get("/metrics"),
        )
        monkeypatch.setattr(turns, "_SHARE", 1e-9)
        for work in pieces:
            assert await most_at_once(work) <= 2
