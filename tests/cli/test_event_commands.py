"""What has happened, on the command line."""

import time

from tests.cli.conftest import Command, command_at
from tests.support.running import A
from tests.support.threaded import Served


def _listed(command: Command, *arguments: str) -> list[dict[str, object]]:
    events: list[dict[str, object]] = command("--json", "events", *arguments).json["events"]
    return events


def _until_ended(command: Command) -> None:
    deadline = time.monotonic() + 120
    while "OPERATION_ENDED" not in {event["kind"] for event in _listed(command)}:
        assert time.monotonic() < deadline


def test_events_are_listed_and_acknowledged(tiny: Served) -> None:
    command = command_at(tiny.url)
    assert command("events").out == "Nothing has happened.\n"
    assert command("models", "load", A).code == 0
    _until_ended(command)
    kinds = [event["kind"] for event in reversed(_listed(command))]
    assert [kind for kind in kinds if kind != "OPERATION_STEP"] == [
        "OPERATION_ACCEPTED",
        "MODEL_READY",
        "OPERATION_ENDED",
    ]
    assert _listed(command, "--severity", "warning") == []
    assert len(_listed(command, "--last", "1")) == 1
    assert _listed(command, "--model", "nothing/like-it") == []
    text = command("events")
    assert f"Model {A} is ready." in text.out
    assert command("acknowledge", "event-1").out == f"Acknowledged  Accepted: load {A}.\n"
    assert [event["acknowledged"] for event in reversed(_listed(command))] == [True] + [False] * (len(kinds) - 1)
    unknown = command("acknowledge", "event-99")
    assert unknown.code == 1
    assert "EVENT_NOT_FOUND" in unknown.err
    assert command("events", "--severity", "dreadful").code == 2
