"""The parser of simple documents reads what graphql-core reads, with the places of fields, and leaves it the rest."""

import re
from collections.abc import Iterator
from random import Random
from time import process_time

import pytest
from graphql import DocumentNode, FieldNode, OperationDefinitionNode, SelectionSetNode, parse
from hypothesis import given, settings
from hypothesis import strategies as st

from exo_graphql.engine.complexity import check_document
from exo_graphql.engine.documents import Documents, document_rules
from exo_graphql.engine.limits import Limits
from exo_graphql.engine.simple_parser import parse_simple
from tests.benchmarks.scenario import OVERVIEW
from tests.engine.generated import Generator
from tests.support.asking import SCHEMA, ask

EXAMPLES = settings(max_examples=200, deadline=None)
LIMITS = Limits()
# What is put into a document or replaces a part of it: every kind of token, and what is none.
PIECES = (
    *(
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ":",
        ",",
        "...",
        "@skip(if: true)",
        "$v",
        "#",
        "# a\n",
        "&",
        "|",
        "=",
        "!",
        "-",
        ".",
    ),
    *('"', '""', '"""', '"a', 'a"', '"\\"', '"\\u00e9"', '"(){}#"', '""" ( """', "'", "\\", "1", "1.5e3", "01", "1a"),
    *(
        " ",
        "\n",
        "\r",
        "\t",
        "\v",
        "\f",
        "\x00",
        "\ufeff",
        "\u00e9",
        "\u2028",
        "\U0001f600",
        "\u0660",
        "_",
        "__typename",
    ),
    *(
        "query",
        "query Q",
        "mutation",
        "subscription",
        "fragment",
        "on",
        "null",
        "true",
        "a: b",
        "(a: {b: [1]})",
        "(a: 1",
    ),
)


def _plain(seed: int) -> str:
    """A document without what no simple document has."""
    text = Generator(SCHEMA, Random(seed), ("n1", "rig/a")).document("query").split("\n")[0]
    return re.sub(r"@\w+\([^)]*\)|\.\.\.\w+|\.\.\.( on \w+)?|^query \([^)]*\)", " ", text)


def _fields(selection_set: SelectionSetNode | None) -> Iterator[FieldNode]:
    for node in () if selection_set is None else selection_set.selections:
        assert isinstance(node, FieldNode)
        yield node
        yield from _fields(node.selection_set)


def _places(document: DocumentNode) -> list[tuple[int, int]]:
    (operation,) = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    return [(node.loc.start, node.loc.end) for node in _fields(operation.selection_set) if node.loc is not None]


def agrees(text: str) -> bool:
    """Whether it was read; then as graphql-core reads it."""
    simple = parse_simple(text, LIMITS)
    if simple is None:
        return False
    whole = parse(text)
    assert simple.to_dict() == whole.to_dict()
    assert _places(simple) == _places(whole)
    assert simple.loc is not None
    assert simple.loc.source.body == text
    return True


@EXAMPLES
@given(
    st.integers(0, 1 << 32), st.lists(st.tuples(st.integers(0), st.integers(0, 3), st.sampled_from(PIECES)), max_size=3)
)
def test_it_reads_what_graphql_core_reads(seed: int, changes: list[tuple[int, int, str]]) -> None:
    text = _plain(seed)
    for place, length, piece in changes:
        begin = place % len(text)
        text = text[:begin] + piece + text[begin + length :]
    agrees(text)


@EXAMPLES
@given(st.lists(st.sampled_from((*PIECES, "{", "}", "a", "a", "b:")), max_size=12))
def test_it_reads_no_more_than_graphql_core(pieces: list[str]) -> None:
    agrees("".join(pieces))
    agrees(" ".join(("{", *pieces, "}")))


@pytest.mark.parametrize(
    "text",
    [
        OVERVIEW,
        "{a}",
        "query{a}",
        "query Q { a }",
        " ,\n{ a b , c }\r\n",
        "{ on query fragment true null mutation }",
        '{ a: b(c: "}(){", d: [{e: 1.5}, $f, ENUM, null]) { g: h i } }',
        '{ a(b: "") c(d: "\\"") }',
    ],
)
def test_it_reads_simple_documents(text: str) -> None:
    assert agrees(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{ }",
        "{ a { } }",
        "{ a } }",
        "{ a } { b }",
        "{ a } query B { b }",
        "queryQ { a }",
        "query Q R { a }",
        "mutation { a }",
        "{ ...F }",
        "{ a @skip(if: true) }",
        "{ a # b\n }",
        '{ a(b: """c""") }',
        "{ a() }",
        "{ a(b) }",
        "{ a(b: 1 }",
        "{ a(b: 1) (c: 1) }",
        "{ a(b: 1} {c: 1) }",
        '{ a(b: "c\n") }',
        "{ a: }",
        "{ a: b: c }",
        "{ 1a }",
        "{ a\u00e9 }",
        "\ufeff{ a }",
        "{ a(b: [" + "1 " * 100 + "]) }",
        "{ a(b: " + "1" * 500 + ") }",
    ],
)
def test_it_leaves_all_else_to_graphql_core(text: str) -> None:
    assert parse_simple(text, LIMITS) is None


@EXAMPLES
@given(
    st.integers(0, 1 << 32),
    st.sampled_from(("max_depth", "max_fields", "max_aliases", "max_list_items")),
    st.integers(1, 8),
)
def test_what_it_reads_exceeds_no_limit(seed: int, limit: str, value: int) -> None:
    text, limits = _plain(seed), Limits(**{limit: value})
    simple = parse_simple(text, limits)
    if simple is not None:
        check_document(simple, limits)
        check_document(parse(text), limits)


@pytest.mark.parametrize(
    "text", ["{ " + "a " * 900 + "}", "{ a(b: " + '"' * 900, "{ a" + " " * 1900 + "(", "{ a(" + '"b" ' * 500]
)
def test_the_time_grows_in_proportion_to_the_text(text: str) -> None:
    limits = Limits(max_document_characters=10_000_000, max_tokens=10_000_000, max_fields=1_000_000)
    begun = process_time()
    parse_simple(text[:3] + text[3:-1] * 100 + text[-1], limits)
    # 0.1 s; minutes if the time grew with the square.
    assert process_time() - begun < 5


def test_an_error_names_the_same_place_in_the_text() -> None:
    text = "{\n\n  again: nodes\n { id }\n}"
    read = Documents(SCHEMA, rules=document_rules()).read(text).node
    simple = parse_simple(text, LIMITS)
    assert simple is not None
    assert read == simple
    # Without a snapshot, the field of the root is an error.
    errors = ask(None, simple).errors
    assert errors == ask(None, parse(text)).errors
    assert [error["locations"] for error in errors] == [[{"line": 3, "column": 3}]]
