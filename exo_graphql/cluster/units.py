"""Units: bytes inside, GiB and percent in the public schema.

Every answer converts the same few hundred sizes; a cache lookup takes a third of the time of rounding.
"""

from functools import lru_cache

GIB = 1 << 30
MIB = 1 << 20


@lru_cache(maxsize=4096)
def gib(size: int | None) -> float | None:
    """Bytes as GiB (2^30 bytes), rounded to one decimal; None stays None."""
    return None if size is None else round(size / GIB, 1)


@lru_cache(maxsize=4096)
def percent(part: float | None, whole: float | None) -> float | None:
    """`part` of `whole` as 0-100, rounded to one decimal; None where either is unknown or `whole` is 0.

    It is 100 when nothing is missing, and not before: 9,999 of 10,000 are 99.9.
    """
    if part is None or not whole:
        return None
    if part >= whole:
        return 100.0
    return min(99.9, round(max(0.0, 100.0 * part / whole), 1))


def share_percent(share: float | None) -> float | None:
    """A share from 0 to 1 as 0-100, rounded to one decimal; None for None and for what is neither.

    A sensor may overshoot: below 2 the value is a share, of 1 at most (1.004 is 100 %). From 2 on it can only be a
    percentage: exo's types do not say which, and the fixture of PR #1727 writes 45.0.
    """
    if share is None or not 0 <= share <= 100:
        return None
    return round(100.0 * min(share, 1.0) if share < 2 else share, 1)


def at_most(part: int | None, whole: int | None) -> int | None:
    """`part`, but never more than `whole` where both are known: 6 of 3 GiB are 3 of 3, 65 GiB free of 64 are 64."""
    return part if part is None or not whole else min(part, whole)
