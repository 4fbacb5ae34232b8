"""Text at any width: what does not fit is dropped, or becomes blocks; no word is broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from exo_graphql.cli.layout import Column, Grid, wrap
from exo_graphql.cli.live_screen import LiveScreen
from exo_graphql.cli.unique_names import with_unique_names

COLUMNS = [
    Column("MODEL"),
    Column("PHASE"),
    Column("SIZE", drop=1),
    Column("QUANT", drop=2),
    Column("NODES", drop=3, sentence=True),
    Column("ID", wide=True),
]
ROWS = [
    ["Qwen3-235B-A22B-Instruct-2507-8bit", "READY", "232.6 GiB", "8bit", "Mac Studio 1, Mac Studio 2", "an-id"],
    ["tiny", "LOADING", "1.0 GiB", "4bit", "Mac mini", "another-id"],
]


def plain(lines: list[Text]) -> list[str]:
    return [line.plain for line in lines]


@pytest.mark.parametrize("width", [24, 40, 60, 80, 120])
def test_no_line_is_too_long_and_no_word_is_broken(width: int) -> None:
    lines = plain(Grid(COLUMNS, ROWS).lines(width))
    assert max(map(len, lines)) <= width
    for word in ("READY", "LOADING", "tiny", "Qwen3-235B-A22B-"):
        assert any(word in line for line in lines)
    assert not any("an-id" in line for line in lines)


def test_what_is_said_of_no_rows_is_wrapped() -> None:
    assert plain(Grid(COLUMNS, [], "No models. Load one.").lines(12)) == ["No models.", "Load one."]


def test_the_least_important_columns_are_dropped_first() -> None:
    heads = [plain(Grid(COLUMNS, ROWS).lines(width))[0].split() for width in (120, 65, 60, 45)]
    assert heads == [
        ["MODEL", "PHASE", "SIZE", "QUANT", "NODES"],
        ["MODEL", "PHASE", "SIZE", "QUANT"],
        ["MODEL", "PHASE", "SIZE"],
        ["MODEL", "PHASE"],
    ]


def test_a_row_that_does_not_fit_is_a_block() -> None:
    assert plain(Grid(COLUMNS, ROWS[1:]).lines(10)) == [
        "tiny",
        "  phase",
        "    LOADING",
        "  size 1.0",
        "    GiB",
        "  quant",
        "    4bit",
        "  nodes",
        "    Mac",
        "    mini",
    ]


def test_ids_are_shown_with_wide_alone() -> None:
    assert plain(Grid(COLUMNS, ROWS, whole=True).lines(200))[0].split()[-1] == "ID"


def test_spaces_before_the_first_word_count() -> None:
    assert plain(wrap(Text("  nodes Mac Studio 2, Mac"), 24, 4)) == ["  nodes Mac Studio 2,", "    Mac"]


def test_equal_names_of_different_things_are_with_unique_names() -> None:
    data = {
        "models": [{"id": "mlx-community/llama", "name": "llama"}, {"id": "other/llama", "name": "llama"}],
        "nodes": [{"id": "12D3a0", "friendlyName": "Mac"}, {"id": "12D3b1", "friendlyName": "mac"}],
        "alone": [{"id": "x/one", "name": "one"}, {"id": "x/one", "name": "one"}],
    }
    assert with_unique_names(data) == {
        "models": [
            {"id": "mlx-community/llama", "name": "mlx-community/llama"},
            {"id": "other/llama", "name": "other/llama"},
        ],
        "nodes": [{"id": "12D3a0", "friendlyName": "Mac (12D3a0)"}, {"id": "12D3b1", "friendlyName": "mac (12D3b1)"}],
        "alone": [{"id": "x/one", "name": "one"}, {"id": "x/one", "name": "one"}],
    }


def cluster(models: int, nodes: int, operations: int) -> dict[str, object]:
    """What the subscription of `watch` brings."""
    known = [
        {
            "id": f"n{i}",
            "friendlyName": f"node-{i}",
            "chip": "M4",
            "status": "ONLINE",
            "ramTotalGb": 64.0,
            "ramAvailableGb": 32.0,
            "gpuUsagePercent": 1.0,
            "temperatureC": 40.0,
            "powerWatts": 9.0,
            "downloads": [],
        }
        for i in range(nodes)
    ]
    loaded = [
        {
            "id": f"x/m{i}",
            "name": f"m{i}",
            "nodes": [],
            "status": {"phase": "READY", "ready": True, "progressPercent": 100.0, "message": "Ready."},
        }
        for i in range(models)
    ]
    begun = [
        {
            "id": f"0000000{i}",
            "kind": "LOAD",
            "state": "RUNNING",
            "message": "Loading.",
            "progressPercent": 5.0,
            "startedAt": "2026-01-01T00:00:00+00:00",
            "loads": [{"id": f"x/o{i}", "name": f"o{i}"}],
            "unloads": [],
        }
        for i in range(operations)
    ]
    counts = {"nodeCount": nodes, "onlineNodeCount": nodes, "loadedModelCount": models, "activeTaskCount": 0}
    memory = {"ramTotalGb": 64.0 * nodes, "ramAvailableGb": 32.0 * nodes, "ramUsedPercent": 50.0}
    return {
        "healthy": True,
        "unhealthyReasons": [],
        "stale": False,
        "activeDownloadCount": 0,
        **counts,
        **memory,
        "nodes": known,
        "models": loaded,
        "operations": begun,
    }


@pytest.mark.parametrize("width", [24, 40, 60, 80, 120])
@pytest.mark.parametrize("height", [8, 12, 16, 24])
def test_on_a_short_terminal_models_and_operations_come_first_and_what_is_left_out_is_named(
    width: int, height: int
) -> None:
    lines = plain(LiveScreen(cluster(models=2, nodes=30, operations=1)).lines(width, height))
    text = " ".join(" ".join(lines).split())
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert "Left out:" in text
    assert "nodes." in text
    if height >= 16:
        assert "m0" in text
        assert "m1" in text
        assert "Load o0" in text


def test_on_a_tall_terminal_nothing_is_left_out() -> None:
    lines = plain(LiveScreen(cluster(models=2, nodes=3, operations=1)).lines(80, 40))
    assert not any("Left out" in line for line in lines)
    assert any(line.startswith("node-2") for line in lines)


@pytest.mark.parametrize("height", range(1, 24))
@pytest.mark.parametrize("width", [24, 40, 80])
def test_nothing_is_shown_at_the_cost_of_all_of_what_matters_more(width: int, height: int) -> None:
    lines = plain(LiveScreen(cluster(models=2, nodes=30, operations=1)).lines(width, height))
    assert len(lines) <= height
    assert "Nodes" not in lines or {"Models", "Operations"} <= set(lines)


def test_a_name_is_parted_at_its_seams_and_never_inside_a_figure() -> None:
    assert plain(wrap(Text("GLM-4.7-Flash"), 6)) == ["GLM-", "4.7-", "Flash"]


def test_ids_are_shown_in_full_on_a_wide_board() -> None:
    known = cluster(models=1, nodes=1, operations=0)
    assert "x/m0" in "\n".join(plain(LiveScreen(known, wide=True).lines(120, 40)))
    assert "x/m0" not in "\n".join(plain(LiveScreen(known).lines(120, 40)))


@given(
    words=st.lists(st.text("abcXYZ019", min_size=1, max_size=12), min_size=1, max_size=30),
    width=st.integers(12, 80),
    hanging=st.integers(0, 4),
    indent=st.integers(0, 4),
)
def test_no_paragraph_breaks_a_word_or_is_wider_than_asked(
    words: list[str], width: int, hanging: int, indent: int
) -> None:
    lines = plain(wrap(Text(" " * indent + " ".join(words)), width, hanging))
    assert " ".join(lines).split() == words
    assert all(len(line) <= max(width, 12 + max(hanging, indent)) for line in lines)


@given(parts=st.lists(st.text("abc01", min_size=1, max_size=10), min_size=3, max_size=9), width=st.integers(12, 40))
def test_a_name_longer_than_a_line_is_parted_at_its_seams_alone(parts: list[str], width: int) -> None:
    name = "-".join(parts)
    lines = plain(wrap(Text(name), width))
    assert "".join(lines) == name
    assert all(line.endswith("-") for line in lines[:-1])
    assert all(len(line) <= width for line in lines)
