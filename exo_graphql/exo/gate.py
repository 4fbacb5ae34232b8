"""When a command may be sent to exo: while this server acts on the cluster, and not in the last moment of that.

exo cannot be fenced: it carries out whatever arrives. So a server that may be replaced looks at the end of its lease
before it sends each part of a command. For example it is stopped while it connects, and continued 10 s later, when
another server has taken over: it finds its connection made and its lease over, and sends nothing.
"""

import math
from collections.abc import Callable

from exo_graphql.cluster.upstream import NotLeading

LEAST_SECONDS = 1.0
"""What must be left for a command to be sent: more than it takes to arrive. Less of a lease that is short."""


def least_seconds(lease: float) -> float:
    """What must be left of a lease that lasts so many seconds. Right before it is renewed, half of it is left."""
    return min(LEAST_SECONDS, lease / 6)


class Gate:
    """`seconds_left` is how long this server may act unless that is extended."""

    def __init__(self, seconds_left: Callable[[], float] = lambda: math.inf, least: float = LEAST_SECONDS) -> None:
        self._seconds_left = seconds_left
        self._least = least

    def check(self) -> None:
        """Raises `NotLeading` where nothing may be sent."""
        if self._seconds_left() < self._least:
            raise NotLeading("This server does not lead at present, so it sends exo no commands.")

    async def before_each_part(self, event: str, _: object) -> None:
        """The same as a callback of HTTP connections, which call it with what they do next."""
        # Headers and body are written one after the other. What is called "closed" must happen in any case.
        if event.endswith((".send_request_headers.started", ".send_request_body.started")):
            self.check()
