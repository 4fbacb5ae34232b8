"""Clock fields: values that are sent with a message and are never the reason for one.

They change with every read of exo's state. Their values have types of their own, so that a comparison
of two results can leave them out without knowing where in the results they are.
"""

from datetime import UTC, datetime


class VolatileText(str):
    """A point in time, or the version, in a clock field."""

    __slots__ = ()


class VolatileNumber(float):
    """A duration in a clock field."""

    __slots__ = ()


def moment(value: datetime) -> str:
    """UTC, ISO 8601, as the scalar DateTime writes it."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def clock_moment(value: datetime | None) -> VolatileText | None:
    """A point in time in a clock field."""
    return None if value is None else VolatileText(moment(value))


def clock_number(value: float | None) -> VolatileNumber | None:
    """A duration in a clock field."""
    return None if value is None else VolatileNumber(value)
