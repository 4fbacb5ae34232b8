"""Windows: when they open and close, in every zone and on both odd nights, against an independent count."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exo_graphql.deployments.schedule import (
    HORIZON,
    InvalidWindow,
    Window,
    bend,
    check,
    firings,
    is_open,
    next_opening,
    openings,
    span_at,
)

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "Africa/Casablanca",  # back for Ramadan
    "America/Havana",  # at midnight
    "Antarctica/Troll",  # two hours
    "Asia/Beirut",
    "Africa/Cairo",
    "America/St_Johns",
    "UTC",
)
BERLIN = "Europe/Berlin"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _counted(cron: str, zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Minute by minute, for lines of numbers, lists and `*/n` in the first two fields alone."""
    minutes, hours = (_numbers(field, limit) for field, limit in zip(cron.split()[:2], (60, 24), strict=True))
    once = "*" not in "".join(field[0] for field in cron.split()[:2])
    instant = begin
    before: datetime | None = None
    while instant < end:
        local = instant.astimezone(zone)
        shown = local.replace(tzinfo=None, fold=0)
        skipped = [] if before is None else _between(before + MINUTE, shown)
        matches = shown.hour in hours and shown.minute in minutes
        if once:
            if any(time.hour in hours and time.minute in minutes for time in skipped) or (matches and not local.fold):
                yield instant
        elif matches:
            yield instant
        instant, before = instant + MINUTE, shown


def _numbers(field: str, limit: int) -> set[int]:
    if field.startswith("*"):
        return set(range(0, limit, int(field[2:] or 1)))
    return {int(number) for number in field.split(",")}


def _between(begin: datetime, end: datetime) -> list[datetime]:
    return [begin + MINUTE * n for n in range(max(0, (end - begin) // MINUTE))]


@cache
def _changes(zone: ZoneInfo, year: int = 2026) -> list[datetime]:
    """The hours of the year in which the zone's offset changes; an ordinary one if there are none."""
    hours = [datetime(year, 1, 1, tzinfo=UTC) + HOUR * n for n in range(366 * 24)]
    offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
    found = [hour for hour, (a, b) in zip(hours, pairwise(offsets), strict=False) if a != b]
    return found or [datetime(year, 5, 1, tzinfo=UTC)]


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize(
    "cron",
    ["30 2 * * *", "0 0 * * *", "15 1 * * *", "45 0,1,2,3 * * *", "59 23 * * *", "0 */2 * * *", "*/15 * * * *"],
)
def test_firings_are_those_of_debians_cron_wherever_the_search_begins(name: str, cron: str) -> None:
    zone, window = ZoneInfo(name), Window(cron, 60, name)
    for change in _changes(zone):
        begin, end = change - 26 * HOUR, change + 26 * HOUR
        expected = list(_counted(cron, zone, begin, end))
        for minutes in (-26 * 60, -61, -31, -1, 0, 1, 29, 59, 61, 121):
            start = change + minutes * MINUTE
            found = list(takewhile(end.__gt__, firings(window, start)))
            assert found == [firing for firing in expected if firing > start], (change, minutes)


@pytest.mark.parametrize(
    ("cron", "opens", "closes"),
    [
        ("0 23 * * *", "2026-03-28T22:00", "2026-03-29T05:00"),  # 07:00 CEST: seven hours later
        ("0 23 * * *", "2026-10-24T21:00", "2026-10-25T04:00"),  # 05:00 CET
        ("30 2 * * *", "2026-03-29T01:00", "2026-03-29T08:00"),  # skipped: as soon as the gap is over
        ("30 2 * * *", "2026-10-25T00:30", "2026-10-25T07:30"),  # repeated: the first time
    ],
)
def test_a_window_lasts_as_long_on_the_odd_nights(cron: str, opens: str, closes: str) -> None:
    windows = [Window(cron, 420, BERLIN)]
    assert not is_open(windows, utc(opens) - MINUTE)
    assert is_open(windows, utc(opens))
    assert span_at(windows, utc(opens)).until == utc(closes)
    assert is_open(windows, utc(closes) - MINUTE)
    assert not is_open(windows, utc(closes))


def test_a_server_that_starts_within_the_window_is_in_it() -> None:
    span = span_at([Window("0 23 * * *", 420, BERLIN)], utc("2026-01-10T02:40"))
    assert (span.open, span.until) == (True, utc("2026-01-10T05:00"))


def test_overlapping_windows_are_one_and_open_once() -> None:
    windows = [Window("0 22 * * *", 240, "UTC"), Window("0 1 * * *", 120, "UTC")]
    assert span_at(windows, utc("2026-01-10T22:30")).until == utc("2026-01-11T03:00")
    assert next_opening(windows, utc("2026-01-10T22:30")) == utc("2026-01-11T22:00")
    assert next_opening(windows, utc("2026-01-11T12:00")) == utc("2026-01-11T22:00")


def test_windows_that_touch_do_not_close_between() -> None:
    windows = [Window("0 22 * * *", 120, "UTC"), Window("0 0 * * *", 60, "UTC")]
    assert span_at(windows, utc("2026-01-10T22:30")).until == utc("2026-01-11T01:00")


def test_a_window_of_several_days_is_open_in_between() -> None:
    windows = [Window("0 18 * * FRI", 60 * 62, BERLIN)]  # until Monday 08:00
    assert span_at(windows, utc("2026-01-11T12:00")).until == utc("2026-01-12T07:00")
    assert not is_open(windows, utc("2026-01-12T07:00"))


@pytest.mark.parametrize("cron", ["* * * * *", "0 0 * * *"])
def test_a_window_that_reopens_before_it_closes_never_closes(cron: str) -> None:
    windows = [Window(cron, 1440, "UTC")]
    span = span_at(windows, utc("2026-01-10T12:00"))
    assert (span.open, span.until) == (True, None)
    assert span.certain_until > utc("2026-01-11T12:00")
    assert next_opening(windows, utc("2026-01-10T12:00")) is None


def test_no_window_is_always_open() -> None:
    span = span_at([], utc("2026-01-10T12:00"))
    assert (span.open, span.until) == (True, None)
    assert next_opening([], utc("2026-01-10T12:00")) is None


def test_one_that_opens_in_two_years_is_closed_until_further_notice() -> None:
    span = span_at([Window("0 0 29 2 *", 60, "UTC")], utc("2026-03-01T00:00"))
    assert (span.open, span.until, span.certain_until) == (False, None, utc("2026-03-01T00:00") + HORIZON)


def test_ready_by_opens_earlier_by_the_lead_and_closes_when_it_would() -> None:
    windows = [Window("0 6 * * *", 60, "UTC", ready_by=True), Window("0 12 * * *", 60, "UTC")]
    lead = timedelta(minutes=20)
    assert not is_open(windows, utc("2026-01-10T05:39"), lead)
    assert is_open(windows, utc("2026-01-10T05:40"), lead)
    assert not is_open(windows, utc("2026-01-10T05:40"))
    assert span_at(windows, utc("2026-01-10T05:45"), lead).until == utc("2026-01-10T07:00")
    assert next_opening(windows, utc("2026-01-10T00:00"), lead) == utc("2026-01-10T05:40")
    assert not is_open(windows, utc("2026-01-10T11:50"), lead), "the other window has no lead"


@pytest.mark.parametrize(
    ("cron", "firing", "expected"),
    [
        ("0 23 * * *", "2026-03-28T22:00", "Ends at 07:00, not at 06:00: clocks go forward by 60 minutes."),
        ("0 23 * * *", "2026-10-24T21:00", "Ends at 05:00, not at 06:00: clocks go back by 60 minutes."),
        (
            "30 2 * * *",
            "2026-03-29T01:00",
            "Opens at 03:00: the time that the line names is skipped, clocks go forward.",
        ),
        ("0 23 * * *", "2026-05-01T21:00", None),
    ],
)
def test_what_daylight_saving_changes_is_explained(cron: str, firing: str, expected: str | None) -> None:
    assert bend(Window(cron, 420, BERLIN), utc(firing)) == expected


@pytest.mark.parametrize(
    ("window", "argument"),
    [
        (Window("0 23 * *", 60, BERLIN), "cron"),
        (Window("0 0 23 * * *", 60, BERLIN), "cron"),
        (Window("", 60, BERLIN), "cron"),
        (Window("61 * * * *", 60, BERLIN), "cron"),
        (Window("0 25 * * *", 60, BERLIN), "cron"),
        (Window("0 0 31 2 *", 60, BERLIN), "cron"),
        (Window("0 0 30 2 *", 60, BERLIN), "cron"),
        (Window("@daily", 60, BERLIN), "cron"),
        (Window("0 23 * * *", 0, BERLIN), "durationMinutes"),
        (Window("0 23 * * *", -5, BERLIN), "durationMinutes"),
        (Window("0 23 * * *", 10**9, BERLIN), "durationMinutes"),
        (Window("0 23 * * *", 60, "Europe/Nowhere"), "timeZone"),
        (Window("0 23 * * *", 60, ""), "timeZone"),
        (Window("0 23 * * *", 60, "Europe"), "timeZone"),
        (Window("0 23 * * *", 60, "../../etc/passwd"), "timeZone"),
        (Window("0 23 * * *", 60, "x" * 5000), "timeZone"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_argument(window: Window, argument: str) -> None:
    with pytest.raises(InvalidWindow) as refused:
        check(window)
    assert refused.value.argument == argument
    assert refused.value.suggestion


def test_a_valid_window_is_kept_in_one_spelling() -> None:
    assert check(Window("  0 23  * * mon-fri", 60, BERLIN)) == Window("0 23 * * mon-fri", 60, BERLIN)


_CRONS = st.builds(
    "{} {} * * {}".format,
    st.sampled_from(["0", "30", "*/20", "5,35"]),
    st.sampled_from(["*", "2", "23", "*/6", "1-3"]),
    st.sampled_from(["*", "MON-FRI", "SUN"]),
)
_WINDOWS = st.builds(
    Window, _CRONS, st.sampled_from([1, 45, 420, 3000]), st.sampled_from(ZONES), ready_by=st.booleans()
)


@given(
    st.lists(_WINDOWS, min_size=1, max_size=3),
    st.datetimes(datetime(2026, 3, 20), datetime(2026, 4, 10))  # noqa: DTZ001
    | st.datetimes(datetime(2026, 10, 20), datetime(2026, 11, 5)),  # noqa: DTZ001
    st.sampled_from([timedelta(0), timedelta(minutes=25), timedelta(hours=2)]),
)
@settings(max_examples=150, deadline=None)
def test_a_span_says_what_asking_at_each_instant_says(windows: list[Window], at: datetime, lead: timedelta) -> None:
    instant = at.replace(tzinfo=UTC)
    span = span_at(windows, instant, lead)
    assert span.open == is_open(windows, instant, lead)
    last = min(span.certain_until, instant + timedelta(days=3))
    for step in range(1, 40):
        inside = instant + (last - instant) * step / 40
        assert is_open(windows, inside, lead) == span.open, inside
    if span.until is not None:
        assert is_open(windows, span.until - timedelta(microseconds=1), lead) == span.open
        assert is_open(windows, span.until, lead) != span.open


@given(_WINDOWS, st.integers(0, 60 * 24 * 10))
@settings(max_examples=60, deadline=None)
def test_a_window_is_open_exactly_within_its_openings(window: Window, minutes: int) -> None:
    instant = utc("2026-03-25T00:00") + minutes * MINUTE
    covering = [entry for entry in openings(window, instant, instant + MINUTE) if entry[0] <= instant < entry[1]]
    assert bool(covering) == is_open([window], instant)
