"""GraphQL over server-sent events, in distinct-connections mode; with curl, too.

https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverSSE.md
"""

import asyncio
import json
import logging
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from exo_graphql.configured import DEFAULT_TUNING
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.support.own_time import OWN_TIME, Backend
from tests.support.running import PATIENCE, PHASE, A, Running, running, until

pytestmark = pytest.mark.anyio

COUNT = "{ cluster { nodeCount } }"
UNTIL_READY = f'subscription {{ modelStatus(model: "{A}", until: READY) {{ phase }} }}'
STREAM = {"accept": "text/event-stream"}


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return OWN_TIME  # as everywhere, but for the whole module: nothing that these tests ask changes the server


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Running]:
    async with running(keep_alive=0.2) as server:
        yield server


@pytest.fixture(autouse=True)
async def nothing_is_left(server: Running, caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """Neither shares nor tasks, nor an unexpected line in the log."""
    yield
    await until(lambda: server.components.service.live.share_count == 0)
    await until(lambda: not [task for task in asyncio.all_tasks() if task.get_name().startswith("event stream")])
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


async def _events(response: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    """Events with their data; comments as `:`."""
    event, data = "", ""
    async for line in response.aiter_lines():
        if line.startswith(":"):
            yield ":", ""
        elif line.startswith("event: "):
            event = line.removeprefix("event: ")
        elif line.startswith("data:"):
            data = line.removeprefix("data:").strip()
        elif not line and event:
            yield event, data
            event, data = "", ""


async def _all(server: Running, query: str, **more: Any) -> tuple[httpx.Response, list[tuple[str, Any]]]:
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", server.url, json={"query": query, **more}, headers=STREAM) as response,
    ):
        events = [
            (event, json.loads(data) if data else None) async for event, data in _events(response) if event != ":"
        ]
        return response, events


async def test_a_query_is_one_next_and_a_complete(server: Running) -> None:
    response, events = await _all(server, COUNT)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert events == [("next", {"data": {"cluster": {"nodeCount": 2}}}), ("complete", None)]


async def test_a_subscription_is_a_next_for_each_message_then_a_complete() -> None:
    async with running(SimulatedExo(tiny_scenario(), seed=1, speed=5)) as server:
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(_all(server, UNTIL_READY))
            await until(lambda: server.components.service.live.subscriber_count == 1)
            server.exo.control.place(A)
        events = asking.result()[1]
    phases = [data["data"]["modelStatus"]["phase"] for event, data in events if event == "next"]
    assert (phases[0], phases[-1], len(set(phases))) == ("NOT_LOADED", "READY", len(phases))
    assert events[-1] == ("complete", None)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "subscription { nope }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": COUNT, "operationName": "X"}, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": "subscription ($m: String!) { modelStatus(model: $m) { phase } }"}, "BAD_USER_INPUT"),
        ({"query": 'subscription { operation(id: "x") { id } }'}, "OPERATION_NOT_FOUND"),
    ],
)
async def test_what_cannot_begin_is_an_error_in_the_stream(
    server: Running, request_: dict[str, Any], code: str
) -> None:
    response, events = await _all(server, **request_)
    assert response.status_code == 200
    assert [event for event, _ in events] == ["next", "complete"]
    assert [error["extensions"]["code"] for error in events[0][1]["errors"]] == [code]


async def test_a_get_request_is_streamed_like_a_post(server: Running) -> None:
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", server.url, params={"query": PHASE}, headers=STREAM) as response,
    ):
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        first = await anext(aiter(_events(response)))
    assert first == ("next", '{"data":{"modelStatus":{"phase":"NOT_LOADED"}}}')


async def test_a_mutation_by_get_is_refused_in_a_stream_too(server: Running) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        query = f'mutation {{ loadModel(model: "{A}") {{ operation {{ id }} }} }}'
        response = await client.get(server.url, params={"query": query}, headers=STREAM)
    assert response.status_code == 405
    assert server.components.operations.all() == ()


async def test_a_client_that_likes_json_better_gets_its_subscription_streamed(server: Running) -> None:
    headers = {"accept": "application/graphql-response+json, application/json, text/event-stream, multipart/mixed"}
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", server.url, json={"query": PHASE}, headers=headers) as response,
    ):
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (await anext(aiter(_events(response))))[0] == "next"


async def test_comments_come_at_the_pace_of_the_setting_though_nothing_happens(server: Running) -> None:
    clock = asyncio.get_running_loop().time
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", server.url, json={"query": PHASE}, headers=STREAM) as response,
    ):
        events = aiter(_events(response))
        assert (await anext(events))[0] == "next"
        began = clock()
        assert [(await anext(events))[0] for _ in range(3)] == [":", ":", ":"]
        assert 0.5 < clock() - began < 1.5


async def test_a_comment_comes_every_twelve_seconds() -> None:
    assert DEFAULT_TUNING.transport.keep_alive == 12.0


async def test_a_client_that_leaves_leaves_nothing_behind(server: Running) -> None:
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", server.url, json={"query": PHASE}, headers=STREAM) as response,
    ):
        await anext(aiter(_events(response)))
        assert server.components.service.live.subscriber_count == 1
    # `nothing_is_left` sees to the rest.


async def test_a_token_is_asked_for_before_the_stream_begins() -> None:
    async with running(tokens="read:reading-secret") as server, httpx.AsyncClient(trust_env=False) as client:
        refused = await client.post(server.url, json={"query": PHASE}, headers=STREAM)
        assert (refused.status_code, refused.headers["content-type"]) == (401, "application/json; charset=utf-8")
        headers = {**STREAM, "authorization": "Bearer reading-secret"}
        async with client.stream("POST", server.url, json={"query": PHASE}, headers=headers) as response:
            assert (await anext(aiter(_events(response))))[0] == "next"


@asynccontextmanager
async def _curl(*arguments: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec("curl", "-sN", *arguments, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _lines(process: Process, count: int) -> list[str]:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return [(await process.stdout.readline()).decode().rstrip("\n") for _ in range(count)]


NEXT = ["event: next", 'data: {"data":{"modelStatus":{"phase":"NOT_LOADED"}}}', ""]


async def test_curl_follows_a_subscription_by_post(server: Running) -> None:
    body = json.dumps({"query": PHASE})
    headers = ("-H", "Accept: text/event-stream", "-H", "Content-Type: application/json")
    async with _curl(*headers, "-d", body, server.url) as curl:
        assert await _lines(curl, 5) == [*NEXT, ":", ""]


async def test_curl_follows_a_subscription_by_get(server: Running) -> None:
    query = ("-G", "--data-urlencode", f"query={PHASE}")
    async with _curl("-H", "Accept: text/event-stream", *query, server.url) as curl:
        assert await _lines(curl, 5) == [*NEXT, ":", ""]
