"""Which events operations make, and how the log shows them."""

import logging
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from exo_graphql.events import EventKind, Occurrence, Severity
from exo_graphql.events.log import EventLog
from exo_graphql.observability.logs import JsonFormatter
from exo_graphql.observability.recorder import operation_events
from exo_graphql.operations import Operation, OperationKind, OperationState, Step, StepState
from exo_graphql.storage.sqlite import SQLiteStore

ROOT = Path(__file__).parents[2]
KEY = re.compile(r"`(\w+)`")
MODEL, OTHER = "mlx-community/Qwen3-30B-A3B-4bit", "mlx-community/Kimi-K2.5"


def _operation(state: OperationState, deployment: str | None = None) -> Operation:
    return Operation(
        "op-1",
        OperationKind.SWAP,
        state,
        "As it is.",
        (),
        datetime(2026, 6, 22, tzinfo=UTC),
        load_ids=(MODEL,),
        unload_ids=(OTHER,),
        deployment=deployment,
    )


def _told(before: Operation | None, after: Operation) -> list[tuple[EventKind, Severity, str]]:
    known = {} if before is None else {before.id: before}
    events = operation_events(known, {after.id: after}, {"uid-1": "night"}.get)
    return [(event.kind, event.severity, event.message) for event in events]


def test_an_operation_is_accepted_once_and_ends_once() -> None:
    running, failed = _operation(OperationState.RUNNING), _operation(OperationState.FAILED)
    accepted = EventKind.OPERATION_ACCEPTED, Severity.INFO, f"Accepted: swap {OTHER} for {MODEL}."
    ended = EventKind.OPERATION_ENDED, Severity.ERROR, f"Swap {OTHER} for {MODEL}: FAILED. As it is."
    assert _told(None, running) == [accepted]
    assert _told(running, _operation(OperationState.PENDING)) == []
    assert _told(running, failed) == [ended]
    assert _told(failed, _operation(OperationState.FAILED)) == []
    assert _told(None, failed) == [accepted, ended]
    # A model that is swapped for itself stays: nothing is unloaded.
    assert _told(None, replace(running, unload_ids=())) == [(*accepted[:2], f"Accepted: swap nothing for {MODEL}.")]


def test_a_step_is_reported_once_when_it_is_done() -> None:
    def at(*states: StepState) -> Operation:
        names = ("plan", "unload", "place", "load")
        messages = ("It fits.", "2 GiB are free.", None, "Layer 3 of 8.")
        steps = tuple(Step(n, s, message=m) for n, s, m in zip(names, states, messages, strict=True))
        return replace(_operation(OperationState.RUNNING), steps=steps, by="alice")

    done, running, pending, failed = StepState.SUCCEEDED, StepState.RUNNING, StepState.PENDING, StepState.FAILED
    begin = f"Swap {OTHER} for {MODEL}, step"
    story = [
        (at(done, pending, pending, pending), ["Accepted from alice"]),
        (at(done, running, pending, pending), []),
        (at(done, done, running, pending), [f"{begin} unload: done. 2 GiB are free."]),
        (at(done, done, done, running), [f"{begin} place: done."]),
        (at(done, done, done, running), []),
        (at(done, done, done, failed), []),
        (at(done, done, done, failed), []),
    ]
    before: dict[str, Operation] = {}
    for operation, expected in story:
        after = {operation.id: operation}
        events = list(operation_events(before, after, lambda _: None))
        assert [event.message.partition(": swap")[0] for event in events] == expected
        assert {(event.severity, event.by) for event in events} <= {(Severity.INFO, "alice")}
        before = after


def test_a_log_line_of_an_event_has_the_keys_of_the_readme(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = EventLog(SQLiteStore(None), now=lambda: datetime(2026, 6, 22, tzinfo=UTC))
    log.record(operation_events({}, {"op-1": replace(_operation(OperationState.FAILED), by="alice")}, lambda _: None))
    log.record([Occurrence(kind=EventKind.EXO_UNREACHABLE, severity=Severity.ERROR, message="exo does not answer.")])
    lines = [orjson.loads(JsonFormatter().format(record)) for record in caplog.records]
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("| key | value |")[2].partition("\n\n")[0]
    keys = [key for row in table.splitlines() if row.startswith("| `") for key in KEY.findall(row.split("|")[1])]
    assert [set(line) for line in lines] == [set(keys)] * 3
    accepted, ended, unreachable = ({key: line[key] for key in keys if key != "time"} for line in lines)
    assert accepted == {
        "level": "info",
        "logger": "exo_graphql.events.log",
        "message": f"Accepted from alice: swap {OTHER} for {MODEL}.",
        "event": "OPERATION_ACCEPTED",
        "event_id": "event-1",
        "severity": "INFO",
        "model": MODEL,
        "node": None,
        "node_id": None,
        "operation": "op-1",
        "deployment": None,
        "by": "alice",
    }
    assert (ended["event"], ended["level"], ended["by"]) == ("OPERATION_ENDED", "error", "alice")
    assert (unreachable["event"], unreachable["level"], unreachable["operation"]) == ("EXO_UNREACHABLE", "error", None)


def test_the_deployment_that_it_is_for_is_named() -> None:
    events = operation_events({}, {"op-1": _operation(OperationState.RUNNING, "uid-1")}, {"uid-1": "night"}.get)
    (event,) = events
    assert event.deployment == "night"
    assert event.message == f"Accepted: swap {OTHER} for {MODEL} for the deployment night."
    assert (event.model_id, event.operation_id) == (MODEL, "op-1")
