"""Encoded parts of answers are made once, put into every answer that holds them, and dropped in time."""

import dataclasses
import gc
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pytest
from graphql import DocumentNode, parse

from exo_graphql.cluster.advance import advance
from exo_graphql.cluster.snapshot import Snapshot, Source
from exo_graphql.engine.compiled import Plans, splices
from exo_graphql.engine.compiled.splices import Spliced, in_payload
from exo_graphql.engine.execution import Answer, Executor
from exo_graphql.events import Event, EventKind, Severity
from exo_graphql.operations import Operation, OperationKind, OperationState
from exo_graphql.schema.context import Context
from tests.engine.test_compiled import (
    DEPLOYMENTS,
    LONG_WAY,
    NOW,
    OPERATIONS,
    Remembered,
    assert_alike,
    recorded_series,
    snapshots,
)
from tests.support.asking import SCHEMA

NODES = "id friendlyName chip ramTotalGb ramAvailableGb"
MODELS = "id name family quantization storageSizeGb"


class Asked:
    """Runs documents by plans, and keeps them, as a server does."""

    def __init__(self) -> None:
        self.plans = Plans(SCHEMA)
        self.executor = Executor(SCHEMA)
        self._documents: dict[str, DocumentNode] = {}

    def data(
        self, query: str, snapshot: Snapshot, *, at: float = 1.0, variables: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The data as a plan returns it: with encoded parts as they are."""
        context = Context(snapshot, OPERATIONS, DEPLOYMENTS, lambda: at, series=recorded_series())
        return self.plans.run(self._document(query), None, context, variables)

    def _document(self, query: str) -> DocumentNode:
        return self._documents.setdefault(query, parse(query))


@pytest.fixture
def asked() -> Asked:
    return Asked()


def _snapshots() -> Iterator[Snapshot]:
    return (each for each in snapshots() if each is not None and len(each.nodes) > 1)


def _moved(snapshot: Snapshot) -> Snapshot:
    """The next snapshot, in which the telemetry of one node has changed, and nothing else."""
    first, *others = snapshot.state.nodes.values()
    moved = dataclasses.replace(first, temperature_c=(first.temperature_c or 40) + 1)
    nodes = {node.id: node for node in (moved, *others)}
    after, _ = advance(
        snapshot, dataclasses.replace(snapshot.state, nodes=nodes), snapshot.observed, Source("http://exo", None)
    )
    assert after is not None
    return after


def _is_encoded(part: object) -> bool:
    return isinstance(part, orjson.Fragment | Spliced)


def test_a_place_is_read_twice_and_then_taken_by_whatever_document_holds_it(asked: Asked) -> None:
    snapshot = next(_snapshots())
    first, second = f"{{ cluster {{ nodes {{ {NODES} }} }} }}", f"query Q {{ cluster {{ nodes {{ {NODES} }} stale }} }}"
    assert not _is_encoded(asked.data(first, snapshot)["cluster"])
    asked.data(second, snapshot)
    assert _is_encoded(asked.data(second, snapshot)["cluster"])
    third = asked.data(f"{{ cluster {{ ageSeconds nodes {{ {NODES} }} }} }}", snapshot)
    assert not _is_encoded(third["cluster"])
    assert _is_encoded(third["cluster"]["nodes"])
    other = asked.data(f"{{ cluster {{ ageSeconds nodes {{ {NODES} status }} }} }}", snapshot)
    assert not _is_encoded(other["cluster"]["nodes"])


def test_arguments_tell_places_apart(asked: Asked) -> None:
    snapshot = next(_snapshots())
    for _ in range(3):
        all_models = asked.data(f"{{ models {{ {MODELS} status {{ phase }} }} }}", snapshot)
        none = asked.data(f'{{ models(search: "nothing like it") {{ {MODELS} status {{ phase }} }} }}', snapshot)
    assert orjson.dumps(none, default=in_payload) == b'{"models":[]}'
    assert len(orjson.loads(orjson.dumps(all_models, default=in_payload))["models"]) == len(snapshot.models)


def test_the_variables_of_the_first_request_are_as_if_they_were_in_the_text(asked: Asked) -> None:
    snapshot = next(_snapshots())
    query = f"query ($search: String) {{ models(search: $search) {{ {MODELS} status {{ phase }} }} }}"
    for search in ("nothing like it", "nothing like it", None, None, "nothing like it", None):
        models = asked.data(query, snapshot, variables={"search": search})["models"]
        if search is None:  # read each time
            assert len(models) == len(snapshot.models)
    models = asked.data(f'{{ models(search: "nothing like it") {{ {MODELS} status {{ phase }} }} }}', snapshot)[
        "models"
    ]
    assert _is_encoded(models)
    assert orjson.dumps(models, default=in_payload) == b"[]"


def test_variables_that_are_equal_but_not_alike_are_told_apart() -> None:
    """1 is no value of a Boolean, though it is equal to true."""
    snapshot = next(_snapshots())
    query = "query ($loaded: Boolean, $last: Int) { models(loaded: $loaded) { id } events(last: $last) { id } }"
    for loaded, last in ((True, 1), (1, 1), (True, 1.0), (True, True), (True, 1)):
        assert_alike(query, snapshot, {"loaded": loaded, "last": last})


def test_the_time_of_the_answer_is_never_kept(asked: Asked) -> None:
    snapshot = next(_snapshots())
    ages = [
        asked.data("{ cluster { ageSeconds nodes { id } } }", snapshot, at=at)["cluster"] for at in (90, 91, 92, 93)
    ]
    assert len({age["ageSeconds"] for age in ages}) == 4


class Changing(Remembered):
    """Operations that a test replaces, each time with a new version."""

    version = 0

    def replace(self, *known: Operation) -> None:
        self._known = known
        self.version += 1


def test_a_changed_operation_is_seen_at_once(asked: Asked) -> None:
    snapshot, operations = next(_snapshots()), Changing(())
    document = parse("{ cluster { operations { id kind state message } } }")
    for number in range(4):
        operations.replace(Operation(f"op-{number}", OperationKind.LOAD, OperationState.RUNNING, "Runs.", (), NOW))
        for _ in range(3):
            context = Context(snapshot, operations, DEPLOYMENTS, lambda: 1.0)
            data = orjson.loads(orjson.dumps(asked.plans.run(document, None, context, None), default=in_payload))
            assert [each["id"] for each in data["cluster"]["operations"]] == [f"op-{number}"]


def test_an_object_is_encoded_once_for_as_long_as_it_is_the_same(asked: Asked) -> None:
    snapshot = next(_snapshots())
    query = f"{{ nodes {{ {NODES} }} }}"
    assert not any(map(_is_encoded, asked.data(query, snapshot)["nodes"]))  # it may never be asked for again
    later = _moved(snapshot)
    before = asked.data(query, later)["nodes"]
    assert all(map(_is_encoded, before))
    after = asked.data(query, _moved(later))["nodes"]
    assert [one is other for one, other in zip(before, after, strict=True)] == [False] + [True] * (len(after) - 1)


def test_an_object_with_a_field_of_the_cluster_is_read_each_time(asked: Asked) -> None:
    snapshot = next(_snapshots())
    for _ in range(3):
        snapshot = _moved(snapshot)
        assert not any(map(_is_encoded, asked.data(f"{{ nodes {{ {NODES} status }} }}", snapshot)["nodes"]))


def test_a_signature_leaves_out_the_clock_fields_of_encoded_parts() -> None:
    """Two snapshots that differ in what a node's clock says are the same message."""
    executor, snapshot = Executor(SCHEMA), next(_snapshots())
    document = parse(f"{{ nodes {{ {NODES} lastSeen secondsSinceSeen }} }}")
    found = []
    for _ in range(4):
        answer = executor.execute(document, Context(snapshot, OPERATIONS, DEPLOYMENTS, lambda: 1.0), None, None)
        assert isinstance(answer, Answer)
        found.append(answer)
    assert len({answer.payload for answer in found}) == 1
    assert len({answer.signature for answer in found}) == 1
    assert b'"secondsSinceSeen":null' in found[-1].signature
    assert b'"secondsSinceSeen":null' not in found[-1].payload


def test_what_is_kept_is_bounded(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splices, "MAX_BYTES", 200)
    snapshot = next(_snapshots())
    small, large = "{ cluster { nodes { id } } }", "{ models { id name family quantization baseModel } }"
    for _ in range(3):
        kept = asked.data(small, snapshot)["cluster"], asked.data(large, snapshot)["models"]
    assert [_is_encoded(part) for part in kept] == [True, False]


def test_places_are_counted_up_to_a_bound(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splices, "MAX_POINTS", 3)
    snapshot = next(_snapshots())
    queries = [f"{{ cluster {{ n{number}: nodes {{ id a{number}: chip }} }} }}" for number in range(4)]
    for _ in range(3):
        kept = [_is_encoded(asked.data(query, snapshot)["cluster"]) for query in queries]
    assert kept.count(True) < len(queries)


def test_nothing_of_an_old_snapshot_is_kept(asked: Asked) -> None:
    snapshot = next(_snapshots())
    query = f"{{ cluster {{ ageSeconds nodes {{ {NODES} status }} }} nodes {{ {NODES} }} }}"
    gc.collect()
    alive = sum(isinstance(each, Snapshot) for each in gc.get_objects())
    for _ in range(20):
        snapshot = _moved(snapshot)
        for _ in range(3):
            asked.data(query, snapshot)
    gc.collect()
    assert sum(isinstance(each, Snapshot) for each in gc.get_objects()) <= alive + 2


def test_each_event_of_one_snapshot_has_its_own_message() -> None:
    executor, snapshot = Executor(SCHEMA), next(_snapshots())
    document = parse("subscription { events(kind: [ELECTION]) { id message model { id } } }")
    for number in range(1, 6):
        kind = EventKind.ELECTION if number != 4 else EventKind.EXO_BACK
        event = Event(
            id=f"event-{number}", sequence=number, at=NOW, kind=kind, severity=Severity.INFO, message="It is."
        )
        context = Context(snapshot, OPERATIONS, DEPLOYMENTS, lambda: 1.0, event=event)
        answer = executor.execute(document, context, None, None)
        assert isinstance(answer, Answer)
        assert orjson.loads(answer.payload)["data"]["events"]["id"] == event.id
        assert context.skipped is (number == 4)


def test_what_a_query_has_read_does_not_keep_a_subscription_open(asked: Asked) -> None:
    """Both have a field `operation`; that of the subscription also completes it, and refuses an unknown id."""
    snapshot = next(_snapshots())
    ended = next(each.id for each in OPERATIONS.all() if not each.active)
    for id_ in (ended, "op-unknown"):
        selection = f'{{ operation(id: "{id_}") {{ id kind state message startedAt steps {{ name }} }} }}'
        query, subscription = parse(selection), parse(f"subscription {selection}")
        for document in (query, query, query, subscription, subscription, subscription):
            contexts = [Context(snapshot, OPERATIONS, DEPLOYMENTS, lambda: 1.0) for _ in range(2)]
            answers = [
                each.execute(document, context, None, None)
                for each, context in zip((asked.executor, LONG_WAY), contexts, strict=True)
            ]
            short, long = (each for each in answers if isinstance(each, Answer))
            assert (short.payload, short.completed) == (long.payload, long.completed)
