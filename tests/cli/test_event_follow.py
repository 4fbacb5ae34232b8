"""`events --follow`: every event once and in order, whatever happens to the connection."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from exo_graphql.cli.event_follow import Position
from exo_graphql.events import EventKind, Occurrence, Severity
from tests.cli.conftest import Process, command_at
from tests.support.running import A
from tests.support.threaded import Served

Start = Callable[..., Process]
START = datetime(2026, 6, 22, 12, tzinfo=UTC)


def record(server: Served, *numbers: int, severity: Severity = Severity.INFO) -> None:
    occurrences = [Occurrence(kind=EventKind.ELECTION, severity=severity, message=f"Number {n}.") for n in numbers]
    server.call(lambda: server.server.components.events.record(occurrences))


def read(process: Process, count: int) -> list[str]:
    return [json.loads(process.line_with(""))["message"] for _ in range(count)]


def test_events_are_followed_through_interruptions_without_gap_or_repetition(tiny: Served, start: Start) -> None:
    record(tiny, *range(5))
    process = start("--url", tiny.url, "--json", "events", "--follow", "--last", "2")
    assert read(process, 2) == ["Number 3.", "Number 4."]
    record(tiny, 5, 6)
    assert read(process, 2) == ["Number 5.", "Number 6."]
    tiny.do(tiny.relay.close())
    record(tiny, 7, 8)
    assert process.popen.stderr is not None
    notes = [process.popen.stderr.readline() for _ in range(2)]
    tiny.do(tiny.relay.listen())
    assert read(process, 2) == ["Number 7.", "Number 8."]
    tiny.do(tiny.relay.close())
    tiny.do(tiny.relay.listen())
    record(tiny, 9)
    assert read(process, 1) == ["Number 9."]
    process.interrupt()
    ran = process.end()
    assert (ran.code, ran.out) == (130, "")
    # Each interruption is said, not each try; and that some may be missing is not.
    notes += ran.err.splitlines(keepends=True)
    assert all(note.endswith("Reconnecting.\n") for note in notes)
    assert [note for note, following in pairwise(notes) if note == following] == []


def test_what_is_followed_is_what_was_asked_for_and_reads_well(tiny: Served, start: Start) -> None:
    process = start("--url", tiny.url, "events", "-f", "--severity", "warning")
    record(tiny, 1)
    record(tiny, 2, severity=Severity.ERROR)
    line = process.line_with("")
    at, text = line[:19], line[19:]
    assert text == "  ERROR    Number 2.\n"
    assert abs(datetime.strptime(at, "%Y-%m-%d %H:%M:%S").astimezone() - datetime.now(UTC)) < timedelta(minutes=1)
    assert command_at(tiny.url)("models", "load", A, "--wait").code == 0
    record(tiny, 3, severity=Severity.WARNING)
    assert process.line_with("").endswith("  WARNING  Number 3.\n")


def test_without_a_server_it_exits_with_69(start: Start) -> None:
    assert start("--url", "http://127.0.0.1:1", "events", "--follow").end().code == 69


def event(number: int, seconds: float, boot: int = 0) -> dict[str, Any]:
    return {"id": f"event-{number}", "at": (START + timedelta(seconds=seconds, days=boot)).isoformat()}


def taken(position: Position, events: Iterable[dict[str, Any]]) -> list[str]:
    return [each["id"] for each in events if position.takes(each)]


def test_a_clock_that_was_set_back_hides_no_event() -> None:
    position = Position([event(1, 0), event(2, 40)])
    assert position.since == event(2, 40)["at"]
    position.interrupted()
    again = [event(1, 0), event(2, 40), event(3, 10)]
    assert taken(position, (each for each in again if each["at"] >= position.since)) == ["event-3"]
    assert not position.may_lack_some()


def test_a_server_with_a_new_store_numbers_anew_and_nothing_is_taken_for_old() -> None:
    position = Position([event(1, 0), event(2, 1)])
    position.interrupted()
    assert taken(position, [event(1, 0, boot=1)]) == ["event-1"]
    assert position.may_lack_some()
    assert taken(position, [event(2, 5, boot=1)]) == ["event-2"]
    assert not position.may_lack_some()


def test_where_nothing_had_happened_all_is_new() -> None:
    position = Position([])
    assert position.since < "1971"
    position.interrupted()
    assert taken(position, [event(1, 0), event(1, 0)]) == ["event-1"]
    assert not position.may_lack_some()
