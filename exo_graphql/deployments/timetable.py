"""Whether the schedule of one deployment is open at an instant, its lead included. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from exo_graphql.deployments.deployment import LoadTime, Spec
from exo_graphql.deployments.schedule import next_opening, span_at

LEAD_FACTOR = 1.5
LEAD_LOADS = 5
MAX_LEAD = timedelta(hours=2)
"""Also how long before an opening a load must have ended to count: so the lead does not change while it is used."""
GUESSED_BASE_SECONDS = 60.0
GUESSED_BYTES_PER_SECOND = 0.5 * (1 << 30)
"""The estimate for a first load. A slow disk reads 1 GiB a second; starting and warming up takes as long again.

For example 60 GiB: 60 s + 60 / 0.5 s = 180 s, and a lead of 270 s.
"""


@dataclass(frozen=True, slots=True)
class Timetable:
    """All times are UTC.

    `open` includes the lead. `open_until` is when the present opening ends; None while closed, or where it ends later
    than `HORIZON`. `next_opening` is the next firing, without any lead; None if there is none before `HORIZON`. All of
    it holds until `valid_until`.
    """

    since: datetime
    """When it was computed."""
    open: bool
    in_lead: bool
    open_until: datetime | None
    next_opening: datetime | None
    wakes_at: datetime | None
    """When it is wanted next: `next_opening` less the lead."""
    valid_until: datetime


def timetable(spec: Spec, load_times: tuple[LoadTime, ...], size_bytes: int | None, now: datetime) -> Timetable:
    """The schedule at `now`. `size_bytes` are the model's weights, None where they are not known."""
    windows = spec.schedule
    plain = span_at(windows, now)
    if not any(window.ready_by for window in windows):
        following = next_opening(windows, now) if plain.open else plain.until
        return Timetable(
            since=now,
            open=plain.open,
            in_lead=False,
            open_until=plain.until if plain.open else None,
            next_opening=following,
            wakes_at=following,
            valid_until=plain.certain_until,
        )
    opening = next_opening(windows, now)
    ahead = lead(load_times, size_bytes, opening) if opening is not None else timedelta(0)
    early = span_at(windows, now, ahead)
    return Timetable(
        since=now,
        open=early.open,
        in_lead=early.open and not plain.open,
        open_until=early.until if early.open else None,
        next_opening=opening,
        wakes_at=next_opening(windows, now, ahead),
        valid_until=min(plain.certain_until, early.certain_until),
    )


def lead(load_times: tuple[LoadTime, ...], size_bytes: int | None, opening: datetime) -> timedelta:
    """How long before `opening` loading must begin: 1.5 times the slowest of the last loads, two hours at most.

    >>> ended = datetime(2026, 1, 1)
    >>> lead((LoadTime(ended, 600.0),), None, datetime(2026, 1, 2))
    datetime.timedelta(seconds=900)
    """
    ended = tuple(load for load in load_times if load.ended_at <= opening - MAX_LEAD)
    return min(MAX_LEAD, timedelta(seconds=usual_seconds(ended, size_bytes) * LEAD_FACTOR))


def usual_seconds(load_times: tuple[LoadTime, ...], size_bytes: int | None) -> float:
    """Seconds: the slowest of the last five loads, or an estimate by size before the first."""
    known = [load.seconds for load in load_times[-LEAD_LOADS:]]
    return max(known, default=GUESSED_BASE_SECONDS + (size_bytes or 0) / GUESSED_BYTES_PER_SECOND)
