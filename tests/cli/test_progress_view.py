"""What is shown of something under way."""

from typing import Any

import pytest

from exo_graphql.cli.progress_view import Pace, operation_title, operation_view


class Clock:
    """Time as a test wants it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def model(phase: str = "NOT_LOADED", done: float | None = None, **more: Any) -> dict[str, Any]:
    """A model that is to be loaded, as the documents ask for it."""
    status = {
        "phase": phase,
        "ready": phase in ("READY", "RUNNING"),
        "message": f"It is {phase}.",
        "progressPercent": done,
        "etaSeconds": None,
        "nodes": [],
        "instances": [],
        "failure": None,
    }
    return {"id": "org/m", "name": "m", "downloads": [], "status": {**status, **more}}


def operation(step: str | None, *loads: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A swap for these models, at this step."""
    steps = [] if step is None else [{"name": step, "state": "RUNNING", "message": "At it."}]
    common = {"kind": "SWAP", "state": "RUNNING", "message": "At it.", "progressPercent": 12.5, "error": None}
    return {"id": "1", "loads": list(loads), "unloads": [{"name": "old"}], "steps": steps, **common, **more}


def fetching(node: str, speed: float, eta: float | None) -> dict[str, Any]:
    """Weights on their way."""
    return {"node": {"id": node}, "speedMbS": speed, "etaSeconds": eta, "downloadedGb": 1.0, "totalGb": 2.0}


def test_while_the_model_waits_for_memory_the_step_shows_the_progress() -> None:
    view = operation_view(operation("drain", model()), Pace())
    assert (view.stage, view.message, view.percent, view.pace) == ("drain", "At it.", 12.5, "")


def test_while_the_model_loads_its_own_status_shows_the_progress() -> None:
    view = operation_view(operation("load", model("CONNECTING")), Pace())
    assert (view.stage, view.message, view.percent) == ("CONNECTING", "m: It is CONNECTING.", None)


def test_the_last_model_shows_as_ready_until_the_step_that_loads_it_has_ended() -> None:
    assert operation_view(operation("load", model("READY", 100.0)), Pace()).stage == "READY"
    assert operation_view(operation("drain", model("READY", 100.0)), Pace()).stage == "drain"


def test_an_operation_that_has_ended_shows_how() -> None:
    view = operation_view(operation(None, model("READY", 100.0), state="SUCCEEDED", progressPercent=100.0), Pace())
    assert (view.stage, view.percent, view.message) == ("SUCCEEDED", 100.0, "At it.")


def test_before_it_is_placed_all_that_fetch_the_weights_count() -> None:
    waiting = model() | {"downloads": [fetching("a", 100.0, 60.0), fetching("b", 50.5, 90.0)]}
    assert operation_view(operation("download", waiting), Pace()).pace == "150.5 MiB/s, 1 min 30 s to go"


def test_once_it_is_placed_only_its_own_nodes_count() -> None:
    placed = model("DOWNLOADING", 50.0, nodes=[{"id": "a"}], etaSeconds=60.0)
    placed["downloads"] = [fetching("a", 100.0, 60.0), fetching("b", 50.5, 90.0)]
    assert operation_view(operation("load", placed), Pace()).pace == "100.0 MiB/s, 1 min 0 s to go"


def test_the_speed_of_layers_is_measured_from_when_the_first_was_seen(clock: Clock) -> None:
    pace = Pace(clock)
    instances = [{"phase": "LOADING", "shards": [{"layerCount": 30}, {"layerCount": 30}]}]

    def pace_at(done: float) -> str:
        return operation_view(operation("load", model("LOADING", done, instances=instances)), pace).pace

    assert pace_at(10.0) == ""
    clock.now = 4.0
    assert pace_at(30.0) == "3.0 layers/s, 14 s to go"
    clock.now = 5.0
    # A new attempt begins at the beginning, and is measured anew.
    assert pace_at(5.0) == ""
    clock.now = 7.0
    assert pace_at(25.0) == "6.0 layers/s, 8 s to go"


def test_the_time_to_go_begins_anew_with_each_attempt_though_both_begin_at_0(clock: Clock) -> None:
    pace = Pace(clock)
    instances = [{"phase": "LOADING", "shards": [{"layerCount": 10}]}]

    def pace_at(done: float, attempt: int | None) -> str:
        failure = None if attempt is None else {"message": "no", "attempt": attempt}
        return operation_view(
            operation("load", model("LOADING", done, instances=instances, failure=failure)), pace
        ).pace

    assert pace_at(0.0, None) == ""
    clock.now = 60.0
    assert pace_at(0.0, 1) == ""
    clock.now = 61.0
    assert pace_at(10.0, 1) == "1.0 layers/s, 9 s to go"
    # A step back within an attempt is another beginning, too.
    clock.now = 62.0
    assert pace_at(5.0, 1) == ""


def test_layers_without_a_count_are_shown_as_a_percentage(clock: Clock) -> None:
    pace = Pace(clock)
    instances = [{"phase": "LOADING", "shards": [{"layerCount": None}]}]
    loads = [model("LOADING", done, instances=instances) for done in (0.0, 10.0)]
    operation_view(operation("load", loads[0]), pace)
    clock.now = 2.0
    assert operation_view(operation("load", loads[1]), pace).pace == "5.0 %/s, 18 s to go"


@pytest.mark.parametrize(
    ("kind", "loads", "unloads", "title"),
    [
        ("LOAD", ["a"], [], "Load a"),
        ("UNLOAD", [], ["b"], "Unload b"),
        ("SWAP", ["a", "c"], ["b"], "Swap b for a, c"),
        ("SWAP", ["a"], [], "Swap nothing for a"),
    ],
)
def test_a_title_says_what_is_done(kind: str, loads: list[str], unloads: list[str], title: str) -> None:
    named = [[{"name": name} for name in names] for names in (loads, unloads)]
    assert operation_title({"kind": kind, "loads": named[0], "unloads": named[1]}) == title
