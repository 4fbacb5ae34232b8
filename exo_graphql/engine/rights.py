"""Who a caller is, and what it may do: read, or operate as well."""

from dataclasses import dataclass
from enum import Enum, unique


@unique
class Rights(Enum):
    """What a caller may do. A caller who may operate may read."""

    READ = "READ"
    OPERATE = "OPERATE"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request. `name` is that of its token; None where the token has none, or no token is required."""

    rights: Rights
    name: str | None = None


ANYONE = Caller(Rights.OPERATE)
"""A caller where no token is required."""
