"""A simulated exo whose states take a given time of its only thread, as a real one's do: 13 ms a node.

Run as `python -m tests.benchmarks.costly PORT SECONDS`. `GET /spent` answers what reading has cost so far, and what is
below `/free` costs nothing: by it the benchmark sees the truth.
"""

import asyncio
import sys
import time
from collections import deque

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exo_graphql.exo.pacing import MINUTE, NOTICE_COST
from exo_graphql.serve import block_on, serve_application
from exo_graphql.simulator import SimulatedExo
from exo_graphql.transports.asgi import respond

_FREE = "/free"


class Costly:
    """The ASGI application: `app`, where a whole state takes `cost` seconds, and a part of one a fifth."""

    def __init__(self, app: ASGIApp, cost: float) -> None:
        self._app = app
        self._cost = cost
        self._thread = asyncio.Lock()
        self._reads: list[tuple[float, float]] = []
        """When each began, and its cost."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes the state, and then the time to write it down: what arrives is as old as that."""
        path = scope.get("path", "")
        if path == "/spent":
            await respond(send, 200, orjson.dumps(self._spent()), b"application/json")
        elif path.startswith(_FREE):
            path = path.removeprefix(_FREE)
            await self._app({**scope, "path": path, "raw_path": path.encode()}, receive, send)
        elif scope["type"] != "http" or not path.startswith("/state"):
            await self._app(scope, receive, send)
        else:
            await self._read(scope, receive, send, self._cost * (1.0 if path == "/state" else NOTICE_COST))

    async def _read(self, scope: Scope, receive: Receive, send: Send, cost: float) -> None:
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        async with self._thread:
            began = time.monotonic()
            await self._app(scope, receive, keep)
            await asyncio.sleep(began + cost - time.monotonic())
            self._reads.append((began, cost))
        for message in answer:
            await send(message)

    def _spent(self) -> dict[str, float]:
        whole = sum(cost == self._cost for _, cost in self._reads)
        return {"whole": whole, "cheap": len(self._reads) - whole, "share": busiest_minute(self._reads)}


def busiest_minute(reads: list[tuple[float, float]]) -> float:
    """The largest share of a minute that was read in. `reads`: when each began, in order, and its cost, in seconds."""
    within: deque[tuple[float, float]] = deque()
    largest = total = 0.0
    for began, cost in reads:
        within.append((began, cost))
        total += cost
        while within[0][0] <= began - MINUTE:
            total -= within.popleft()[1]
        largest = max(largest, total)
    return largest / MINUTE


def main(port: int, cost: float) -> None:
    """Serves until a signal ends it."""
    exo = SimulatedExo()
    block_on(serve_application(Costly(exo.app, cost), "127.0.0.1", port))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
