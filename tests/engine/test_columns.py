"""A list that is joined of what other documents have read of it is the one that graphql-core makes."""

import dataclasses
from collections.abc import Sequence
from random import Random
from typing import Any

import orjson
import pytest
from graphql import (
    DocumentNode,
    FieldNode,
    NameNode,
    SelectionNode,
    SelectionSetNode,
    VisitorAction,
    parse,
    validate,
    visit,
)
from graphql.language import Visitor
from hypothesis import given, settings
from hypothesis import strategies as st

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.engine.compiled import splices
from exo_graphql.engine.compiled.columns import MAX_COLUMNS, Rows
from exo_graphql.engine.execution import Answer, Executor
from exo_graphql.operations import Operation, OperationKind, OperationState
from exo_graphql.schema.context import Context
from tests.engine.generated import Generator
from tests.engine.test_compiled import (
    DEPLOYMENTS,
    LONG_WAY,
    NOW,
    OPERATIONS,
    answered,
    recorded_series,
    snapshots,
    texts,
)
from tests.engine.test_splices import Changing, _moved
from tests.support.asking import SCHEMA


class _Varied(Visitor):
    """Gives fields other keys, another order, and leaves some of them out."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self._count = 0

    def leave_field(self, node: FieldNode, *_: Any) -> FieldNode | None:
        self._count += 1
        if self._random.random() > 0.3:
            return None
        return dataclasses.replace(node, alias=NameNode(value=f"x{self._count}"))

    def leave_selection_set(self, node: SelectionSetNode, *_: Any) -> SelectionSetNode:
        kept: Sequence[SelectionNode] = [each for each in node.selections if self._random.random() < 0.8]
        kept = kept or node.selections
        return dataclasses.replace(node, selections=tuple(self._random.sample(kept, len(kept))))


def _varied(document: DocumentNode, random: Random) -> DocumentNode:
    varied: DocumentNode | VisitorAction = visit(document, _Varied(random))
    assert isinstance(varied, DocumentNode)
    return varied


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from(["query", "query", "subscription"]), st.data())
def test_documents_that_select_the_same_lists(seed: int, kind: str, data: st.DataObject) -> None:
    random = Random(seed)
    generator = Generator(SCHEMA, random, texts())
    document = parse(generator.document(kind))
    if validate(SCHEMA, document):
        return
    snapshot, executor = data.draw(st.sampled_from(snapshots())), Executor(SCHEMA)
    kept = []  # a place is known for as long as a plan holds it
    for number in range(6):
        varied = document if number == 0 else _varied(document, random)
        kept.append(varied)
        short, long = (
            answered(each, varied, snapshot, generator.values, 1.0 + number) for each in (executor, LONG_WAY)
        )
        assert short.payload == long.payload or b"errorId" in short.payload
        assert short.signature == long.signature or b"errorId" in short.signature
        assert short.time_dependent or not long.time_dependent


class Asked:
    """One executor, and how many lists it has joined of nothing but known columns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.joined = 0
        self._executor = Executor(SCHEMA)
        self._kept: list[DocumentNode] = []
        original = Rows.known

        def counting(rows: Rows, columns: Any) -> Any:
            known = original(rows, columns)
            self.joined += None not in known
            return known

        monkeypatch.setattr(Rows, "known", counting)

    def __call__(self, query: str, snapshot: Snapshot, context: Context | None = None, **variables: object) -> Any:
        """The data, which is graphql-core's as well."""
        document = parse(query)
        self._kept.append(document)
        long = LONG_WAY.execute(document, context or _context(snapshot), variables, None)
        short = self._executor.execute(document, context or _context(snapshot), variables, None)
        assert isinstance(short, Answer)
        assert isinstance(long, Answer)
        assert (short.payload, short.signature) == (long.payload, long.signature)
        return orjson.loads(short.payload)["data"]


def _context(snapshot: Snapshot, operations: Any = OPERATIONS) -> Context:
    return Context(snapshot, operations, DEPLOYMENTS, lambda: 1.0, series=recorded_series())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


@pytest.fixture
def snapshot() -> Snapshot:
    return next(each for each in snapshots() if each is not None and len(each.nodes) > 1 and each.loaded_models)


def test_the_third_document_is_joined_whatever_its_keys(asked: Asked, snapshot: Snapshot) -> None:
    asked("{ cluster { nodes { id status models { id } } } }", snapshot)
    asked("{ cluster { nodes { a: id status models { id } } } }", snapshot)
    assert asked.joined == 0
    asked("{ cluster { all: nodes { status m: models { id } n: id } } }", snapshot)
    assert asked.joined == 1
    asked("{ cluster { nodes { status friendlyName } } }", snapshot)  # of which one column is read, and kept
    assert asked.joined == 1
    asked("{ cluster { nodes { friendlyName id } } }", snapshot)
    assert asked.joined == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{ models { id status { phase } } }", '{ models(search: "nothing like it") { id status { phase } } }'),
        ("{ nodes { id downloads { id } } }", "{ nodes { id downloads(status: [NOT_STARTED]) { id } } }"),
        ("{ nodes { id models { id } } }", "{ nodes { id models { name } } }"),
        ("{ nodes { id models { id } } }", "{ nodes { id models { name: id } } }"),
        ("{ nodes { id status } }", "{ cluster { nodes { id status } } }"),
        ("{ nodes { a: id status } }", "{ nodes { a: status } }"),
        ("{ models(loaded: true) { id } }", "{ models(loaded: false) { id } }"),
    ],
)
def test_what_differs_is_not_taken_for_the_same(asked: Asked, snapshot: Snapshot, first: str, second: str) -> None:
    for query in (first, second) * 3:
        asked(query, snapshot)


def test_variables_and_conditions_are_those_of_the_request(asked: Asked, snapshot: Snapshot) -> None:
    lists = "query ($search: String) { models(search: $search) { id status { phase } } }"
    fields = "query ($all: [DownloadStatus!]) { nodes { id downloads(status: $all) { id } } }"
    conditions = "query ($yes: Boolean!) { nodes { id chip @include(if: $yes) status @skip(if: $yes) } }"
    for _ in range(3):
        for search in (None, "nothing like it", "llama"):
            asked(lists, snapshot, search=search)
        for status in (["NOT_STARTED"], ["COMPLETED"], []):
            asked(fields, snapshot, all=status)
        for yes in (True, False):
            asked(conditions, snapshot, yes=yes)


def test_another_snapshot_has_columns_of_its_own(asked: Asked, snapshot: Snapshot) -> None:
    for number in range(4):
        snapshot = _moved(snapshot)
        seen = [asked(f"{{ nodes {{ a{number}{again}: temperatureC status }} }}", snapshot) for again in range(3)]
        assert asked.joined == number + 1
        temperatures = [node.temperature_c for node in snapshot.nodes]
        assert [next(iter(node.values())) for node in seen[-1]["nodes"]] == temperatures


def test_a_changed_operation_is_seen_at_once(asked: Asked, snapshot: Snapshot) -> None:
    operations = Changing(())
    for number in range(4):
        operations.replace(Operation(f"op-{number}", OperationKind.LOAD, OperationState.RUNNING, "Runs.", (), NOW))
        for again in range(3):
            query = f"{{ operations {{ a{again}: id kind state }} }}"
            assert f"op-{number}" in str(asked(query, snapshot, _context(snapshot, operations)))


def test_the_time_of_the_answer_is_in_no_column(snapshot: Snapshot) -> None:
    executor, documents = Executor(SCHEMA), []
    for number in range(4):
        documents.append(parse(f"{{ webhooks {{ a{number}: name }} }}"))  # its list reads the clock
        assert answered(executor, documents[-1], snapshot, None, float(number)).time_dependent


@pytest.mark.parametrize(("missing", "joined"), [(0, 2), (1, 0)])
def test_columns_are_kept_up_to_a_bound(
    missing: int, joined: int, asked: Asked, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 4 * len(orjson.dumps([node.id for node in snapshot.nodes]))
    monkeypatch.setattr(splices, "MAX_COLUMN_BYTES", size - missing)
    for number in range(4):
        asked(f"{{ nodes {{ a{number}: id }} }}", snapshot)
        asked(f"{{ models {{ a{number}: id b: status {{ phase }} }} }}", snapshot)
    assert asked.joined == joined  # all of `nodes`


def test_a_list_with_very_many_fields_is_read(asked: Asked, snapshot: Snapshot) -> None:
    fields = " ".join(f"a{number}: id" for number in range(MAX_COLUMNS + 1))
    for number in range(4):
        asked(f"{{ n{number}: nodes {{ {fields} }} }}", snapshot)
    assert asked.joined == 0
