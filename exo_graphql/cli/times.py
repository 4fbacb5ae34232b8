"""Times as people give them to the command line, and windows of a schedule."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(\d{1,6})([mhd])")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")
_CRON_FIELDS = 5


def until(text: str, now: datetime | None = None) -> datetime:
    """A later time: `8h`, `06:00` (the next one, local time), or ISO 8601, which is local time where it has no zone.

    Raises ValueError with a message for the user.
    """
    present = (now or datetime.now(UTC)).astimezone()
    duration, clock = _DURATION.fullmatch(text.strip()), _CLOCK.fullmatch(text.strip())
    try:
        if duration:
            return present + timedelta(**{_UNITS[duration[2]]: int(duration[1])})
        if clock:
            # As a local time, so that the day on which clocks change has its own offset.
            local = present.replace(tzinfo=None)
            at = local.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
            return (at if at > local else at + timedelta(days=1)).astimezone()
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a time; write 8h, 06:00 or 2026-11-27T06:00") from None


def window(text: str) -> dict[str, Any]:
    """A window: a cron line, a duration, optionally a time zone, optionally `ready-by`.

    >>> window("0 6 * * * 17h Europe/Berlin ready-by")["durationMinutes"]
    1020

    Raises ValueError with a message for the user.
    """
    words = text.split()
    cron, rest = words[:_CRON_FIELDS], words[_CRON_FIELDS:]
    duration = _DURATION.fullmatch(rest[0]) if rest else None
    if duration is None or len(rest) > 3:
        raise ValueError(
            f"{text!r} is not a window; write five cron fields and a duration, such as '0 23 * * * 7h Europe/Berlin'"
        )
    named = {"cron": " ".join(cron), "durationMinutes": _minutes(duration)}
    for word in rest[1:]:
        if word == "ready-by":
            named["readyBy"] = True
        elif "timeZone" not in named:
            named["timeZone"] = word
        else:
            raise ValueError(f"{text!r} has two time zones")
    return named


def _minutes(duration: "re.Match[str]") -> int:
    return round(timedelta(**{_UNITS[duration[2]]: int(duration[1])}).total_seconds() / 60)
