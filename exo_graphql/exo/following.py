"""Reading another server's copy of exo's state in its place, while one leads, and exo itself whenever it has to be."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from exo_graphql.cluster.identity import is_another_cluster
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.rules import Rules
from exo_graphql.cluster.state import State
from exo_graphql.cluster.upstream import UpstreamError
from exo_graphql.exo.conditional_reader import ConditionalReader
from exo_graphql.exo.demand import Demand
from exo_graphql.exo.endpoints import Endpoint, Endpoints
from exo_graphql.exo.followed import Followed
from exo_graphql.exo.handover import Handover
from exo_graphql.exo.pacing import Mode, PollerRules
from exo_graphql.exo.parse import NotAState
from exo_graphql.exo.same_cluster import Members, SameCluster, another_cluster, names
from exo_graphql.exo.snapshots import Snapshots

ON_ITS_WAY = 0.1
"""Seconds in which a copy arrives that another server has sent."""


class Following(Snapshots):
    """What a poller has to do with other servers that read the same exo. `shared`: see `SameCluster`."""

    def __init__(
        self,
        endpoints: Endpoints,
        demand: Demand,
        rules: PollerRules,
        readiness: Rules,
        now: Callable[[], Moment],
        followed: Followed,
        *,
        shared: bool,
    ) -> None:
        super().__init__(endpoints, demand, rules, readiness, now)
        self._reader = ConditionalReader(self._elapsed)
        self._followed = followed
        self._handover = Handover(endpoints, self._elapsed)
        self.same_cluster = SameCluster(on=shared)
        """Whether exo is of the cluster of the servers that share the store."""
        self._state: State | None = None
        """The last state that was read, whether or not a snapshot shows it."""

    @property
    def mode(self) -> Mode:
        """The pace of reading at present."""
        return self._demand.mode(self._snapshot)

    def follow(self, url: str | None, token: str | None = None) -> None:
        """Reads the state from the server at `url` while it answers, or from exo again: the only reader.

        What is read to act upon (`read_now`) still comes from exo itself. `token` is what that server accepts.
        """
        if self._followed.follow(url, token):
            self._demand.request_read()

    def members_are(self, members: Members) -> None:
        """Another server has seen these members, or a server has before this start."""
        self.same_cluster.members_are(members, None if self.has_a_copy else self._state)

    async def another_cluster(self, members: Members) -> str | None:
        """Why this is another cluster than the one with these members; None if it is not, or exo does not answer.

        It is asked before this poller is entered.
        """
        for endpoint in self._endpoints.all:
            with suppress(UpstreamError, NotAState):
                state = (await self._reader.read(endpoint, self.rules.read_timeout, whole=True)).state
                nameless = any(node.friendly_name is None for node in state.nodes.values())
                if state.nodes and not nameless and is_another_cluster(members, state):
                    return another_cluster(members, state)
                return None
        return None

    async def catch_up(self) -> None:
        """Waits until this shows what the server that is followed showed before this call, for `fresh_wait` at most."""
        if not self.has_a_copy:
            return
        # With demand, a read waits there for news at any time: they are here by now, or are being read.
        waits_there = self.mode is not Mode.IDLE
        after = self._reads.begun - waits_there
        with suppress(TimeoutError):
            async with asyncio.timeout(ON_ITS_WAY if waits_there else self.rules.fresh_wait):
                while self._reads.succeeded <= after and self.has_a_copy:
                    self._demand.request_read()
                    await self._reads.ended()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.rules.fresh_wait):
                await self._catalogue.current()

    def silent_for(self) -> float:
        """Seconds since exo itself was lost here; 0 where it has answered the last request, or none was made yet."""
        since = self._silence.lost_since
        return 0.0 if since is None else self._elapsed() - since

    @property
    def reads_exo(self) -> bool | None:
        """Whether exo itself answers here; None where that is not known, since another server's copy is read."""
        if self._silence.lost_since is not None:
            return False
        return None if self._snapshot is None or self.has_a_copy else True

    @property
    def is_of_another_cluster(self) -> bool:
        """Whether exo was found to be of another cluster than that of the servers that share the store."""
        return self.same_cluster.is_another

    @property
    def has_a_copy(self) -> bool:
        """Whether the newest state came from the server that is followed."""
        return self._handover.has_a_copy

    def _check_cluster(self, endpoint: Endpoint, state: State) -> None:
        """Raises `AnotherCluster`."""
        newest, is_copied = self._state, self._handover.has_a_copy
        if endpoint is self._endpoints.copy:
            if newest is not None and not is_copied:
                self.same_cluster.check_copy(state, newest)
        elif newest is None or is_copied or self.same_cluster.is_another:
            self.same_cluster.check(state, names(newest) if newest is not None and is_copied else None)
