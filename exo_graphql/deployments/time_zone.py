"""The time zone of the machine, by its IANA name: that of windows which name none."""

import os
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_LOCAL_TIME = Path("/etc/localtime")


def own_time_zone() -> str:
    """`TZ`, or what /etc/localtime leads to (Linux, macOS); UTC where neither says, as on Windows."""
    named = os.environ.get("TZ", "").removeprefix(":")
    _, separator, linked = str(_LOCAL_TIME.resolve()).partition("/zoneinfo/")
    for name in (named, linked if separator else ""):
        if name and _exists(name):
            return name
    return "UTC"


def _exists(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
