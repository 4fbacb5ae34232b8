"""How long after a failed attempt the next one comes. Pure.

10 s, 30 s, 90 s, 270 s, then 15 min: a model that cannot be loaded costs exo four attempts an hour. A tenth of jitter
keeps two deployments that failed together from failing together again.
"""

from datetime import datetime, timedelta

FIRST_SECONDS = 10.0
FACTOR = 3.0
MAX_SECONDS = 900.0
JITTER_SHARE = 0.1
RESET_SECONDS = 600.0
"""After this long in READY the next loss counts as a new problem: back-off begins anew."""


def delay(attempts: int, jitter: float) -> timedelta:
    """The pause after so many attempts (from 1). `jitter` is a random number from 0 to 1."""
    seconds = min(MAX_SECONDS, FIRST_SECONDS * FACTOR ** min(attempts - 1, 10))
    return timedelta(seconds=seconds * (1 - JITTER_SHARE + JITTER_SHARE * jitter))


def is_due(retry_at: datetime | None, now: datetime) -> bool:
    """Whether the next attempt may be made. A later time than any pause was set by another clock."""
    return retry_at is None or not timedelta(0) < retry_at - now <= timedelta(seconds=MAX_SECONDS)
