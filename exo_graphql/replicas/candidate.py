"""Whether this server is to lead: not where it must not, and not while exo answers another server instead of this one.

    this server leads, exo is lost here ──▶ 10 s ──▶ does exo answer another one? ──▶ the lease ends, that one takes it
                                                     └ no, or nobody knows: it leads on

A follower whose leader has lost exo reads exo itself at once, so that after these 10 s each knows, and shows the
others, whether exo answers it. Where exo is down for all, nothing changes hands. Where it answers now this one and now
that one, a server gives the lead away once a minute at most.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol, Self

from exo_graphql.storage.leadership import Leaderless, Leadership, Replica

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at what has changed."""
HAND_OVER_AFTER = 10.0
"""Seconds without exo after which this server leaves the lead to one that exo answers: longer than an election of exo
takes, and than others need to ask exo themselves."""
HAND_OVER_EVERY = 60.0
"""The least seconds between two times that this server does so."""
_READ_ONLY = "is read-only (--read-only)"
_OF_ANOTHER_CLUSTER = "has an --exo-url of another cluster"


class Exo(Protocol):
    """What is known of exo here: `Poller`."""

    def silent_for(self) -> float:
        """Seconds since exo itself was lost; 0 where it has answered the last request."""
        ...

    @property
    def reads_exo(self) -> bool | None:
        """Whether it answers here; None where that is not known, since the copy of another server is read."""
        ...

    @property
    def is_of_another_cluster(self) -> bool:
        """Whether it is not the cluster of the servers that share the store."""
        ...


class Candidate:
    """Of a server that shares its store. Use as `async with`, with a store that is open."""

    def __init__(self, leadership: Leadership, exo: Exo, *, read_only: bool, elapsed: Callable[[], float]) -> None:
        self._leadership = leadership
        self._exo = exo
        self._read_only = read_only
        self._elapsed = elapsed
        self._handed_over_at = float("-inf")
        """By `elapsed`."""
        self._leaderless: Leaderless | None = None
        """At the last look."""
        self._logged: str | None = None
        """Why no server can lead, as the log says."""
        self._task: asyncio.Task[None] | None = None
        self._describe()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="candidate")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def may_lead(self) -> bool:
        """Whether this server may begin to lead, where nobody does."""
        if self._barred() is not None:
            return False
        return self._exo.reads_exo is not False or all(other.reads_exo is False for other in self._others())

    async def _run(self) -> None:
        while True:
            self._describe()
            self._hand_over()
            self._log()
            await asyncio.sleep(LOOK_EVERY)

    def _describe(self) -> None:
        self._leadership.describe(barred=self._barred(), reads_exo=self._exo.reads_exo)

    def _barred(self) -> str | None:
        if self._read_only:
            # It would refuse what the others pass on to their leader.
            return _READ_ONLY
        return _OF_ANOTHER_CLUSTER if self._exo.is_of_another_cluster else None

    def _others(self) -> Iterable[Replica]:
        """Those that may lead."""
        own = self._leadership.own.id
        return (each for each in self._leadership.replicas if each.id != own and each.barred is None)

    def _hand_over(self) -> None:
        silent = self._exo.silent_for()
        if not self._leadership.leads or silent < HAND_OVER_AFTER or not any(each.reads_exo for each in self._others()):
            return
        if self._elapsed() - self._handed_over_at < HAND_OVER_EVERY:
            return
        self._handed_over_at = self._elapsed()
        log.warning("exo has not answered this server for %.0f s, and answers another one: that one may lead.", silent)
        self._leadership.resign()

    def _log(self) -> None:
        before, self._leaderless = self._leaderless, self._leadership.leaderless
        # Twice: between two leaders there is none for a moment. What is wrong with the database is logged already.
        lasts = self._leaderless if self._leaderless == before else None
        if lasts is not None and lasts.is_certain and lasts.message != self._logged:
            log.warning("%s", lasts.hint)
        self._logged = None if self._leaderless is None else self._logged if lasts is None else lasts.message
