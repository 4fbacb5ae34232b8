"""What exo said last, for servers that follow this one: exo is then read once for all of them.

A follower reads `GET /exo/state` as it would read exo's own `/state`. The age that comes with it says when exo was
read for it, so that silence and staleness are counted between the reads of exo, not between those of the copy.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from exo_graphql.cluster.upstream import Unreachable
from exo_graphql.exo.bodies import Received
from exo_graphql.exo.poller import Poller
from exo_graphql.exo.prompts import without_prompts

# Seconds. A follower that waits for news gets an answer after this time all the same.
MAX_WAIT = 30.0
# Seconds. Older than this, exo is read before an answer is given: a follower is as good as a query.
_MAX_AGE = 1.0
_SILENT = "exo does not answer the server that is followed."
# Numbers count from 1 at each start: body 7 of this process must differ from body 7 of the one before.
_BOOT = secrets.token_hex(4)


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A state for a follower."""

    body: bytes | None
    """None: the follower has it, by its ETag."""
    etag: str
    age: float
    """Seconds since exo was asked for it, or for the last one that was the same."""


class Mirror:
    """The last state that `poller` received, without prompts. `elapsed` is the clock of `Moment.elapsed`."""

    def __init__(self, poller: Poller, elapsed: Callable[[], float]) -> None:
        self._poller = poller
        self._elapsed = elapsed
        self._made: tuple[int, bytes] | None = None
        """The number of the last body that was requested, and that body without prompts."""

    async def state(self, known: str | None = None, wait: float = 0.0) -> Mirrored:
        """The last state. `known` is the follower's ETag; with `wait` (seconds) it gets news, or none after that time.

        Raises `Unreachable` while exo does not answer: the follower must not take an old state for a new one.
        """
        self._poller.bodies.follow()
        snapshot = await self._poller.fresh(_MAX_AGE)
        if self._poller.bodies.last is None:
            # Bodies are kept from now on, and only a whole read is sure to have one.
            snapshot = await self._poller.read_now()
        try:
            async with asyncio.timeout(min(max(wait, 0.0), MAX_WAIT)):
                while _etag(self._last()) == known:
                    snapshot = await self._poller.changed(snapshot)
        except TimeoutError:
            pass
        last = self._last()
        etag = _etag(last)
        body = None if etag == known else await self._without_prompts(last)
        return Mirrored(body, etag, self._elapsed() - last.asked_at)

    def models(self) -> bytes:
        """The catalogue. Raises `Unreachable` before it was read."""
        body = self._poller.catalogue_body
        if body is None:
            raise Unreachable("exo has not reported its models to the server that is followed.")
        return body

    def node_id(self) -> str | None:
        """The id of the node that is read, as it said last. Raises `Unreachable` while exo does not answer."""
        snapshot = self._poller.snapshot
        if snapshot is None or not snapshot.connected:
            raise Unreachable(_SILENT)
        return snapshot.source.api_node_id

    def _last(self) -> Received:
        snapshot, last = self._poller.snapshot, self._poller.bodies.last
        if snapshot is None or last is None or not snapshot.connected:
            raise Unreachable(_SILENT)
        return last

    async def _without_prompts(self, received: Received) -> bytes:
        if self._made is None or self._made[0] != received.number:
            self._made = received.number, await asyncio.to_thread(without_prompts, received.body)
        return self._made[1]


def _etag(received: Received) -> str:
    return f'"{_BOOT}-{received.number}"'
