"""Waits before the next request. What a person may notice of them is stored (`memories`); the rest begins anew.

Times are `Moment.elapsed`, keys are uids of deployments.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta

from exo_graphql.cluster.moment import Moment
from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.backoff import delay
from exo_graphql.deployments.deployment import DeploymentState
from exo_graphql.deployments.memories import Memory

WEIGHTS_SECONDS = 60.0
"""How often weights that are there are checked again: somebody may have deleted them."""

STALL_SECONDS = 600.0
"""A download counts as stalled when nothing has arrived for this long."""


class Waits:
    """`jitter` returns a random number from 0 to 1."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self.fits_since: dict[str, float | None] = {}
        """Of deployments that were UNSATISFIABLE: since when they fit again; None while they do not."""
        self.fetch_at: dict[str, Moment] = {}
        """When its weights may be requested again."""
        self.not_before: dict[str, float] = {}
        """When it may request an operation again, after one was refused or did not unload."""
        self._until: dict[str, datetime] = {}
        """The same by the wall clock (UTC)."""
        self._jitter = jitter
        self._fetches: dict[str, int] = {}
        self._arrived: dict[str, tuple[int, float]] = {}
        """Bytes that had arrived, and when the last of them did."""
        self._refusals: dict[str, int] = {}

    def hold_back(self, uid: str, now: Moment) -> None:
        """Delays its next request, each time by more."""
        number = self._refusals[uid] = self._refusals.get(uid, 0) + 1
        wait = delay(number, self._jitter())
        self.not_before[uid], self._until[uid] = now.elapsed + wait.total_seconds(), now.at + wait

    def succeeded(self, uid: str) -> None:
        """The next refusal counts as the first one again."""
        self._refusals.pop(uid, None)

    def asked_for_weights(self, uid: str, now: Moment) -> None:
        """Its weights were requested: they are again if their download has not begun by `fetch_at`."""
        number = self._fetches[uid] = self._fetches.get(uid, 0) + 1
        self.fetch_at[uid] = _after(now, delay(number, self._jitter()))

    def weights_are_there(self, uid: str, now: Moment) -> None:
        """Its weights are complete: they are checked again in a minute."""
        self.fetch_at[uid] = _after(now, timedelta(seconds=WEIGHTS_SECONDS))
        self._fetches.pop(uid, None)

    def note_arrival(self, each: Assessment, now: Moment) -> None:
        """Notes whether more of its weights has arrived."""
        uid, arrived = each.deployment.uid, each.arrived_bytes
        known = self._arrived.get(uid)
        if arrived is None:
            self._arrived.pop(uid, None)
        elif known is None or known[0] != arrived:
            self._arrived[uid] = (arrived, now.elapsed)

    def stalled(self, now: Moment) -> frozenset[str]:
        """Uids of deployments whose download has received nothing for `STALL_SECONDS`."""
        return frozenset(uid for uid, (_, at) in self._arrived.items() if now.elapsed - at >= STALL_SECONDS)

    def note_fit(self, each: Assessment, now: Moment) -> None:
        """Notes since when a deployment that was UNSATISFIABLE fits."""
        uid = each.deployment.uid
        if each.fits is False:
            self.fits_since[uid] = None
        elif each.fits and uid in self.fits_since and self.fits_since[uid] is None:
            self.fits_since[uid] = now.elapsed
        elif each.ready or not each.wanted:
            self.fits_since.pop(uid, None)

    def attempted(self, uid: str) -> None:
        """An attempt has begun: the waits before it are over."""
        self.fits_since.pop(uid, None)
        self.fetch_at.pop(uid, None)
        self._fetches.pop(uid, None)

    def forget(self, uid: str) -> None:
        """The deployment is gone."""
        waits = self.fits_since, self.fetch_at, self.not_before, self._until, self._fetches, self._refusals
        for each in (*waits, self._arrived):
            each.pop(uid, None)

    def remembered(self, uid: str, state: DeploymentState, changed_at: datetime) -> Memory:
        """What is stored of a deployment, whose state has lasted since `changed_at` (UTC)."""
        fetch_at = self.fetch_at.get(uid)
        return Memory(
            state,
            changed_at,
            fetch_at=None if fetch_at is None else fetch_at.at,
            not_before=self._until.get(uid),
            fetches=self._fetches.get(uid, 0),
            refusals=self._refusals.get(uid, 0),
        )

    def recall(self, memories: Mapping[str, Memory], now: Moment) -> None:
        """Takes over what the server before this one, or the one that leads, has stored, by uid."""
        self._fetches = {uid: each.fetches for uid, each in memories.items() if each.fetches}
        self._refusals = {uid: each.refusals for uid, each in memories.items() if each.refusals}
        self.fetch_at = {
            uid: Moment(each.fetch_at, _elapsed(each.fetch_at, now))
            for uid, each in memories.items()
            if each.fetch_at is not None
        }
        self._until = {uid: each.not_before for uid, each in memories.items() if each.not_before is not None}
        self.not_before = {uid: _elapsed(at, now) for uid, at in self._until.items()}

    def ends(self, now: Moment) -> Iterator[float]:
        """Seconds until each of the waits for a request is over."""
        for at in (*self.not_before.values(), *(moment.elapsed for moment in self.fetch_at.values())):
            if at > now.elapsed:
                yield at - now.elapsed


def _elapsed(at: datetime, now: Moment) -> float:
    return now.elapsed + (at - now.at).total_seconds()


def _after(now: Moment, wait: timedelta) -> Moment:
    return Moment(now.at + wait, now.elapsed + wait.total_seconds())
