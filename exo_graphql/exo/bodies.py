"""The last body of exo's state, kept while another server follows this one (see `mirror`)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from exo_graphql.exo.conditional_reader import StateRead

FOLLOWED_FOR = 60.0
"""Seconds for which bodies are kept after a follower has asked: 4.4 MB for 32 nodes, which nobody else needs."""


@dataclass(frozen=True, slots=True)
class Received:
    """A body of `GET /state`."""

    number: int
    """Counts the different bodies of this process from 1."""
    body: bytes
    asked_at: float
    """When exo was asked for it last, as `Moment.elapsed`."""
    received_at: datetime
    """When it was received last (UTC)."""


class Bodies:
    """Keeps the last one, if anybody follows. `elapsed` is the clock of `Moment.elapsed`."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._followed_until = float("-inf")
        self._count = 0
        self.last: Received | None = None
        """None until a read that began after `follow`."""

    def follow(self) -> None:
        """Somebody follows, from now on for `FOLLOWED_FOR`."""
        self._followed_until = self._elapsed() + FOLLOWED_FOR

    def received(self, read: StateRead, at: datetime) -> None:
        """A state was read, and received `at` (UTC)."""
        if self._elapsed() >= self._followed_until:
            self.last = None
        elif self.last is not None and read.body in (None, self.last.body):
            self.last = replace(self.last, asked_at=read.asked_at, received_at=at)
        elif read.body is not None:
            self._count += 1
            self.last = Received(self._count, read.body, read.asked_at, at)
