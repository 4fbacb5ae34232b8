"""Queries that wait for an operation to end or for a model to be ready."""

import asyncio
from typing import Any

import httpx
import pytest

from exo_graphql.engine import waiting
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.support.running import PATIENCE, Running, running, until

pytestmark = pytest.mark.anyio

STATUS = '{ modelStatus(model: "tiny-a", until: %s, waitSeconds: %d) { phase ready } }'
OPERATION = "query ($id: ID!, $seconds: Int = 60) { operation(id: $id, waitSeconds: $seconds) { state } }"

_IN_FRAGMENTS = """
    query { ...Q ... on Query { b: operation(id: 1, waitSeconds: 5) { id } } }
    fragment Q on Query { modelStatus(model: "tiny-a", waitSeconds: 5) { phase } }
"""
_LEFT_OUT = """
    query ($w: Boolean!) { modelStatus(model: "tiny-a", waitSeconds: 300) @include(if: $w) { phase } nodes { id } }
"""
_SECONDS = 'query ($s: Int) { modelStatus(model: "tiny-a", waitSeconds: $s) { phase } }'
_UNTIL = """
    query ($until: ModelStatusUntil) { modelStatus(model: "unknown", until: $until, waitSeconds: 300) { found } }
"""


async def _ask(server: Running, query: str, **variables: object) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.post(server.url, json={"query": query, "variables": variables})
    body: dict[str, Any] = answer.json()
    return body


async def _load(server: Running) -> str:
    answer = await _ask(server, 'mutation { loadModel(model: "tiny-a") { operation { id } } }')
    id_: str = answer["data"]["loadModel"]["operation"]["id"]
    return id_


async def _until_waiting(server: Running, count: int) -> None:
    await until(lambda: server.components.service.waits.count == count)


async def test_queries_wait_for_the_end_of_an_operation_and_for_readiness() -> None:
    async with running(SimulatedExo(tiny_scenario(), speed=20)) as server:
        waits = server.components.service.waits
        waiting_for_it = asyncio.create_task(_ask(server, STATUS % ("NEVER", 1)))
        ready = asyncio.create_task(_ask(server, STATUS % ("READY", 60)))
        await _until_waiting(server, 2)
        id_ = await _load(server)
        assert (await _ask(server, OPERATION, id=id_))["data"]["operation"] == {"state": "SUCCEEDED"}
        assert (await ready)["data"]["modelStatus"]["ready"]
        assert "phase" in (await waiting_for_it)["data"]["modelStatus"]
        # What has ended, what is settled, and what nobody knows is answered at once.
        for query in (STATUS % ("SETTLED", 300), OPERATION, '{ modelStatus(model: "x", waitSeconds: 300) { found } }'):
            assert "errors" not in await _ask(server, query, **({"id": id_} if query == OPERATION else {}))
        assert (await _ask(server, OPERATION, id="unknown"))["data"] == {"operation": None}
        assert waits.count == 0


async def test_arguments_are_read_as_the_field_reads_them() -> None:
    """Null and a variable that was left out are the default, and 300.0 is an Int."""
    async with running(SimulatedExo(tiny_scenario())) as server:
        async with asyncio.timeout(PATIENCE):
            assert "errors" not in await _ask(server, _UNTIL)
            assert "errors" not in await _ask(server, _UNTIL, until=None)
        waits = asyncio.create_task(_ask(server, _SECONDS, s=300.0))
        await _until_waiting(server, 1)
        waits.cancel()
        await _until_waiting(server, 0)


async def test_an_answer_after_a_wait_is_not_sent_again_without_one() -> None:
    async with running(SimulatedExo(tiny_scenario()), max_age=1000.0, idle_pause=1000.0, unseen_after=2000.0) as server:
        # exo answers no more reads, so that the snapshot, which a stored answer is good for, stays the same.
        server.exo.control.latency = 100.0
        loop = asyncio.get_running_loop()
        for _ in range(2):
            began = loop.time()
            await _ask(server, STATUS % ("READY", 1))
            assert loop.time() - began >= 1


async def test_a_wait_ends_with_its_caller_and_with_the_server() -> None:
    async with running(SimulatedExo(tiny_scenario())) as server:
        gone = asyncio.create_task(_ask(server, STATUS % ("READY", 300)))
        await _until_waiting(server, 1)
        gone.cancel()
        await _until_waiting(server, 0)
        assert server.components.service.waits._waiting == {}
        stays = asyncio.create_task(_ask(server, STATUS % ("READY", 300)))
        await _until_waiting(server, 1)
        await server.components.shut_down()
        assert (await stays)["data"]["modelStatus"] == {"phase": "NOT_LOADED", "ready": False}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (f"{{ a: {(STATUS % ('READY', 9))[1:-1]} b: {(STATUS % ('READY', 9))[1:-1]} }}", "LIMIT_EXCEEDED"),
        (
            _IN_FRAGMENTS,
            "LIMIT_EXCEEDED",
        ),
        (STATUS % ("READY", 301), "INVALID_ARGUMENT"),
        (STATUS % ("READY", -1), "INVALID_ARGUMENT"),
        ('{ operation(id: "x", waitSeconds: 1000) { id } }', "INVALID_ARGUMENT"),
        ('{ modelStatus(model: "tiny-a", waitSeconds: "5") { phase } }', "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_what_cannot_be_waited_for_is_rejected(query: str, code: str) -> None:
    async with running(SimulatedExo(tiny_scenario())) as server:
        answer = await _ask(server, query)
        assert answer["errors"][0]["extensions"]["code"] == code, answer


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        (
            _LEFT_OUT,
            {"w": False},
        ),
        (_SECONDS, {}),
        (_SECONDS, {"s": 0}),
        ('{ modelStatus(model: "tiny-a", until: SETTLED, waitSeconds: 300) { phase } }', {}),
    ],
)
async def test_what_need_not_wait_is_answered_at_once(query: str, variables: dict[str, object]) -> None:
    async with running(SimulatedExo(tiny_scenario())) as server, asyncio.timeout(PATIENCE):
        assert "errors" not in await _ask(server, query, **variables)


async def test_waiting_requests_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_WAITING", 1)
    async with running(SimulatedExo(tiny_scenario())) as server:
        first = asyncio.create_task(_ask(server, STATUS % ("READY", 300)))
        await _until_waiting(server, 1)
        refused = await _ask(server, STATUS % ("READY", 300))
        assert refused["errors"][0]["extensions"]["limit"] == "max_waiting_requests"
        await server.components.shut_down()
        await first
