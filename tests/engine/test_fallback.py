"""What a compiled plan leaves to graphql-core is counted by its reason, and a fault of a plan is logged once."""

import logging
from collections import Counter

import httpx
import pytest
from graphql import parse
from prometheus_client.parser import text_string_to_metric_families

from exo_graphql.deployments.service import Deployments
from exo_graphql.engine.compiled import Plans
from exo_graphql.engine.execution import Answer, Executor
from exo_graphql.observability.metrics import Fallback
from exo_graphql.operations import Operations
from exo_graphql.schema.context import Context
from exo_graphql.storage.sqlite import SQLiteStore
from tests.engine.test_compiled import snapshots
from tests.support.asking import SCHEMA, Recorded
from tests.support.running import PHASE, A, Running, running

NODES = "{ nodes { id } }"
UNCOMPILED = Executor(SCHEMA, compiled=False)


def _context() -> Context:
    snapshot = next(each for each in snapshots() if each is not None and each.nodes)
    upstream = Recorded(snapshot)
    store = SQLiteStore(None)
    operations = Operations(upstream, store)
    return Context(snapshot, operations, Deployments(upstream, operations, store), lambda: 0.0)


def _answer(executor: Executor, query: str) -> Answer:
    answer = executor.execute(parse(query), _context(), None, None)
    assert isinstance(answer, Answer)
    return answer


def _counts(text: str) -> dict[str, float]:
    """The counter's values that are not 0, by reason."""
    (family,) = (f for f in text_string_to_metric_families(text) if f.name == "exo_graphql_compiled_fallbacks")
    return {sample.labels["reason"]: sample.value for sample in family.samples if sample.value}


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("{ __schema { queryType { name } } }", Fallback.NOT_COMPILABLE),
        ('{ model(id: "nobody/has-it") { id } }', Fallback.ERROR),
    ],
)
def test_each_reason_is_reported(query: str, reason: Fallback) -> None:
    counted: list[Fallback] = []
    executor = Executor(SCHEMA, fallback=counted.append)
    assert _answer(executor, query).payload == _answer(UNCOMPILED, query).payload
    assert counted == [reason]
    _answer(executor, NODES)
    assert counted == [reason]


def test_a_value_that_does_not_fit_its_type_is_a_coercion(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[Fallback] = []
    monkeypatch.setattr("exo_graphql.cluster.state.Node.ram_total_gb", property(lambda _: "much"), raising=False)
    executor = Executor(SCHEMA, fallback=counted.append)
    _answer(executor, "{ nodes { ramTotalGb } }")
    assert counted == [Fallback.COERCION]


def test_a_fault_of_a_plan_is_logged_once_counted_each_time_and_answered_by_graphql_core(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> dict[str, object]:
        raise RuntimeError("the plan is broken")

    counted: list[Fallback] = []
    executor = Executor(SCHEMA, fallback=counted.append)
    monkeypatch.setattr(Plans, "run", broken)
    with caplog.at_level(logging.ERROR, "exo_graphql"):
        for query in (NODES, "{ nodes { chip } }", NODES):
            assert _answer(executor, query).payload == _answer(UNCOMPILED, query).payload
    assert counted == [Fallback.FAULT] * 3
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "the plan is broken" in str(record.exc_info[1])


@pytest.mark.anyio
async def test_metrics_count_each_execution_once() -> None:
    async with running() as server, httpx.AsyncClient(trust_env=False) as client:
        await client.post(server.url, json={"query": NODES})
        assert _counts(server.components.service.metrics.text().decode()) == {}
        expected = Counter[str]()
        for query, reason in (
            (f'{{ placements(model: "{A}") {{ fits }} }}', "not_compilable"),
            ("{ __typename __schema { types { name fields { name type { name } } } } }", "not_compilable"),
            ('{ model(id: "nobody/has-it") { id } }', "error"),
        ):
            await client.post(server.url, json={"query": query})
            expected[reason] += 1
            assert _counts(server.components.service.metrics.text().decode()) == expected


@pytest.mark.anyio
async def test_a_live_query_that_falls_back_is_counted_once_for_each_execution() -> None:
    async with running() as server, server.socket() as socket:
        await socket.data(await socket.subscribe(PHASE))
        assert _counts(server.components.service.metrics.text().decode()) == {}
        await _expensive(server)


async def _expensive(server: Running) -> None:
    """One that is too expensive for the event loop, and whose plan fails there first."""
    live = server.components.service.live
    executor = server.components.service._executor
    document = parse("subscription { cluster { nodeCount } }")
    plans = executor._plans
    assert plans is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "run", _fails)
        async with live.subscribe("key", document, None, None, lambda: 5_000.0) as subscriber:
            async for answer in subscriber:
                assert b'"nodeCount":2' in answer.payload
                break
    assert _counts(server.components.service.metrics.text().decode()) == {"fault": 1}


def _fails(*_: object) -> None:
    raise RuntimeError("broken")
