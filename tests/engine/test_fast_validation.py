"""What passes fast validation passes every rule, for changed documents too; and common queries pass it."""

import re
from random import Random

import pytest
from graphql import ASTValidationRule, GraphQLError, parse, validate
from hypothesis import given, settings
from hypothesis import strategies as st

from exo_graphql.engine.documents import Documents, document_rules
from exo_graphql.engine.fast_validation import is_surely_valid
from tests.engine.generated import Generator
from tests.support.asking import SCHEMA

RULES = document_rules(introspection=False)
EXAMPLES = settings(max_examples=200, deadline=None)
# Words with another meaning in other places: fields, arguments, values, punctuation.
WORDS = (
    *("id", "nodes", "cluster", "models", "status", "node", "model", "ramTotalGb", "nothing", "__typename", "__schema"),
    *('"text"', "1", "2.5", "true", "null", "READY", "COMPLETED", "[READY]", "[]", "$v", "{a: 1}", "99999999999"),
    *("{", "}", "(", ")", ":", "status: [FAILED]", "id: 1", "id: 1.5", "loaded: 1", "@skip(if: true)", "...", "a:"),
)


def _plain(operation: str, seed: int) -> str:
    """A document that fast validation may accept: the operation alone, without its directives."""
    text = Generator(SCHEMA, Random(seed), ("n1", "rig/a")).document(operation).split("\n")[0]
    return re.sub(
        r"@\w+\([^)]*\)|\.\.\.\w+|\.\.\.( on \w+)?|(?<=^query )\([^)]*\)|(?<=^subscription )\([^)]*\)", " ", text
    )


@EXAMPLES
@given(
    st.sampled_from(["query", "subscription"]),
    st.integers(0, 1 << 32),
    st.lists(st.tuples(st.integers(0), st.sampled_from(WORDS)), max_size=3),
)
def test_what_passes_fast_validation_passes_every_rule(
    operation: str, seed: int, changes: list[tuple[int, str]]
) -> None:
    tokens = re.findall(r'"[^"]*"|[^\s]+', _plain(operation, seed))
    for place, word in changes:
        tokens[place % len(tokens)] = word
    try:
        document = parse(" ".join(tokens))
    except GraphQLError:
        return
    if is_surely_valid(SCHEMA, document):
        assert validate(SCHEMA, document, RULES) == []


@pytest.mark.parametrize(
    ("query", "plain"),
    [
        ("{ cluster { nodeCount __typename } again: cluster { nodes { id models { id status { ready } } } } }", True),
        ('{ downloads(status: [FAILED, PAUSED], node: "n") { id node { id } } }', True),
        ("{ downloads(status: FAILED) { id } operations { error { code message } } }", True),
        ("{ model(id: 5) { id } }", True),
        ("{ cluster { nodes } }", False),
        ("{ cluster { nodeCount { id } } }", False),
        ("{ cluster { nodeCount nodeCount } }", False),
        ("{ cluster { nothing } }", False),
        ("{ cluster }", False),
        ("{ __typename { id } }", False),
        ("{ __schema { queryType { name } } }", False),
        ("{ model { id } }", False),
        ("{ model(id: null) { id } }", False),
        ("{ model(id: 1.5) { id } }", False),
        ('{ model(id: "a", id: "b") { id } }', False),
        ('{ model(id: "a", name: "b") { id } }', False),
        ("{ model(id: $id) { id } }", False),
        ("{ models(loaded: 1) { id } }", False),
        ("{ downloads(status: [GONE]) { id } }", False),
        ("{ cluster @include(if: true) { nodeCount } }", False),
        ("{ ... { cluster { nodeCount } } }", False),
        ("query ($id: ID!) { model(id: $id) { id } }", False),
        ("{ cluster { nodeCount } } fragment F on Cluster { nodeCount }", False),
        ("query A { cluster { nodeCount } } query B { cluster { nodeCount } }", False),
        ("subscription { cluster { nodeCount } }", True),
        ("subscription Named { again: cluster { nodeCount } }", True),
        ("subscription { cluster { nodeCount } nodes { id } }", False),
        ("subscription { __typename }", False),
        ("subscription { again: __typename }", False),
        ("subscription { ...F }", False),
        ("subscription { events { id } events { id } }", False),
        ("subscription ($id: ID!) { operation(id: $id) { state } }", False),
        ("subscription { model(id: 5) { id } }", False),
        ('mutation { unloadModel(model: "a") { error { message } } }', True),
        ("mutation { unloadModel { error { message } } }", False),
        ("mutation { __typename }", True),
        ("type Query { a: Int }", False),
    ],
)
def test_which_documents_pass_fast_validation(query: str, plain: bool) -> None:
    assert is_surely_valid(SCHEMA, parse(query)) is plain


@pytest.mark.parametrize("query", ["{ cluster { nodeCount } }", "{ cluster { nothing } }", "{ cluster {"])
def test_documents_read_the_same_with_and_without_the_short_cut(query: str) -> None:
    class NoRule(ASTValidationRule):
        """A rule of which nothing is known."""

    proved, asked = (Documents(SCHEMA, rules=rules).read(query) for rules in (RULES, (*RULES, NoRule)))
    assert [error.formatted for error in proved.errors] == [error.formatted for error in asked.errors]
    # The parser of simple documents gives only fields a place.
    assert (proved.node and proved.node.to_dict()) == (asked.node and asked.node.to_dict())
