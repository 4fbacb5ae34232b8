"""What a schedule says of an instant, its lead included; and how attempts are spaced."""

from datetime import UTC, datetime, timedelta

import pytest

from exo_graphql.deployments.backoff import delay, is_due
from exo_graphql.deployments.deployment import LoadTime, Spec
from exo_graphql.deployments.schedule import Window
from exo_graphql.deployments.timetable import lead, timetable

DAY = Window("0 6 * * *", 17 * 60, "Europe/Berlin", ready_by=True)
NIGHT = Window("0 23 * * *", 7 * 60, "Europe/Berlin")


def berlin(text: str) -> datetime:
    """Summer time."""
    return datetime.fromisoformat(f"2026-06-{text}:00+02:00").astimezone(UTC)


def loads(*ended_and_seconds: tuple[str, float]) -> tuple[LoadTime, ...]:
    return tuple(LoadTime(berlin(ended), seconds) for ended, seconds in ended_and_seconds)


def test_the_lead_is_half_as_long_again_as_the_slowest_of_the_last_five_loads() -> None:
    known = loads(*((f"{day:02}T06:00", seconds) for day, seconds in enumerate((900, 600, 60, 60, 60, 120), 10)))
    assert lead(known, None, berlin("20T06:00")) == timedelta(seconds=900)


def test_a_load_counts_once_it_has_ended_two_hours_before_the_opening() -> None:
    known = loads(("19T06:00", 600), ("20T04:01", 6000))
    assert lead(known, None, berlin("20T06:00")) == timedelta(seconds=900)
    assert lead(known, None, berlin("21T06:00")) == timedelta(hours=2)


def test_before_the_first_load_the_lead_is_guessed_from_the_size() -> None:
    small, large = (lead((), gib << 30, berlin("20T06:00")) for gib in (1, 300))
    assert timedelta(minutes=1) < small < large <= timedelta(hours=2)


@pytest.mark.parametrize(
    ("at", "is_open", "in_lead", "until", "following"),
    [
        ("20T05:44", False, False, None, "20T06:00"),
        ("20T05:45", True, True, "20T23:00", "20T06:00"),
        ("20T06:00", True, False, "20T23:00", "21T06:00"),
        ("20T22:59", True, False, "20T23:00", "21T06:00"),
        ("20T23:00", False, False, None, "21T06:00"),
    ],
)
def test_within_its_lead_it_is_wanted_and_not_yet_open(
    at: str, is_open: bool, in_lead: bool, until: str | None, following: str
) -> None:
    table = timetable(Spec("m", schedule=(DAY,)), loads(("19T06:00", 600)), None, berlin(at))
    assert (table.open, table.in_lead) == (is_open, in_lead)
    assert table.open_until == (None if until is None else berlin(until))
    assert table.next_opening == berlin(following)
    assert berlin(at) < table.valid_until


def test_without_ready_by_nothing_looks_back() -> None:
    table = timetable(Spec("m", schedule=(NIGHT,)), (), 1 << 40, berlin("20T22:59"))
    assert not table.open
    assert table.wakes_at == berlin("20T23:00")


def test_without_a_schedule_it_is_always_wanted() -> None:
    table = timetable(Spec("m"), (), None, berlin("20T12:00"))
    assert table.open
    assert table.open_until is None
    assert table.next_opening is None


def test_the_spacing_triples_up_to_a_quarter_of_an_hour() -> None:
    assert [delay(attempts, 1.0).total_seconds() for attempts in range(1, 8)] == [10, 30, 90, 270, 810, 900, 900]
    assert delay(1000, 0.0).total_seconds() == pytest.approx(810)


def test_a_time_that_another_clock_has_set_holds_nothing_up() -> None:
    now = berlin("20T12:00")
    assert is_due(None, now)
    assert is_due(now, now)
    assert not is_due(now + timedelta(seconds=900), now)
    assert is_due(now + timedelta(hours=1), now)
