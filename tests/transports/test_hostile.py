"""Hostile input to a whole server: no fault, no stall, nothing left behind."""

import asyncio
import gc
import json
import logging
import random
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import from_schema
from websockets.exceptions import ConnectionClosed

from exo_graphql.engine.waiting import Waits
from exo_graphql.schema.build import build_schema, print_sorted
from tests.benchmarks.attacks import ATTACKS
from tests.support.own_time import OWN_TIME, Backend
from tests.support.running import PATIENCE, Running, running, until
from tests.support.wide import WideExo

pytestmark = pytest.mark.anyio

# Made in the process that runs the tests of it, not in each that collects them: it takes 100 ms.
DOCUMENTS = st.deferred(lambda: from_schema(print_sorted(build_schema())))
# What refuses each flood; the others are answered, or are wrong by themselves.
REFUSED_BY = {
    "cycle, 8 levels": "max_cost",
    "1,000 aliases": "max_aliases",
    "5,000 aliases": "max_tokens",
    "1,000 times one field": "max_pairs",
    "3,000 times one leaf": "max_pairs",
    "2,000 directives": "max_tokens",
    "fragments that double": "max_depth",
    "90 fragments side by side": "max_pairs",
    "45,000 comments": "max_tokens",
}
STALL_SECONDS = 0.25
"""CPU time: other tests may run on the same cores. The goal is 50 ms. `tests.benchmarks.worst` measures."""
_ANY_EXAMPLES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return OWN_TIME


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Running]:
    # A generated document may ask for a wait of five minutes: of each second a millisecond is waited.
    until = Waits._until
    with patch.object(Waits, "_until", lambda waits, condition, seconds: until(waits, condition, seconds / 1000)):
        async with running() as server:
            yield server


@pytest.fixture(scope="module")
async def client(server: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=30) as client:
        yield client


class _Faults(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        # An event is no fault: what exo answers here loses models, and the log must say so.
        if record.name != "exo_graphql.events.log":
            self.records.append(record)


@pytest.fixture(autouse=True)
def faults() -> Iterator[list[logging.LogRecord]]:
    """Any error in the log, ours or a library's, fails the test."""
    handler = _Faults()
    logging.getLogger().addHandler(handler)
    yield handler.records
    logging.getLogger().removeHandler(handler)
    assert [record.getMessage() for record in handler.records] == []


def _codes(answer: dict[str, Any]) -> set[str]:
    return {error["extensions"]["code"] for error in answer.get("errors", ())}


@given(document=DOCUMENTS)
@settings(max_examples=100, deadline=None, suppress_health_check=_ANY_EXAMPLES)
async def test_no_generated_operation_finds_a_fault(client: httpx.AsyncClient, document: str) -> None:
    answer = await client.post("/graphql", json={"query": document})
    assert answer.status_code == 200, answer.text
    assert "INTERNAL_ERROR" not in _codes(answer.json())


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    body=st.one_of(
        st.binary(),
        _JSON.map(lambda value: json.dumps(value).encode()),
        st.fixed_dictionaries(
            {"query": _JSON | st.just("query q($m: String!, $n: Int) { modelStatus(model: $m) { phase } }")},
            optional={"variables": _JSON, "operationName": _JSON, "extensions": _JSON},
        ).map(lambda value: json.dumps(value).encode()),
    )
)
@settings(max_examples=150, deadline=None, suppress_health_check=_ANY_EXAMPLES)
async def test_no_body_finds_a_fault(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/graphql", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400)
    codes = _codes(answer.json())
    assert codes
    assert "INTERNAL_ERROR" not in codes


@given(
    query=st.text(alphabet=st.sampled_from('{}()[]:!$@#"\\ \n.,|&=_a0-é\u2028\x00\ufeff'), max_size=60),
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE"]),
)
@settings(max_examples=100, deadline=None, suppress_health_check=_ANY_EXAMPLES)
async def test_no_text_finds_a_fault(client: httpx.AsyncClient, query: str, method: str) -> None:
    given: dict[str, Any] = {"params": {"query": query}} if method == "GET" else {"json": {"query": query}}
    answer = await client.request(method, "/graphql", **given)
    assert answer.status_code in (200, 400, 405, 415)
    assert "Traceback" not in answer.text


_TYPES = st.sampled_from(
    ["connection_init", "connection_ack", "subscribe", "complete", "ping", "pong", "next", "error", "start", "stop", ""]
)
_MESSAGES = st.one_of(
    st.text(max_size=30),
    _JSON.map(json.dumps),
    st.fixed_dictionaries(
        {"type": _TYPES},
        optional={
            "id": _JSON | st.sampled_from(["1", "2"]),
            "payload": _JSON | st.fixed_dictionaries({"query": st.sampled_from(["{ nodes { id } }", "{", ""]) | _JSON}),
        },
    ).map(json.dumps),
)
# What the protocol names, or RFC 6455 itself.
_CODES = {1002, 1003, 1007, 1009, 4400, 4401, 4403, 4409, 4429}


@given(messages=st.lists(_MESSAGES | st.binary(max_size=20), min_size=1, max_size=8), greets=st.booleans())
@settings(max_examples=100, deadline=None, suppress_health_check=_ANY_EXAMPLES)
async def test_no_message_finds_a_fault(server: Running, messages: list[str | bytes], greets: bool) -> None:
    async with server.bare() as connection:
        try:
            if greets:
                await connection.send('{"type":"connection_init"}')
            for message in messages:
                await connection.send(message)
            # However it handled these, it still answers, or has closed.
            await connection.send('{"type":"ping","payload":{"last":true}}')
            while json.loads(await connection.recv()).get("payload") != {"last": True}:
                pass
        except ConnectionClosed:
            assert connection.close_code in _CODES
    await until(lambda: server.components.websocket.connection_count == 0)


async def test_random_bytes_after_the_handshake_close_the_connection(server: Running) -> None:
    dice = random.Random(7)
    for _ in range(30):
        async with server.bare() as connection:
            connection.transport.write(dice.randbytes(400))
            async with asyncio.timeout(5):
                await connection.wait_closed()
    await until(lambda: server.components.websocket.connection_count == 0)


async def test_random_bytes_instead_of_http_close_the_connection(server: Running) -> None:
    dice = random.Random(8)
    for _ in range(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(dice.randbytes(400))
        writer.write_eof()
        assert b"200 OK" not in await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_floods_are_refused_by_name_or_answered_and_delay_no_other() -> None:
    async with (
        running(WideExo().simulated, max_age=3600, normal_pause=3600, fast_pause=3600, idle_pause=5) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=60) as client,
    ):
        stall = 0.0

        async def watch() -> None:
            nonlocal stall
            while True:
                before = time.process_time()  # of all threads: the loop waits for the one that holds Python's lock
                await asyncio.sleep(0.001)
                stall = max(stall, time.process_time() - before)

        for name, query in ATTACKS.items():
            body = json.dumps({"query": query}).encode()
            stall, watching = 0.0, asyncio.create_task(watch())
            # As bytes: reading a large answer would hold this very loop.
            answer = await client.post("/graphql", content=body, headers={"content-type": "application/json"})
            watching.cancel()
            assert answer.status_code == 200
            assert b"INTERNAL_ERROR" not in answer.content[:10_000], name
            assert stall < STALL_SECONDS, f"{name}: {stall:.3f} s"
            if name in REFUSED_BY:
                (error,) = answer.json()["errors"]
                assert (error["extensions"]["code"], error["extensions"]["limit"]) == (
                    "LIMIT_EXCEEDED",
                    REFUSED_BY[name],
                )


async def test_an_expensive_live_query_is_answered_beside_a_cheap_one_and_all_together_have_a_bound() -> None:
    every = "[NOT_STARTED, PENDING, DOWNLOADING, PAUSED, COMPLETED, FAILED, UNKNOWN]"
    expensive = f"subscription {{ nodes {{ a{{}}: id downloads(status: {every}) {{ id totalGb node {{ id }} }} }} }}"
    async with running(WideExo().simulated, max_live_cost=40_000) as server, server.socket() as socket:
        first = await socket.subscribe(expensive.replace("{}", "0"))
        cheap = await socket.subscribe("subscription { cluster { nodeCount } }")
        reported = {(await socket.receive())["id"] for _ in range(2)}
        assert reported == {first, cheap}
        assert server.components.service.live.cost > 15_000
        for number in range(1, 3):
            last = await socket.subscribe(expensive.replace("{}", str(number)))
            while (message := await socket.receive())["id"] != last:
                pass
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["limit"] == "max_live_cost"
        # What others subscribe to already costs nothing more.
        async with server.socket() as other:
            shared = await other.subscribe(expensive.replace("{}", "0"))
            assert (await other.receive())["id"] == shared
    assert server.components.service.live.cost == 0


async def test_live_queries_that_arrive_at_once_are_bounded_together() -> None:
    async with running(WideExo().simulated, max_live_cost=40_000) as server, server.socket() as socket:
        live = server.components.service.live
        for number in range(50):
            await socket.subscribe(
                f"subscription {{ nodes {{ a{number}: id downloads {{ id totalGb node {{ id }} model {{ id }} }} }} }}"
            )
        refused = 0
        for _ in range(50):
            message = await socket.receive()
            if message["type"] == "error":
                refused += 1
                assert message["payload"][0]["extensions"]["limit"] == "max_live_cost"
                assert message["payload"][0]["extensions"]["actual"] > 40_000
        assert 0 < live.share_count == 50 - refused
        assert 20_000 < live.cost <= 40_000
    assert live.cost == 0


async def test_the_cost_of_live_queries_grows_with_the_cluster() -> None:
    exo = WideExo(times=1)
    async with running(exo.simulated) as server, server.socket() as socket:
        live = server.components.service.live
        nodes = await socket.subscribe("subscription { nodes { id } }")
        assert len((await socket.data(nodes))["nodes"]) == 4
        before = live.cost
        wide = WideExo(times=4)
        async with wide:
            exo.change(wide.state)
            assert len((await socket.data(nodes))["nodes"]) == 16
        assert live.cost > 3 * before
        await socket.send(id=nodes, type="complete")
        await until(lambda: live.share_count == 0)
        assert live.cost == 0


async def test_operations_that_ask_exo_must_not_ask_for_much_besides() -> None:
    async with (
        running(WideExo().simulated) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=60) as client,
    ):
        nodes = "nodes { models { nodes { models { nodes { id } } } } }"
        many = " ".join(f'a{number}: placements(model: "nothing") {{ fits }}' for number in range(21))
        for query, limit in (
            (f'{{ placements(model: "nothing") {{ fits }} {nodes} }}', "max_mutation_cost"),
            (f"{{ {many} }}", "max_mutations"),
        ):
            answer = await client.post("/graphql", json={"query": query})
            assert answer.json()["errors"][0]["extensions"]["limit"] == limit


async def _cycle(server: Running, number: int) -> None:
    if number % 3 == 0:
        async with server.socket() as socket:
            await socket.data(await socket.subscribe("subscription { cluster { nodeCount } }"))
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        if number % 3 == 1:
            body = b'{"query":"{ cluster { nodeCount } }"}'
            writer.write(
                b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(body), body)
            )
            await reader.readuntil(b"}}}")
        writer.transport.abort()


@pytest.mark.parametrize("cycles", [600])
async def test_opening_and_closing_leaves_nothing_behind(server: Running, cycles: int) -> None:
    async def some(count: int) -> None:
        for start in range(0, count, 30):
            await asyncio.gather(*(_cycle(server, number) for number in range(start, start + 30)))
        await until(
            lambda: not server.server.server_state.connections and not server.components.service.live.share_count
        )

    await some(150)  # what is made once has been made
    tasks = len(asyncio.all_tasks())
    tracemalloc.start()
    try:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        await some(cycles)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(asyncio.all_tasks()) <= tasks
    # Less than anything that a connection could leave: 1 kB each would be 600 kB.
    assert after - before < 300_000


def _mutated(value: Any, dice: random.Random, rate: float) -> Any:
    """The same document, with some of it gone, or of another kind."""
    if dice.random() < rate:
        return dice.choice([None, 0, -1, 2**63, 1.5, "", "nonsense", [], {}, True, [None], {"a": None}, "Ω" * 50])
    if isinstance(value, dict):
        return {key: _mutated(inner, dice, rate) for key, inner in value.items() if dice.random() > rate / 2}
    if isinstance(value, list):
        return [_mutated(inner, dice, rate) for inner in value]
    return value


async def test_the_server_survives_any_answer_of_exo(faults: list[logging.LogRecord]) -> None:
    dice = random.Random(9)
    exo = WideExo(times=1)
    query = ATTACKS["overview, every download"]
    async with (
        running(
            exo.simulated, max_age=0, normal_pause=0.01, fast_pause=0.01, normal_share=0.9, fast_share=0.9
        ) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=30) as client,
    ):
        valid = exo.state
        for rate in (0.001, 0.01, 0.05, 0.3):
            for _ in range(5):
                exo.change(_mutated(valid, dice, rate))
                answer = await client.post("/graphql", json={"query": query})
                assert "INTERNAL_ERROR" not in _codes(answer.json()), answer.text[:2000]
        exo.change(valid)
        answer = await client.post("/graphql", json={"query": "{ cluster { nodeCount connected } }"})
        async with asyncio.timeout(PATIENCE):
            while answer.json() != {"data": {"cluster": {"nodeCount": 4, "connected": True}}}:
                answer = await client.post("/graphql", json={"query": "{ cluster { nodeCount connected } }"})
    # That a document is no state is reported, and is no fault of ours.
    faults[:] = [record for record in faults if record.name != "exo_graphql.exo.endpoints"]
