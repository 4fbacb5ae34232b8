"""The URLs of one cluster: which one is read, which ones answer, which one is next.

Every URL that is not being read is tried by itself, once a second, with a call that costs exo next to nothing: a
failure of the one in use then finds one that is known to answer, and none is forgotten while it is down.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence, Set

from exo_graphql.cluster.upstream import UpstreamError
from exo_graphql.exo.client import ExoClient
from exo_graphql.exo.pacing import FeedRules

logger = logging.getLogger(__name__)


class Door:
    """One URL."""

    def __init__(self, client: ExoClient) -> None:
        self.client = client
        self.node_id: str | None = None
        """The exo node behind it, as it told when the connection came about; None if it did not tell."""
        self.met = False
        """Whether it has been asked for its node since it last failed."""
        self.failures = 0
        """Reads that failed since the last good one."""
        self.answers = True
        """False from a failure until something answers again. An untried one is given the benefit of the doubt."""
        self.tried_at = float("-inf")
        self.troubled = asyncio.Event()

    async def meet(self, within: float) -> None:
        """Asks for the node behind it. Raises `Unreachable` where nothing answers."""
        self.node_id = await self.client.node_id(within)
        self.met = True


class Doors:
    """All URLs of one cluster, the preferred one first. `opened` is called when one answers again."""

    def __init__(self, clients: Sequence[ExoClient], rules: FeedRules, opened: Callable[[], None]) -> None:
        if not clients:
            raise ValueError("a cluster needs at least one URL")
        self.all = tuple(Door(client) for client in clients)
        self.current = self.all[0]
        """The one that last gave a state. It is kept when a more preferred one is back."""
        self._rules = rules
        self._opened = opened

    @property
    def shut(self) -> bool:
        """Whether none is known to answer."""
        return not any(door.answers for door in self.all)

    @property
    def have_a_standby(self) -> bool:
        """Whether one beside the current one is known to answer."""
        return any(door.answers for door in self.all if door is not self.current)

    def next(self, tried: Set[Door]) -> Door | None:
        """The one to read, or to ask, next; None when there is none left worth trying."""
        left = [door for door in self.all if door.answers and door not in tried]
        return min(left, key=lambda door: (door.failures, door is not self.current), default=None)

    def succeeded(self, door: Door) -> None:
        """A read through `door` gave a state."""
        if door.failures or door is not self.current:
            logger.info("Reading exo's state from %s.", door.client.url)
        door.failures = 0
        door.answers = True
        self.current = door

    def failed(self, door: Door, reason: Exception, level: int = logging.WARNING) -> None:
        """A read through `door` gave none. Told once an episode, not once a read."""
        if not door.failures:
            logger.log(level, "No state of exo from %s: %s (%r)", door.client.url, reason, reason.__cause__)
            # It may have been one broken connection: the first try follows at once, the others at their pace.
            door.troubled.set()
        door.failures += 1
        door.answers = door.met = False

    async def keep(self, door: Door) -> None:
        """Tries `door` whenever it is not the one being read. Runs until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout_at(max(door.tried_at + self._rules.retry_every, loop.time())):
                    await door.troubled.wait()
            except TimeoutError:
                pass
            door.troubled.clear()
            door.tried_at = loop.time()
            if door is self.current and door.answers:
                continue
            await self._try(door)

    async def _try(self, door: Door) -> None:
        try:
            await door.meet(self._rules.read_timeout)
        except UpstreamError as error:
            if door.answers:
                logger.info("exo at %s does not answer: %s", door.client.url, error)
            door.answers = False
            return
        if not door.answers:
            door.answers = True
            self._opened()
