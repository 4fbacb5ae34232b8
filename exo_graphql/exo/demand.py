"""Who needs the state now: subscribers, operations and recent queries. It decides how often the state is read."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from exo_graphql.cluster.readiness import IN_TRANSITION, Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Runner, RunnerStatus
from exo_graphql.exo.pacing import NEARLY_LOADED, Mode


class Demand:
    """Counts subscribers and operations, and wakes the poller up when one is added."""

    def __init__(self, query_lasts: float) -> None:
        self._query_lasts = query_lasts
        """Seconds for which a query counts as demand."""
        self._subscribers = 0
        """Live queries that are open."""
        self._operations = 0
        """Operations under way."""
        self._queried_at = float("-inf")
        """When the last query arrived (`Moment.elapsed`)."""
        self.query_waits = False
        """A query waits for a read that has not begun."""
        self.urgent = False
        """An operation waits for a read that has not begun, and will act upon it."""
        self.wake_up = asyncio.Event()
        """Set when the time of the next read has to be computed again."""

    @contextmanager
    def subscriber(self) -> Iterator[None]:
        """A live query needs snapshots while this is active."""
        self._subscribers += 1
        self.wake_up.set()
        try:
            yield
        finally:
            self._subscribers -= 1

    @contextmanager
    def operation(self) -> Iterator[None]:
        """An operation runs while this is active."""
        self._operations += 1
        self.wake_up.set()
        try:
            yield
        finally:
            self._operations -= 1

    def query_at(self, now: float) -> None:
        """A query arrived at `now` (`Moment.elapsed`)."""
        self._queried_at = now

    def request_read(self) -> None:
        """A query needs a read that has yet to begin."""
        self.query_waits = True
        self.wake_up.set()

    @property
    def is_requested(self) -> bool:
        """Whether somebody waits for a read that has not begun."""
        return self.query_waits or self.urgent

    def clear_requests(self) -> None:
        """Forgets the requests for a read: one has begun or arrived. Callers that still need one request it again."""
        self.query_waits = self.urgent = False

    def request_read_now(self) -> None:
        """An operation needs a read that has yet to begin, at once."""
        self.urgent = True
        self.wake_up.set()

    def mode(self, snapshot: Snapshot | None) -> Mode:
        """The pace of reading that the demand calls for, where `snapshot` is the newest."""
        if self._operations or (self._subscribers and snapshot is not None and _is_in_transition(snapshot)):
            return Mode.FAST
        return Mode.NORMAL if self._subscribers else Mode.IDLE

    def exists(self, now: float) -> bool:
        """Whether there is a subscriber, an operation, or a query of the last few seconds."""
        return bool(self._subscribers or self._operations) or now - self._queried_at < self._query_lasts


def _is_in_transition(snapshot: Snapshot) -> bool:
    """Whether an instance loads or unloads. A failed one counts: exo retries it within seconds, 5 times at most."""
    return any(
        (status.phase in IN_TRANSITION or status.phase is Phase.FAILED) and id_ not in snapshot.given_up
        for id_, status in snapshot.instance_statuses.items()
    )


def shows_in_runners(snapshot: Snapshot) -> bool:
    """Whether what comes next shows in the reports of runners: an instance is on its way, none downloads or unloads.

    Memory that comes back after an unload, requests that are drained and weights that arrive show in the whole state
    alone: an operation that waits for them must not wait for a cheap read to find news.
    """
    return _is_in_transition(snapshot) and not any(
        status.phase in (Phase.DOWNLOADING, Phase.UNLOADING) and id_ not in snapshot.given_up
        for id_, status in snapshot.instance_statuses.items()
    )


def is_nearly_ready(snapshot: Snapshot, runners: Mapping[str, Runner]) -> bool:
    """Whether an instance that loads may become ready at any moment, by the newest reports of its runners."""
    return any(
        snapshot.instance_statuses[instance.id].phase in IN_TRANSITION
        and instance.id not in snapshot.given_up
        and all(_has_nearly_loaded(runners.get(shard.runner_id)) for shard in instance.shards)
        for instance in snapshot.state.instances.values()
    )


def _has_nearly_loaded(runner: Runner | None) -> bool:
    if runner is None:
        return False
    if runner.status is RunnerStatus.LOADING and runner.layers_loaded is not None and runner.total_layers is not None:
        return runner.layers_loaded >= NEARLY_LOADED * runner.total_layers
    return runner.status in (RunnerStatus.LOADED, RunnerStatus.WARMING_UP, RunnerStatus.READY, RunnerStatus.RUNNING)
