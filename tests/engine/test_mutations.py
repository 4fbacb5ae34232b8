"""Which mutations may be sent twice, and which query shows whether one was carried out."""

from typing import Any

import pytest
from graphql import GraphQLObjectType, OperationDefinitionNode, parse, validate

from exo_graphql.engine.mutations import SHOWN_BY, is_repeatable, leader_error
from exo_graphql.replicas.mutation import LeaderError, NoAnswer, NoDatabase, NoLeader, TooMany
from exo_graphql.schema.build import build_schema

FRAGMENT = 'fragment F on Mutation { unloadModel(model: "b", idempotencyKey: "k") { error { code } } }'


@pytest.mark.parametrize(
    ("text", "variables", "repeatable"),
    [
        ('{ loadModel(model: "a", idempotencyKey: "k") { error { code } } }', {}, True),
        ('{ loadModel(model: "a", idempotencyKey: null) { error { code } } }', {}, False),
        ('{ loadModel(model: "a") { error { code } } }', {}, False),
        ('($k: String) { loadModel(model: "a", idempotencyKey: $k) { error { code } } }', {"k": "k"}, True),
        ('($k: String) { loadModel(model: "a", idempotencyKey: $k) { error { code } } }', {"k": None}, False),
        ('($k: String) { loadModel(model: "a", idempotencyKey: $k) { error { code } } }', {}, False),
        ('($k: String = "k") { loadModel(model: "a", idempotencyKey: $k) { error { code } } }', {}, True),
        ('($k: String = "k") { loadModel(model: "a", idempotencyKey: $k) { error { code } } }', {"k": None}, False),
        ('($k: String = null) { loadModel(model: "a", idempotencyKey: $k) { error { code } } }', {}, False),
        ('{ applyPlan(hash: "h") { error { code } } }', {}, True),
        ('{ applyPlan(hash: "h") { error { code } } cancelTask(id: 1) { error { code } } }', {}, False),
        ('{ ...F applyPlan(hash: "h") { error { code } } } ' + FRAGMENT, {}, True),
        ("{ ...F } " + FRAGMENT.replace(', idempotencyKey: "k"', ""), {}, False),
        ('{ ... on Mutation { ...F loadModel(model: "a") { error { code } } } } ' + FRAGMENT, {}, False),
        ('{ a: loadModel(model: "a") @skip(if: true) { error { code } } }', {}, False),
        ("{ __typename }", {}, False),
    ],
)
def test_it_is_repeatable_if_each_of_its_mutations_has_a_key_or_a_hash(
    text: str, variables: dict[str, Any], repeatable: bool
) -> None:
    document = parse(f"mutation M {text}")
    assert validate(build_schema(), document) == []
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    assert is_repeatable(document, operation, variables) is repeatable


def test_for_each_mutation_there_is_a_valid_query_that_shows_what_became_of_it() -> None:
    mutation = build_schema().mutation_type
    assert isinstance(mutation, GraphQLObjectType)
    assert SHOWN_BY.keys() == mutation.fields.keys()
    for query in {*SHOWN_BY.values(), "{ cluster { replicas { name leader } } }"}:
        assert validate(build_schema(), parse(query)) == []


@pytest.mark.parametrize(
    ("error", "repeatable", "code", "message", "suggestion"),
    [
        (
            NoLeader("No server leads."),
            False,
            "CLUSTER_UNAVAILABLE",
            "No server leads. Nothing was changed.",
            "replicas",
        ),
        (NoDatabase("It is away."), False, "JOURNAL_UNAVAILABLE", "It is away. Nothing was changed.", "--database-url"),
        (TooMany(500), False, "OVERLOADED", "500 mutations wait for the server that leads.", "in a few seconds"),
        (
            NoAnswer("a did not answer within 30 s."),
            False,
            "OUTCOME_UNKNOWN",
            "a did not answer within 30 s. The mutation may have been carried out.",
            "{ operations { id kind state startedAt } } { tasks { id status } }",
        ),
        (
            NoAnswer("a did not answer within 30 s."),
            True,
            "OUTCOME_UNKNOWN",
            "a did not answer within 30 s. The mutation may have been carried out.",
            "Send it again",
        ),
    ],
)
def test_what_a_caller_is_told(error: LeaderError, repeatable: bool, code: str, message: str, suggestion: str) -> None:
    text = 'mutation { a: loadModel(model: "a") { error { code } } b: cancelTask(id: 1) { error { code } } }'
    document = parse(text)
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    told = leader_error(error, document, operation, repeatable=repeatable)
    assert (told.message, (told.extensions or {})["code"]) == (message, code)
    assert suggestion in (told.extensions or {})["suggestion"]
