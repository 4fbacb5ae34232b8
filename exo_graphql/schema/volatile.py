"""Clock fields: values that ride along with a message and are never the reason for one.

They move with every reading of exo's state. Each is marked by its type, so that whoever compares two results can leave
them out without knowing where in the results they are.
"""

from datetime import UTC, datetime


class VolatileText(str):
    """A moment, or the version, in a clock field."""

    __slots__ = ()


class VolatileNumber(float):
    """A duration in a clock field."""

    __slots__ = ()


def moment(value: datetime) -> str:
    """UTC, ISO 8601, as the scalar DateTime writes it."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def clock_moment(value: datetime | None) -> VolatileText | None:
    """A moment in a clock field."""
    return None if value is None else VolatileText(moment(value))


def clock_number(value: float | None) -> VolatileNumber | None:
    """A duration in a clock field."""
    return None if value is None else VolatileNumber(value)
