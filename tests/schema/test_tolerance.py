"""Every field of every type answers for any document: recorded documents, and documents changed at random."""

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from graphql import DocumentNode, OperationDefinitionNode, parse, print_ast
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.exo.parse import NotAState, read_state
from tests.exo.test_reader_nodes import mac
from tests.exo.test_reader_releases import RELEASES
from tests.schema.full_query import asked, full_query, reachable
from tests.support.asking import SCHEMA, ask
from tests.support.documents import Story
from tests.support.recordings import NAMES, steps, walk

Json = dict[str, Any]

_NAMES = {"id": '"rig/tiny-llama-a"', "model": '"rig/tiny-llama-a"', "name": '"night"', "query": '"memory"'}
FULL = full_query(SCHEMA, _NAMES, {"Query.plan": 'plan(load: "rig/tiny-llama-a")'})

# A recording has no node and no operation of these names: those two fields are answered with an error of their own.
NAMED = {"NODE_NOT_FOUND", "MODEL_NOT_FOUND", "CLUSTER_UNAVAILABLE"}


# Whole it is so large that graphql-core executes it; each of these has a compiled plan, and takes a fourth of the time.
(_OPERATION,) = FULL.definitions
assert isinstance(_OPERATION, OperationDefinitionNode)
ROOT_FIELDS = [parse(f"{{ {print_ast(field)} }}") for field in _OPERATION.selection_set.selections]


def answer(snapshot: Snapshot, *documents: DocumentNode) -> dict[str, Any]:
    """The data of answers that hold no fault."""
    data: dict[str, Any] = {}
    for document in documents:
        decoded = ask(snapshot, document)
        assert set(decoded.codes) <= NAMED, decoded.errors
        data |= decoded.data or {}
    return data


def test_the_full_query_asks_every_field_of_every_type() -> None:
    assert SCHEMA.query_type is not None
    every = {f"{type_.name}.{name}" for type_ in reachable(SCHEMA.query_type, SCHEMA) for name in type_.fields}
    assert every - asked(SCHEMA, FULL) == set()
    assert len(every) > 250


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_document_answers_the_full_query(name: str) -> None:
    for t, snapshot in walk(name):
        data = answer(snapshot, *ROOT_FIELDS)
        assert [node["id"] for node in data["nodes"]] == list(snapshot.state.nodes), t
        assert data["cluster"]["ramTotalGb"] is not None or snapshot.nodes_without_memory == snapshot.node_count
        assert data["modelStatus"]["phase"] == snapshot.status("rig/tiny-llama-a").phase.value


@pytest.mark.parametrize("name", RELEASES)
def test_documents_of_older_releases_answer_the_full_query(name: str) -> None:
    assert answer(Story().see(0.0, RELEASES[name]), FULL)["cluster"]["ramUsedPercent"] == 32.6


# Documents corrupted at random

# Small, so that each corruption matters.
_DOWNLOADS = 3


def _small(document: Json) -> Json:
    for entries in document["downloads"].values():
        entries.sort(key=lambda entry: "DownloadPending" in entry)
        del entries[_DOWNLOADS:]
    return document


@cache
def _originals() -> tuple[Json, ...]:
    recorded = [_small(steps(name)[-1 if middle is None else middle].document) for name, middle in _MOMENTS]
    return (*recorded, *RELEASES.values(), mac())


_MOMENTS = (
    ("61-two-node-pipeline", 12),
    ("62-two-node-chat", 1),
    ("40-download-then-load", 6),
    ("44-download-failed", None),
    ("50-runner-failed", 10),
    ("70-kill9-worker-n1", 2),
)

_STRANGE: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        7.5,
        1e308,
        1 << 31,
        (1 << 64) - 1,
        "",
        "x",
        "Unknown",
        "RunnerReady",
        "9999-12-31T23:59:59.999999-12:00",
        "0001-01-01T00:00:00+12:00",
        [],
        [None],
        ["x", 1],
        {},
        {"inBytes": -5},
        {"inBytes": (1 << 64) - 1},
        {"x": {"y": 1}},
        {"RunnerReady": {}, "RunnerIdle": {}},
    ]
)
_HOW = st.sampled_from(["delete", "null", "retag", "retype", "add"])


def _places(value: object) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys, outermost first."""
    if isinstance(value, dict):
        for key in value:
            yield value, key
        for inner in value.values():
            yield from _places(inner)
    elif isinstance(value, list):
        for index in range(len(value)):
            yield value, index
        for inner in value:
            yield from _places(inner)


@st.composite
def torn(draw: st.DrawFn) -> Json:
    """A real document with parts deleted, set to null, retagged, of another type, or added."""
    document = copy.deepcopy(draw(st.sampled_from(_originals())))
    for _ in range(draw(st.integers(1, 10))):
        # By top-level key first: by number alone nearly every place is in a download.
        top = draw(st.sampled_from(sorted(document)))
        places = [(document, top), *_places(document[top])]
        container, key = places[draw(st.integers(0, len(places) - 1))]
        match draw(_HOW):
            case "delete":
                del container[key]
            case "null":
                container[key] = None
            case "retype":
                container[key] = copy.deepcopy(draw(_STRANGE))
            case "add" if isinstance(container, dict):
                container["somethingNew"] = copy.deepcopy(draw(_STRANGE))
            case "retag" if isinstance(container, dict):
                container[f"{key}Next"] = container.pop(key)
        if not document:
            break
    return document


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(torn(), torn(), st.sampled_from([0.5, 12.0, 40.0]))
def test_a_corrupted_document_answers_every_field_of_every_type(first: Json, second: Json, pause: float) -> None:
    story = Story()
    seen = False
    for t, document in enumerate((first, second)):
        try:
            read_state(document)
        except NotAState:
            # A document that is not a state raises only this.
            continue
        snapshot = story.see(t * pause, document)
        seen = True
        answer(snapshot, FULL)
    if seen:
        answer(story.see(2 * pause, None), FULL)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
    st.sampled_from(["topology", "instances", "runners", "downloads", "lastSeen", "nodeIdentities", "tasks"]),
)
def test_any_json_in_place_of_a_map_is_read_or_rejected(value: object, key: str) -> None:
    try:
        state = read_state({"topology": {"nodes": ["n1"]}, key: value})
    except NotAState:
        pytest.fail("a document with one of exo's keys is a state")
    assert key == "topology" or list(state.nodes) == ["n1"]
    with pytest.raises(NotAState):
        read_state(value if not isinstance(value, dict) else {"nothing": value})
