"""What is written is read back as it was."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exo_graphql.deployment_file.arguments import INT_RANGE, KEYS, WINDOW_KEYS, Key, Kind, Table, without_defaults
from exo_graphql.deployment_file.reader import read
from exo_graphql.deployment_file.writer import value, write

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INTEGERS = st.integers(INT_RANGE.start, INT_RANGE.stop - 1)


def values(key: Key) -> st.SearchStrategy[Any]:
    if key.choices:
        return st.sampled_from(key.choices)
    return {
        Kind.STRING: WORDS,
        Kind.INTEGER: INTEGERS,
        Kind.BOOLEAN: st.booleans(),
        Kind.STRINGS: st.lists(WORDS, max_size=3),
        Kind.WINDOWS: st.lists(tables_of(WINDOW_KEYS), max_size=3) if key.kind is Kind.WINDOWS else st.nothing(),
    }[key.kind]


def tables_of(keys: tuple[Key, ...]) -> st.SearchStrategy[dict[str, Any]]:
    required = {key.name: values(key) for key in keys if key.required}
    return st.fixed_dictionaries(required, optional={key.name: values(key) for key in keys if not key.required})


DECLARED = st.dictionaries(WORDS, tables_of(KEYS), max_size=4)


@given(DECLARED)
def test_the_tables_that_are_written_are_read_back(declared: dict[str, dict[str, Any]]) -> None:
    tables = tuple(Table(name, arguments) for name, arguments in declared.items())
    assert read(write(tables).encode()).tables == tables


@given(tables_of(KEYS))
def test_what_is_left_out_is_what_it_would_be_anyway(arguments: dict[str, Any]) -> None:
    defaults = {key.name: key.default for key in KEYS} | {"schedule": [], "nodes": None}
    kept = without_defaults(arguments)
    for name in arguments.keys() - kept.keys():
        assert arguments[name] in (defaults[name], [], None)
    assert without_defaults(kept) == kept
    assert list(kept) == [key.name for key in KEYS if key.name in kept]


def test_how_it_reads() -> None:
    window = {"cron": "0 6 * * *", "durationMinutes": 60, "timeZone": "Europe/Berlin", "readyBy": True}
    night = {"model": "org/m", "nodes": ["Mac mini"], "schedule": [window]}
    assert write([Table("night", night), Table("a.b", {"model": 'q"', "schedule": [window, window]})]) == (
        "[deployments.night]\n"
        'model = "org/m"\n'
        'nodes = ["Mac mini"]\n'
        'schedule = [{ cron = "0 6 * * *", durationMinutes = 60, timeZone = "Europe/Berlin", readyBy = true }]\n'
        "\n"
        '[deployments."a.b"]\n'
        'model = "q\\""\n'
        "schedule = [\n"
        '  { cron = "0 6 * * *", durationMinutes = 60, timeZone = "Europe/Berlin", readyBy = true },\n'
        '  { cron = "0 6 * * *", durationMinutes = 60, timeZone = "Europe/Berlin", readyBy = true },\n'
        "]\n"
    )


def test_what_toml_has_no_word_for_is_a_mistake() -> None:
    with pytest.raises(TypeError):
        value(None)


def test_nothing_is_a_valid_file() -> None:
    assert read(write([]).encode()).tables == ()
