"""When exo is read next, and whether its whole state or only its runners (a cheap read, see `notice`).

For an operation that waits for a model of 3 nodes to load (a whole read takes 0.039 s, a cheap one 0.008 s; the usual
pause between two whole reads is 0.22 s):

    0.00 s  the operation begins: a whole read at once, on credit (`credit`)
    0.09 s  0.05 s after its end (`pacing.FAST_NOTICE_PAUSE`) a cheap read, then one every 0.06 s
    0.92 s  a whole read all the same, 4 usual pauses after the last, or 2 if a cheap read has found progress
    1.40 s  a cheap read finds that a runner is ready: a whole read at once

A load of minutes would use up the share of each minute (9 s of exo's time) before its end. So a third of it is kept for
the end: before that cheap reads are rarer, down to one each usual pause, and steps and progress wait for the next whole
read, where less is left (`pacing.RESERVED`).

Times are `Moment.elapsed`, in seconds; a time of minus infinity is due at once, one of infinity never.
"""

from collections.abc import Mapping

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Runner
from exo_graphql.exo.credit import Credit
from exo_graphql.exo.demand import Demand, is_nearly_ready, shows_in_runners
from exo_graphql.exo.endpoints import Endpoints
from exo_graphql.exo.notice import News, Notices
from exo_graphql.exo.pacing import (
    FAST_NOTICE_PAUSE,
    PROGRESS_EVERY,
    RESERVED,
    WHOLE_EVERY,
    Mode,
    PollerRules,
    notice_timeout,
    pause,
)
from exo_graphql.exo.poller_stats import PollerStats
from exo_graphql.exo.silence import Silence

_NEVER = float("inf")
_AT_ONCE = float("-inf")


class Schedule:
    """Weighs who needs the state (`Demand`) against what reading has cost exo. Pure, but for these two."""

    def __init__(
        self, rules: PollerRules, demand: Demand, endpoints: Endpoints, silence: Silence, stats: PollerStats
    ) -> None:
        self._rules = rules
        self._demand = demand
        self._endpoints = endpoints
        self._silence = silence
        self._stats = stats
        self._credit = Credit()
        self._notices = Notices(rules)
        self._news = News.NONE
        """What the last cheap read found; nothing any more once the whole state has been read."""
        self._runners: Mapping[str, Runner] | None = None
        """As the last cheap read found them; None once the whole state has been read."""
        self._rested_at = _AT_ONCE
        """End of the last whole read, good or not."""

    @property
    def _cost(self) -> float:
        return self._stats.cost or 0.0

    @property
    def _fast_pause(self) -> float:
        return pause(Mode.FAST, self._cost, self._rules)

    def whole_read_due(self, snapshot: Snapshot | None, now: float) -> float:
        """When the whole state is read next; `snapshot` is the newest."""
        if self._endpoints.all_down:
            return _NEVER
        if self._silence.since is not None:
            return _AT_ONCE
        fast = self._fast_pause
        if self._demand.urgent:
            return self._rested_at + self._credit.urgent(fast)
        if self._demand.query_waits:
            return self._rested_at + self._credit.usual(fast)
        mode = self._demand.mode(snapshot)
        if self.waits_for_news(snapshot):
            # A short pause all the same: a proxy may drop the header that makes the answer wait.
            return self._rested_at + FAST_NOTICE_PAUSE
        has_plenty = self._notices.share_left(now) >= RESERVED
        # Where one may become ready at any moment, no read of a step: what happens during it would be seen after it.
        near = snapshot is not None and self._is_near(snapshot)
        if self._news is News.STATUS or (self._news is News.STEP and has_plenty and not near):
            at_the_latest = self._rested_at + pause(Mode.NORMAL, self._cost, self._rules)
            allowed = min(self._notices.news_read_due(self._cost, now), at_the_latest)
            return max(self._rested_at + self._credit.urgent(fast), allowed)
        if mode is not Mode.FAST:
            return self._rested_at + pause(mode, self._cost, self._rules)
        if self.cheap_read_due(snapshot, now) < _NEVER:
            every = PROGRESS_EVERY if self._news is not News.NONE and has_plenty else WHOLE_EVERY
            return self._rested_at + every * fast
        return max(self._rested_at + self._credit.usual(fast), self._notices.whole_read_due(self._cost, now))

    @property
    def has_news(self) -> bool:
        """Whether the next read is for what a cheap one has found."""
        return self._news is News.STATUS

    def waits_for_news(self, snapshot: Snapshot | None) -> bool:
        """Whether the next read may wait for another state (`COPY_WAIT`), so that it needs hardly any pause."""
        return self._endpoints.current.is_copy and self._demand.mode(snapshot) is not Mode.IDLE

    def cheap_read_due(self, snapshot: Snapshot | None, now: float) -> float:
        """When a cheap read is next; never while exo is silent, or if it has none.

        Nor while something is waited for that runners do not show: then the whole state is read at the usual pace.
        """
        endpoint = self._endpoints.current
        if self._news is News.STATUS:
            return _NEVER  # the whole state is read as soon as the share of the minute allows
        if not endpoint.has_runners or not endpoint.answers or self._silence.since is not None or snapshot is None:
            return _NEVER
        mode = self._demand.mode(snapshot)
        if mode is Mode.FAST and not shows_in_runners(snapshot):
            return _NEVER
        near = mode is not Mode.FAST or self._is_near(snapshot)
        return self._notices.due(mode, self._cost, self._rested_at, now, near=near)

    def _is_near(self, snapshot: Snapshot) -> bool:
        """Whether a model may become ready at any moment."""
        return is_nearly_ready(snapshot, self._runners or snapshot.state.runners)

    def cheap_read_timeout(self) -> float:
        """How long a cheap read may take."""
        return notice_timeout(self._stats.cost, self._notices.cost, self._rules)

    def whole_read_begins(self, now: float, wait: float = 0.0) -> None:
        """A read of the whole state begins. During a silence reads are only tries: nothing is owed.

        `wait`: seconds for which it may go unanswered without being silence.
        """
        if self._silence.since is None:
            self._silence.begins(now + wait)
            self._news = News.NONE
            self._credit.spend(self._fast_pause, kept=now - self._rested_at)

    def whole_read_ended(self, mode: Mode, cost: float, now: float) -> None:
        """A read of the whole state has ended, good or not, and has cost exo that."""
        self._rested_at = now
        self._notices.spent(mode, cost, now)

    def state_received(self) -> None:
        """A whole state has arrived: what cheap reads have found is no longer news."""
        self._news, self._runners = News.NONE, None

    def cheap_read_ended(
        self, mode: Mode, news: News, runners: Mapping[str, Runner] | None, cost: float, now: float
    ) -> None:
        """A cheap read has found `news`, or was not answered (`runners` is None), and has cost exo that."""
        self._news, self._runners = news, runners
        self._notices.noticed(mode, cost, self._cost, now)
        if mode is Mode.FAST:
            share = self._rules.fast_share
            self._credit.charge(cost * (1 - share) / share, self._fast_pause)
