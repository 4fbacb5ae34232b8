"""Tokens that are wrong, slowed down: whoever guesses at them gets few tries from one address.

An address whose tries are used up is not looked at, whatever it shows, until it has a try again: else the right guess
among a thousand wrong ones would still be answered. Who has shown that very token from that address before is let in
all the same: behind a proxy that does not name its clients, all have one address, and one of them must not shut out
the others.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

# Somebody who mistypes, and a few programs whose token has been changed.
TRIES = 10
# Seconds until another try: 43,200 a day.
SECONDS_FOR_A_TRY = 2.0
# Addresses, and tokens by address, that are remembered.
_MOST_REMEMBERED = 10_000


class FailedTokens:
    """Tries by address, and who needs none. `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tries: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By address that has failed: what tries were left, and when. Full ones are forgotten first."""
        self._welcome: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def wait(self, address: str | None, digest: bytes) -> float:
        """Seconds until a token from this address is looked at; 0 where it is now."""
        place = _place(address)
        if place not in self._tries or (place, digest) in self._welcome:
            return 0.0
        return max(0.0, (1.0 - self._left(place)) * SECONDS_FOR_A_TRY)

    def failed(self, address: str | None) -> None:
        """A token that was looked at was wrong."""
        place = _place(address)
        left = self._left(place)
        self._tries.pop(place, None)
        self._tries[place] = left - 1.0, self._clock()
        if len(self._tries) > _MOST_REMEMBERED:
            self._tries.popitem(last=False)

    def passed(self, address: str | None, digest: bytes) -> None:
        """A token that was looked at was right."""
        key = _place(address), digest
        self._welcome[key] = None
        self._welcome.move_to_end(key)
        if len(self._welcome) > _MOST_REMEMBERED:
            self._welcome.popitem(last=False)

    def _left(self, place: str) -> float:
        left, at = self._tries.get(place, (float(TRIES), self._clock()))
        return min(float(TRIES), left + (self._clock() - at) / SECONDS_FOR_A_TRY)


def _place(address: str | None) -> str:
    """What counts as one address: of IPv6 the network of 64 bits, of which a single machine has all."""
    try:
        given = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(given, ipaddress.IPv6Address):
        return str(given.ipv4_mapped or ipaddress.ip_network((given, 64), strict=False))
    return str(given)
