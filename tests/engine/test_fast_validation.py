"""What passes fast validation passes every rule, for changed documents too; and common queries pass it."""

import re
from random import Random

import pytest
from graphql import ASTValidationRule, GraphQLError, build_schema, parse, validate
from hypothesis import given, settings
from hypothesis import strategies as st

from exo_graphql.engine.complexity import check_document
from exo_graphql.engine.documents import Documents, document_rules
from exo_graphql.engine.fast_validation import is_surely_valid
from exo_graphql.engine.limits import LimitExceeded, Limits
from tests.benchmarks.realistic import KINDS
from tests.engine.generated import Generator
from tests.support.asking import SCHEMA

RULES = document_rules(introspection=False)
LIMITS = Limits()
EXAMPLES = settings(max_examples=200, deadline=None)
# Words with another meaning in other places: fields, arguments, values, punctuation, variables, fragments.
WORDS = (
    *("id", "nodes", "cluster", "models", "status", "node", "model", "ramTotalGb", "nothing", "__typename", "__schema"),
    *('"text"', "1", "2.5", "true", "null", "READY", "COMPLETED", "[READY]", "[]", "$v", "{a: 1}", "99999999999"),
    *("{", "}", "(", ")", ":", "status: [FAILED]", "id: 1", "id: 1.5", "loaded: 1", "@skip(if: true)", "...", "a:"),
    *("$v0", "$v1", "$yes", "$maybe", "v0", "$v0: ID!", "$v0: [ID!] = [1]", "$yes: Boolean!", "$v: Int = 2", "= 1"),
    *("on", "Node", "Model", "Query", "OperationError", "ID", "ID!", "Boolean", "fragment", "query Q", "F0", "F1"),
    *("...F0", "...F1", "... on Node", "... on OperationError {", "fragment F0 on Node { id ...F1 }", "{ ...F0 }"),
    *("@include(if: $yes)", "@skip(if: $v0)", "@skip(if: 1)", "@skip(unless: true)", "@include", "@deprecated"),
)


def _mutated(text: str, changes: list[tuple[int, str, str]]) -> str:
    tokens = re.findall(r'"[^"]*"|[^\s]+', text)
    for place, change, word in changes:
        at = place % len(tokens)
        match change:
            case "replace":
                tokens[at] = word
            case "insert":
                tokens.insert(at, word)
            case "drop" if len(tokens) > 1:
                del tokens[at]
            case "repeat":
                tokens.insert(at, tokens[at])
            case "swap":
                other = len(word) * place % len(tokens)
                tokens[at], tokens[other] = tokens[other], tokens[at]
    return " ".join(tokens)


CHANGES = st.lists(
    st.tuples(st.integers(0), st.sampled_from(["replace", "insert", "drop", "repeat", "swap"]), st.sampled_from(WORDS)),
    max_size=3,
)


def _proved(text: str) -> bool:
    """Whether fast validation accepts it; then every rule does."""
    try:
        document = parse(text)
        check_document(document, LIMITS)
    except GraphQLError:
        return False
    if not is_surely_valid(SCHEMA, document, LIMITS.max_pairs):
        return False
    assert validate(SCHEMA, document, RULES) == []
    return True


@EXAMPLES
@given(st.sampled_from(["query", "subscription"]), st.integers(0, 1 << 32), CHANGES)
def test_what_passes_fast_validation_passes_every_rule(
    operation: str, seed: int, changes: list[tuple[int, str, str]]
) -> None:
    _proved(_mutated(Generator(SCHEMA, Random(seed), ("n1", "rig/a")).document(operation), changes))


@EXAMPLES
@given(st.sampled_from(sorted(KINDS)), CHANGES)
def test_what_is_left_of_real_documents_passes_every_rule(kind: str, changes: list[tuple[int, str, str]]) -> None:
    text = re.sub(r"#.*", "", KINDS[kind].text.replace("@@", "1"))
    _proved(_mutated(re.sub(r"(\.\.\.|[{}()\[\]:!]|@\w+)", r" \1 ", text), changes))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_documents_of_clients_pass_fast_validation(kind: str) -> None:
    assert _proved(KINDS[kind].text.replace("@@", "1"))


def test_generated_documents_pass_fast_validation() -> None:
    made = [Generator(SCHEMA, Random(seed), ("n1",)).document("query") for seed in range(60)]
    assert all(_proved(text) for text in made)
    assert all(sum(part in text for text in made) > 20 for part in ("fragment", "$", "@skip"))


@pytest.mark.parametrize(
    ("query", "plain"),
    [
        ("{ cluster { nodeCount __typename } again: cluster { nodes { id models { id status { ready } } } } }", True),
        ('{ downloads(status: [FAILED, PAUSED], node: "n") { id node { id } } }', True),
        ("{ downloads(status: FAILED) { id } operations { error { code message } } }", True),
        ("{ model(id: 5) { id } }", True),
        ("{ cluster { nodes } }", False),
        ("{ cluster { nodeCount { id } } }", False),
        ("{ cluster { nodeCount nodeCount } }", True),
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
        ("{ cluster @include(if: true) { nodeCount } }", True),
        ("{ ... { cluster { nodeCount } } }", True),
        ("query ($id: ID!) { model(id: $id) { id } }", True),
        ("{ cluster { nodeCount } } fragment F on Cluster { nodeCount }", False),
        ("query A { cluster { nodeCount } } query B { cluster { nodeCount } }", True),
        ("subscription { cluster { nodeCount } }", True),
        ("subscription Named { again: cluster { nodeCount } }", True),
        ("subscription { cluster { nodeCount } nodes { id } }", False),
        ("subscription { __typename }", False),
        ("subscription { again: __typename }", False),
        ("subscription { ...F }", False),
        ("subscription { events { id } events { id } }", False),
        ("subscription ($id: ID!) { operation(id: $id) { state } }", True),
        ("subscription { model(id: 5) { id } }", False),
        ('mutation { unloadModel(model: "a") { error { message } } }', True),
        ("mutation { unloadModel { error { message } } }", False),
        ("mutation { __typename }", True),
        ("type Query { a: Int }", False),
        # Operations and fragments.
        ("query A { __typename } query A { __typename }", False),
        ("query A { __typename } { __typename }", False),
        ("query @skip(if: true) { __typename }", False),
        ("{ nodes { ...F } } fragment F on Node { id }", True),
        ("{ nodes { ...F } } fragment F on Node { id } fragment F on Node { id }", False),
        ("{ nodes { ...F } } fragment F on Node @skip(if: true) { id }", False),
        ("{ nodes { ...F } } fragment F on Model { id }", False),
        ("{ nodes { ...F } } fragment F on Nothing { id }", False),
        ("{ nodes { ...F } } fragment F on ID { id }", False),
        ("{ nodes { ...F id } }", False),
        ("{ nodes { ... on Model { id } } }", False),
        ("{ nodes { id } } fragment F on Node { id }", False),
        ("{ nodes { ...F } } fragment F on Node { ...F }", False),
        ("{ nodes { ...F ...G } } fragment F on Node { ...G } fragment G on Node { ...F }", False),
        ("{ nodes { ...F } } fragment F on Node { models { ...G } } fragment G on Model { nodes { ...F } }", False),
        ("{ operations { error { code ... on InsufficientMemory { neededGb } } } }", True),
        ("{ operations { error { ...F } } } fragment F on OperationError { code ...F }", False),
        ("subscription { ...F } fragment F on Subscription { cluster { nodeCount } }", False),
        ("subscription { cluster @skip(if: true) { nodeCount } }", False),
        ("query A { nodes { ...F } } query B { nodes { id } } fragment F on Node { id }", True),
        # Two fields with one key.
        ("{ nodes { id } nodes { id status } }", True),
        ("{ nodes { id } nodes { id: status } }", False),
        ("{ nodes { x: ramUsedGb x: ramTotalGb } }", False),
        ("{ nodes { id ... { id: status } } }", False),
        ("{ nodes { id ...F } } fragment F on Node { id: status }", False),
        ("{ downloads(status: FAILED) { id } downloads(status: FAILED) { id } }", True),
        ("{ downloads(status: FAILED) { id } downloads(status: [FAILED]) { id } }", False),
        ("{ downloads(status: FAILED) { id } downloads { id } }", False),
        ("query ($s: [DownloadStatus!]) { downloads(status: $s) { id } downloads(status: $s) { id } }", True),
        ("{ nodes { a: models { x: id } a: models { x: name } } }", False),
        ("{ operations { error { ... on ModelNotFound { x: code } ... on NodeNotFound { x: message } } } }", False),
        # Variables.
        ("query ($a: ID!, $a: ID!) { model(id: $a) { id } }", False),
        ("query ($a: ID!) { nodes { id } }", False),
        ("query ($a: ID) { model(id: $a) { id } }", False),
        ("query ($a: String!) { model(id: $a) { id } }", False),
        ('query ($a: ID = "x") { model(id: $a) { id } }', True),
        ("query ($a: ID = null) { model(id: $a) { id } }", False),
        ("query ($a: ID! = null) { model(id: $a) { id } }", False),
        ("query ($a: ID! = [1]) { model(id: $a) { id } }", False),
        ("query ($a: Model!) { model(id: $a) { id } }", False),
        ("query ($a: Nothing!) { model(id: $a) { id } }", False),
        ("query ($a: ID! @deprecated) { model(id: $a) { id } }", False),
        ("query ($a: DownloadStatus!) { downloads(status: [$a]) { id } }", False),
        ("query ($a: DownloadStatus!) { downloads(status: $a) { id } }", False),
        ("query ($a: Int) { events(last: $a) { id } }", True),
        ("query A($a: ID!) { ...F } query B { ...F } fragment F on Query { model(id: $a) { id } }", False),
        ("query A($a: ID!) { ...F } query B($a: ID!) { ...F } fragment F on Query { model(id: $a) { id } }", True),
        # Directives.
        ("query ($a: Boolean!) { nodes { id @skip(if: $a) @include(if: $a) } }", True),
        ("query ($a: Boolean) { nodes { id @skip(if: $a) } }", False),
        ("query ($a: Boolean = true) { nodes { id @skip(if: $a) } }", True),
        ("query ($a: Boolean!) { nodes @skip(if: $a) { ... @include(if: $a) { id } } }", True),
        ("{ nodes { id @skip(if: true) @skip(if: true) } }", False),
        ("{ nodes { id @skip } }", False),
        ("{ nodes { id @skip(if: 1) } }", False),
        ("{ nodes { id @skip(if: true, if: true) } }", False),
        ("{ nodes { id @include(unless: true) } }", False),
        ("{ nodes { ... @defer { id } } }", False),
        ("{ nodes { ...F @nothing } } fragment F on Node { id }", False),
    ],
)
def test_which_documents_pass_fast_validation(query: str, plain: bool) -> None:
    assert is_surely_valid(SCHEMA, parse(query), LIMITS.max_pairs) is plain


@EXAMPLES
@given(st.integers(0, 1 << 32), st.integers(0, 12))
def test_what_passes_has_no_more_pairs_than_are_allowed(seed: int, max_pairs: int) -> None:
    document = parse(Generator(SCHEMA, Random(seed), ("n1", "rig/a")).document("query"))
    if is_surely_valid(SCHEMA, document, max_pairs):
        check_document(document, Limits(max_pairs=max_pairs))
    else:
        with pytest.raises(LimitExceeded):
            check_document(document, Limits(max_pairs=max_pairs))


def test_fields_of_one_name_may_have_different_types() -> None:
    schema = build_schema("type Query { i: I! } interface I { x: Int } type A implements I { x: Int! }")
    for text, is_valid in ("{ i { x ... on I { x } } }", True), ("{ i { x ... on A { x } } }", False):
        assert (not validate(schema, parse(text))) is is_valid
        assert is_surely_valid(schema, parse(text), LIMITS.max_pairs) is is_valid


class NoRule(ASTValidationRule):
    """A rule of which nothing is known."""


@EXAMPLES
@given(st.sampled_from(["query", "query", "subscription", *KINDS]), st.integers(0, 1 << 32), CHANGES)
def test_documents_read_the_same_with_and_without_the_short_cut(
    of: str, seed: int, changes: list[tuple[int, str, str]]
) -> None:
    if of in KINDS:
        text = re.sub(r"#.*", "", KINDS[of].text.replace("@@", str(seed)))
    else:
        text = Generator(SCHEMA, Random(seed), ("n1", "rig/a")).document(of)
    text = _mutated(text, changes)
    proved, asked = (Documents(SCHEMA, rules=rules).read(text) for rules in (RULES, (*RULES, NoRule)))
    assert [error.formatted for error in proved.errors] == [error.formatted for error in asked.errors]
    # The parser of simple documents gives nothing a place.
    assert (proved.node and proved.node.to_dict()) == (asked.node and asked.node.to_dict())
