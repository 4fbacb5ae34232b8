"""The one loop: it compares what is wanted with what is loaded, and does the one act that follows.

It wakes up for a snapshot (once a second at most), the progress of an operation, a changed deployment, and the next
time at which a window opens or an attempt is due. Each round accounts for what has happened (`outcomes`: how operations
have ended; `adjust`: what time and other people have changed), compares (`compare`), publishes (`assessments`), and
acts (`acting`). What it remembers beyond the store is in `Watch`, which may be lost, and in `Waits`, of which a part is
stored (`memories`). A server that follows another one compares and publishes in the same way, and does nothing else.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace
from datetime import datetime, timedelta

from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Upstream
from exo_graphql.deployments import outcomes
from exo_graphql.deployments.acting import Actor
from exo_graphql.deployments.adjust import Observed, adjusted, is_about, paused
from exo_graphql.deployments.assess import assess_unseen
from exo_graphql.deployments.assessments import Assessments
from exo_graphql.deployments.compare import Comparison, compare
from exo_graphql.deployments.deployment import Deployment, DeploymentState
from exo_graphql.deployments.memories import Memories
from exo_graphql.deployments.registry import Registry
from exo_graphql.deployments.timetable import Timetable, timetable
from exo_graphql.deployments.view import View
from exo_graphql.deployments.waits import Waits
from exo_graphql.deployments.watch import Watch, observe
from exo_graphql.operations import Operation, Operations, OperationState
from exo_graphql.storage import StoreError

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""The shortest pause between two comparisons for snapshots alone: while something loads, ten come a second."""
FAULT_SECONDS = 5.0
"""How long nothing is done after an internal error, or an error of the store."""
DELETED_SECONDS = 20.0
"""How long a server that follows shows the pause that it expects after somebody has deleted an instance."""
SET_BACK = timedelta(minutes=5)
"""A wall clock that goes back by less was corrected: our time then stops until the clock has caught up.

For example at 06:00:01 it is set to 05:59:58: a window that has just opened does not close again for two seconds.
"""


class Reconciler:
    """`run` is awaited by its owner until it is cancelled. `jitter` returns a random number from 0 to 1."""

    def __init__(
        self,
        upstream: Upstream,
        operations: Operations,
        registry: Registry,
        memories: Memories,
        *,
        now: Callable[[], Moment],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.acts = False
        """Whether this server acts for the deployments."""
        self._memories = memories
        self.assessments = Assessments(upstream)
        self._upstream = upstream
        self._operations = operations
        self._registry = registry
        self._clock = now
        self._jitter = jitter
        self._wake = asyncio.Event()
        self._latest: datetime | None = None
        self._watch = Watch()
        self._waits = Waits(jitter)
        self._actor = Actor(operations, registry, self._waits, now=self.now, jitter=jitter)
        self._deleted: dict[str, float] = {}
        """Ids of own instances that somebody else has deleted, and when, until the pause that follows is stored."""
        self._timetables: dict[str, tuple[Deployment, Timetable]] = {}
        self._reconciled_at = float("-inf")
        self._compared_at = float("-inf")
        self._last_comparison: tuple[int, float] = (-1, 0.0)
        """Version of the snapshot that was last compared, and the seconds that the comparison took."""

    @property
    def attempts(self) -> Mapping[str, int]:
        """By name of the deployment: loads begun since this server started."""
        return self._actor.attempts

    # Reading

    def now(self) -> Moment:
        """Now, by a wall clock that never goes back by a few minutes."""
        moment = self._clock()
        if self._latest is not None and timedelta(0) < self._latest - moment.at < SET_BACK:
            return Moment(self._latest, moment.elapsed)
        self._latest = moment.at
        return moment

    def view(self, deployments: Iterable[Deployment], snapshot: Snapshot) -> View:
        """The input of a comparison of these deployments, which may include one that is not stored (a dry run)."""
        now = self.now()
        known, at_work = tuple(deployments), self._operations.at_work()
        return View(
            snapshot=snapshot,
            deployments=known,
            timetables={deployment.uid: self._timetable(deployment, snapshot, now) for deployment in known},
            operations=at_work,
            placed=[each for o in at_work if o.deployment is not None for each in self._operations.placed(o.id)],
            free=self._operations.free(snapshot),
            watch=self._watch,
            fits_since=self._waits.fits_since,
            fetch_at=self._waits.fetch_at,
            stalled=self._waits.stalled(now),
            parked=frozenset(d.uid for d in known if self._is_parked(d)),
            not_before=self._waits.not_before,
            now=now,
        )

    def assess(self) -> Comparison | None:
        """Assesses every deployment now and publishes that, without acting. None before the first snapshot."""
        snapshot = self._upstream.snapshot
        if snapshot is None:
            now = self.now()
            memories = self._memories.by_uid
            unseen = [
                assess_unseen(
                    d,
                    timetable(d.spec, d.load_times, None, now.at),
                    now,
                    memories[d.uid].state if d.uid in memories else None,
                )
                for d in self._registry.all()
                if not d.deleted
            ]
            self._publish(Comparison(None, unseen, []), now)
            return None
        began = time.thread_time()  # not what other processes take of the machine
        # A deletion by somebody else is shown at once, though the pause is stored only by the next round.
        known = self._registry.all()
        if self._deleted:
            known = tuple(paused(d, self._observed(d, self._deleted)) for d in known)
        view = self.view(known, snapshot)
        outcome = compare(view)
        self._last_comparison = snapshot.version, time.thread_time() - began
        self._publish(outcome, view.now)
        return outcome

    def is_about(self, operation: Operation, deployment: Deployment) -> bool:
        """Whether a person's operation takes the model of this deployment away."""
        leaving = self._operations.leaving(operation.id)
        return is_about(operation.unload_ids, leaving, deployment, self._upstream.snapshot)

    def end_contest(self, uid: str) -> None:
        """A person wants it loaded although another server works against it."""
        self._watch = self._watch.without_contest(uid)

    def recall(self) -> None:
        """Takes over what is stored in `memories`."""
        self._waits.recall(self._memories.by_uid, self.now())

    def _publish(self, outcome: Comparison, now: Moment) -> None:
        self._compared_at = now.elapsed
        self.assessments.publish(outcome.assessments, now, self._memories.by_uid)
        if self.acts and self._upstream.snapshot is not None:
            self._memories.note(
                {
                    each.deployment.uid: self._waits.remembered(
                        each.deployment.uid, each.state, self.assessments.changed_at(each.deployment.name) or now.at
                    )
                    for each in outcome.assessments
                }
            )

    def _is_parked(self, deployment: Deployment) -> bool:
        operation = None if deployment.pending is None else self._operations.by_key(deployment.pending)
        return operation is not None and operation.state is OperationState.PARKED

    def _timetable(self, deployment: Deployment, snapshot: Snapshot, now: Moment) -> Timetable:
        known = self._timetables.get(deployment.uid)
        if known is not None:
            before, table = known
            same = (before.spec, before.load_times) == (deployment.spec, deployment.load_times)
            # A clock that was set back by more than a correction may have another window open.
            if same and now.at < table.valid_until and table.since <= now.at:
                return table
        card = snapshot.models.get(deployment.spec.model_id)
        table = timetable(deployment.spec, deployment.load_times, card.storage_bytes if card else None, now.at)
        self._timetables[deployment.uid] = (deployment, table)
        return table

    # The loop

    async def run(self) -> None:
        """Reconciles until it is cancelled; where it does not act, it compares and publishes alone."""
        with (
            self.assessments,
            self._upstream.listen(self._on_snapshot),
            _listening(self._operations.listen, self._wake.set),
            _listening(self._registry.listen, self._wake.set),
        ):
            while True:
                try:
                    await self._reconcile()
                except StoreError as error:
                    log.error("Deployments: paused until the store can be written: %s", error)  # noqa: TRY400
                    await asyncio.sleep(FAULT_SECONDS)
                except Exception:
                    log.exception("Deployments: an internal error; trying again.")
                    await asyncio.sleep(FAULT_SECONDS)
                await self._next()

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        now = self.now()
        at_work = self._operations.at_work()
        touched = frozenset(id_ for operation in at_work for id_ in operation.model_ids)
        placed = [each for o in at_work if o.deployment is not None for each in self._operations.placed(o.id)]
        persons = [id_ for o in at_work if o.deployment is None for _, id_ in self._operations.placed(o.id)]
        self._watch = observe(self._watch, snapshot, self._registry.all(), touched, now, placed, persons)
        self._deleted |= dict.fromkeys(self._watch.deleted, now.elapsed)
        # Each snapshot is compared, but with 20 times the duration of a comparison in between: 0.1 s if one takes 5 ms
        # (5 % of a core). An answer must not show a deployment as READY beside a snapshot without its model, though.
        version, took = self._last_comparison
        if snapshot.version != version and (
            self._watch.deleted or now.elapsed - self._compared_at >= 20 * took or self._is_contradicted(snapshot)
        ):
            self.assess()
        if now.elapsed - self._reconciled_at >= PAUSE_SECONDS or self._watch.deleted:
            self._wake.set()

    def _is_contradicted(self, snapshot: Snapshot) -> bool:
        return any(
            each.state is DeploymentState.READY and not snapshot.status(each.deployment.spec.model_id).ready
            for each in self.assessments.all()
        )

    async def _next(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds_to_wait()):
                await self._wake.wait()
        self._wake.clear()

    def _seconds_to_wait(self) -> float | None:
        """Seconds until the clock alone changes something; None if it does not."""
        now, known = self.now(), self._registry.all()
        times = [a.timetable.valid_until for a in self.assessments.all()]
        times += [d.retry_at for d in known if d.retry_at is not None and d.retry_at > now.at]
        times += [d.pause.until for d in known if d.pause is not None and d.pause.until is not None]
        waits = [(at - now.at).total_seconds() for at in times]
        return min((max(0.05, seconds) for seconds in (*waits, *self._waits.ends(now))), default=None)

    async def _reconcile(self) -> None:
        now = self.now()
        self._reconciled_at = now.elapsed
        if not self.acts:
            # The leader stores the pause. Where it has not within this time, it has seen something else.
            self._deleted = {id_: at for id_, at in self._deleted.items() if now.elapsed - at < DELETED_SECONDS}
        elif self._upstream.snapshot is not None:
            await self._account_for_changes()
        outcome = self.assess()
        if outcome is None:
            return
        self._note(outcome)
        if self.acts:
            await self._remember(outcome)
            await self._actor.carry_out(outcome.act)

    # What has happened since the last comparison

    async def _account_for_changes(self) -> None:
        """Stores the ends of operations, acts of persons, and what time has changed, before they are compared."""
        deleted = frozenset(self._deleted)
        for deployment in self._registry.all():
            await self._end_pending(deployment)
            await self._registry.update(deployment.uid, lambda d: adjusted(d, self._observed(d, deleted)))
            await self._forget_if_gone(deployment.uid)
        self._deleted = {id_: at for id_, at in self._deleted.items() if id_ not in deleted}

    def _observed(self, deployment: Deployment, deleted: Iterable[str]) -> Observed:
        now, known = self.now(), self._timetables.get(deployment.uid)
        return Observed(
            snapshot=self._upstream.snapshot,
            watch=self._watch,
            table=known[1] if known is not None and now.at < known[1].valid_until else None,
            ready=self.assessments.is_ready(deployment.name),
            deleted=frozenset(deleted),
            persons=[(o, self._operations.leaving(o.id)) for o in self._operations.at_work() if o.deployment is None],
            now=now,
        )

    async def _end_pending(self, deployment: Deployment) -> None:
        """Stores how the operation that it requested has ended, if it has."""
        if deployment.pending is None:
            return
        operation = self._operations.by_key(deployment.pending)
        if operation is not None and operation.active:
            return
        for model_id, instance_id in () if operation is None else operation.placed:
            for owner in self._registry.all():
                if owner.spec.model_id == model_id and instance_id not in owner.owned:
                    await self._registry.update(owner.uid, lambda d, i=instance_id: outcomes.owning(d, (i,)))  # type: ignore[misc]
        now, jitter = self.now(), self._jitter()
        changed = await self._registry.update(deployment.uid, lambda d: outcomes.ended(d, operation, now, jitter))
        if operation is None or changed is None or operation.state is OperationState.CANCELLED:
            return
        if operation.state is OperationState.SUCCEEDED:
            self._waits.succeeded(deployment.uid)
            return
        if not outcomes.is_load_of(operation, deployment):
            self._waits.hold_back(deployment.uid, now)
        if changed.last_failure is not None:
            log.warning("Deployment %s: %s", deployment.name, changed.last_failure.message)

    async def _forget_if_gone(self, uid: str) -> None:
        """Removes a deleted deployment once what it placed is unloaded."""
        known, snapshot = self._registry.of(uid), self._upstream.snapshot
        if known is None or not known.deleted or known.pending is not None or snapshot is None or snapshot.stale:
            return
        if not any(id_ in snapshot.state.instances for id_ in known.owned):
            await self._registry.forget(uid)
            self._waits.forget(uid)

    def _note(self, outcome: Comparison) -> None:
        """Keeps in memory what the next comparisons depend on."""
        now = self.now()
        for each in outcome.assessments:
            self._waits.note_fit(each, now)
            self._waits.note_arrival(each, now)

    async def _remember(self, outcome: Comparison) -> None:
        """Stores what the next comparisons depend on."""
        now, snapshot = self.now(), self._upstream.snapshot
        for uid in outcome.weights_there:
            self._waits.weights_are_there(uid, now)
        for each in outcome.assessments:
            uid = each.deployment.uid
            if snapshot is None or snapshot.stale:
                continue
            if each.wanted and not each.deployment.adopted and self._watch.contested(uid, now) is None:
                found = each.adoptable
                await self._registry.update(uid, lambda d, a=found: replace(outcomes.owning(d, a), adopted=True))  # type: ignore[misc]
            if each.failed_download is not None:
                message = each.failed_download
                await self._registry.update(uid, lambda d, m=message: outcomes.failed(d, m, now.at))  # type: ignore[misc]
            if each.state is DeploymentState.READY:
                ids = each.instance_ids
                await self._registry.update(uid, lambda d, i=ids, s=snapshot: outcomes.placed_on(d, i, s))  # type: ignore[misc]


def _listening(
    listen: Callable[[Callable[[], None]], Callable[[], None]], callback: Callable[[], None]
) -> AbstractContextManager[object]:
    """While inside, `callback` is called; `listen` returns how to stop it."""
    stack = ExitStack()
    stack.callback(listen(callback))
    return stack
