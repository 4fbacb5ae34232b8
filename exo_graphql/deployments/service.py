"""The API of deployments: declare, pause, resume and delete them. The reconciler acts on them."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from hashlib import sha256
from types import TracebackType
from typing import Self
from uuid import uuid4

from exo_graphql import clock
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Unreachable, Upstream
from exo_graphql.deployments.assess import Assessment
from exo_graphql.deployments.contradiction import contradiction, managed_by_file
from exo_graphql.deployments.deployment import Deployment, ManagedBy, Pause
from exo_graphql.deployments.differences import Difference, differences
from exo_graphql.deployments.errors import DeploymentNotFound
from exo_graphql.deployments.file import FileWatch, Source
from exo_graphql.deployments.keeping import Keeping
from exo_graphql.deployments.memories import Memories
from exo_graphql.deployments.pauses import Pauses
from exo_graphql.deployments.plan_hash import DeploymentHash, decode, encode, signature
from exo_graphql.deployments.proposal import propose_planned
from exo_graphql.deployments.reconciler import Reconciler
from exo_graphql.deployments.registry import Registry
from exo_graphql.deployments.timetable import Timetable
from exo_graphql.deployments.validation import Declaration, resolve
from exo_graphql.deployments.view import View
from exo_graphql.operations import (
    ClusterUnavailable,
    InvalidArgument,
    JournalUnavailable,
    OperationError,
    Operations,
    Proposal,
)
from exo_graphql.operations.proposal import outdated, rejected_proposal
from exo_graphql.storage import Collection, Store, StoreError

log = logging.getLogger(__name__)

# Begins the key under which an applied plan is noted, for a day: a call is sent again within minutes.
_APPLIED = "applied:"


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of an apply: the deployment and what it will do, or an error. A dry run has no deployment."""

    assessment: Assessment | None = None
    proposal: Proposal | None = None
    differences: tuple[Difference, ...] = ()
    """What it changes; for a new deployment, the arguments that are not their defaults."""
    timetable: Timetable | None = None
    error: OperationError | None = None


class Deployments:
    """Use as `async with`, inside `Operations`. `store` is open, and stays open when this is left.

    `time_zone` (IANA) is that of windows which name none. `file` declares deployments as well.
    """

    def __init__(
        self,
        upstream: Upstream,
        operations: Operations,
        store: Store,
        *,
        time_zone: str = "UTC",
        file: Source | None = None,
        now: Callable[[], Moment] = clock.now,
    ) -> None:
        self._upstream = upstream
        self._operations = operations
        self.time_zone = time_zone
        self._registry = Registry(store)
        operations.keep(self._registry.keeps)
        memories = Memories(store)
        self.reconciler = Reconciler(upstream, operations, self._registry, memories, now=now)
        self.pauses = Pauses(upstream, self._registry, self.reconciler)
        """What acts of persons pause."""
        self.deleting: dict[str, str | None] = {}
        """While listeners are called for a deletion: who requested it, by uid."""
        self._applying = asyncio.Lock()
        """Held while one declares: two requests for one new name must not both add it."""
        self._keeping = Keeping(
            upstream,
            store,
            self._registry,
            memories,
            self.reconciler,
            file=file,
            watch=partial(FileWatch, rules=operations.rules, time_zone=time_zone, lock=self._applying),
        )

    async def prepare(self) -> None:
        """Reads the store; entering does so otherwise. Raises `StoreError`."""
        await self._registry.open()

    async def __aenter__(self) -> Self:
        await self.lead()
        return self

    # Its share in the roles of this server: see `keeping.py`

    async def follow(self) -> None:
        """Shows what the store says, compared with what is loaded. Raises `StoreError`."""
        await self._keeping.follow()

    async def changed(self, changes: Mapping[Collection, frozenset[str] | None]) -> None:
        """Shows what another server has written. Raises `StoreError`."""
        await self._keeping.changed(changes)

    async def refresh(self) -> None:
        """Shows what was declared last. Raises `StoreError`."""
        await self._keeping.refresh()

    async def lead(self) -> None:
        """Acts for the deployments, and watches the file. Raises `StoreError`."""
        await self._keeping.lead()

    async def rest(self) -> None:
        """Compares and shows alone, as the server does that follows."""
        await self._keeping.rest()

    async def close(self) -> None:
        """Ends all of it."""
        await self._keeping.close()

    @property
    def has_file(self) -> bool:
        """Whether a file declares deployments as well."""
        return self._keeping.file is not None

    @property
    def file_problem(self) -> str | None:
        """Why the deployments file was refused; None while it is valid, or there is none."""
        return self._keeping.file_problem

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Reading

    @property
    def version(self) -> int:
        """Increases at every change of any deployment or of its assessment."""
        return self._registry.version + self.reconciler.assessments.version

    def all(self) -> tuple[Assessment, ...]:
        """Every deployment, by name."""
        return self.reconciler.assessments.all()

    def get(self, name: str) -> Assessment | None:
        """The deployment of this name."""
        return next((each for each in self.all() if each.deployment.name == name), None)

    def changed_at(self, name: str) -> datetime | None:
        """When the state of one last changed (UTC)."""
        return self.reconciler.assessments.changed_at(name)

    def attempts(self, name: str) -> int:
        """Loads begun for one since this server started."""
        return self.reconciler.attempts.get(name, 0)

    def view(self, snapshot: Snapshot) -> View:
        """The input of a comparison now."""
        return self.reconciler.view(self._registry.all(), snapshot)

    def name_of(self, uid: str) -> str | None:
        """The name of the one of this uid, also while it is deleted and its model still being unloaded."""
        deployment = self._registry.of(uid)
        return None if deployment is None else deployment.name

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back at every change, synchronously; returns how to stop it."""
        stops = [self._registry.listen(callback), self.reconciler.assessments.listen(callback)]

        def stop() -> None:
            for each in stops:
                each()

        return stop

    # Declaring

    async def apply(
        self,
        declared: Declaration,
        *,
        dry_run: bool = False,
        if_generation: int | None = None,
        by: str | None = None,
    ) -> Applied:
        """Declares a deployment, or changes it. The same declaration again only ends a pause and idling.

        `by` names the caller, here and below.
        """
        async with self._applying:
            return await self._apply(declared, dry_run=dry_run, if_generation=if_generation, by=by)

    async def apply_plan(self, plan: str, by: str | None = None) -> Applied | None:
        """Does what the plan of this hash says, or is rejected with `PlanOutdated`. None: it is of no deployment."""
        shown = decode(plan)
        if shown is None:
            return None
        name, key = shown.declared.name, f"{_APPLIED}{sha256(shown.sealed.text.encode()).hexdigest()}"
        async with self._applying:
            uid = self._operations.noted(key)
            if uid is not None:
                # What a person has done since, a pause for example, is not undone by a call that is sent again.
                known = self._registry.get(name)
                same = known is not None and known.uid == uid
                return Applied(assessment=self.get(name)) if same else Applied(error=self._applied_and_gone(name))
            applied = await self._apply(shown.declared, dry_run=False, if_generation=None, by=by, shown=shown)
            made = self._registry.get(name)
            if applied.error is None and made is not None:
                await self._operations.note(key, made.uid)
            return applied

    async def plan_again(self, plan: str) -> Proposal | None:
        """What the declaration of this hash would do now. None: it is of no deployment."""
        shown = decode(plan)
        if shown is None:
            return None
        applied = await self.apply(shown.declared, dry_run=True)
        if applied.proposal is not None:
            return applied.proposal
        return None if applied.error is None else rejected_proposal(applied.error, None, None, ())

    async def _apply(
        self,
        declared: Declaration,
        *,
        dry_run: bool,
        if_generation: int | None,
        by: str | None,
        shown: DeploymentHash | None = None,
    ) -> Applied:
        try:
            snapshot = await self._upstream.fresh(1.0)
        except Unreachable as failure:
            return Applied(error=_unavailable(failure))
        spec = resolve(declared, snapshot, self._operations.rules, self.time_zone)
        if isinstance(spec, OperationError):
            return Applied(error=spec)
        known = self._registry.get(declared.name)
        error = contradiction(self._registry.all(), declared.name, spec, if_generation)
        if error is not None:
            return Applied(error=error)
        new = Deployment(declared.name, str(uuid4()), spec, changed_by=by) if known is None else None
        changed = new or known.with_spec(spec, by)  # type: ignore[union-attr]  # one of the two is there
        others = [deployment for deployment in self._registry.all() if deployment.uid != changed.uid]
        view = self.reconciler.view([*others, changed], snapshot)
        proposal = await propose_planned(self._operations, view, changed.uid)
        changes = differences(None if known is None else known.spec, spec)
        proposal = replace(proposal, hash=encode(declared, proposal, changes))
        if shown is not None and changes and not shown.sealed.matches(signature(proposal, changes)):
            return Applied(error=outdated(proposal))
        applied = Applied(proposal=proposal, differences=changes, timetable=view.timetables[changed.uid])
        if dry_run:
            return applied
        try:
            if new is not None:
                await self._registry.add(new)
            else:
                # Change the newest version: the loop may have stored the number of an operation meanwhile.
                await self._registry.update(changed.uid, lambda newest: newest.with_spec(spec, by))
        except StoreError as failure:
            return Applied(error=JournalUnavailable.because(failure))
        log.info("Deployment %s of %s is applied, generation %d.", changed.name, spec.model_id, changed.generation)
        self.reconciler.assess()
        return replace(applied, assessment=self.get(declared.name))

    async def delete(self, name: str, *, unload: bool = True, by: str | None = None) -> Assessment | OperationError:
        """Deletes one; with `unload` what it placed or adopted is unloaded, else left as it is."""
        async with self._applying:
            return await self._delete(name, unload=unload, by=by)

    async def _delete(self, name: str, *, unload: bool, by: str | None) -> Assessment | OperationError:
        assessment = self.get(name)
        deployment = self._registry.get(name)
        if deployment is None or assessment is None:
            return self._not_found(name)
        if deployment.managed_by is ManagedBy.FILE:
            return managed_by_file(name)
        try:
            if unload:
                await self._registry.update(deployment.uid, lambda d: replace(d, deleted=True, pause=None))
            else:
                await self._registry.forget(deployment.uid)
        except StoreError as failure:
            return JournalUnavailable.because(failure)
        self.deleting[deployment.uid] = by
        self.reconciler.assess()
        del self.deleting[deployment.uid]
        return assessment

    async def pause(
        self, name: str, until: datetime | None = None, by: str | None = None
    ) -> Assessment | OperationError:
        """Does nothing for one until then; without `until`, until it is resumed."""
        if until is not None and until <= self.reconciler.now().at:
            return InvalidArgument(
                message=f"{until:%Y-%m-%dT%H:%M:%SZ} is in the past.", suggestion="Use a later time.", argument="until"
            )
        return await self._changed(name, lambda d: replace(d, pause=Pause("Paused by a person.", until), changed_by=by))

    async def resume(self, name: str, by: str | None = None) -> Assessment | OperationError:
        """Ends a pause, idling, and the wait for the next attempt: a person asks for it now.

        The attempts stay counted, so that the next failure is followed by a longer wait than this one.
        """

        def resumed(d: Deployment) -> Deployment:
            was_inactive = d.pause is not None or d.idle
            return replace(
                d, pause=None, idle=False, retry_at=None, changed_by=by, adopted=d.adopted and not was_inactive
            )

        deployment = self._registry.get(name)
        if deployment is not None:
            self.reconciler.end_contest(deployment.uid)
        return await self._changed(name, resumed)

    async def _changed(self, name: str, change: Callable[[Deployment], Deployment]) -> Assessment | OperationError:
        deployment = self._registry.get(name)
        if deployment is None:
            return self._not_found(name)
        try:
            await self._registry.update(deployment.uid, change)
        except StoreError as failure:
            return JournalUnavailable.because(failure)
        self.reconciler.assess()
        return self.get(name) or self._not_found(name)

    def _applied_and_gone(self, name: str) -> DeploymentNotFound:
        return replace(
            self._not_found(name),
            message=f"This plan was applied, and its deployment {name!r} has been deleted since.",
            suggestion="Plan it again to declare it again.",
        )

    def _not_found(self, name: str) -> DeploymentNotFound:
        names = tuple(each.deployment.name for each in self.all())
        return DeploymentNotFound(
            message=f"No deployment is called {name!r}.",
            suggestion="Use one of the available names." if names else "There are no deployments.",
            available=names,
        )


def _unavailable(error: Unreachable) -> ClusterUnavailable:
    return ClusterUnavailable(message=str(error), suggestion="Check that exo runs and can be reached, then try again.")
