"""How often exo's state is read: the pause depends on what a read costs exo, and on the demand.

`GET /state` is time on the one event loop that also serves inference (about 13 ms a node), so the poller takes a share
of it, never a fixed rate: with 3 nodes (0.039 s) a fast read comes every 0.26 s, with 20 nodes (0.26 s) every 1.7 s.
Pure: the poller passes in what it measured. Times are seconds.
"""

from dataclasses import dataclass
from enum import Enum, unique


@dataclass(frozen=True, slots=True)
class PollerRules:
    """Numbers of the poller. Seconds, and shares of exo's time from 0 to 1. Tests construct them with other values."""

    normal_share: float = 0.05
    """Share of exo's time that reading may take at the normal pace, and without demand."""
    normal_pause: float = 1.0
    """Shortest pause between two reads at the normal pace."""
    fast_share: float = 0.15
    """The share at the fast pace: a model with subscribers is in transition, an operation runs, or a query waits."""
    fast_pause: float = 0.1
    """Shortest pause between two fast reads, except those that an operation needs at once (`credit.py`)."""
    idle_pause: float = 5.0
    """Shortest pause without demand. Reading goes on: exo retries a failed runner within seconds, and then no longer
    says why it failed."""
    query_lasts: float = 3.0
    """Seconds for which a query counts as demand."""
    read_timeout: float = 1.5
    """A read of the state times out after this, or after `read_patience` times its usual cost if that is longer."""
    read_patience: float = 5.0
    """See `read_timeout`."""
    cost_weight: float = 0.25
    """Weight of the newest read in the usual cost, an exponentially weighted mean."""
    lost_after: float = 2.5
    """`connected` is false once exo, asked for its state, gives none: this long after the last good read at the
    usual pace, and not before a slow read could have timed out. See `lost_after()`."""
    retry_every: float = 1.0
    """Every URL that is not being read is tried again as often; a try ends after `read_timeout`."""
    fresh_wait: float = 1.0
    """The longest a query waits for a newer snapshot before it is answered from the last one."""
    first_wait: float = 5.0
    """The longest a query waits for the very first snapshot."""
    command_timeout: float = 15.0
    """A command times out after this: while exo elects a master (3-6 s), commands hang."""
    catalogue_every: float = 60.0
    """Age at which the catalogue (`GET /models`) is read again while there is demand."""
    catalogue_retry: float = 5.0
    """The pause after a failed read of the catalogue."""


DEFAULT_POLLER_RULES = PollerRules()

MINUTE = 60.0
"""Seconds over which the share of exo's time is averaged."""
NOTICE_COST = 0.2
"""What a cheap read costs, as a part of a whole one, until that has been measured (`exo/API.md`: 7.7 of 38.7 ms)."""
NOTICE_COST_LASTS = 5.0
"""Seconds after a cheap read for which its cost counts as measured: then one is tried again."""
FAST_NOTICE_PAUSE = 0.05
"""Shortest pause before a cheap read while something is in transition."""
FAST_NOTICE_SHARE = 0.18
"""Share of exo's time that cheap reads take at most: with a state of 200 ms, one each 0.22 s."""
NEAR_NOTICE_SHARE = 0.3
"""The same where a model may become ready at any moment: one each 0.13 s, as far as the minute's share allows."""
NOTICE_LIMIT = 0.9
"""Cheap reads leave the last tenth of the minute's share to the whole reads, which may run ahead (`credit.py`)."""
NOTICE_AHEAD = 8.0
"""Seconds over which cheap reads may spend what is left of `fast_share` of the minute, all reads counted. A load gets
the full share until 1.4 s of exo's time are left; then they become rarer, until whole reads do as well."""
NORMAL_NOTICE_SHARE = 0.03
"""Share of exo's time that cheap reads may take at the normal pace, besides `normal_share` for the whole ones."""
NORMAL_NOTICE_PAUSES = (1.0, 1.5)
"""Shortest and longest pause before a cheap read at the normal pace: a chat of 2.5 s is seen, whatever a read costs."""
NOTICE_TIMEOUT = 0.5
"""Shortest time-out of a cheap read. With the whole read that follows, another URL's turn comes within `lost_after`."""
NOTICE_GAIN = 2.0
"""Cheap reads are made where a whole one would come so many times later. At rest a small cluster needs none."""
PROGRESS_EVERY = 2.0
"""While cheap reads watch a transition, whole reads show its progress: so many usual pauses apart if there is any."""
WHOLE_EVERY = 4.0
"""The same while cheap reads find nothing new, not even progress."""
RESERVED = 1 / 3
"""The part of the minute's share that is kept for what people wait for: a model that becomes ready, a chat that begins.
The steps and the progress of a load, and the end of a chat, are read at once only as long as more is left."""
NEARLY_LOADED = 0.95
"""The part of its layers from which on a runner counts as nearly ready."""

COPY_WAIT = 1
"""Whole seconds for which a copy of exo's state (`mirror`) is asked to wait for another one."""

GAP_SLACK = 3.0
"""Seconds by which a busy machine may start a read late; see `longest_gap`."""


@unique
class Mode(Enum):
    """The pace of reading."""

    IDLE = "IDLE"
    """No demand."""
    NORMAL = "NORMAL"
    """A subscriber, and no model in transition."""
    FAST = "FAST"
    """A subscriber while a model is in transition, or an operation."""


def pause(mode: Mode, cost: float, rules: PollerRules) -> float:
    """Seconds from the end of one read to the start of the next, for reads that usually cost `cost` seconds.

    A share s of exo's time leaves a pause of cost * (1 - s) / s. An expensive read slows down even
    the idle pace.
    """
    if mode is Mode.FAST:
        return max(rules.fast_pause, cost * (1 - rules.fast_share) / rules.fast_share)
    shortest = rules.normal_pause if mode is Mode.NORMAL else rules.idle_pause
    return max(shortest, cost * (1 - rules.normal_share) / rules.normal_share)


def notice_pause(
    mode: Mode, cost: float, notice_cost: float, spent: float, rules: PollerRules, *, near: bool = True
) -> float | None:
    """Seconds from the end of any read to a cheap one; None if cheap reads would gain nothing, or without demand.

    `spent` is what all reads have taken of exo's time within the last minute. `near`: a model may become ready at any
    moment. Until then cheap reads leave the reserve for it, so that the end of a load of minutes is seen as soon as
    that of one of seconds.
    """
    share = rules.fast_share * MINUTE
    if mode is Mode.IDLE or spent >= share:
        return None
    gainful = pause(mode, cost, rules) / NOTICE_GAIN
    if mode is Mode.NORMAL:
        shortest, longest = NORMAL_NOTICE_PAUSES
        wait = min(max(shortest, notice_cost * (1 - NORMAL_NOTICE_SHARE) / NORMAL_NOTICE_SHARE), longest)
        return wait if wait <= gainful else None
    most = NEAR_NOTICE_SHARE if near else FAST_NOTICE_SHARE
    wait = max(FAST_NOTICE_PAUSE, notice_cost * (1 - most) / most)
    if wait > gainful:
        return None
    # Less the whole read that may follow.
    left = NOTICE_LIMIT * share - cost - spent
    if left <= 0:
        return None
    if near:
        wait = _stretched(wait, notice_cost, left)
        return wait if wait <= gainful else None
    return min(_stretched(wait, notice_cost, left - RESERVED * share), NOTICE_GAIN * gainful)


def _stretched(wait: float, notice_cost: float, left: float) -> float:
    """`wait`, or the longer pause with which `left` seconds of exo's time last for `NOTICE_AHEAD`."""
    return max(wait, notice_cost * (NOTICE_AHEAD / left - 1)) if left > 0 else float("inf")


def notice_timeout(cost: float | None, notice_cost: float | None, rules: PollerRules) -> float:
    """How long a cheap read may take; never longer than a whole one."""
    return min(max(NOTICE_TIMEOUT, rules.read_patience * (notice_cost or 0.0)), read_timeout(cost, rules))


def usual_cost(before: float | None, cost: float, reads: int, rules: PollerRules) -> float:
    """The usual cost after one more read that took `cost`, there having been `reads` before it.

    The first read, which also opens the connection to an exo that may be cold, is dropped with the second.
    """
    return cost if before is None or reads < 2 else before + rules.cost_weight * (cost - before)


def read_timeout(cost: float | None, rules: PollerRules, failures: int = 0) -> float:
    """How long a read may take, where one usually costs `cost` (None: not yet known).

    It grows, up to fourfold, with the reads that failed in a row: 1.5, 3, 6, 6 s. Otherwise a cluster whose reads take
    2 s would time out for ever and its cost would never be measured. A node that hangs does not get so far: a URL that
    failed is read only after it has answered `GET /node_id`.
    """
    return max(rules.read_timeout, rules.read_patience * (cost or 0.0)) * (1 << min(failures, 2))


def lost_after(mode: Mode, cost: float | None, rules: PollerRules, unseen_after: float) -> float:
    """Seconds after which exo counts as lost, from the first request for its state that was not answered.

    A pause is no silence, since nothing was requested. For a loss to be reported `rules.lost_after` after the last good
    read all the same, the pause before the request is subtracted, up to `normal_pause`: 2.5 - 1.0 = 1.5 s. Where reads
    take long, exo gets the time of a read that times out (1.1 s a read: 5.5 s). The limit is `unseen_after`, when
    everything becomes UNREACHABLE.
    """
    looking = Mode.NORMAL if mode is Mode.IDLE else mode
    usual = min(pause(looking, cost or 0.0, rules), rules.normal_pause)
    return min(max(rules.lost_after - usual, rules.read_patience * (cost or 0.0), rules.fast_pause), unseen_after)


def longest_gap(cost: float | None, rules: PollerRules) -> float:
    """The longest time from the start of one read to that of the next that the pace of reading explains.

    No demand, the read before took twice its usual time, and a busy machine may be late by `GAP_SLACK`.
    """
    return pause(Mode.IDLE, cost or 0.0, rules) + 2 * (cost or 0.0) + GAP_SLACK
