"""Searching the schema: what is found for what agents write, how to reach it, and what is refused."""

import pytest
from graphql import FieldsOnCorrectTypeRule, GraphQLObjectType, PossibleFragmentSpreadsRule, parse, validate

from exo_graphql.schema.schema_index import MAX_PATHS, Path
from exo_graphql.schema.search import MAX_MATCHES
from tests.support.asking import INDEX, SCHEMA, ask, data


@pytest.mark.parametrize(
    ("query", "coordinate"),
    [
        ("how much memory is free on each machine", "Node.ramAvailableGb"),
        ("which machine is too hot", "Node.temperatureC"),
        ("replace one model with another", "Mutation.swapModels"),
        ("is the model ready", "Model.ready"),
        ("unload a model", "Mutation.unloadModel"),
        ("stop an operation", "Mutation.cancelOperation"),
        ("schedule models day and night", "Query.calendar"),
        ("where would a model fit", "Query.placements"),
        ("why did the load fail", "Operation.error"),
        ("download progress", "Download.progressPercent"),
        ("is the cluster healthy", "Cluster.healthy"),
        ("idempotency", "Mutation.loadModel(idempotencyKey:)"),
        ("swapModels", "Mutation.swapModels"),
        ("ramUsedGb", "Node.ramUsedGb"),
        ("temperat", "Node.temperatureC"),
    ],
)
def test_what_is_asked_for_is_among_the_first_four(query: str, coordinate: str) -> None:
    matches = INDEX.search(query, 4)
    assert coordinate in [match.coordinate for match in matches]
    scores = [match.score for match in matches]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] <= scores[0] <= 1


@pytest.mark.parametrize("query", ["", "?!", "the of a", "xyzzy", "Ω", "x" * 900])
def test_where_no_word_occurs_nothing_matches(query: str) -> None:
    assert INDEX.search(query, 10) == ()


def test_every_part_of_the_schema_is_found_by_its_own_name() -> None:
    for type_ in SCHEMA.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
            for name in type_.fields:
                found = [match.coordinate for match in INDEX.search(f"{type_.name} {name}", MAX_MATCHES)]
                assert f"{type_.name}.{name}" in found, (type_.name, name)


def _selection(path: Path) -> str:
    """The document that selects along a path, without arguments."""
    text = "" if "." in path[-1] else "__typename"
    for step in reversed(path):
        name = step.partition(".")[2]
        text = f"{name or f'... on {step}'}{f' {{ {text} }}' if text or not name else ''}"
    return f"{path[0].partition('.')[0].lower()} {{ {text} }}"


def test_each_path_leads_from_a_root_along_existing_fields() -> None:
    entries = INDEX._entries
    assert len(entries) > 500
    unreachable = [entry.coordinate for entry in entries if not entry.paths]
    assert unreachable == []
    assert max(len(entry.paths) for entry in entries) <= MAX_PATHS
    rules = FieldsOnCorrectTypeRule, PossibleFragmentSpreadsRule
    for path in {path for entry in entries for path in entry.paths if path}:
        assert validate(SCHEMA, parse(_selection(path)), rules) == [], path


QUERY = "query ($q: String!, $n: Int) { searchSchema(query: $q, first: $n) { coordinate definition pathsFromRoot } }"


def test_the_field_answers_before_and_after_there_is_a_snapshot() -> None:
    expected = {
        "coordinate": "Mutation.cancelTask",
        "definition": "cancelTask(id: ID!): CancelTaskPayload!",
        "pathsFromRoot": [["Mutation.cancelTask"]],
    }
    assert data(None, QUERY, {"q": "cancel a task", "n": 1})["searchSchema"] == [expected]


@pytest.mark.parametrize(("count", "expected"), [(None, 10), (1, 1), (MAX_MATCHES, MAX_MATCHES)])
def test_as_many_as_requested_are_listed(count: int | None, expected: int) -> None:
    assert len(data(None, QUERY, {"q": "model", "n": count})["searchSchema"]) == expected


@pytest.mark.parametrize(("query", "count"), [("model", 0), ("model", MAX_MATCHES + 1), ("x" * 1001, 1)])
def test_more_than_can_be_answered_is_refused(query: str, count: int) -> None:
    assert ask(None, "{ cluster { demo } }").codes == ["CLUSTER_UNAVAILABLE"]
    answer = ask(None, QUERY, {"q": query, "n": count})
    assert answer.codes == ["INVALID_ARGUMENT"]
    assert answer.errors[0]["extensions"]["suggestion"]
