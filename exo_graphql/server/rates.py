"""How often one address may ask: a bucket of tokens for each, of a bounded number of addresses.

Loopback is not counted: whoever is on this machine can ask exo itself. Requests beyond the rate are refused; messages
on a websocket wait, and with them, by the kernel's own means, their sender.
"""

import asyncio
import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable

from exo_graphql.server.errors import Code
from exo_graphql.server.execution import refusal
from exo_graphql.server.limits import LimitExceeded
from exo_graphql.server.wire import ASGIApp, Message, Receive, Scope, Send, respond

# A page that opens sends more at once than it does later.
BURST_SECONDS = 10.0
_MOST_ADDRESSES = 10_000


class Rates:
    """Buckets that hold `BURST_SECONDS` of a rate (requests a second), by address."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._most = max(1.0, rate * BURST_SECONDS)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By address: what was left, and when."""

    def take(self, address: str) -> float:
        """Takes one token. Seconds until it will be there: 0 where it is."""
        now = self._clock()
        left, at = self._buckets.pop(address, (self._most, now))
        left = min(self._most, left + (now - at) * self._rate) - 1.0
        self._buckets[address] = left, now
        if len(self._buckets) > _MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        return max(0.0, -left / self._rate)

    def give_back(self, address: str) -> None:
        """Gives back the token of a request that was refused: it is not paid for."""
        left, at = self._buckets[address]
        self._buckets[address] = left + 1.0, at


class RateLimit:
    """Stands before the application. `rate`: requests and messages a second for one address."""

    def __init__(self, app: ASGIApp, rate: float) -> None:
        self._app = app
        self._rate = rate
        self._rates = Rates(rate, lambda: asyncio.get_running_loop().time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what is within the rate."""
        address = _counted(scope)
        if address is None:
            await self._app(scope, receive, send)
            return
        wait = self._rates.take(address)
        if wait > 0:
            self._rates.give_back(address)
            await self._refuse(scope, receive, send, wait)
        elif scope["type"] == "websocket":
            await self._app(scope, self._slowed(receive, address), send)
        else:
            await self._app(scope, receive, send)

    def _slowed(self, receive: Receive, address: str) -> Receive:
        async def slowed() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive":
                await asyncio.sleep(self._rates.take(address))
            return message

        return slowed

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, wait: float) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        seconds = math.ceil(wait)
        error = LimitExceeded(
            "max_rate", self._rate, "come too soon after others of its address", f"Ask again in {seconds} s."
        )
        after = [(b"retry-after", str(seconds).encode())]
        await respond(send, 429, refusal((error,), Code.INTERNAL), b"application/json; charset=utf-8", after)


def _counted(scope: Scope) -> str | None:
    """The address that is counted; None where none is."""
    if scope["type"] == "lifespan" or not scope.get("client"):
        return None
    address: str = scope["client"][0]
    try:
        return None if ipaddress.ip_address(address).is_loopback else address
    except ValueError:
        return address
