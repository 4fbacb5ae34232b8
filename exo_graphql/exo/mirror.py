"""What exo said last, for servers that follow this one: exo is then read once for all of them.

A follower reads `GET /exo/state` as it would read exo's own `/state`. The age that comes with it says when exo was
read for it, so that silence and staleness are counted between the reads of exo, not between those of the copy.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from exo_graphql.cluster.upstream import Unreachable
from exo_graphql.exo.bodies import Received
from exo_graphql.exo.copied import Copied
from exo_graphql.exo.poller import Poller
from exo_graphql.exo.prompts import without_prompts

# Seconds. A follower that waits for news gets an answer after this time all the same.
MAX_WAIT = 30.0
# Seconds. A follower that says nothing else is as good as a query.
MAX_AGE = 1.0
_SILENT = "exo does not answer the server that is followed."
# Numbers count from 1 at each start: body 7 of this process must differ from body 7 of the one before.
_BOOT = secrets.token_hex(4)


@dataclass(frozen=True, slots=True)
class Mirrored:
    """A state for a follower."""

    body: bytes | None
    """None: the follower has it, by its ETag."""
    etag: str
    copied: Copied


class Mirror:
    """The last state that `poller` received, without prompts. `elapsed` is the clock of `Moment.elapsed`."""

    def __init__(self, poller: Poller, elapsed: Callable[[], float]) -> None:
        self._poller = poller
        self._elapsed = elapsed
        self._made: tuple[int, asyncio.Task[bytes]] | None = None
        """The number of the last body that was requested, and what makes that body without prompts, for all."""

    async def state(
        self, known: str | None = None, wait: float = 0.0, max_age: float = MAX_AGE, *, own: bool = False
    ) -> Mirrored:
        """The last state. `known` is the follower's ETag; with `wait` (seconds) it gets news, or none after that time.

        `max_age`: exo is read before an answer is given if it was read longer ago, in seconds.

        `own`: only what this server has read from exo itself. Of two servers that each believed the other to read exo,
        neither would.

        Raises `Unreachable` while exo does not answer: the follower must not take an old state for a new one.
        """
        began = self._elapsed()
        self._check(own=own)
        self._poller.bodies.follow()
        snapshot = await self._poller.fresh(max_age)
        if self._poller.bodies.last is None:
            # Bodies are kept from now on, and only a whole read is sure to have one.
            snapshot = await self._poller.read_now()
        try:
            # Who waits counts as a subscriber: a follower sees a load as closely as this server's own clients do.
            with self._poller.subscriber() if wait > 0 else nullcontext():
                async with asyncio.timeout(min(max(wait, 0.0), MAX_WAIT)):
                    while self._etag(self._last()) == known:
                        snapshot = await self._poller.changed(snapshot)
        except TimeoutError:
            pass
        self._check(own=own)
        last = self._last()
        etag, snapshot = self._etag(last), self._poller.snapshot or snapshot
        body = None if etag == known else await self._without_prompts(last)
        now = self._elapsed()
        age = max(0.0, now - last.asked_at)
        copied = Copied(age, last.received_at, snapshot.api_node_id, self._models(), now - began)
        return Mirrored(body, etag, copied)

    def models(self, *, own: bool = False) -> bytes:
        """The catalogue. Raises `Unreachable` before it was read. `own`: see `state`."""
        self._check(own=own)
        body = self._poller.catalogue_body
        if body is None:
            raise Unreachable("exo has not reported its models to the server that is followed.")
        return body

    def node_id(self, *, own: bool = False) -> str | None:
        """The id of the node that is read, as it said last. `own`, and what it raises: see `state`."""
        self._check(own=own)
        snapshot = self._poller.snapshot
        if snapshot is None or not snapshot.connected:
            raise Unreachable(_SILENT)
        return snapshot.source.api_node_id

    def _check(self, *, own: bool) -> None:
        if own and self._poller.has_a_copy:
            raise Unreachable("This server does not read exo itself at present.")

    def _models(self) -> str | None:
        number = self._poller.catalogue_number
        return f"{_BOOT}-{number}" if number else None

    def _last(self) -> Received:
        snapshot, last = self._poller.snapshot, self._poller.bodies.last
        if snapshot is None or last is None or not snapshot.connected:
            raise Unreachable(_SILENT)
        return last

    async def _without_prompts(self, received: Received) -> bytes:
        if self._made is None or self._made[0] != received.number:
            # One for all who ask meanwhile: at 64 nodes it has 9 MB, and sixty of their own would have 500.
            work = asyncio.to_thread(without_prompts, received.body)
            self._made = received.number, asyncio.create_task(work, name="mirror: removing prompts")
        return await asyncio.shield(self._made[1])

    def _etag(self, received: Received) -> str:
        # With the catalogue: who waits for another state is to know at once of a model that was added.
        return f'"{_BOOT}-{received.number}-{self._poller.catalogue_number}"'
