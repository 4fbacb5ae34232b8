"""Reads the state through one URL. An exo that sends ETags need not send again what has not changed."""

from collections.abc import Callable
from dataclasses import dataclass

from exo_graphql.cluster.state import State
from exo_graphql.exo.copied import Copied
from exo_graphql.exo.endpoints import Endpoint
from exo_graphql.exo.parse import NotAState, StateReader

KNOWN_LASTS = 10.0
"""Seconds for which a state may be confirmed by its ETag alone (304). The limit costs nothing, since the state changes
every second even in an idle cluster. It bounds the harm of an ETag that is an event index: an exo that was restarted
reaches index 500 again with another state."""


@dataclass(frozen=True, slots=True)
class StateRead:
    """A state, and what reading it took. Seconds."""

    state: State
    asked_at: float
    """When it was asked for, as `Moment.elapsed`."""
    cost: float | None
    """What it took exo: from the request to the whole answer; 0 for a copy. None where this process was stopped
    meanwhile, or the machine slept."""
    body: bytes | None
    """What was read; None where it is the same as the last one."""
    copied: Copied | None = None
    """Where it is another server's copy: what that one says of its own read."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A state that exo need not send again as long as it has the same ETag."""

    endpoint: Endpoint
    etag: str
    state: State
    read_at: float


class ConditionalReader:
    """Keeps the last state and its ETag. `elapsed` is the clock of `Moment.elapsed`."""

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._reader = StateReader()
        self._known: _Known | None = None

    async def read(
        self, endpoint: Endpoint, within: float, *, whole: bool, wait: int = 0, max_age: float | None = None
    ) -> StateRead:
        """Reads the state through `endpoint`, at most `within` seconds later. `whole`: even if its ETag is known.

        `wait`: a copy is given so many seconds more to wait for another state than the known one.
        `max_age`: it may have been read so many seconds ago.

        Raises `UpstreamError` if exo does not answer in time or refuses, `NotAState` if its answer is no state.
        """
        asked_at = self._elapsed()
        known = None if whole or endpoint.failures else self._known
        if known is not None and (known.endpoint is not endpoint or asked_at - known.read_at >= KNOWN_LASTS):
            known = None
        if known is None:
            answer = await endpoint.client.state(within, max_age=max_age if endpoint.is_copy else None)
        elif endpoint.is_copy:
            answer = await endpoint.client.state(within, known.etag, wait, max_age)
        else:
            answer = await endpoint.client.state(within, known.etag)
        # A copy whose ETags a proxy drops cannot be asked to wait for another state: it is read as often as exo.
        copied = answer.copied
        endpoint.is_copy = copied is not None and answer.etag is not None
        if copied is not None and copied.node_id is not None:
            endpoint.node_id = copied.node_id
        took = self._elapsed() - asked_at
        cost = 0.0 if endpoint.is_copy else took if took <= within else None
        body = answer.body
        if body is None and known is not None:
            return StateRead(known.state, self._asked_at(asked_at, copied), cost, None, copied)
        if body is None:
            raise NotAState("nothing, to a request that named no state")
        state = await self._reader.read(body)
        self._known = None if answer.etag is None else _Known(endpoint, answer.etag, state, asked_at)
        return StateRead(state, self._asked_at(asked_at, copied), cost, body, copied)

    def _asked_at(self, asked_at: float, copied: Copied | None) -> float:
        """When exo itself was asked: where the answer is another server's copy, that was before."""
        return asked_at if copied is None else copied.read_at(asked_at, self._elapsed())
