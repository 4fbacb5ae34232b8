"""What a poller has not seen itself: what was known before its start, and what another server has seen since."""

import asyncio
from collections.abc import Collection, Mapping

from exo_graphql.cluster.history import ModelHistory
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.past import Fit, Past, fit
from exo_graphql.cluster.rules import Rules
from exo_graphql.cluster.state import State

KNOWN_FOR = 5.0
"""Seconds for which something known by another server waits for the state that shows it here as well."""


class Recalled:
    """Times are `Moment.elapsed`, in seconds."""

    def __init__(self) -> None:
        self._past: Past | None = None
        self._first_at: float | None = None
        """When the first state came."""
        self._known: Mapping[str, ModelHistory] = {}
        self._known_until = 0.0
        self.ready = asyncio.Event()
        """Set unless the past is still to be given."""
        self.ready.set()

    def expect(self) -> None:
        """The past is given later: no snapshot is made before."""
        self.ready.clear()

    def recall(self, past: Past | None) -> None:
        """Gives the past."""
        self._past = past
        self.ready.set()

    @property
    def members(self) -> Collection[str]:
        """The ids of the nodes of the past, until it is joined to a state."""
        return () if self._past is None else self._past.members.keys()

    @property
    def is_open(self) -> bool:
        """Whether the past is still to be given, or to be joined to a state."""
        return self._past is not None or not self.ready.is_set()

    def past_for(self, state: State, now: Moment, rules: Rules) -> Past | None:
        """The past, once, with the first state that goes on from it."""
        past = self._past
        if past is None:
            return None
        if self._first_at is None:
            self._first_at = now.elapsed
        fits = fit(past, state, waited=now.since(self._first_at) >= rules.behind_grace)
        if fits is Fit.UNCLEAR:
            return None
        self._past = None
        return past if fits is Fit.GOES_ON else None

    def know(self, models: Mapping[str, ModelHistory], now: float) -> None:
        """Another server knows this of models."""
        self._known = {**self.known(now), **models}
        self._known_until = now + KNOWN_FOR

    def known(self, now: float) -> Mapping[str, ModelHistory]:
        """What another server knows, and no snapshot has shown yet."""
        if self._known and now >= self._known_until:
            self._known = {}
        return self._known

    def shown(self, models: Mapping[str, ModelHistory]) -> None:
        """A snapshot shows this of models."""
        if self._known:
            self._known = {id_: known for id_, known in self._known.items() if models.get(id_) != known}
