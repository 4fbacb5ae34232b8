"""Slows down guessing of tokens: each address has few tries.

Once an address has used up its tries, no token from it is checked until it has a try again: otherwise the right guess
among a thousand wrong ones would still succeed. A token that was accepted from that address before is accepted all the
same: behind a proxy that does not forward addresses all clients have one, and one of them must not lock out the others.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

# Wrong tokens in a row: enough for typing errors, and for a few programs whose token was changed.
TRIES = 10
# Seconds until another try: 43,200 tries a day.
SECONDS_FOR_A_TRY = 2.0
# Addresses, and tokens by address, that are kept.
_MAX_KEPT = 10_000


class FailedTokens:
    """Tries by address, and who needs none. `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tries: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By address that has failed: the tries left, and when that was. The oldest are dropped first."""
        self._accepted: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        """Addresses and tokens that were accepted together."""

    def wait(self, address: str | None, digest: bytes) -> float:
        """Seconds until a token from this address is checked; 0 for now."""
        place = _place(address)
        if place not in self._tries or (place, digest) in self._accepted:
            return 0.0
        return max(0.0, (1.0 - self._left(place)) * SECONDS_FOR_A_TRY)

    def failed(self, address: str | None) -> None:
        """Counts a wrong token."""
        place = _place(address)
        left = self._left(place)
        self._tries.pop(place, None)
        self._tries[place] = left - 1.0, self._clock()
        if len(self._tries) > _MAX_KEPT:
            self._tries.popitem(last=False)

    def passed(self, address: str | None, digest: bytes) -> None:
        """Notes a valid token: this address may go on using it without delay."""
        key = _place(address), digest
        self._accepted[key] = None
        self._accepted.move_to_end(key)
        if len(self._accepted) > _MAX_KEPT:
            self._accepted.popitem(last=False)

    def _left(self, place: str) -> float:
        left, at = self._tries.get(place, (float(TRIES), self._clock()))
        return min(float(TRIES), left + (self._clock() - at) / SECONDS_FOR_A_TRY)


def _place(address: str | None) -> str:
    """What counts as one address: of IPv6 the network of 64 bits, since one machine may use all of its addresses."""
    try:
        given = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(given, ipaddress.IPv6Address):
        return str(given.ipv4_mapped or ipaddress.ip_network((given, 64), strict=False))
    return str(given)
