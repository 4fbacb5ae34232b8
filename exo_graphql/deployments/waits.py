"""Waits that may be lost: after a restart of this server each begins anew.

Times are `Moment.elapsed`, keys are uids of deployments.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta

from exo_graphql.cluster.moment import Moment
from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.backoff import delay

WEIGHTS_SECONDS = 60.0
"""How often it is looked anew whether weights that are there still are."""


STALL_SECONDS = 600.0
"""A download of which nothing has arrived for as long is said not to go on."""


class Waits:
    """`jitter` is from 0 to 1."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self.fits_since: dict[str, float | None] = {}
        """Of what was UNSATISFIABLE: since when it fits again; None while it does not."""
        self.fetch_at: dict[str, Moment] = {}
        """When its weights may be asked for again."""
        self.not_before: dict[str, float] = {}
        """When an operation may be requested again that was refused, or did not unload."""
        self._jitter = jitter
        self._fetches: dict[str, int] = {}
        self._arrived: dict[str, tuple[int, float]] = {}
        """Bytes that had arrived, and since when they are as many."""
        self._refusals: dict[str, int] = {}

    def hold_back(self, uid: str, now: Moment) -> None:
        """Its next request comes a little later, each time by more."""
        number = self._refusals[uid] = self._refusals.get(uid, 0) + 1
        self.not_before[uid] = now.elapsed + delay(number, self._jitter()).total_seconds()

    def succeeded(self, uid: str) -> None:
        """The next refusal is a first one again."""
        self._refusals.pop(uid, None)

    def asked_for_weights(self, uid: str, now: Moment) -> None:
        """They are asked for again if they are not on their way by then."""
        number = self._fetches[uid] = self._fetches.get(uid, 0) + 1
        self.fetch_at[uid] = _after(now, delay(number, self._jitter()))

    def weights_are_there(self, uid: str, now: Moment) -> None:
        """They are looked for again in a minute."""
        self.fetch_at[uid] = _after(now, timedelta(seconds=WEIGHTS_SECONDS))
        self._fetches.pop(uid, None)

    def note_arrival(self, each: Assessment, now: Moment) -> None:
        """Carries on since when nothing of its weights has arrived."""
        uid, arrived = each.deployment.uid, each.arrived_bytes
        known = self._arrived.get(uid)
        if arrived is None:
            self._arrived.pop(uid, None)
        elif known is None or known[0] != arrived:
            self._arrived[uid] = (arrived, now.elapsed)

    def stalled(self, now: Moment) -> frozenset[str]:
        """Those of whose weights nothing has arrived for long."""
        return frozenset(uid for uid, (_, at) in self._arrived.items() if now.elapsed - at >= STALL_SECONDS)

    def note_fit(self, each: Assessment, now: Moment) -> None:
        """Carries on since when what was UNSATISFIABLE fits."""
        uid = each.deployment.uid
        if each.fits is False:
            self.fits_since[uid] = None
        elif each.fits and uid in self.fits_since and self.fits_since[uid] is None:
            self.fits_since[uid] = now.elapsed
        elif each.ready or not each.wanted:
            self.fits_since.pop(uid, None)

    def attempted(self, uid: str) -> None:
        """An attempt is begun: it has fitted for long enough, and its weights are there."""
        self.fits_since.pop(uid, None)
        self.fetch_at.pop(uid, None)
        self._fetches.pop(uid, None)

    def forget(self, uid: str) -> None:
        """The deployment is gone."""
        for each in (self.fits_since, self.fetch_at, self.not_before, self._fetches, self._refusals, self._arrived):
            each.pop(uid, None)

    def ends(self, now: Moment) -> Iterator[float]:
        """Seconds until each of the waits for a request is over."""
        for at in (*self.not_before.values(), *(moment.elapsed for moment in self.fetch_at.values())):
            if at > now.elapsed:
                yield at - now.elapsed


def _after(now: Moment, wait: timedelta) -> Moment:
    return Moment(now.at + wait, now.elapsed + wait.total_seconds())
