"""Untrusted JSON, decoded: each helper returns the value of a key if it has the expected type, else None."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Json = Mapping[str, Any]


def tagged(raw: object) -> tuple[str, Json]:
    """exo's unions are objects with one key, the tag; anything else has the tag ''."""
    if isinstance(raw, dict) and len(raw) == 1:
        ((tag, body),) = raw.items()
        return tag, body if isinstance(body, dict) else {}
    return "", {}


def mapping(raw: Json, key: str) -> Json:
    """An object; {} for anything else."""
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def mapping_or_none(raw: Json, key: str) -> Json | None:
    """An object."""
    value = raw.get(key)
    return value if isinstance(value, dict) else None


def list_or_none(raw: Json | None, key: str) -> list[Any] | None:
    """An array."""
    value = None if raw is None else raw.get(key)
    return value if isinstance(value, list) else None


def strings(value: object) -> tuple[str, ...] | None:
    """The strings of an array; what else it holds is left out."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else None


def string(raw: Json, key: str) -> str | None:
    """A string, perhaps empty."""
    value = raw.get(key)
    return value if isinstance(value, str) else None


def reported(raw: Json, key: str) -> str | None:
    """A string that a node has reported: until then exo fills in "Unknown", "Unknown Chip" and the like."""
    value = raw.get(key)
    return value if isinstance(value, str) and value and not value.startswith("Unknown") else None


def number(raw: Json, key: str) -> float | None:
    """A number below 10^18: no counter or sensor reaches that, and it would only overflow later."""
    value = raw.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18 else None


def not_negative(raw: Json, key: str) -> float | None:
    """A number from 0 up."""
    value = number(raw, key)
    return value if value is not None and value >= 0 else None


def integer(raw: Json, key: str) -> int | None:
    """A whole number that GraphQL's Int can hold (32 bits): a larger one counts no layers, files, ranks or tokens."""
    value = whole(raw.get(key))
    return value if value is not None and -(1 << 31) <= value < 1 << 31 else None


def whole(value: object) -> int | None:
    """A whole number of any size; true and false are none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def boolean(raw: Json, key: str) -> bool | None:
    """true or false."""
    value = raw.get(key)
    return value if isinstance(value, bool) else None


def size(raw: Json, key: str) -> int | None:
    """A size in bytes: `{"inBytes": n}`."""
    value = raw.get(key)
    in_bytes = value.get("inBytes") if isinstance(value, dict) else None
    return in_bytes if isinstance(in_bytes, int) and not isinstance(in_bytes, bool) and in_bytes >= 0 else None


def first_size(raw: Json, *keys: str) -> int | None:
    """The size under the first key that has one: exo has renamed some."""
    return next((found for found in (size(raw, key) for key in keys) if found is not None), None)


def moment(value: object) -> datetime | None:
    """A time in UTC, from ISO 8601; one without a zone is UTC."""
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value)
        return read.astimezone(UTC) if read.tzinfo is not None else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
