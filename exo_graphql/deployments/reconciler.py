"""The one loop: it compares what is wanted with what is loaded, and does the one act that follows.

It wakes up for a snapshot (once a second at most), an operation that has moved, a deployment that was changed, and the
next time at which a window opens or an attempt is due. What it decides is decided by `compare`; what it remembers
beyond the store is `Watch` and a few waits, all of which may be lost.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime, timedelta

from exo_graphql.cluster.expectations import Expectations
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.names import label
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Upstream
from exo_graphql.deployments import acts
from exo_graphql.deployments.backoff import RESET_SECONDS, delay
from exo_graphql.deployments.compare import (
    Assessment,
    Cancel,
    Change,
    Comparison,
    Fetch,
    assess_unseen,
    compare,
)
from exo_graphql.deployments.deployment import (
    KEPT_LOADS,
    AttemptFailure,
    Deployment,
    DeploymentState,
    LoadTime,
    Pause,
)
from exo_graphql.deployments.health import Health
from exo_graphql.deployments.registry import Registry
from exo_graphql.deployments.timetable import Timetable, timetable
from exo_graphql.deployments.view import View
from exo_graphql.deployments.watch import Watch, observe
from exo_graphql.operations import Operation, OperationError, Operations, OperationState
from exo_graphql.storage import StoreError

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""Snapshots that come sooner after a comparison are left to the next one: while something loads ten come a second."""
FAULT_SECONDS = 5.0
"""How long nothing is done after a fault of this server, or of its store."""
SET_BACK = timedelta(minutes=5)
"""A wall clock that goes back by less has been corrected: the time stands still until it is caught up."""
WEIGHTS_SECONDS = 60.0
"""How often it is looked anew whether weights that are there still are."""
KEPT_OWNED = 64
"""Ids of own instances that are kept, the gone ones included: a master that hung and returns brings them back."""


class Reconciler:
    """`run` is awaited by its owner until it is cancelled. `dice` is from 0 to 1."""

    def __init__(
        self,
        upstream: Upstream,
        operations: Operations,
        registry: Registry,
        *,
        now: Callable[[], Moment],
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.version = 0
        """Moves whenever an assessment changes."""
        self.attempts: dict[str, int] = {}
        """By name: operations begun since this server started."""
        self._upstream = upstream
        self._operations = operations
        self._registry = registry
        self._clock = now
        self._dice = dice
        self._wake = asyncio.Event()
        self._latest: datetime | None = None
        self._watch = Watch()
        self._deleted: set[str] = set()
        """Own instances that somebody else has deleted and that have not been taken into account."""
        self._timetables: dict[str, tuple[Deployment, Timetable]] = {}
        self._fits_since: dict[str, float | None] = {}
        self._fetch_at: dict[str, float] = {}
        self._fetches: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        """By uid: when an operation may be requested again that was refused, or did not unload."""
        self._refusals: dict[str, int] = {}
        self._cancelled: set[str] = set()
        """Operations that this loop has cancelled."""
        self._reconciled_at = float("-inf")
        self._compared_at = float("-inf")
        self._looked_at: tuple[int, float] = (-1, 0.0)
        """Version of the snapshot that was last compared, and the seconds of this process that it took."""
        self._assessments: dict[str, Assessment] = {}
        self._changed_at: dict[str, datetime] = {}
        self._health = Health()
        self._expectations = Expectations()
        self._looking = ExitStack()
        self._looks = False
        self._listeners: list[Callable[[], None]] = []

    # Reading

    def now(self) -> Moment:
        """Now; the wall clock does not go back by a few minutes."""
        moment = self._clock()
        if self._latest is not None and timedelta(0) < self._latest - moment.at < SET_BACK:
            return Moment(self._latest, moment.elapsed)
        self._latest = moment.at
        return moment

    def assessments(self) -> tuple[Assessment, ...]:
        """Every deployment that is not deleted, by name, as last compared."""
        return tuple(self._assessments[name] for name in sorted(self._assessments))

    def changed_at(self, name: str) -> datetime | None:
        """When its state last changed (UTC)."""
        return self._changed_at.get(name)

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back whenever an assessment changes, synchronously; returns how to stop it."""
        self._listeners.append(callback)

        def stop() -> None:
            with suppress(ValueError):
                self._listeners.remove(callback)

        return stop

    def view(self, deployments: Iterable[Deployment], snapshot: Snapshot) -> View:
        """What a comparison of these would look at."""
        now = self.now()
        known = tuple(deployments)
        return View(
            snapshot=snapshot,
            deployments=known,
            timetables={deployment.uid: self._timetable(deployment, snapshot, now) for deployment in known},
            operations=self._operations.at_work(),
            free=self._operations.free(snapshot),
            watch=self._watch,
            fits_since=self._fits_since,
            fetch_at=self._fetch_at,
            parked=frozenset(d.uid for d in known if self._is_parked(d)),
            not_before=self._not_before,
            now=now,
        )

    def _is_parked(self, deployment: Deployment) -> bool:
        operation = None if deployment.pending is None else self._operations.by_key(deployment.pending)
        return operation is not None and operation.state is OperationState.PARKED

    def look(self) -> Comparison | None:
        """Assesses every deployment as it is now, and does nothing. None while there has never been a snapshot."""
        snapshot = self._upstream.snapshot
        if snapshot is None:
            now = self.now()
            unseen = [
                assess_unseen(d, timetable(d.spec, d.load_times, None, now.at), now)
                for d in self._registry.all()
                if not d.deleted
            ]
            self._publish(Comparison(None, unseen, []), now)
            return None
        began = time.perf_counter()
        view = self.view(self._registry.all(), snapshot)
        outcome = compare(view)
        self._looked_at = snapshot.version, time.perf_counter() - began
        self._publish(outcome, view.now)
        return outcome

    def _timetable(self, deployment: Deployment, snapshot: Snapshot, now: Moment) -> Timetable:
        known = self._timetables.get(deployment.uid)
        if known is not None:
            before, table = known
            same = (before.spec, before.load_times) == (deployment.spec, deployment.load_times)
            # A clock that was set back by more than a correction makes the answer another one.
            if same and now.at < table.valid_until and table.since <= now.at:
                return table
        card = snapshot.models.get(deployment.spec.model_id)
        table = timetable(deployment.spec, deployment.load_times, card.storage_bytes if card else None, now.at)
        self._timetables[deployment.uid] = (deployment, table)
        return table

    # The loop

    async def run(self) -> None:
        """Reconciles until it is cancelled."""
        with (
            self._looking,
            self._upstream.listen(self._seen),
            _listening(self._operations.listen, self._wake.set),
            _listening(self._registry.listen, self._wake.set),
        ):
            while True:
                try:
                    await self._reconcile()
                except StoreError as error:
                    log.error("Deployments: nothing is done while this lasts: %s", error)  # noqa: TRY400
                    await asyncio.sleep(FAULT_SECONDS)
                except Exception:
                    log.exception("Deployments: a fault of this server.")
                    await asyncio.sleep(FAULT_SECONDS)
                await self._next()

    def _seen(self, snapshot: Snapshot) -> None:
        now = self.now()
        touched = frozenset(id_ for operation in self._operations.at_work() for id_ in operation.model_ids)
        self._watch = observe(self._watch, snapshot, self._registry.all(), touched, now)
        self._deleted |= self._watch.deleted
        # An answer must not show a deployment as READY beside a snapshot that lacks its model. What somebody has just
        # deleted is stored first. Twenty times as long between as it takes: 5 % of this process at most.
        version, took = self._looked_at
        if snapshot.version != version and not self._deleted and now.elapsed - self._compared_at >= 20 * took:
            self.look()
        if now.elapsed - self._reconciled_at >= PAUSE_SECONDS or self._watch.deleted:
            self._wake.set()

    async def _next(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds_to_wait()):
                await self._wake.wait()
        self._wake.clear()

    def _seconds_to_wait(self) -> float | None:
        """Until the next time at which the clock alone changes something; None if there is none."""
        now = self.now()
        times = [a.timetable.valid_until for a in self._assessments.values()]
        times += [d.retry_at for d in self._registry.all() if d.retry_at is not None and d.retry_at > now.at]
        times += [d.pause.until for d in self._registry.all() if d.pause is not None and d.pause.until is not None]
        waits = [max(0.05, (at - now.at).total_seconds()) for at in times]
        waits += [max(0.05, at - now.elapsed) for at in self._not_before.values() if at > now.elapsed]
        return min(waits, default=None)

    async def _reconcile(self) -> None:
        self._reconciled_at = self.now().elapsed
        if self._upstream.snapshot is not None:
            await self._take_stock()
        outcome = self.look()
        if outcome is None:
            return
        for uid in outcome.weights_there:
            self._fetch_at[uid] = self.now().elapsed + WEIGHTS_SECONDS
            self._fetches.pop(uid, None)
        await self._remember(outcome)
        match outcome.act:
            case Change():
                await self._change(outcome.act)
            case Cancel():
                log.info("Deployments: operation %s is cancelled. %s", outcome.act.operation_id, outcome.act.because)
                self._cancelled.add(outcome.act.operation_id)
                await self._operations.cancel(outcome.act.operation_id)
            case Fetch():
                await self._fetch(outcome.act)
            case None:
                pass

    # What has happened since the last comparison

    async def _take_stock(self) -> None:
        """Ends of operations, acts of persons, and what time has changed: all of it stored before it counts."""
        deleted, self._deleted = self._deleted, set()
        now = self.now()
        for deployment in self._registry.all():
            await self._end_pending(deployment)
            await self._registry.update(deployment.uid, lambda d: self._refreshed(d, deleted, now))
            known = self._registry.of(deployment.uid)
            snapshot = self._upstream.snapshot
            if known is None or not known.deleted or known.pending is not None or snapshot is None or snapshot.stale:
                continue
            if not any(id_ in snapshot.state.instances for id_ in known.owned):
                await self._registry.forget(known.uid)

    async def _end_pending(self, deployment: Deployment) -> None:
        """Takes into account how the operation that it caused has ended."""
        if deployment.pending is None:
            return
        operation = self._operations.by_key(deployment.pending)
        if operation is not None and operation.active:
            return
        if operation is not None:
            for model_id, instance_id in operation.placed:
                for owner in self._registry.all():
                    if owner.spec.model_id == model_id and instance_id not in owner.owned:
                        await self._registry.update(owner.uid, lambda d, i=instance_id: _owning(d, (i,)))  # type: ignore[misc]
        await self._registry.update(deployment.uid, lambda d: self._ended(d, operation))

    def _ended(self, deployment: Deployment, operation: Operation | None) -> Deployment:
        deployment = replace(deployment, pending=None)
        if operation is None:
            return deployment  # this server was killed before it was begun
        now = self.now()
        loads = deployment.spec.model_id in operation.load_ids
        retry_at = now.at + delay(max(1, deployment.attempts), self._dice()) if loads else deployment.retry_at
        deployment = replace(deployment, retry_at=retry_at)
        if operation.state is OperationState.SUCCEEDED:
            self._refusals.pop(deployment.uid, None)
            if not loads:
                return deployment
            ended = operation.finished_at or now.at
            took = LoadTime(ended, max(0.0, (ended - operation.started_at).total_seconds()))
            return replace(deployment, last_failure=None, load_times=(*deployment.load_times, took)[-KEPT_LOADS:])
        if operation.state is OperationState.CANCELLED:
            return deployment
        if not loads:
            self._hold_back(deployment.uid)
        message = operation.error.message if operation.error is not None else operation.message
        log.warning("Deployment %s: %s", deployment.name, message)
        return replace(deployment, last_failure=AttemptFailure(operation.finished_at or now.at, message))

    def _refreshed(self, deployment: Deployment, deleted: set[str], now: Moment) -> Deployment:
        """What time and other people have changed."""
        table = self._timetables.get(deployment.uid)
        if table is not None and now.at >= table[1].valid_until:
            table = None
        changed = acts.over(deployment, now.at)
        if table is not None and not table[1].open:
            changed = replace(changed, adopted=False, idle=False)
        wanted = table is not None and table[1].open and not (changed.is_paused(now.at) or changed.idle)
        if table is not None and wanted:
            until = table[1].wakes_at
            if not deleted.isdisjoint(changed.owned):
                changed = replace(changed, pause=Pause("Somebody else deleted its instance.", until))
            elif (operation := self._taking_out(changed)) is not None:
                changed = replace(changed, pause=Pause(acts.pause_reason(operation), until), heeded=operation.id)
        if self._is_idle(changed, now):
            changed = replace(changed, idle=True)
        elif changed.idle and self._is_back(changed):
            changed = replace(changed, idle=False, adopted=False)
        ready_since = self._watch.ready_since.get(changed.uid)
        if changed.attempts and ready_since is not None and now.elapsed - ready_since >= RESET_SECONDS:
            changed = replace(changed, attempts=0, retry_at=None)
        return changed

    def _taking_out(self, deployment: Deployment) -> Operation | None:
        """The operation of a person that unloads it."""
        for operation in self._operations.at_work():
            heeded = operation.id == deployment.heeded
            if operation.deployment is None and not heeded and self.is_about(operation, deployment):
                return operation
        return None

    def is_about(self, operation: Operation, deployment: Deployment) -> bool:
        """Whether an operation unloads a copy of its own, or its model where it has none of its own."""
        if deployment.spec.model_id not in operation.unload_ids:
            return False
        snapshot = self._upstream.snapshot
        listed = () if snapshot is None else snapshot.state.instances
        own = {id_ for id_ in deployment.owned if id_ in listed}
        leaving = self._operations.leaving(operation.id)
        return not own or not leaving or not own.isdisjoint(leaving)

    def _is_idle(self, deployment: Deployment, now: Moment) -> bool:
        seconds, used_at = deployment.spec.idle_unload_seconds, self._watch.used_at.get(deployment.uid)
        assessment = self._assessments.get(deployment.name)
        ready = assessment is not None and assessment.state is DeploymentState.READY
        return seconds is not None and used_at is not None and ready and now.elapsed - used_at >= seconds

    def _is_back(self, deployment: Deployment) -> bool:
        """Whether somebody has loaded the model of an idle deployment again."""
        snapshot = self._upstream.snapshot
        listed = () if snapshot is None else snapshot.instances_of(deployment.spec.model_id)
        return any(instance.id not in deployment.owned for instance in listed)

    async def _remember(self, outcome: Comparison) -> None:
        """What the comparison has shown and the next ones go by."""
        now, snapshot = self.now(), self._upstream.snapshot
        for each in outcome.assessments:
            uid = each.deployment.uid
            if each.fits is False:
                self._fits_since[uid] = None
            elif each.fits and uid in self._fits_since and self._fits_since[uid] is None:
                self._fits_since[uid] = now.elapsed
            elif each.ready or not each.wanted:
                self._fits_since.pop(uid, None)
            if each.wanted and not each.deployment.adopted and snapshot is not None and not snapshot.stale:
                adoptable = each.adoptable
                await self._registry.update(uid, lambda d, a=adoptable: replace(_owning(d, a), adopted=True))  # type: ignore[misc]
            if each.state is DeploymentState.READY and snapshot is not None:
                placements = tuple(_names(snapshot, id_) for id_ in each.instance_ids)
                await self._registry.update(uid, lambda d, p=placements: replace(d, placements=p))  # type: ignore[misc]

    # Acts

    async def _change(self, change: Change) -> None:
        by = change.by
        number = by.sequence + 1
        key = by.key(number)
        begun = replace(by, sequence=number, pending=key, attempts=by.attempts + (change.load is not None))
        # Stored first: after a crash this number is never used again, whether or not the request was made.
        stored = await self._registry.update(by.uid, lambda d: begun if d == by else d)
        if stored != begun:
            return  # it was changed meanwhile: compared anew
        log.info("Deployment %s: %s %s", by.name, acts.describe(change), change.because)
        answer = await self._operations.reconcile(acts.request(change), key)
        if isinstance(answer, Operation):
            self.attempts[by.name] = self.attempts.get(by.name, 0) + (change.load is not None)
            self._fits_since.pop(by.uid, None)
            return
        await self._registry.update(by.uid, lambda d: self._refused(d, change, answer))

    def _refused(self, deployment: Deployment, change: Change, error: OperationError) -> Deployment:
        """A refusal that is about the placement counts as a failed attempt; one of the moment does not."""
        log.warning("Deployment %s: %s", deployment.name, error.message)
        deployment = replace(deployment, pending=None)
        if change.load is None or acts.is_of_the_moment(error):
            self._hold_back(deployment.uid)
            attempts = deployment.attempts - (change.load is not None)
            return replace(deployment, attempts=max(0, attempts))
        now = self.now()
        return replace(
            deployment,
            retry_at=now.at + delay(deployment.attempts, self._dice()),
            last_failure=AttemptFailure(now.at, error.message),
        )

    def _hold_back(self, uid: str) -> None:
        number = self._refusals[uid] = self._refusals.get(uid, 0) + 1
        self._not_before[uid] = self.now().elapsed + delay(number, self._dice()).total_seconds()

    async def _fetch(self, fetch: Fetch) -> None:
        deployment = fetch.deployment
        number = self._fetches[deployment.uid] = self._fetches.get(deployment.uid, 0) + 1
        self._fetch_at[deployment.uid] = self.now().elapsed + delay(number, self._dice()).total_seconds()
        log.info("Deployment %s: fetching the weights of %s.", deployment.name, deployment.spec.model_id)
        result = await self._operations.start_download(deployment.spec.model_id, fetch.node_ids)
        failed = [each.error for each in result.results if each.error is not None]
        if result.error is not None or failed:
            said = result.error.message if result.error is not None else " ".join(failed)
            log.warning("Deployment %s: its weights are not fetched: %s", deployment.name, said)

    # Publishing

    def _publish(self, outcome: Comparison, now: Moment) -> None:
        self._compared_at = now.elapsed
        known = {each.deployment.name: each for each in outcome.assessments}
        for name, each in known.items():
            before = self._assessments.get(name)
            if before is None or before.state is not each.state:
                self._changed_at[name] = now.at
                log.info("Deployment %s is %s: %s", name, each.state.value, each.reason)
        changed = known != self._assessments
        self._assessments = known
        self._changed_at = {name: at for name, at in self._changed_at.items() if name in known}
        self._health = self._health.after(outcome.assessments, now)
        expectations = self._health.expectations(outcome.assessments, now)
        if expectations != self._expectations:
            self._expectations = expectations
            self._upstream.mark_expectations(expectations)
        idle_armed = any(each.deployment.spec.idle_unload_seconds and each.ready for each in outcome.assessments)
        self._look_closely(idle_armed or any(each.waits_for_exo for each in outcome.assessments))
        if changed:
            self.version += 1
            for listener in tuple(self._listeners):
                listener()

    def _look_closely(self, closely: bool) -> None:  # noqa: FBT001
        """While something is to come the state is read at the pace of rest; else as if nobody looked."""
        if closely and not self._looks:
            self._looking.enter_context(self._upstream.subscriber())
        elif not closely and self._looks:
            self._looking.close()
        self._looks = closely


def _owning(deployment: Deployment, instance_ids: Iterable[str]) -> Deployment:
    owned = dict.fromkeys((*deployment.owned, *instance_ids))
    return replace(deployment, owned=tuple(owned)[-KEPT_OWNED:])


def _names(snapshot: Snapshot, instance_id: str) -> tuple[str, ...]:
    instance = snapshot.state.instances.get(instance_id)
    shards = () if instance is None else instance.shards
    nodes = [snapshot.state.nodes.get(shard.node_id or "") for shard in shards]
    return tuple(dict.fromkeys(label(node) for node in nodes if node is not None))


class _listening:  # noqa: N801  # used like a function
    """While inside, `callback` is called; `listen` returns how to stop it."""

    def __init__(
        self, listen: Callable[[Callable[[], None]], Callable[[], None]], callback: Callable[[], None]
    ) -> None:
        self._stop = listen(callback)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._stop()
