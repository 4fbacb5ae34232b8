"""The estimate: never below what an answer holds, by the sizes of the snapshot at hand, and known at a glance."""

import itertools
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from graphql import (
    DocumentNode,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLObjectType,
    OperationDefinitionNode,
    get_introspection_query,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    parse,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import queries

from exo_graphql.app import Components, build
from exo_graphql.cluster.placement import PlacementSearch
from exo_graphql.engine import documents, execution
from exo_graphql.engine.compiled import compiler, object_compiler
from exo_graphql.engine.compiled.compiler import Compilation
from exo_graphql.engine.compiled.plans import Plans
from exo_graphql.engine.compiled.selection import collect
from exo_graphql.engine.cost import Cost
from exo_graphql.engine.costs import Costs
from exo_graphql.engine.field_sizes import LISTS
from exo_graphql.engine.list_sizes import ListSizes
from exo_graphql.engine.prepared import Prepared
from exo_graphql.engine.reply import Outcome, Reply
from exo_graphql.engine.requests import GraphQLRequest
from exo_graphql.engine.rights import Caller, Rights
from exo_graphql.schema.build import build_schema, print_sorted
from exo_graphql.settings import Settings
from tests.benchmarks.attacks import OVERVIEW
from tests.support.own_time import OWN_TIME, Backend
from tests.support.tuning import configured
from tests.support.wide import WideExo

pytestmark = pytest.mark.anyio

SCHEMA = build_schema()
EMPTY = ListSizes(None, tuple)


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return OWN_TIME


@pytest.fixture(scope="module")
async def components() -> AsyncIterator[Components]:
    """Over 32 nodes with 120 downloads each, read once."""
    exo = WideExo()
    once = {
        "max_age": 3600,
        "normal_pause": 3600,
        "fast_pause": 3600,
        "idle_pause": 3600,
        "unseen_after": 7200,
        "max_cost": 10**9,
    }
    chosen, tuning = configured(**once)
    components = build(chosen, exo.simulated, tuning)
    async with AsyncExitStack() as started:
        await components.store.open()
        started.push_async_callback(components.store.close)
        components.poller.recall(None)  # without the part of the server that reads it
        for component in (exo, components.poller, components.operations, components.service):
            await started.enter_async_context(component)
        await components.poller.fresh()
        yield components


def _estimate(
    query: str, sizes: ListSizes = EMPTY, costs: Costs | None = None, variables: dict[str, Any] | None = None
) -> Cost:
    document = parse(query)
    (operation,) = (d for d in document.definitions if isinstance(d, OperationDefinitionNode))
    return (costs or Costs(SCHEMA)).of(document, operation, sizes, variables)


@pytest.mark.parametrize(
    ("query", "variables", "cost"),
    [
        ("{ events { id message } }", None, 1 + 50 * 2),
        ("{ events(last: null) { id message } }", None, 1 + 50 * 2),
        ("{ events(last: 5) { id message } }", None, 1 + 5 * 2),
        ("{ events(last: 5) { id message } more: events(last: 7) { id } }", None, 1 + 5 * 2 + 1 + 7),
        ("{ events(last: 100000) { id message } }", None, 1 + 500 * 2),
        ("query ($n: Int) { events(last: $n) { id message } }", {"n": 5}, 1 + 5 * 2),
        ("query ($n: Int) { events(last: $n) { id message } }", {"n": 10**9}, 1 + 500 * 2),
        ("query ($n: Int) { events(last: $n) { id message } }", {}, 1 + 50 * 2),
        ("query ($n: Int = 9) { events(last: $n) { id message } }", {}, 1 + 9 * 2),
        ("query ($n: Int = 9) { events(last: $n) { id message } }", {"n": None}, 1 + 50 * 2),
        (
            "query ($n: Int) { ...E ...E e: events(last: $n) { id } } fragment E on Query { events(last: $n) { id } }",
            {"n": 5},
            3 * (1 + 5),
        ),
    ],
)
def test_events_cost_as_many_as_are_requested(query: str, variables: dict[str, Any] | None, cost: float) -> None:
    assert _estimate(query, variables=variables).total == cost


@pytest.mark.parametrize(
    ("history", "variables", "points"),
    [
        ("history", None, 120),
        ("history(points: 60)", None, 60),
        ("history(points: 100000)", None, 1440),
        ("history(points: $p)", {"p": 16}, 16),
        ("history(points: $p)", {}, 24),
        ("history(points: $p)", {"p": None}, 120),
        ("history(points: $p)", {"p": 10**9}, 1440),
        ("history(points: $p)", {"p": -1}, 8),
    ],
)
def test_a_history_costs_about_one_for_each_entry(history: str, variables: dict[str, Any] | None, points: int) -> None:
    query = f"query ($p: Int = 24) {{ cluster {{ {history} {{ at powerWatts }} }} }}"
    each_list = points * 9 / 8  # as a list of 8 values counts for 9
    assert _estimate(query, variables=variables).total == 2 + 2 * each_list


def test_a_new_value_of_a_variable_gives_a_new_estimate_and_the_same_one_the_same() -> None:
    costs = Costs(SCHEMA)
    document = parse("query ($p: Int, $n: Int) { events(last: $n) { node { history(points: $p) { at } } } }")
    (operation,) = (d for d in document.definitions if isinstance(d, OperationDefinitionNode))
    first, same, other = (costs.of(document, operation, EMPTY, {"p": p, "n": 10}) for p in (80, 80, 160))
    assert first is same
    assert (first.total, other.total) == (1 + 10 * (2 + 90), 1 + 10 * (2 + 180))


def _sizes(components: Components) -> ListSizes:
    return ListSizes(components.poller.snapshot, components.operations.all)


async def _answer(components: Components, query: str) -> Any:
    prepared = await components.service.prepare(GraphQLRequest(query))
    assert isinstance(prepared, Prepared), prepared.payload
    reply = await components.service.answer(prepared, Caller(Rights.OPERATE), refreshed=True)
    return orjson.loads(reply.payload)


def _held(value: Any) -> int:
    """Fields of the answer."""
    if isinstance(value, dict):
        return sum(1 + _held(inner) for inner in value.values())
    return sum(map(_held, value)) if isinstance(value, list) else 0


def test_every_list_of_objects_in_the_schema_has_a_size() -> None:
    lists = {
        (type_.name, name)
        for type_ in SCHEMA.type_map.values()
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType) and not type_.name.startswith("__")
        for name, field in type_.fields.items()
        if isinstance(get_nullable_type(field.type), GraphQLList) and is_composite_type(get_named_type(field.type))
    }
    assert lists == {*LISTS, ("Query", "events")}


@pytest.mark.parametrize(
    "query",
    [
        f"{{ {OVERVIEW} }}",
        "{ nodes { models { nodes { models { nodes { id } } } } } }",
        "{ downloads { node { downloads { model { downloads { id } } } } } }",
        "{ models { id nodes { id tasks { id model { instances { shards { node { id } } } } } } } }",
        "{ cluster { nodes { connections { node { connections { ipAddress } } } } } }",
        "{ a: nodes { ...n } ...b } fragment b on Query { b: nodes { ...n } } fragment n on Node { models { id } }",
        get_introspection_query(),
        "{ __schema { types { fields { type { fields { type { name } } } } } } }",
    ],
)
async def test_the_estimate_is_never_below_what_the_answer_holds(components: Components, query: str) -> None:
    held = _held((await _answer(components, query))["data"])
    assert held > 90
    assert held <= _estimate(query, _sizes(components)).total


async def test_the_overview_of_32_nodes_with_every_download_is_within_the_limit(components: Components) -> None:
    cost = _estimate(f"{{ {OVERVIEW} }}", _sizes(components)).total
    assert 60_000 < cost < Settings.model_fields["max_cost"].default / 4


async def test_each_level_of_a_cycle_multiplies(components: Components) -> None:
    levels = ["{ " + "nodes { models { " * n + "id" + " } }" * n + " }" for n in range(1, 6)]
    costs = [_estimate(level, _sizes(components)).total for level in levels]
    assert all(dearer > 8 * cheaper for cheaper, dearer in itertools.pairwise(costs))


async def test_a_fragment_costs_as_if_it_were_written_out(components: Components) -> None:
    sizes = _sizes(components)
    spread = _estimate("{ a: nodes { ...n } b: nodes { ...n } } fragment n on Node { id models { id } }", sizes)
    written = _estimate("{ a: nodes { id models { id } } b: nodes { id models { id } } }", sizes)
    assert spread.total == written.total


async def test_a_status_that_includes_the_merely_possible_downloads_costs_them(components: Components) -> None:
    sizes = _sizes(components)
    started = _estimate("{ nodes { downloads { id } } }", sizes).total
    every = _estimate("query($s: [DownloadStatus!]) { nodes { downloads(status: $s) { id } } }", sizes).total
    assert every - started == pytest.approx(32 * (sizes.downloads_on_node - sizes.started_on_node))


def test_the_estimate_of_a_long_key_grows_with_its_length() -> None:
    assert _estimate("{ __typename }").total == 1
    assert _estimate("{ " + "a" * 3200 + ": __typename }").total == 101


def test_fields_that_ask_exo_are_counted() -> None:
    cost = _estimate(
        '{ a: placements(model: "m") { fits } ...f } fragment f on Query { placements(model: "m") { fits } }'
    )
    assert cost.exo_calls == 2
    assert _estimate('mutation { unloadModel(model: "m") { error { message } } }').exo_calls == 1
    assert _estimate("{ nodes { id } }").exo_calls == 0


def test_every_name_in_the_arguments_of_placements_is_estimated() -> None:
    names = '["a", "b", "c"]'
    bare = _estimate('{ placements(model: "m") { fits } }').total
    assert _estimate(f'{{ placements(model: "m", unload: {names}) {{ fits }} }}').total == bare + 3
    twice = _estimate(
        'query q($u: [String!]) { ...p b: placements(model: "m", unload: $u) { fits } ...p } '
        f'fragment p on Query {{ a: placements(model: "m", unload: $u, nodes: {names}) {{ fits }} }}'
    )
    for length in (0, 1, 500):
        # Spread twice, the fragment is counted twice: estimates err on the expensive side.
        assert twice.with_names({"u": ["m"] * length}) == twice.total + 3 * length


async def test_placements_that_name_very_many_models_are_refused(components: Components) -> None:
    fields = " ".join(f'a{number}: placements(model: "GLM-5", unload: $unload) {{ fits }}' for number in range(20))
    query = f"query q($unload: [String!]) {{ {fields} }}"
    prepared = await components.service.prepare(GraphQLRequest(query, variables={"unload": ["Kimi-K2.5"] * 500}))
    assert isinstance(prepared, Prepared)
    reply = await components.service.answer(prepared, Caller(Rights.READ))
    assert reply.outcome is Outcome.REFUSED
    (error,) = orjson.loads(reply.payload)["errors"]
    assert error["extensions"]["limit"] == "max_mutation_cost"
    assert error["extensions"]["actual"] > 10_000


async def test_placements_are_searched_off_the_event_loop(
    components: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    find = PlacementSearch.find

    def noting(self: PlacementSearch, *arguments: Any) -> Any:
        threads.append(threading.get_ident())
        return find(self, *arguments)

    monkeypatch.setattr(PlacementSearch, "find", noting)
    prepared = await components.service.prepare(
        GraphQLRequest('{ placements(model: "GLM-5", unload: ["Kimi-K2.5"]) { fits } }')
    )
    assert isinstance(prepared, Prepared)
    reply = await components.service.answer(prepared, Caller(Rights.READ))
    assert len(orjson.loads(reply.payload)["data"]["placements"]) == 4
    assert len(threads) == 4
    assert threading.get_ident() not in threads


async def test_a_long_document_is_compiled_off_the_event_loop_and_answered_on_it_from_then_on(
    components: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its compilation is begun on the loop, which does a little of it, and left to a thread."""
    compiled: list[int] = []
    answered: list[int] = []
    compilation, encode = Compilation.__init__, execution.encode

    def noting(self: Compilation, *arguments: Any, **options: Any) -> None:
        compiled.append(threading.get_ident())
        compilation(self, *arguments, **options)

    def encoding(*arguments: Any) -> Any:
        answered.append(threading.get_ident())
        return encode(*arguments)

    monkeypatch.setattr(Compilation, "__init__", noting)
    monkeypatch.setattr(execution, "encode", encoding)
    query = "{ cluster { " + " ".join(f"a{number}: ramTotalGb" for number in range(490)) + " } }"
    here = threading.get_ident()
    for _ in range(3):
        assert len((await _answer(components, query))["data"]["cluster"]) == 490
    assert [thread == here for thread in compiled] == [True, False]
    assert [thread == here for thread in answered] == [False, True, True]
    await _answer(components, "{ cluster { ramTotalGb } }")
    assert compiled[2:] == [here]


async def test_a_long_text_whose_answer_has_an_error_is_parsed_again_off_the_event_loop(
    components: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its first sight it is read without the places that errors name."""
    threads: list[int] = []

    def noting(text: str, **options: Any) -> DocumentNode:
        threads.append(threading.get_ident())
        return parse(text, **options)

    monkeypatch.setattr(documents, "parse", noting)
    query = (
        "{ cluster { " + " ".join(f"a{number}: ramTotalGb" for number in range(150)) + ' } model(id: "none") { id } }'
    )
    assert documents.PARSED_AT_ONCE < len(query) <= documents.PROVED_AT_ONCE
    (error,) = (await _answer(components, query))["errors"]
    assert error["locations"] == [{"line": 1, "column": query.index("model(") + 1}]
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


_NODE_FIELDS = ["id", "friendlyName", "chip", "osVersion", "ramTotalGb", "ramUsedGb", "diskTotalGb", "powerWatts"]


@pytest.mark.parametrize(
    "query",
    [
        "{ cluster { " + " ".join(f"a{n}: ramTotalGb" for n in range(900)) + " } }",
        "{ "
        + " ".join(
            f"n{n}: nodes {{ {' '.join(f'm{k}: {_NODE_FIELDS[(n * k + n) % 8]}' for k in range(n % 9 + 1))} }}"
            for n in range(100)
        )
        + " }",
        "{ " + " ".join(f'm{n}: modelStatus(model: "m{n}") {{ ready phase }}' for n in range(200)) + " }",
    ],
    ids=["fields", "functions", "arguments"],
)
def test_what_is_compiled_while_others_wait_is_bounded(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = lines = 0
    make = object_compiler._compiled

    def collecting(*arguments: Any) -> Any:
        nonlocal fields
        found = collect(*arguments)
        fields += len(found)
        return found

    def making(source: str) -> Any:
        nonlocal lines
        lines += source.count("\n") - 2
        return make(source)

    monkeypatch.setattr(compiler, "collect", collecting)
    monkeypatch.setattr(object_compiler, "_compiled", making)
    monkeypatch.setattr(object_compiler, "_functions", {})
    plans, document = Plans(SCHEMA), parse(query)
    assert not plans.compile_soon(document, None, None)
    # Collecting the fields that were one too many is cheap: the document's limits bound them.
    assert lines <= 250
    assert fields <= 1000


async def test_no_function_is_so_long_that_compiling_it_holds_everybody(
    components: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    make = object_compiler._compiled

    def noting(source: str) -> Any:
        lengths.append(source.count("\n") - 2)
        return make(source)

    monkeypatch.setattr(object_compiler, "_compiled", noting)
    monkeypatch.setattr(object_compiler, "_functions", {})
    leaves = " ".join(f"a{number}: ramTotalGb" for number in range(250))
    objects = " ".join(f"b{number}: nodes {{ id friendlyName chip osVersion }}" for number in range(100))
    answer = await _answer(components, f"{{ cluster {{ {leaves} {objects} }} }}")
    assert list(answer["data"]["cluster"]) == [*(f"a{n}" for n in range(250)), *(f"b{n}" for n in range(100))]
    assert max(lengths) <= 200


async def test_an_estimate_is_kept_until_a_size_that_it_depends_on_changes(components: Components) -> None:
    costs = Costs(SCHEMA)
    document = parse("{ nodes { id } }")
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    first = costs.of(document, operation, _sizes(components))
    assert costs.of(document, operation, _sizes(components)) is first
    assert costs.of(document, operation, EMPTY).total < first.total


@given(query=st.deferred(lambda: queries(print_sorted(SCHEMA))))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
async def test_no_answer_to_a_generated_query_holds_more_than_was_estimated(components: Components, query: str) -> None:
    prepared = await components.service.prepare(GraphQLRequest(query))
    if isinstance(prepared, Reply):
        assert prepared.outcome is Outcome.REFUSED
        return
    answer = await _answer(components, query)
    if answer.get("data"):
        assert _held(answer["data"]) <= _estimate(query, _sizes(components)).total
