"""Figures in words."""

import pytest

from exo_graphql.cli.format import count, duration, label, number, part, percent


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3660, "1 h 1 min"),
        (-1, "0 s"),
    ],
)
def test_a_duration_is_written_as_people_say_it(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_what_is_unknown_is_a_dash_and_never_0() -> None:
    assert [number(None, " W"), percent(None), part(None, 3.0), part(None, None)] == ["-", "-", "- / 3.0 GiB", "-"]
    assert [number(0, " W"), percent(0.0), part(0.0, 3.0)] == ["0 W", "0 %", "0.0 / 3.0 GiB"]


def test_one_is_not_many() -> None:
    assert [count(0, "node"), count(1, "node"), count(2, "node")] == ["0 nodes", "1 node", "2 nodes"]


def test_a_node_without_a_name_goes_by_its_id() -> None:
    assert [label({"id": "n1", "friendlyName": None}), label({"id": "n1", "friendlyName": "Mac"}), label(None)] == [
        "n1",
        "Mac",
        "-",
    ]
