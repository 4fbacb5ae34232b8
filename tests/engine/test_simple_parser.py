"""The parser of simple documents reads what graphql-core reads, with the places of fields, and leaves it the rest."""

import re
from random import Random
from time import process_time
from typing import Any

import orjson
import pytest
from graphql import parse
from hypothesis import given, settings
from hypothesis import strategies as st

from exo_graphql.engine.complexity import check_document
from exo_graphql.engine.documents import Documents
from exo_graphql.engine.limits import Limits
from exo_graphql.engine.simple_parser import parse_simple
from tests.benchmarks.scenario import OVERVIEW
from tests.engine.generated import Generator
from tests.engine.test_compiled import assert_alike
from tests.support.asking import SCHEMA

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


def _made(seed: int) -> str:
    """A document of a query and fragments."""
    return Generator(SCHEMA, Random(seed), ("n1", "rig/a")).document("query")


def agrees(text: str) -> bool:
    """Whether it was read; then as graphql-core reads it."""
    simple = parse_simple(text, LIMITS)
    if simple is None:
        return False
    assert simple.to_dict() == parse(text).to_dict()
    assert simple.loc is not None
    assert simple.loc.source.body == text
    return True


@EXAMPLES
@given(
    st.integers(0, 1 << 32), st.lists(st.tuples(st.integers(0), st.integers(0, 3), st.sampled_from(PIECES)), max_size=3)
)
def test_it_reads_what_graphql_core_reads(seed: int, changes: list[tuple[int, int, str]]) -> None:
    text = _made(seed)
    assert agrees(text) or re.search(r"[(@][^{}]{300}", text)
    for place, length, piece in changes:
        begin = place % len(text)
        text = text[:begin] + piece + text[begin + length :]
    agrees(text)


@EXAMPLES
@given(
    st.lists(
        st.sampled_from((*PIECES, *("{", "}", "a", "a", "b:", "...", "... on T {", "fragment F on T {"))), max_size=12
    )
)
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
        "{ a } { b }",
        "{ a } query B { b }",
        "{ ...F }",
        "{ ... F }",
        "{ ...F...G a...one }",
        "{ ...on on { a } }",
        "{ ... on T @include(if: $b) { a } ... @skip(if: true) { b } ... { c } }",
        "{ a @skip(if: true) @b(c: 1) @ d }",
        "{ a(b: 1) @c { d } }",
        "{ a # b\n }",
        "# a\n\n{ a #}\r, b #\U0001f600\n }#c\n# d",
        "query#a\nQ#b\n($c: [D!]! = [1])#e\n{ f }",
        "query ($a: B = {c: 1}) { d }",
        "query query { query } query fragment($query: fragment) { fragment }",
        "fragment F on T { a } query { ...F }",
        "fragment fragment on on { on }",
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
        "queryQ { a }",
        "query Q R { a }",
        "mutation { a }",
        '{ a(b: """c""") }',
        "{ ...F { a } }",
        "{ ...on }",
        "{ ...on { a } }",
        "{ ... T { a } }",
        "{ ... }",
        "{ .... F }",
        "{ ...F(a: 1) }",
        "{ ...F() }",
        "{ ... on T }",
        "{ ... on T { } }",
        "{ ... on T @a() { b } }",
        "{ a @ }",
        "{ a @b(c: ) }",
        "{ a @b (c: 1) (d: 1) }",
        "{ a @b c(d: 1) @e: f }",
        "fragment on on T { a }",
        "fragment F { a }",
        "fragment F on { a }",
        "fragment F($a: B) on T { a }",
        "fragmentF on T { a }",
        "fragment F onT { a }",
        "fragment F on T @a { b }",
        "query @a { b }",
        "query () { a }",
        "query ($a) { a }",
        "query (a: B) { a }",
        "query ($a: B @c) { a }",
        "query ($a: B = $c) { a }",
        '"about" query { a }',
        '"about" fragment F on T { a }',
        "{ a } # \ud800",
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
        "{ a(b: [" + "1 " * 200 + "]) }",
        "query (" + "$a: B " * 100 + ") { a }",
        "{ a(b: " + "1" * 500 + ") }",
    ],
)
def test_it_leaves_all_else_to_graphql_core(text: str) -> None:
    assert parse_simple(text, LIMITS) is None


@EXAMPLES
@given(
    st.integers(0, 1 << 32),
    st.sampled_from(
        ("max_depth", "max_fields", "max_aliases", "max_list_items", "max_definitions", "max_directives", "max_tokens")
    ),
    st.integers(1, 30),
)
def test_what_it_reads_exceeds_no_limit(seed: int, limit: str, value: int) -> None:
    text, limits = _made(seed), Limits(**{limit: value})
    simple = parse_simple(text, limits)
    if simple is not None:
        check_document(simple, limits)
        check_document(parse(text, max_tokens=limits.max_tokens), limits)


@pytest.mark.parametrize(
    ("limit", "most", "text"),
    [
        ("max_depth", 4, "{ a { ...F } } fragment F on T { b { c } }"),
        ("max_depth", 4, "{ ...F } fragment F on T { ...G } fragment G on T { a { b } }"),
        ("max_depth", 3, "{ ... { a { b } } }"),
        ("max_fields", 5, "{ a { ...F } b { ...F } c } fragment F on T { d }"),
        ("max_fields", 3, "{ a ... { b ... on T { c } } }"),
        ("max_definitions", 3, "{ ...F ...G } fragment F on T { a } fragment G on T { b }"),
        ("max_directives", 3, "{ a @b @c ...F @d } fragment F on T { e }"),
        ("max_aliases", 2, "{ a: b ...F } fragment F on T { c: d }"),
        ("max_tokens", 11, "{ a { b } }"),  # a token has a character at least
    ],
)
def test_a_document_within_a_limit_is_read_and_one_beyond_is_not(limit: str, most: int, text: str) -> None:
    assert parse_simple(text, Limits(**{limit: most})) is not None
    assert parse_simple(text, Limits(**{limit: most - 1})) is None


@pytest.mark.parametrize(
    "text",
    [
        "{ " + "a " * 900 + "}",
        "{ a(b: " + '"' * 900,
        "{ a" + " " * 1900 + "(",
        "{ a(" + '"b" ' * 500,
        "{ a" + " @b" * 500 + "}",
        "{ a" + "#\n" * 900 + "@",
        "{ " + "... " * 500 + "}",
        "{ " + "...F " * 500 + "}",
        "query(" + "$a:B" * 500 + "}",
        "{a}" * 500,
    ],
)
def test_the_time_grows_in_proportion_to_the_text(text: str) -> None:
    limits = Limits(max_document_characters=10_000_000, max_tokens=10_000_000, max_fields=1_000_000)
    begun = process_time()
    parse_simple(text[:3] + text[3:-1] * 100 + text[-1], limits)
    # 0.1 s; minutes if the time grew with the square.
    assert process_time() - begun < 5


@pytest.mark.parametrize(
    ("variables", "place"),
    [({"id": "a"}, {"line": 4, "column": 3}), ({}, {"line": 2, "column": 3}), ({"id": []}, {"line": 2, "column": 3})],
)
def test_an_error_names_the_same_place_in_the_text(variables: dict[str, Any], place: dict[str, int]) -> None:
    text = "query Q(\n  $id: ID!) {\n\n  again: nodes\n { id }\n  model(id: $id) { id }\n}"
    assert Documents(SCHEMA).read(text).node == parse_simple(text, LIMITS)
    # Without a snapshot, a field of the root is an error.
    (error,) = orjson.loads(assert_alike(text, None, variables).payload)["errors"]
    assert error["locations"] == [place]
