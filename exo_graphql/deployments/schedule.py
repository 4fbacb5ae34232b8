"""When a deployment is wanted: windows that cron lines open. Pure: the instant is passed in, nothing is remembered.

A window opens at each firing of its cron line, in its own time zone, and stays open for a number of *elapsed*
minutes: 23:00 and 420 minutes end at 06:00, but at 07:00 in the night when clocks go forward and at 05:00 when they
go back. A firing is the start of a minute.

The two odd nights follow Debian's cron (its manual, and cronsim's README, "Cronsim and DST"). A line with fixed
minutes and hours fires once a day: a time that is skipped fires as soon as the gap is over (02:30 at 03:00), a time
that is repeated fires the first time. A line whose minute or hour field begins with `*` fires whenever the clock shows
such a time: not in a gap, and twice in an hour that is repeated.

cronsim parses the lines and finds the local times that match. Turning those into instants is done here, since what
cronsim 2.8 finds for `0 */2 * * *` depends on where it starts when a clock moves by half an hour (Lord Howe).
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

MAX_DURATION_MINUTES = 366 * 24 * 60
HORIZON = timedelta(days=400)
"""How far ahead an opening or a closing is looked for: one that comes once a year is found."""
MAX_STEPS = 2_000
"""Firings that one answer may examine. A line that fires every minute has a window that never closes; 2,000 of its
firings are 1.4 days, and take 30 ms."""

_MINUTE = timedelta(minutes=1)
# The longest time that a clock is put back by in today's time zones is two hours (Antarctica/Troll).
_LONGEST_REPEAT = timedelta(hours=3)
_ANY_DAY = datetime(2024, 1, 1)  # noqa: DTZ001 - a local time of no zone in particular


class InvalidWindow(ValueError):
    """An invalid window. `argument` is the field's public name."""

    def __init__(self, argument: str, message: str, suggestion: str) -> None:
        super().__init__(message)
        self.argument = argument
        self.message = message
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Window:
    """Opens at each firing of `cron` (five fields) in `time_zone` (IANA), for `duration_minutes` of elapsed time.

    `ready_by`: the firing is when the model must be ready, so it is wanted earlier, by a lead.
    """

    cron: str
    duration_minutes: int
    time_zone: str
    ready_by: bool = False

    @property
    def duration(self) -> timedelta:
        """How long it stays open."""
        return timedelta(minutes=self.duration_minutes)


@dataclass(frozen=True, slots=True)
class Span:
    """A time, in UTC, during which a schedule is open, or closed, without a break.

    `until` is when it changes; None if that is further away than `HORIZON`, or more than `MAX_STEPS` firings. It
    holds for certain until `certain_until`.
    """

    open: bool
    until: datetime | None
    certain_until: datetime


def check(window: Window) -> Window:
    """The window, its cron line in one spelling; raises `InvalidWindow` for one that is malformed or never opens."""
    fields = window.cron.split()
    if len(fields) != 5:  # cronsim itself takes six, with seconds
        raise InvalidWindow(
            "cron",
            f"{window.cron!r} has {len(fields)} fields, not five.",
            "Write minute, hour, day of the month, month and day of the week, e.g. '0 23 * * *' for 23:00 every day.",
        )
    cron = " ".join(fields)
    try:
        fires = next(CronSim(cron, _ANY_DAY), None) is not None
    except CronSimError as error:
        raise InvalidWindow(
            "cron", f"{cron!r} is not a cron line: {error}.", "E.g. '0 23 * * MON-FRI' for 23:00 on weekdays."
        ) from None
    if not fires:
        raise InvalidWindow("cron", f"{cron!r} never fires.", "Check the day and the month.")
    if not 1 <= window.duration_minutes <= MAX_DURATION_MINUTES:
        raise InvalidWindow(
            "durationMinutes",
            f"A window cannot be open for {window.duration_minutes} minutes.",
            f"Use 1 to {MAX_DURATION_MINUTES} minutes; leave the schedule out for a model that is always wanted.",
        )
    try:
        _zone(window.time_zone)
    except (KeyError, ValueError, OSError):  # what zoneinfo raises for unknown, malformed and directory names
        raise InvalidWindow(
            "timeZone", f"{window.time_zone!r} is not a time zone.", "Use an IANA name, e.g. 'Europe/Berlin'."
        ) from None
    return Window(cron, window.duration_minutes, window.time_zone, window.ready_by)


def firings(window: Window, after: datetime) -> Iterator[datetime]:
    """The firings later than `after`, in UTC, in their order. Endless, but for a line that fires no more in 50 years.

    >>> night = Window("30 2 * * *", 60, "Europe/Berlin")
    >>> next(firings(night, datetime(2026, 3, 28, 12, tzinfo=UTC)))  # 02:30 is skipped on the 29th: 03:00 CEST
    datetime.datetime(2026, 3, 29, 1, 0, tzinfo=datetime.timezone.utc)
    """
    zone = _zone(window.time_zone)
    minute, hour, *_ = window.cron.split()
    once_a_day = not minute.startswith("*") and not hour.startswith("*")
    last = after
    for instant in _in_order(_local_times(window.cron, after, zone), zone, once_a_day=once_a_day):
        if instant > last:
            last = instant
            yield instant


def is_open(windows: Sequence[Window], instant: datetime, lead: timedelta = timedelta(0)) -> bool:
    """Whether one of the windows is open; with `lead`, those that are `ready_by` open earlier by that much.

    No windows at all are always open.
    """
    return not windows or any(_is_open(window, instant, lead) for window in windows)


def span_at(windows: Sequence[Window], instant: datetime, lead: timedelta = timedelta(0)) -> Span:
    """Whether the schedule is open, and until when it stays so."""
    if not windows:
        return Span(open=True, until=None, certain_until=instant + HORIZON)
    return _closing(windows, instant, lead) if is_open(windows, instant, lead) else _opening(windows, instant, lead)


def next_opening(windows: Sequence[Window], instant: datetime, lead: timedelta = timedelta(0)) -> datetime | None:
    """When the schedule opens next, after it has closed if it is open now. None if never within `HORIZON`."""
    span = span_at(windows, instant, lead)
    if not span.open or span.until is None:
        return None if span.open else span.until
    return _opening(windows, span.until, lead).until


def openings(window: Window, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Each opening of one window that overlaps [begin, end): from and until. At most `MAX_STEPS`."""
    for firing, _ in zip(firings(window, begin - window.duration), range(MAX_STEPS), strict=False):
        if firing >= end:
            return
        yield firing, firing + window.duration


@lru_cache(maxsize=1_024)
def openings_a_day(window: Window) -> int:
    """The most that it opens on a day, whatever the day: 3 for `0 6,12,18 * * 1-5`."""
    parsed = CronSim(window.cron, _ANY_DAY)
    return len(parsed.minutes) * len(parsed.hours)


def bend(window: Window, firing: datetime) -> str | None:
    """How daylight saving time changes the opening at `firing`, in a sentence; None on an ordinary day.

    >>> bend(Window("0 23 * * *", 420, "Europe/Berlin"), datetime(2026, 3, 28, 22, tzinfo=UTC))
    'Ends at 07:00, not at 06:00: clocks go forward by 60 minutes.'
    """
    zone = _zone(window.time_zone)
    begins, ends = firing.astimezone(zone), (firing + window.duration).astimezone(zone)
    expected = (begins.replace(tzinfo=None) + window.duration).time()
    shift = ends.utcoffset() or timedelta(0)
    shift -= begins.utcoffset() or timedelta(0)
    if shift:
        return (
            f"Ends at {ends:%H:%M}, not at {expected:%H:%M}: clocks go {'forward' if shift > timedelta(0) else 'back'} "
            f"by {int(abs(shift) / _MINUTE)} minutes."
        )
    minute, hour, *_ = window.cron.split()
    if not minute.startswith("*") and not hour.startswith("*") and not _fires_at(window.cron, begins):
        return f"Opens at {begins:%H:%M}: the time that the line names is skipped, clocks go forward."
    return None


def _is_open(window: Window, instant: datetime, lead: timedelta) -> bool:
    early = lead if window.ready_by else timedelta(0)
    # Open at t means a firing f with f - early <= t < f + duration, so the first one after t - duration decides.
    first = next(firings(window, instant - window.duration), None)
    return first is not None and first - early <= instant


def _opening(windows: Sequence[Window], instant: datetime, lead: timedelta) -> Span:
    """The end of a closed span: the first firing of any window, less its lead."""
    horizon = instant + HORIZON
    found = [
        first - (lead if window.ready_by else timedelta(0))
        for window in windows
        if (first := next(firings(window, instant), None)) is not None
    ]
    until = min(found, default=None)
    if until is None or until > horizon:
        return Span(open=False, until=None, certain_until=horizon)
    return Span(open=False, until=until, certain_until=until)


def _closing(windows: Sequence[Window], instant: datetime, lead: timedelta) -> Span:
    """The end of an open span: each window that opens before the end found so far may move it further."""
    horizon = instant + HORIZON
    coming = [
        (firing, number, later)
        for number, window in enumerate(windows)
        if (firing := next(later := firings(window, instant - window.duration), None)) is not None
    ]
    # By the time at which each opens, its lead included.
    heap = [(firing - _early(windows[number], lead), number, firing, later) for firing, number, later in coming]
    heapq.heapify(heap)
    end = instant
    for _ in range(MAX_STEPS):
        if not heap or heap[0][0] > end:
            return Span(open=True, until=end, certain_until=end)
        if end > horizon:
            break
        _, number, firing, later = heapq.heappop(heap)
        end = max(end, firing + windows[number].duration)
        following = next(later, None)
        if following is not None:
            heapq.heappush(heap, (following - _early(windows[number], lead), number, following, later))
    return Span(open=True, until=None, certain_until=end)


def _early(window: Window, lead: timedelta) -> timedelta:
    return lead if window.ready_by else timedelta(0)


def _local_times(cron: str, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Local times that match, from a little before `after` where the clock is being put back."""
    local = after.astimezone(zone).replace(tzinfo=None)
    early, late = ((after + delta).astimezone(zone).utcoffset() for delta in (-_LONGEST_REPEAT, _LONGEST_REPEAT))
    if early != late:
        local -= _LONGEST_REPEAT
    # A skipped time fires when the gap is over, which is later than it says: begin before the gap, too.
    return iter(CronSim(cron, local - _MINUTE))


def _in_order(times: Iterable[datetime], zone: ZoneInfo, *, once_a_day: bool) -> Iterator[datetime]:
    """Their instants. Those of a repeated hour come twice, the second time after all of the first."""
    repeated: list[datetime] = []
    for local in times:
        first = _instant(local, zone, 0)
        if not _exists(local, first, zone):
            if not once_a_day:
                continue
            first = _after_gap(local, zone)
        while repeated and repeated[0] < first:
            yield heapq.heappop(repeated)
        yield first
        if not once_a_day:
            second = _instant(local, zone, 1)
            if second > first:
                heapq.heappush(repeated, second)
    yield from sorted(repeated)


def _instant(local: datetime, zone: ZoneInfo, fold: int) -> datetime:
    return local.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _exists(local: datetime, instant: datetime, zone: ZoneInfo) -> bool:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0) == local


def _after_gap(local: datetime, zone: ZoneInfo) -> datetime:
    """The first instant after the gap in which `local` lies.

    With the offset before the gap, a skipped time is as far behind its end as it is behind its beginning: 02:30 of a
    gap from 02:00 to 03:00 is 03:30. With the offset after it, it lies as far before its beginning: 01:30.
    """
    before, after = _instant(local, zone, 1), _instant(local, zone, 0)
    offset = before.astimezone(zone).utcoffset()
    low, high = before, after
    while high - low > _MINUTE:
        middle = low + (high - low) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high.replace(second=0, microsecond=0)


def _fires_at(cron: str, begins: datetime) -> bool:
    local = begins.replace(tzinfo=None, fold=0)
    return next(CronSim(cron, local - _MINUTE), None) == local


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
