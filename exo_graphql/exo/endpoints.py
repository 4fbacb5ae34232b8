"""The URLs of one cluster: which one is read, which ones answer, which one is next.

Every URL that is not being read is tried by itself, once a second, with a call that costs exo next to nothing: a
failure of the one in use then finds one that is known to answer, and none is forgotten while it is down.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence, Set

from exo_graphql.cluster.upstream import UpstreamError
from exo_graphql.exo.client import ExoClient
from exo_graphql.exo.pacing import PollerRules

logger = logging.getLogger(__name__)


class Endpoint:
    """One URL."""

    def __init__(self, client: ExoClient) -> None:
        self.client = client
        self.node_id: str | None = None
        """The exo node behind it, as it told when the connection came about; None if it did not tell."""
        self.identified = False
        """Whether it has been asked for its node since it last failed."""
        self.failures = 0
        """Reads that failed since the last good one."""
        self.answers = True
        """False from a failure until something answers again. An untried one is given the benefit of the doubt."""
        self.tried_at = float("-inf")
        self.troubled = asyncio.Event()

    async def identify(self, within: float) -> None:
        """Asks for the node behind it. Raises `Unreachable` where nothing answers."""
        self.node_id = await self.client.node_id(within)
        self.identified = True


class Endpoints:
    """All URLs of one cluster, the preferred one first. `opened` is called when one answers again."""

    def __init__(self, clients: Sequence[ExoClient], rules: PollerRules, opened: Callable[[], None]) -> None:
        if not clients:
            raise ValueError("a cluster needs at least one URL")
        self.all = tuple(Endpoint(client) for client in clients)
        self.current = self.all[0]
        """The one that last gave a state. It is kept when a more preferred one is back."""
        self._rules = rules
        self._opened = opened

    @property
    def shut(self) -> bool:
        """Whether none is known to answer."""
        return not any(endpoint.answers for endpoint in self.all)

    @property
    def have_a_standby(self) -> bool:
        """Whether one beside the current one is known to answer."""
        return any(endpoint.answers for endpoint in self.all if endpoint is not self.current)

    def next(self, tried: Set[Endpoint]) -> Endpoint | None:
        """The one to read, or to ask, next; None when there is none left worth trying."""
        left = [endpoint for endpoint in self.all if endpoint.answers and endpoint not in tried]
        return min(left, key=lambda endpoint: (endpoint.failures, endpoint is not self.current), default=None)

    def succeeded(self, endpoint: Endpoint) -> None:
        """A read through `door` gave a state."""
        if endpoint.failures or endpoint is not self.current:
            logger.info("Reading exo's state from %s.", endpoint.client.url)
        endpoint.failures = 0
        endpoint.answers = True
        self.current = endpoint

    def failed(self, endpoint: Endpoint, reason: Exception, level: int = logging.WARNING) -> None:
        """A read through `door` gave none. Told once an episode, not once a read."""
        if not endpoint.failures:
            logger.log(level, "No state of exo from %s: %s (%r)", endpoint.client.url, reason, reason.__cause__)
            # It may have been one broken connection: the first try follows at once, the others at their pace.
            endpoint.troubled.set()
        endpoint.failures += 1
        endpoint.answers = endpoint.identified = False

    async def keep(self, endpoint: Endpoint) -> None:
        """Tries `door` whenever it is not the one being read. Runs until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout_at(max(endpoint.tried_at + self._rules.retry_every, loop.time())):
                    await endpoint.troubled.wait()
            except TimeoutError:
                pass
            endpoint.troubled.clear()
            endpoint.tried_at = loop.time()
            if endpoint is self.current and endpoint.answers:
                continue
            await self._try(endpoint)

    async def _try(self, endpoint: Endpoint) -> None:
        try:
            await endpoint.identify(self._rules.read_timeout)
        except UpstreamError as error:
            if endpoint.answers:
                logger.info("exo at %s does not answer: %s", endpoint.client.url, error)
            endpoint.answers = False
            return
        if not endpoint.answers:
            endpoint.answers = True
            self._opened()
