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

    def __init__(self, client: ExoClient, *, is_copy: bool = False) -> None:
        self.client = client
        self.node_id: str | None = None
        """The exo node behind it, as answered when the connection was made; None if it did not answer with an id."""
        self.identified = False
        """Whether its node id has been requested since it last failed."""
        self.has_runners = not is_copy
        """False once its exo has answered that it has no `GET /state/runners`, until it is identified again."""
        self.is_copy = is_copy
        """Whether another server of this kind answered in exo's place (see `mirror`): reading it costs exo nothing."""
        self.was_read = False
        """Whether it has ever returned a state."""
        self.failures = 0
        """Reads that failed since the last good one."""
        self.last_error: Exception | None = None
        """Why the last read failed, or the last attempt to reach it; None while neither has, or until it was tried."""
        self.answers = not is_copy
        """False from a failure until something answers again. Of exo, true until it has been tried."""
        self.tried_at = float("-inf")
        """When it was last tried outside a read, by the event loop's clock."""
        self.just_failed = asyncio.Event()
        """Set by the first of several failures: it is tried again at once, not only after `retry_every`."""

    async def identify(self, within: float) -> None:
        """Requests the id of the node behind it. Raises `Unreachable` if nothing answers."""
        self.node_id = await self.client.node_id(within)
        self.identified = self.has_runners = True


class Endpoints:
    """All URLs of one cluster, the preferred one first. `answers_again` is called when one answers again.

    Where another server is followed, its copy is read instead of them while it answers: then they are not even tried.
    """

    def __init__(self, clients: Sequence[ExoClient], rules: PollerRules, answers_again: Callable[[], None]) -> None:
        if not clients:
            raise ValueError("a cluster needs at least one URL")
        self.all = tuple(Endpoint(client) for client in clients)
        self.copy: Endpoint | None = None
        """The server that is followed (see `followed`); never commanded."""
        self.current = self.all[0]
        """The one that last returned a state. It stays in use when a preferred one is back."""
        self._rules = rules
        self._answers_again = answers_again

    @property
    def all_down(self) -> bool:
        """Whether none is known to answer."""
        return not any(endpoint.answers for endpoint in self._readable)

    @property
    def have_a_standby(self) -> bool:
        """Whether one beside the current one is known to answer."""
        return any(endpoint.answers for endpoint in self._readable if endpoint is not self.current)

    @property
    def reads_a_copy(self) -> bool:
        """Whether the last state came from the server that is followed."""
        return self.current is self.copy

    @property
    def _readable(self) -> Sequence[Endpoint]:
        return self.all if self.copy is None else (self.copy, *self.all)

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

    def next_to_read(self, tried: Set[Endpoint], *, exo_itself: bool) -> Endpoint | None:
        """The one for the next read, a copy only without `exo_itself`; None where all that answer are in `tried`."""
        copy = self.copy
        if copy is not None and copy.answers and copy not in tried and not exo_itself:
            return copy
        return self.next(tried)

    def is_known(self, endpoint: Endpoint) -> bool:
        """Whether it may still be read: no other server is followed since."""
        return endpoint in self._readable

    def trust_exo(self) -> None:
        """exo is to be read again where a copy was: what is known of its URLs is old."""
        for endpoint in self.all:
            endpoint.answers, endpoint.failures = True, 0

    def next(self, tried: Set[Endpoint]) -> Endpoint | None:
        """The one for the next request to exo; None where all that answer are in `tried`."""
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
        if endpoint is self.copy:
            self.trust_exo()

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
            if self._is_not_to_be_tried(endpoint):
                continue
            await self._try(endpoint)

    def _is_not_to_be_tried(self, endpoint: Endpoint) -> bool:
        """Whether it is being read, or is one of exo's while another server's copy is read."""
        if endpoint is self.current:
            return endpoint.answers
        return endpoint is not self.copy and self.reads_a_copy and self.current.answers

    async def _try(self, endpoint: Endpoint) -> None:
        try:
            if endpoint is self.copy:
                await endpoint.client.is_there(self._rules.read_timeout)
            else:
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
