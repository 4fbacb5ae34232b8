"""The URLs of one cluster: which one is read, which ones answer, which one is next.

Every URL that is not being read is tried by itself, once a second, with a call that costs exo next to nothing: a
failure of the one in use then finds one that is known to answer, and a URL that is down is noticed when it is back.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence, Set

from exo_graphql.cluster.snapshot import Refusal
from exo_graphql.cluster.upstream import UpstreamError
from exo_graphql.exo.advice import suggestion
from exo_graphql.exo.client import ExoClient, Untrusted
from exo_graphql.exo.pacing import PollerRules

logger = logging.getLogger(__name__)

_NEVER = "no answer so far."
_NOT_YET = "it answered before, but has not answered the last request yet."
"""An exo that stops answering is noticed while the request that shows it may still be answered."""


class Endpoint:
    """One URL."""

    def __init__(self, client: ExoClient) -> None:
        self.client = client
        self.node_id: str | None = None
        """The exo node behind it, as answered when the connection was made; None if it did not answer with an id."""
        self.identified = False
        """Whether its node id has been requested since it last failed."""
        self.has_runners = True
        """False once its exo has answered that it has no `GET /state/runners`, until it is identified again."""
        self.is_copy = False
        """Whether another server of this kind answered in exo's place (see `mirror`): reading it costs exo nothing."""
        self.was_read = False
        """Whether it has ever returned a state."""
        self.failures = 0
        """Reads that failed since the last good one."""
        self.last_error: Exception | None = None
        """Why the last read failed, or the last attempt to reach it; None while neither has, or until it was tried."""
        self.answers = True
        """False from a failure until something answers again. True until it has been tried."""
        self.tried_at = float("-inf")
        """When it was last tried outside a read, by the event loop's clock."""
        self.just_failed = asyncio.Event()
        """Set by the first of several failures: it is tried again at once, not only after `retry_every`."""

    async def identify(self, within: float) -> None:
        """Requests the id of the node behind it. Raises `Unreachable` if nothing answers."""
        self.node_id = await self.client.node_id(within)
        self.identified = self.has_runners = True


class Endpoints:
    """All URLs of one cluster, the preferred one first. `answers_again` is called when one answers again."""

    def __init__(self, clients: Sequence[ExoClient], rules: PollerRules, answers_again: Callable[[], None]) -> None:
        if not clients:
            raise ValueError("a cluster needs at least one URL")
        self.all = tuple(Endpoint(client) for client in clients)
        self.current = self.all[0]
        """The one that last returned a state. It stays in use when a preferred one is back."""
        self._rules = rules
        self._answers_again = answers_again

    @property
    def all_down(self) -> bool:
        """Whether none is known to answer."""
        return not any(endpoint.answers for endpoint in self.all)

    @property
    def have_a_standby(self) -> bool:
        """Whether one beside the current one is known to answer."""
        return any(endpoint.answers for endpoint in self.all if endpoint is not self.current)

    @property
    def untrusted(self) -> Untrusted | None:
        """Why a TLS handshake fails, of the first URL where one does: only the operator of this server can fix it."""
        return next((e.client.untrusted for e in self.all if e.client.untrusted is not None), None)

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """The last error of each URL: "http://mac:52415: exo cannot be reached."."""
        return tuple(
            Refusal(each.client.url, _NOT_YET if each.was_read else _NEVER)
            if each.last_error is None
            else Refusal(each.client.url, str(each.last_error), suggestion(each.last_error))
            for each in self.all
        )

    def next(self, tried: Set[Endpoint]) -> Endpoint | None:
        """The one for the next request; None when every one that answers is in `tried`."""
        left = [endpoint for endpoint in self.all if endpoint.answers and endpoint not in tried]
        return min(left, key=lambda endpoint: (endpoint.failures, endpoint is not self.current), default=None)

    def succeeded(self, endpoint: Endpoint) -> None:
        """A read through `endpoint` returned a state."""
        if endpoint.failures or endpoint is not self.current:
            logger.info("Reading exo's state from %s.", endpoint.client.url)
        endpoint.failures = 0
        endpoint.was_read = True
        endpoint.last_error = None
        endpoint.answers = True
        self.current = endpoint

    def failed(self, endpoint: Endpoint, reason: Exception, level: int = logging.WARNING) -> None:
        """A read through `endpoint` returned none. Logged for the first of several failures only."""
        if not endpoint.failures:
            logger.log(level, "No state of exo from %s: %s (%r)", endpoint.client.url, reason, reason.__cause__)
            # It may have been one broken connection: the first retry follows at once, later ones every `retry_every`.
            endpoint.just_failed.set()
        endpoint.failures += 1
        endpoint.last_error = reason
        endpoint.answers = endpoint.identified = False

    async def keep(self, endpoint: Endpoint) -> None:
        """Tries `endpoint` regularly while it is not the one being read. Runs until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout_at(max(endpoint.tried_at + self._rules.retry_every, loop.time())):
                    await endpoint.just_failed.wait()
            except TimeoutError:
                pass
            endpoint.just_failed.clear()
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
            endpoint.last_error = error
            endpoint.answers = False
            return
        if not endpoint.failures:
            endpoint.last_error = None  # else it answers, but gave no state when it was last read
        if not endpoint.answers:
            endpoint.answers = True
            self._answers_again()
