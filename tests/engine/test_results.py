"""What is stored is given again for the same snapshot, rights and request alone; and a server without answers alike."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from exo_graphql.engine.results import Results
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.support.running import A, Running, running

pytestmark = pytest.mark.anyio

KINDS = [{"cached": cached, "compiled": compiled} for cached in (True, False) for compiled in (True, False)]
TOKENS = "operate:a-secret-to-operate,read:a-secret-to-read"


def test_a_result_is_given_again_for_its_key_and_snapshot_alone() -> None:
    results = Results()
    assert results.get("p1", "k") is None
    results.put("p1", "k", 10, b"result")
    assert results.get("p1", "k") == b"result"
    assert results.get("p1", "other") is None
    assert results.get("p2", "k") is None
    assert results.get("p1", "k") is None


def test_a_result_of_a_snapshot_that_is_past_is_not_kept() -> None:
    results = Results()
    results.get("p2", "k")
    results.put("p1", "k", 10, b"result")
    assert results.get("p2", "k") is None


def test_without_capacity_nothing_is_kept() -> None:
    results = Results(capacity=0)
    results.get("p", "k")
    results.put("p", "k", 10, b"result")
    assert results.get("p", "k") is None


def test_what_is_kept_is_bounded_in_number_the_oldest_goes_first() -> None:
    results = Results(capacity=3)
    results.get("p", 0)
    for key in range(5):
        results.put("p", key, 1, b"%d" % key)
    assert [results.get("p", key) for key in range(5)] == [None, None, b"2", b"3", b"4"]


def test_what_is_kept_is_bounded_in_bytes_keys_included() -> None:
    results = Results(max_bytes=100)
    results.get("p", 0)
    for key in range(1000):
        results.put("p", key, 24, b"x" * 4)
        assert results.size <= 100
    assert [key for key in range(1000) if results.get("p", key)] == [996, 997, 998, 999]
    results.put("p", "large", 26, b"x")
    assert results.get("p", "large") is None


def test_the_same_result_twice_counts_once() -> None:
    results = Results()
    results.get("p", "k")
    results.put("p", "k", 10, b"one")
    results.put("p", "k", 12, b"two")
    assert (results.get("p", "k"), results.size) == (b"two", 12)
    results.get("p2", "k")
    assert results.size == 0


@asynccontextmanager
async def client(**given: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Running]]:
    """A server whose snapshot stays as it is until it is read anew, and a client of it."""
    async with (
        running(
            SimulatedExo(tiny_scenario(), seed=1), max_age=1000.0, idle_pause=1000.0, unseen_after=2000.0, **given
        ) as server,
        httpx.AsyncClient(base_url=server.url.removesuffix("/graphql"), trust_env=False) as http,
    ):
        yield http, server


async def ask(
    http: httpx.AsyncClient, query: str, variables: Mapping[str, object] | None = None, token: str | None = None
) -> tuple[int, bytes]:
    """Status and body."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    answer = await http.post("/graphql", json={"query": query, "variables": variables or {}}, headers=headers)
    return answer.status_code, answer.content


QUERIES: list[tuple[str, dict[str, object]]] = [
    ("{ cluster { nodeCount nodes { id friendlyName ramTotalGb status } } models { id loaded } }", {}),
    ("query ($m: String!) { modelStatus(model: $m) { modelId found phase ready } }", {"m": A}),
    ("query ($m: String!) { modelStatus(model: $m) { modelId found phase ready } }", {"m": "nobody"}),
    ("query ($m: ID!) { model(id: $m) { id } nodes { id } }", {"m": "nobody"}),
    ("query ($m: ID!) { model(id: $m) { id } }", {"m": None}),
    ("query ($all: Boolean!) { nodes { id chip @include(if: $all) } }", {"all": True}),
    ("query ($all: Boolean!) { nodes { id chip @include(if: $all) } }", {"all": False}),
    ("{ nothing }", {}),
    ("{ cluster {", {}),
    ("{ __schema { queryType { name } } }", {}),
]


async def test_every_way_of_answering_gives_the_same_again_and_again() -> None:
    reported = []
    for kind in KINDS:
        async with client(**kind) as (http, _):
            answers = [await ask(http, query, variables) for query, variables in QUERIES]
            again = [await ask(http, query, variables) for query, variables in QUERIES]
            assert answers == again
            reported.append(answers)
    assert all(answers == reported[0] for answers in reported)
    assert [status for status, _ in reported[0]] == [200] * len(QUERIES)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stored_result_ends_with_its_snapshot(kind: dict[str, bool]) -> None:
    query = f'{{ modelStatus(model: "{A}") {{ phase }} }}'
    async with client(**kind) as (http, server):
        assert await ask(http, query) == await ask(http, query)
        assert b"NOT_LOADED" in (await ask(http, query))[1]
        server.exo.control.place(A)
        server.exo.control.advance(0.1)
        await server.components.poller.fresh(0.0)
        assert b"NOT_LOADED" not in (await ask(http, query))[1]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stored_result_ends_with_an_operation(kind: dict[str, bool]) -> None:
    query = "{ operations { state } }"
    async with client(**kind) as (http, _):
        assert await ask(http, query) == await ask(http, query) == (200, b'{"data":{"operations":[]}}')
        mutation = f'mutation {{ loadModel(model: "{A}") {{ operation {{ id }} }} }}'
        assert b'"id"' in (await ask(http, mutation))[1]
        assert b'"state"' in (await ask(http, query))[1]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stored_result_is_not_given_to_a_caller_without_the_rights(kind: dict[str, bool]) -> None:
    query = "{ cluster { nodeCount } }"
    async with client(tokens=TOKENS, **kind) as (http, _):
        assert (await ask(http, query, token="a-secret-to-read"))[0] == 200
        assert (await ask(http, query, token="a-secret-to-operate"))[0] == 200
        assert (await ask(http, query))[0] == 401
        assert (await ask(http, query, token="another"))[0] == 401
        mutation = f'mutation {{ unloadModel(model: "{A}") {{ error {{ code }} }} }}'
        assert b"MODEL_NOT_LOADED" in (await ask(http, mutation, token="a-secret-to-operate"))[1]
        assert (await ask(http, mutation, token="a-secret-to-read"))[0] == 403


@pytest.mark.parametrize("kind", KINDS)
async def test_the_time_of_an_answer_is_never_sent_twice(kind: dict[str, bool]) -> None:
    query = "{ cluster { ageSeconds } }"
    async with client(**kind) as (http, _):
        ages = [await ask(http, query) for _ in range(20)]
        assert len(set(ages)) > 1
