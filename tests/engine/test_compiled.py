"""A compiled operation is answered exactly as graphql-core answers it, byte for byte, on every snapshot."""

import asyncio
import dataclasses
import gc
import re
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, lru_cache
from random import Random
from typing import Any, cast

import orjson
import pytest
from graphql import (
    DocumentNode,
    GraphQLObjectType,
    OperationDefinitionNode,
    get_named_type,
    is_leaf_type,
    parse,
    validate,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.deployments.service import Deployments
from exo_graphql.engine.compiled import Plans
from exo_graphql.engine.compiled.compiler import MAX_FIELDS, Fields
from exo_graphql.engine.compiled.plan import MAX_PLANS
from exo_graphql.engine.compiled.plan import Operation as CompiledOperation
from exo_graphql.engine.execution import Answer, Executor
from exo_graphql.engine.limits import Limits
from exo_graphql.engine.simple_parser import parse_simple
from exo_graphql.operations import (
    Operation,
    OperationError,
    OperationKind,
    Operations,
    OperationState,
    Step,
    StepState,
)
from exo_graphql.operations import errors as problems
from exo_graphql.schema.context import Context
from exo_graphql.series import Series
from exo_graphql.storage.sqlite import SQLiteStore
from tests.engine.generated import Generator
from tests.support.asking import SCHEMA, Recorded
from tests.support.recordings import NAMES, walk

NOW = datetime(2026, 6, 22, 13, tzinfo=UTC)
LONG_WAY = Executor(SCHEMA, compiled=False)
SHORT_WAY = Executor(SCHEMA, compiled=True)
EXAMPLES = settings(max_examples=300, deadline=None)
# Queries that wait for others. Generated with all fields, half of the documents have one, and would not be compared.
WAITING = ("placements", "plan", "searchHub", "calendar")
_JSON = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 1 << 40), st.text(max_size=3), st.lists(st.text(max_size=2))
)


class Remembered(Operations):
    """Operations as they stand after many mutations, the refused ones included."""

    def __init__(self, known: tuple[Operation, ...]) -> None:
        super().__init__(Recorded(None), SQLiteStore(None))
        self._known = known

    def all(self, active: bool | None = None) -> tuple[Operation, ...]:
        return tuple(each for each in self._known if active is None or each.active is active)

    def get(self, operation_id: str) -> Operation | None:
        return next((each for each in self._known if each.id == operation_id), None)


def _problems() -> list[OperationError]:
    given: dict[str, Any] = {
        "message": "It went wrong.",
        "suggestion": "Try again.",
        "candidates": ("rig/a", "rig/b"),
        "loaded_ids": ("rig/tiny-llama-a",),
        "available": ("n1",),
        "instance_ids": ("i1",),
        "argument": "model",
        "operation_id": "op-0",
        "needed_bytes": 3 << 30,
        "available_bytes": 1 << 30,
        "shortfall_bytes": 2 << 30,
        "unload_to_fit_ids": ("rig/tiny-llama-b", "gone/model"),
        "reason": "No cycle.",
        "limit": 20,
        "model_id": "rig/tiny-llama-a",
        "last_seen_at": NOW,
        "stalled_seconds": 3,
    }
    made = []
    for kind in vars(problems).values():
        if isinstance(kind, type) and issubclass(kind, OperationError) and kind is not OperationError:
            names = {each.name for each in dataclasses.fields(kind)}
            made.append(kind(**{name: value for name, value in given.items() if name in names}))
    return made


def _operations() -> Remembered:
    states = list(OperationState)
    return Remembered(
        tuple(
            Operation(
                f"op-{number}",
                list(OperationKind)[number % 3],
                states[number % len(states)],
                "As it stands.",
                (Step("place", StepState.RUNNING, NOW, None, "waits"), Step("confirm")),
                NOW,
                load_ids=("rig/tiny-llama-a",),
                progress_percent=None if number % 2 else 50.0,
                error=error,
            )
            for number, error in enumerate([None, *_problems()])
        )
    )


OPERATIONS = _operations()
DEPLOYMENTS = Deployments(Recorded(None), OPERATIONS, SQLiteStore(None))


def _odd(snapshot: Snapshot, turn: int) -> Snapshot:
    """The same snapshot with values that no exo reports, but which a GraphQL type may have an opinion on."""
    odd_values: list[dict[str, Any]] = [
        {"temperature_c": float("nan"), "power_watts": 7, "friendly_name": 5},
        {"temperature_c": True, "chip": False, "os_version": 2.5, "has_thunderbolt": 1},
        {"friendly_name": b"bytes", "power_watts": "12.5", "ip_addresses": ["a", 1, None], "rdma_enabled": "yes"},
        {"ip_addresses": "text", "backends": {"a": 1}, "connections": (None,), "temperature_c": "warm"},
        {"power_watts": float("inf"), "connection_types": ("wifi", None), "ram_total_bytes": 1 << 60},
    ]
    nodes = {
        id_: dataclasses.replace(node, **odd_values[(number + turn) % len(odd_values)])
        for number, (id_, node) in enumerate(snapshot.state.nodes.items())
    }
    downloads = {
        node_id: {
            model_id: dataclasses.replace(
                entry, completed_files=(1 << 31) + number, total_files=None, error=str(number)
            )
            for number, (model_id, entry) in enumerate(entries.items())
        }
        for node_id, entries in snapshot.state.downloads.items()
    }
    state = dataclasses.replace(snapshot.state, nodes=nodes, downloads=downloads)
    odd, _ = advance(None, state, snapshot.observed, Source("http://exo", None))
    assert odd is not None
    return odd


@cache
def snapshots() -> tuple[Snapshot | None, ...]:
    """No snapshot, the recorded ones, and some of them made odd."""
    recorded = [snapshot for name in NAMES for _, snapshot in walk(name)]
    return (None, *recorded, *(_odd(snapshot, turn) for turn, snapshot in enumerate(recorded[::9])))


@cache
def recorded_series() -> Series:
    """What the nodes of the snapshots have reported."""
    recorded = sorted((snapshot for name in NAMES for _, snapshot in walk(name)), key=lambda each: each.now.elapsed)
    series = Series(recorded[0].now)
    for snapshot in recorded:
        series.sample(snapshot, snapshot.now)
    return series


@cache
def texts() -> tuple[str, ...]:
    """Names that some snapshot knows, and some that none does."""
    known = {
        text
        for snapshot in snapshots()[1::5]
        if snapshot is not None
        for text in (*snapshot.state.nodes, *snapshot.instances_by_model, *list(snapshot.models)[:3])
    }
    return (
        *sorted(known),
        *(f"op-{number}" for number in range(4)),
        "tiny-llama-a",
        "",
        "nothing like it",
        "é\U0001f600",
    )


def answered(
    executor: Executor,
    document: DocumentNode,
    snapshot: Snapshot | None,
    variables: Mapping[str, Any] | None,
    at: float,
) -> Answer:
    """The answer at that time."""
    context = Context(snapshot, OPERATIONS, DEPLOYMENTS, lambda: at, series=recorded_series())
    answer = executor.execute(document, context, variables, None)
    assert isinstance(answer, Answer)
    return answer


_parsed = lru_cache(maxsize=100)(parse)
"""Kept, so that what is known of a document's parts outlives one answer."""


@lru_cache(maxsize=100)
def _unseen(query: str) -> DocumentNode:
    """The document as the server reads a text that it sees for the first time."""
    return parse_simple(query, Limits()) or _parsed(query)


def assert_alike(query: str, snapshot: Snapshot | None, variables: Mapping[str, Any] | None = None) -> Answer:
    """Both ways give the same; returns it.

    Asked thrice as time passes: the second answer keeps encoded parts, the third takes them. The text is unseen at
    first.
    """
    document = _parsed(query)
    long = answered(LONG_WAY, document, snapshot, variables, 1.0)
    for at in (1.0, 2.5, 40.0):
        if long.time_dependent:
            long = answered(LONG_WAY, document, snapshot, variables, at)
        short = answered(SHORT_WAY, _unseen(query) if at == 1.0 else document, snapshot, variables, at)
        assert _nameless(short.payload) == _nameless(long.payload), query
        assert _nameless(short.signature) == _nameless(long.signature), query
        assert (short.failed, short.refused, short.completed) == (long.failed, long.refused, long.completed)
        # A time-dependent result is not stored: it may be marked so without need, but never be left unmarked.
        assert short.time_dependent or not long.time_dependent
    return long


def _nameless(body: bytes) -> bytes:
    """A body without the ids of internal errors, which are random."""
    return re.sub(rb'"errorId":"[0-9a-f]+"', b"", body)


def takes_short_way(query: str, snapshot: Snapshot, variables: Mapping[str, Any] | None = None) -> bool:
    """Whether the operation is answered by a plan."""
    with suppress(Exception):
        Plans(SCHEMA).run(parse(query), None, Context(snapshot, OPERATIONS, DEPLOYMENTS, lambda: 0.0), variables)
        return True
    return False


@EXAMPLES
@given(st.integers(0, 1 << 32), st.sampled_from(["query", "query", "query", "subscription"]), st.data())
def test_documents_with_variables_fragments_and_directives(seed: int, kind: str, data: st.DataObject) -> None:
    generator = Generator(SCHEMA, Random(seed), texts())
    document = generator.document(kind)
    if not validate(SCHEMA, parse(document)):
        assert_alike(document, data.draw(st.sampled_from(snapshots())), generator.values)


@EXAMPLES
@given(st.integers(0, 1 << 32), st.dictionaries(st.sampled_from(["yes", "no", "maybe", "v0", "v1"]), _JSON), st.data())
def test_variables_that_may_not_fit(seed: int, variables: dict[str, Any], data: st.DataObject) -> None:
    generator = Generator(SCHEMA, Random(seed), texts())
    document = generator.document("query")
    if generator.declared and not validate(SCHEMA, parse(document)):
        assert_alike(document, data.draw(st.sampled_from(snapshots())), generator.values | variables)


def test_the_generated_documents_ask_all_there_is() -> None:
    made = [Generator(SCHEMA, Random(seed), texts()) for seed in range(300)]
    text = "\n".join(each.document("query") for each in made)
    for part in (
        "fragment",
        "@skip",
        "@include",
        "$",
        "... on",
        "...  {",
        "__typename",
        "_1:",
        "[",
        "on OperationError",
    ):
        assert part in text
    assert len([each for each in made if each.values]) > 20


LEAVES = [
    f"{{ {root} {{ {name} }} }}"
    for root, type_name in (("nodes", "Node"), ("downloads", "Download"), ("cluster", "Cluster"))
    for name, of_field in cast("GraphQLObjectType", SCHEMA.type_map[type_name]).fields.items()
    if is_leaf_type(get_named_type(of_field.type))
]


@pytest.mark.parametrize("points", [1, 12, 120, 1440])
def test_a_history_and_lists_that_hold_nulls(points: int) -> None:
    values = "at ramUsedGb gpuUsagePercent temperatureC powerWatts activeTasks"
    for minutes in (1, 60, 61, 43_200):
        history = f"history(minutes: {minutes}, points: {points}) {{ {values} }}"
        query = f"{{ cluster {{ {history} }} nodes {{ {history} __typename }} }}"
        snapshot = snapshots()[3]
        assert snapshot is not None
        assert takes_short_way(query, snapshot)
        data = orjson.loads(assert_alike(query, snapshot).payload)["data"]
        lists = [each[name] for each in (data["cluster"]["history"], data["nodes"][0]["history"]) for name in each]
        assert {len(each) for each in lists} == {points}
        assert any(isinstance(value, float) for each in lists for value in each)


@pytest.mark.parametrize("query", [*LEAVES, "{ nodes { connections { __typename } } }"])
def test_values_that_a_type_has_an_opinion_on(query: str) -> None:
    for snapshot in snapshots():
        if snapshot is not None and snapshot.source.api_node_id is None:
            assert_alike(query, snapshot)


PLAIN = """query Plain($status: [DownloadStatus!], $more: Boolean = true) {
  cluster { ageSeconds ...Totals nodes { name: friendlyName secondsSinceSeen lastSeen connections { node { id } } } }
  again: cluster { nodes { id } }
  cluster { nodes { ramTotalBytes status @include(if: $more) } }
  downloads(status: $status) { node { id } model { name } status downloadedGb }
  models(loaded: true) { status { phase failure { at message } } instances { shards { runnerStatus node { id } } } }
  operations { kind steps { state startedAt } error { code ... on InsufficientMemory { neededGb loaded { id } } } }
}
fragment Totals on Cluster { ramTotalGb healthy unhealthyReasons ... @skip(if: $more) { stale } }
"""


@cache
def _recorded() -> Snapshot:
    *_, (_, snapshot) = walk("61-two-node-pipeline")
    return snapshot


def test_an_object_is_of_the_first_type_that_claims_it_and_of_its_interface() -> None:
    query = """{ operations {
        error {
            ...Shown ... on OperationError { message }
            ... on ModelNotFound { candidates } ... on LoadFailed { model { id } }
        }
    } } fragment Shown on OperationError { __typename code }"""
    assert takes_short_way(query, _recorded())
    reported = orjson.loads(assert_alike(query, _recorded()).payload)["data"]["operations"]
    assert [each["error"] and each["error"]["__typename"] for each in reported] == [
        None,
        *(type(error).__name__ for error in _problems()),
    ]
    assert {
        "__typename": "LoadFailed",
        "code": "LOAD_FAILED",
        "message": "It went wrong.",
        "model": {"id": "rig/tiny-llama-a"},
    } in [each["error"] for each in reported]


@pytest.mark.parametrize("more", [True, False])
def test_a_plain_operation_takes_the_short_way(more: bool) -> None:
    variables = {"status": ["COMPLETED", "PENDING", "NOT_STARTED"], "more": more}
    assert takes_short_way(PLAIN, _recorded(), variables)
    answer = assert_alike(PLAIN, _recorded(), variables)
    assert not answer.failed
    assert answer.time_dependent
    assert b'"status":"ONLINE"' in answer.payload or not more


@pytest.mark.parametrize(
    "query",
    [
        '{ node(id: "nobody") { id } }',
        "{ __schema { queryType { name } } }",
        '{ __type(name: "Node") { name } }',
        '{ cluster { nodeCount } model(id: "nothing like it") { id } }',
        '{ placements(model: "rig/tiny-llama-a") { fits } }',
        'mutation { unloadModel(model: "rig/tiny-llama-a") { error { message } } }',
        "query ($id: ID!) { node(id: $id) { id } }",
    ],
)
def test_what_is_not_plain_or_an_error_is_left_to_graphql_core(query: str) -> None:
    assert not takes_short_way(query, _recorded())


def test_a_mutation_is_never_tried_before_it_is_executed() -> None:
    asked: list[str] = []

    class Counting(Remembered):
        async def unload(self, model: str, **_: Any) -> OperationError:  # type: ignore[override]
            asked.append(model)
            return _problems()[0]

    context = Context(_recorded(), Counting(()), DEPLOYMENTS, lambda: 0.0)
    query = 'mutation { unloadModel(model: "rig/tiny-llama-a") { error { message } } }'
    answer = SHORT_WAY.execute(parse(query), context, None, None)
    assert not isinstance(answer, Answer)
    assert b"It went wrong." in asyncio.run(_waited(answer)).payload
    assert asked == ["rig/tiny-llama-a"]


async def _waited(answer: Awaitable[Answer]) -> Answer:
    return await answer


def test_a_subscription_that_ends_says_so_either_way() -> None:
    query = 'subscription { modelStatus(model: "rig/tiny-llama-a", until: SETTLED) { ready } }'
    settled = [assert_alike(query, snapshot).completed for _, snapshot in walk("10-place-load-ready")]
    assert (settled[0], settled[2], settled[-1]) == (True, False, True)


def test_each_setting_of_skip_and_include_has_its_own_order_of_keys() -> None:
    query = "query ($a: Boolean!) { cluster { nodeCount @include(if: $a) stale nodeCount } }"
    document = parse(query)
    reported = [
        SHORT_WAY.execute(document, Context(_recorded(), OPERATIONS, DEPLOYMENTS, lambda: 0.0), {"a": a}, None)
        for a in (True, False)
    ]
    assert [answer.payload for answer in reported if isinstance(answer, Answer)] == [
        b'{"data":{"cluster":{"nodeCount":3,"stale":false}}}',
        b'{"data":{"cluster":{"stale":false,"nodeCount":3}}}',
    ]


def test_a_document_that_grows_beyond_all_measure_is_left_to_graphql_core() -> None:
    spreads = "\n".join(
        f"fragment F{n} on Cluster {{ nodes {{ models {{ a{n}: id }} }} ...F{n + 1} b{n}: nodes {{ id }} }}"
        for n in range(12)
    )
    many = " ".join(f"a{n}: nodeCount" for n in range(MAX_FIELDS + 1))
    assert takes_short_way(f"{{ cluster {{ ...F0 }} }} {spreads} fragment F12 on Cluster {{ stale }}", _recorded())
    assert not takes_short_way(f"{{ cluster {{ {many} }} }}", _recorded())


def test_plans_are_forgotten_with_their_document() -> None:
    plans = Plans(SCHEMA)
    document = parse("{ cluster { nodeCount } }")
    assert plans.run(document, None, Context(_recorded(), OPERATIONS, DEPLOYMENTS, lambda: 0.0), None)
    assert len(plans) == 1
    del document
    gc.collect()
    assert len(plans) == 0


def test_settings_of_conditions_are_bounded() -> None:
    names = [f"v{n}" for n in range(6)]
    declared = " ".join(f"${name}: Boolean!" for name in names)
    fields = " ".join(f"{name}: nodeCount @skip(if: ${name})" for name in names)
    node = parse(f"query ({declared}) {{ cluster {{ stale {fields} }} }}").definitions[0]
    assert isinstance(node, OperationDefinitionNode)
    operation = CompiledOperation(Fields(SCHEMA), node, {})
    for setting in range(64):
        variables = {name: bool(setting >> n & 1) for n, name in enumerate(names)}
        data = operation.run(Context(_recorded(), OPERATIONS, DEPLOYMENTS, lambda: 0.0), variables)
        assert list(data["cluster"]) == ["stale", *(name for name in names if not variables[name])]
        assert operation.plan_count <= MAX_PLANS
