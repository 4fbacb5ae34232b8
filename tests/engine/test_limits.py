"""Each limit: what is within it passes, what is beyond it is refused by its name, before it costs anything."""

from typing import Any

import pytest
from graphql import get_introspection_query, parse

from exo_graphql.engine.complexity import check_document, check_variables
from exo_graphql.engine.documents import Documents
from exo_graphql.engine.limits import LimitExceeded, Limits
from exo_graphql.schema.build import build_schema

SCHEMA = build_schema()
_FRAGMENT = " fragment f{} on Query {{ nodes {{ id }} }}"


def _read(source: str, **limits: int) -> list[Any]:
    document = Documents(SCHEMA, limits=Limits(**limits)).read(source)
    return [error.extensions or error.message for error in document.errors]


@pytest.mark.parametrize(
    ("limit", "value", "within", "beyond"),
    [
        ("max_document_characters", 20, "{ nodes { id } }    ", "{ nodes { id } }     "),
        ("max_tokens", 6, "{ nodes { id } }", "{ nodes { id chip } }"),
        ("max_tokens", 7, "{ nodes { id } } #", "{ nodes { id } } #\n#"),
        ("max_depth", 3, "{ nodes { models { id } } }", "{ nodes { models { nodes { id } } } }"),
        ("max_depth", 3, "{ ... { nodes { id } } }", "{ ... { ... { nodes { id } } } }"),
        ("max_depth", 3, "{ ...f0 }" + _FRAGMENT.format(0), "{ ... { ...f0 } }" + _FRAGMENT.format(0)),
        ("max_fields", 3, "{ nodes { id chip } }", "{ nodes { id chip status } }"),
        (
            "max_fields",
            4,
            "{ a: nodes { ...n } b: nodes { ...n } } fragment n on Node { id }",
            "{ a: nodes { ...n } b: nodes { ...n } } fragment n on Node { id chip }",
        ),
        ("max_pairs", 3, "{ nodes { id id id } }", "{ nodes { id id id id } }"),
        ("max_pairs", 2, "{ nodes { id } nodes { id } }", "{ nodes { id chip } nodes { id chip } }"),
        ("max_pairs", 1, "{ nodes { id ... on Node { id } } }", "{ nodes { id ... on Node { id } id } }"),
        (
            "max_pairs",
            1,
            "{ ...a ...b } fragment a on Query { x: nodes { id } } fragment b on Query { y: nodes { id } }",
            "{ ...a ...b ...c } " + "".join(f"fragment {f} on Query {{ {f}: nodes {{ id }} }} " for f in "abc"),
        ),
        ("max_aliases", 1, "{ a: nodes { id } }", "{ a: nodes { b: id } }"),
        (
            "max_directives",
            2,
            "{ nodes @skip(if: false) { id @include(if: true) } }",
            "query q @a { nodes @skip(if: false) { id @include(if: true) } }",
        ),
        ("max_definitions", 2, "{ ...f0 }" + _FRAGMENT.format(0), "{ ...f0 }" + _FRAGMENT.format(0) * 2),
        ("max_list_items", 1, "{ tasks(kind: [SHUTDOWN]) { id } }", "{ tasks(kind: [SHUTDOWN, SHUTDOWN]) { id } }"),
    ],
)  # fmt: skip
def test_a_document_within_the_limit_is_read_and_one_beyond_is_refused_by_its_name(
    limit: str, value: int, within: str, beyond: str
) -> None:
    assert _read(within, **{limit: value}) == []
    (reported,) = _read(beyond, **{limit: value})
    assert (reported["code"], reported["limit"], reported["value"]) == ("LIMIT_EXCEEDED", limit, value)
    assert reported["suggestion"].endswith(".")


def test_a_refusal_names_the_actual_value_where_it_is_known() -> None:
    (reported,) = _read("{ a: nodes { b: id c: id } }", max_aliases=1)
    assert reported["actual"] == 3


def test_fragments_that_double_at_each_level_are_measured_in_linear_time() -> None:
    # 2^23 fields, if anybody spread them out.
    levels = "".join(
        f"fragment f{n} on Node {{ a{n}: id ...f{n + 1} b{n}: id ...f{n + 1} }}" for n in range(23)
    )  # fmt: skip
    source = f"{{ nodes {{ ...f0 }} }} {levels} fragment f23 on Node {{ id }}"
    (reported,) = _read(source, max_depth=60)
    assert reported["limit"] == "max_fields"
    assert reported["actual"] > 2**23


@pytest.mark.parametrize(
    "source",
    [
        "{ ...a } fragment a on Query { ...a nodes { id } }",
        "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a nodes { id } }",
        "{ nodes { ...a } } fragment a on Node { models { nodes { ...a } } }",
    ],
)
def test_fragments_in_a_cycle_are_reported_as_such(source: str) -> None:
    (message,) = _read(source)
    assert message.startswith("Cannot spread fragment 'a' within itself")


def test_cycles_within_cycles_are_walked_no_longer_than_the_limit() -> None:
    spread = " ".join(f"...f{n}" for n in range(20))
    fragments = "".join(f"fragment f{n} on Node {{ m{n}: models {{ nodes {{ {spread} }} }} }} " for n in range(20))
    (reported,) = _read(f"{{ nodes {{ {spread} }} }} {fragments}", max_depth=100)
    assert reported["limit"] in ("max_fields", "max_pairs")


def test_an_unused_fragment_is_measured_too() -> None:
    (reported,) = _read("{ nodes { id } } fragment f on Node { " + "id " * 100 + "}")
    assert reported["limit"] == "max_pairs"


@pytest.mark.parametrize("opening", ["{ nodes { models ", "{ ... ", "{ downloads(status: [", "query q($v: ["])
def test_nesting_without_end_is_an_ordinary_error(opening: str) -> None:
    (reported,) = Documents(SCHEMA).read(opening * 3000).errors
    assert "RecursionError" not in reported.message
    assert "nested too deeply" in reported.message or "Syntax Error" in reported.message


def test_an_unreadable_number_is_an_ordinary_error() -> None:
    for number in ("9" * 5000, "1." + "9" * 5000, "1e" + "9" * 5000):
        (reported,) = Documents(SCHEMA).read(f'{{ placements(model: "x", minNodes: {number}) {{ fits }} }}').errors
        assert reported.message == "A number may have 400 digits."


def test_errors_are_reported_up_to_the_limit_and_still_suggest_names() -> None:
    messages = _read("{ nodes { " + " ".join(f"chipp{n}" for n in range(50)) + " } }", max_errors=5)
    assert len(messages) == 6
    assert messages[0] == "Cannot query field 'chipp0' on type 'Node'. Did you mean 'chip'?"
    assert "Too many validation errors" in messages[-1]


@pytest.mark.parametrize(
    ("limit", "value", "within", "beyond"),
    [
        ("max_variables_bytes", 100, {"a": "x" * 90}, {"a": "x" * 100}),
        ("max_variables_bytes", 100, {"a": {"b" * 40: "x"}}, {"a": {"b" * 100: "x"}}),
        ("max_list_items", 3, {"a": [1, 2, 3]}, {"a": [1, 2, 3, 4]}),
        ("max_list_items", 3, {"a": {"b": [1, 2, 3]}}, {"a": {"b": [1, 2, 3, 4]}}),
        ("max_depth", 3, {"a": [[1]]}, {"a": [[[1]]]}),
    ],
)
def test_variables_have_limits_too(limit: str, value: int, within: dict[str, Any], beyond: dict[str, Any]) -> None:
    check_variables(within, Limits(**{limit: value}))
    with pytest.raises(LimitExceeded) as refused:
        check_variables(beyond, Limits(**{limit: value}))
    assert refused.value.extensions
    assert (refused.value.extensions["limit"], refused.value.extensions["value"]) == (limit, value)


def test_variables_nested_without_end_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(1000):
        deep = {"a": deep}
    with pytest.raises(LimitExceeded):
        check_variables(deep, Limits())


def test_the_usual_introspection_is_within_the_limits() -> None:
    for source in (
        get_introspection_query(),
        get_introspection_query(descriptions=False, input_value_deprecation=True),
    ):
        check_document(parse(source), Limits())
        assert _read(source) == []
