"""A mutation on its way to the server that leads, and what can become of it. Nothing in here knows HTTP or GraphQL.

LeaderError
├── NoLeader       it was not carried out: no server that leads could be reached
│   └── NoDatabase     since the database is away, without which none leads
├── TooMany        it was not carried out: too many others wait
└── NoAnswer       nobody knows whether it was carried out
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

FORWARD_OUTCOMES = ("answered", "unreachable", "refused", "unknown")
"""How one ends: the second and the third were not carried out; of the last one nobody knows."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """What a caller of this server, who may operate, wants the leader to carry out."""

    query: str
    operation_name: str | None
    variables: Mapping[str, Any] | None
    by: str | None
    """The name of the caller's token."""
    trusted: bool
    """Whether this server knows the document, rather than that its caller wrote it."""
    repeatable: bool
    """Whether it happens once however often it arrives, so that it may be sent again."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the leader answered."""

    outcome: str
    """The name of an `Outcome`."""
    payload: bytes


class LeaderError(Exception):
    """There is no answer of the leader."""


class NoLeader(LeaderError):
    """No server that leads could be reached. The message says why, as a sentence without URLs."""


class NoDatabase(NoLeader):
    """No server leads, and the database does not answer this one."""


class TooMany(LeaderError):
    """Too many others wait for the leader."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} mutations wait for the server that leads.")
        self.limit = limit


class NoAnswer(LeaderError):
    """It was sent, and no answer came. The message says why, as a sentence without URLs."""


class Forwarder(Protocol):
    """Sends mutations to the server that leads."""

    @property
    def leads(self) -> bool:
        """Whether this server carries them out itself."""
        ...

    async def forward(self, mutation: Mutation) -> Answered | None:
        """The leader's answer; None where this server has begun to lead meanwhile. Raises `LeaderError`."""
        ...
