"""Errors of queries: each suggests what to do, and leaves the other fields of the answer."""

from typing import Any

import pytest

from exo_graphql.cluster.snapshot import Source
from exo_graphql.cluster.state import ModelCard
from tests.support.asking import ask, data
from tests.support.documents import (
    MODEL,
    Story,
    snapshot_of,
)
from tests.support.example_state import example_state


def test_an_unknown_node_is_null_with_the_nodes_that_exist_and_its_siblings_answer() -> None:
    answer = ask(snapshot_of(example_state()), '{ node(id: "spark") { id } nodes { id } }')
    assert answer.data == {"node": None, "nodes": [{"id": "n1"}, {"id": "n2"}]}
    assert answer.errors == [
        {
            "message": "No node is called 'spark'.",
            "locations": [{"line": 1, "column": 3}],
            "path": ["node"],
            "extensions": {
                "code": "NODE_NOT_FOUND",
                "suggestion": "Use one of: mac-n1, mac-n2.",
                "available": ["mac-n1", "mac-n2"],
            },
        }
    ]


def test_an_unknown_model_is_null_with_close_matches() -> None:
    answer = ask(snapshot_of(example_state()), '{ model(id: "test/thre") { id } }')
    assert answer.data == {"model": None}
    (error,) = answer.errors
    assert error["extensions"]["code"] == "MODEL_NOT_FOUND"
    assert error["extensions"]["candidates"][0] == "test/three"
    assert error["extensions"]["suggestion"].startswith("Did you mean test/three")


def test_for_a_name_like_none_the_models_used_here_are_the_candidates() -> None:
    (error,) = ask(snapshot_of(example_state()), '{ model(id: "zzzzzz") { id } }').errors
    assert error["extensions"] == {
        "code": "MODEL_NOT_FOUND",
        "suggestion": "No name is like it. Used here: test/one, test/two.",
        "candidates": ["test/one", "test/two"],
    }


@pytest.mark.parametrize("field", ['model(id: "ONE")', 'modelStatus(model: "one")'])
def test_an_ambiguous_model_is_an_error_with_the_candidates(field: str) -> None:
    story = Story(catalogue={"other/One": ModelCard("other/One")})
    answer = ask(story.see(0.0, example_state()), f"{{ {field} {{ __typename }} }}")
    (error,) = answer.errors
    assert error["extensions"]["code"] == "MODEL_AMBIGUOUS"
    assert error["extensions"]["candidates"] == ["other/One", MODEL]
    assert error["extensions"]["suggestion"] == "Use the full id of one of them."


def test_two_nodes_of_one_name_are_ambiguous_and_listed_by_id() -> None:
    state = example_state()
    state["nodeIdentities"]["n2"]["friendlyName"] = "mac-n1"
    snapshot = snapshot_of(state)
    (error,) = ask(snapshot, '{ node(id: "mac-n1") { id } }').errors
    assert (error["extensions"]["code"], error["extensions"]["candidates"]) == ("NODE_AMBIGUOUS", ["n1", "n2"])
    (error,) = ask(snapshot, '{ node(id: "spark") { id } }').errors
    assert error["extensions"]["available"] == ["n1", "n2"]


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ('downloads(model: "nobody") { id }', "MODEL_NOT_FOUND"),
        ('downloads(node: "nobody") { id }', "NODE_NOT_FOUND"),
        ('tasks(model: "nobody") { id }', "MODEL_NOT_FOUND"),
        ('placements(model: "nobody") { fits }', "MODEL_NOT_FOUND"),
        ('placements(model: "one", nodes: ["nobody"]) { fits }', "NODE_NOT_FOUND"),
        ('placements(model: "one", unload: ["nobody"]) { fits }', "MODEL_NOT_FOUND"),
        ('placements(model: "one", minNodes: 0) { fits }', "INVALID_ARGUMENT"),
    ],
)
def test_an_unknown_name_in_a_filter_is_null_and_the_same_error_while_siblings_answer(field: str, code: str) -> None:
    answer = ask(snapshot_of(example_state()), f"{{ asked: {field} cluster {{ nodeCount }} }}")
    assert answer.data == {"asked": None, "cluster": {"nodeCount": 2}}
    assert answer.codes == [code]


def test_an_unknown_name_gives_the_same_error_in_every_field() -> None:
    snapshot = snapshot_of(example_state())
    errors = [
        ask(snapshot, f"{{ asked: {field} }}").errors[0]
        for field in ('model(id: "on") { id }', 'tasks(model: "on") { id }', 'placements(model: "on") { fits }')
    ]
    assert errors[0]["extensions"]["candidates"]
    for error in errors[1:]:
        assert (error["message"], error["extensions"]) == (errors[0]["message"], errors[0]["extensions"])


def test_an_unknown_operation_is_null() -> None:
    assert data(snapshot_of(example_state()), '{ operation(id: "none") { id } operations { id } }') == {
        "operation": None,
        "operations": [],
    }


def test_before_the_first_snapshot_every_query_is_cluster_unavailable() -> None:
    answer = ask(None, '{ node(id: "n1") { id } }')
    assert (answer.data, answer.codes) == ({"node": None}, ["CLUSTER_UNAVAILABLE"])
    assert ask(None, "{ cluster { nodeCount } }").codes == ["CLUSTER_UNAVAILABLE"]


def test_a_long_name_is_not_repeated_whole() -> None:
    answer = ask(snapshot_of(example_state()), "query ($name: ID!) { node(id: $name) { id } }", {"name": "x" * 100_000})
    assert len(answer.errors[0]["message"]) < 200


@pytest.mark.parametrize("connected", [True, False])
def test_an_exo_that_does_not_answer_shows_in_the_answer_and_not_as_an_error(connected: bool) -> None:
    story = Story()
    story.see(0.0, example_state())
    snapshot = story.see(3.0, None, source=Source("http://exo", connected=connected))
    answer: Any = data(snapshot, '{ cluster { connected stale healthy } modelStatus(model: "one") { stale phase } }')
    assert answer == {
        "cluster": {"connected": connected, "stale": not connected, "healthy": connected},
        "modelStatus": {"stale": not connected, "phase": "RUNNING"},
    }
