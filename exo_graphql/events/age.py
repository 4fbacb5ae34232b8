"""Which stored events are too many or too old."""

from datetime import datetime

from exo_graphql.events.records import decode
from exo_graphql.storage import Collection, Store


async def forgotten_until(store: Store, last: int, *, max_count: int, before: datetime) -> int:
    """The sequence up to which events are no longer kept: above it are `max_count`, none older than `before` (UTC).

    `last` is that of the newest one, which stays however old it is: events are numbered on from it, and an id never
    names two of them. Raises `StoreError`.
    """
    # Everything up to `low` goes, and nothing above `high`.
    low, high = max(0, last - max_count), last - 1
    # By bisection: of 100,000 events 17 times 10 are read.
    while low < high:
        middle = (low + high + 1) // 2
        # Several, since one that a newer version has written may not be readable.
        entries = await store.newest(Collection.EVENTS, 10, middle + 1)
        event = next((event for event in map(decode, entries) if event is not None), None)
        if not entries or entries[0].sequence <= low or (event is not None and event.at < before):
            low = middle
        else:
            high = entries[0].sequence - 1
    return min(low, last - 1)
