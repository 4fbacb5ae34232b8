"""Noticing: a cheap read that only says whether the whole state is worth its cost now.

`GET /state/runners` costs exo a fifth of `GET /state` (`exo/API.md`: 7.7 ms against 38.7 ms), so it can be asked
several times as often. Two reads of two paths are not one consistent state: nothing of it goes into a snapshot. It only
brings the next whole read forward. With a state of 200 ms, read every 1.3 s, a model that has become ready is
known 0.87 s later on average. With a cheap read of 40 ms every 0.22 s it is noticed after 0.11 s, and known 0.24 s
after that.

exo has had these paths since v1.0.71. An older one answers 404, and is read at the usual pace alone.
"""

from collections import deque
from collections.abc import Mapping
from enum import IntEnum

import orjson

from exo_graphql.cluster.state import Runner, RunnerStatus
from exo_graphql.exo.pacing import MINUTE, NOTICE_COST, NOTICE_COST_LASTS, Mode, PollerRules, notice_pause
from exo_graphql.exo.parse.runners import read_runner


class NotRunners(ValueError):
    """The body is no answer to `GET /state/runners`."""


class News(IntEnum):
    """What a cheap read found, against the last whole state."""

    NONE = 0
    PROGRESS = 1
    """More layers have been loaded, and nothing else: the next whole read comes a little sooner."""
    STEP = 2
    """A runner is a step further on its way to `RunnerReady`, or has answered: nothing that people wait for. The whole
    state is read at once as long as much of the minute's share is left and none may become ready at any moment, else a
    little sooner."""
    STATUS = 3
    """A runner has come, gone, become ready, begun to answer, or failed: the whole state is read at once."""


def read_runners(body: bytes) -> dict[str, Runner]:
    """The runners by their ids, from the body of `GET /state/runners`. Raises `NotRunners`."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise NotRunners(f"not JSON: {error}") from error
    if not isinstance(document, dict) or not all(isinstance(raw, dict) for raw in document.values()):
        raise NotRunners("no runners by their ids")
    return {id_: read_runner(raw) for id_, raw in document.items()}


def find_news(runners: Mapping[str, Runner], known: Mapping[str, Runner]) -> News:
    """Compares what a cheap read found with the runners of the last whole state."""
    if runners.keys() != known.keys():
        return News.STATUS
    return max((_news(known[id_], runner) for id_, runner in runners.items()), default=News.NONE)


_ON_THE_WAY = {
    RunnerStatus.IDLE,
    RunnerStatus.CONNECTING,
    RunnerStatus.CONNECTED,
    RunnerStatus.LOADING,
    RunnerStatus.LOADED,
    RunnerStatus.WARMING_UP,
}


def _news(before: Runner, now: Runner) -> News:
    if now.status is not before.status:
        has_answered = before.status is RunnerStatus.RUNNING and now.status is RunnerStatus.READY
        return News.STEP if has_answered or {before.status, now.status} <= _ON_THE_WAY else News.STATUS
    return News.PROGRESS if now.layers_loaded != before.layers_loaded else News.NONE


class RecentCost:
    """How much of exo's time some reads have taken in the last minute. Times are `Moment.elapsed`, in seconds."""

    def __init__(self) -> None:
        self._reads: deque[tuple[float, float]] = deque()
        """When each read ended, and what it cost; none is older than a minute."""
        self._sum = 0.0

    def add(self, ended_at: float, cost: float) -> None:
        """A read has ended."""
        self._reads.append((ended_at, cost))
        self._sum += cost

    def total(self, now: float) -> float:
        """Seconds of exo's time since a minute ago."""
        while self._reads and self._reads[0][0] <= now - MINUTE:
            self._sum -= self._reads.popleft()[1]
        return max(0.0, self._sum)

    def falls_to(self, limit: float, now: float) -> float:
        """When the total will be `limit` or less, if nothing is read until then."""
        left = self.total(now)
        for ended_at, cost in self._reads:
            if left <= limit:
                break
            left -= cost
            now = ended_at + MINUTE
        return now


class Notices:
    """When a cheap read is due, and what cheap and whole reads together have cost exo. Pure."""

    def __init__(self, rules: PollerRules) -> None:
        self._rules = rules
        self._cost: float | None = None
        """Usual duration of a cheap read, an exponentially weighted mean; None before the first."""
        self._noticed_at = float("-inf")
        """End of the last cheap read."""
        self._all = RecentCost()
        """What all reads cost: cheap ones, and those for their news, keep to the share of the minute."""
        self._fast = RecentCost()
        """What the reads in `Mode.FAST` cost: whole ones at its pace wait for what cheap ones took."""

    @property
    def cost(self) -> float | None:
        """Usual duration of a cheap read, in seconds; None before the first."""
        return self._cost

    def due(self, mode: Mode, whole_cost: float, rested_at: float, now: float, *, near: bool) -> float:
        """When the next cheap read is due; infinite if it gains nothing. `rested_at`: end of the last whole read.

        `near`: see `notice_pause`.
        """
        cost, spent = self._usual_cost(whole_cost, now), self._all.total(now)
        wait = notice_pause(mode, whole_cost, cost, spent, self._rules, near=near)
        if wait is None:
            return float("inf")
        # A whole read shows what was when it began. So that no chat is missed, the pause after it begins there.
        return max(rested_at - whole_cost if mode is Mode.NORMAL else rested_at, self._noticed_at) + wait

    def whole_read_due(self, whole_cost: float, now: float) -> float:
        """The earliest time of a whole read in `Mode.FAST` that keeps to `fast_share` of the minute."""
        return self._fast.falls_to(self._rules.fast_share * MINUTE - whole_cost, now)

    def news_read_due(self, whole_cost: float, now: float) -> float:
        """The earliest time of a whole read for news: with it, all reads keep to `fast_share` of the minute."""
        return self._all.falls_to(self._rules.fast_share * MINUTE - whole_cost, now)

    def share_left(self, now: float) -> float:
        """How much of the minute's share is left, from 0 to 1."""
        return 1.0 - self._all.total(now) / (self._rules.fast_share * MINUTE)

    def spent(self, mode: Mode, cost: float, now: float) -> None:
        """A read of either kind has ended, and took `cost` seconds."""
        self._all.add(now, cost)
        if mode is Mode.FAST:
            self._fast.add(now, cost)

    def noticed(self, mode: Mode, cost: float, whole_cost: float, now: float) -> None:
        """A cheap read was answered, or failed, after `cost` seconds. `whole_cost`: that of a whole one, usually."""
        before = self._usual_cost(whole_cost, now - cost)
        self._cost = before + self._rules.cost_weight * (cost - before)
        self._noticed_at = now
        self.spent(mode, cost, now)

    def _usual_cost(self, whole_cost: float, now: float) -> float:
        """What a cheap read costs, as far as that was measured lately.

        Else one that exo was slow to answer might end them all: after 7.7 ms as usual and 100 once the mean is 31, by
        which they gain nothing where a whole read takes 39, so that none would ever show that it is 7.7 again.
        """
        if self._cost is None or now - self._noticed_at > NOTICE_COST_LASTS:
            return NOTICE_COST * whole_cost
        return self._cost
