"""The entry to all changes of the cluster: operations are requested, looked up, cancelled and resumed here."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Self

from exo_graphql.clock import elapsed, utc_now
from exo_graphql.cluster.fitting import fitting_models
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import ModelCard, Task
from exo_graphql.cluster.upstream import HubModel, Upstream
from exo_graphql.operations import custom_models, downloads, placements, tasks
from exo_graphql.operations.admission import Admission
from exo_graphql.operations.errors import (
    InvalidArgument,
    JournalUnavailable,
    OperationError,
    OperationFinished,
    OperationNotFound,
)
from exo_graphql.operations.late_instances import Keeps
from exo_graphql.operations.manager import OperationManager
from exo_graphql.operations.offload import Offload, in_thread
from exo_graphql.operations.operation import Operation, OperationKind, OperationState
from exo_graphql.operations.plan import Plan
from exo_graphql.operations.plan_hash import decode, key_of
from exo_graphql.operations.precedence import Precedence
from exo_graphql.operations.proposal import Proposal, rejected_proposal
from exo_graphql.operations.requests import EVERY_KIND, InstanceTypePreference, OperationRequest, ShardingPreference
from exo_graphql.operations.reservations import unreserved
from exo_graphql.operations.resolution import conflict, resolve
from exo_graphql.operations.rules import DEFAULT_OPERATION_RULES, OperationRules
from exo_graphql.storage import Collection, Key, NotLeader, Store, StoreError


class Operations:
    """Loads, unloads and swaps of one cluster. Use as `async with`: what a crash left is resumed on entering.

    Leaving stops the work without failing it: the next start resumes it. `store` is open, and stays open when this
    is left. `clock` measures time-outs (seconds, see `exo_graphql.clock`), `now` stamps (UTC); nothing
    but the age of an idempotency key, which outlives a process, is decided by the second.
    """

    def __init__(
        self,
        upstream: Upstream,
        store: Store,
        rules: OperationRules = DEFAULT_OPERATION_RULES,
        *,
        clock: Callable[[], float] = elapsed,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.rules = rules
        """The limits that requests are validated against."""
        self._upstream = upstream
        self._now = now
        self._fitting: tuple[Snapshot, int, frozenset[str]] | None = None
        """The last result of `fitting`, with what it depends on."""
        self._manager = OperationManager(upstream, store, rules, clock, now)
        self._precedence = Precedence(upstream, self._manager, rules)
        self._admission = Admission(upstream, self._manager, self._precedence, rules, now)

    async def prepare(self) -> None:
        """Reads the store before entering, which does it otherwise. Raises `StoreError`."""
        await self._manager.repository.load()

    async def __aenter__(self) -> Self:
        await self.lead()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Its share in the roles of this server: see `replicas.Part`

    async def follow(self) -> None:
        """Shows what the store says. Raises `StoreError`."""
        await self._manager.follow()

    async def changed(self, changes: Mapping[Collection, frozenset[str] | None]) -> None:
        """Shows what another server has written. Raises `StoreError`."""
        if Collection.OPERATIONS in changes:
            await self._manager.changed(changes[Collection.OPERATIONS])

    async def refresh(self) -> None:
        """Shows what was written last. Raises `StoreError`."""
        await self._manager.refresh()

    async def lead(self) -> None:
        """Resumes what is under way in the store, and accepts requests. Raises `StoreError`."""
        await self._manager.lead()

    async def rest(self) -> None:
        """Stops the work without failing it."""
        await self._manager.rest()

    async def close(self) -> None:
        """The same at the end of this server."""
        await self._manager.close()

    # Reading

    @property
    def version(self) -> int:
        """Increases at every change of any operation."""
        return self._manager.version

    def get(self, operation_id: str) -> Operation | None:
        """The operation of this id as it is now; None if it is not remembered."""
        return self._manager.get(operation_id)

    def all(self, active: bool | None = None) -> tuple[Operation, ...]:  # noqa: FBT001  # as in the schema
        """Operations, newest first: those that are not finished, the finished ones, or both."""
        return self._manager.all(active)

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back at every change, synchronously; returns how to stop it."""
        return self._manager.listen(callback)

    def keep(self, keeps: Keeps) -> None:
        """Instances for which `keeps` is true are never removed as ones that came late (see `late_instances.py`)."""
        self._manager.late.keeps = keeps

    # Requests

    async def load(
        self,
        model: str,
        min_nodes: int = 1,
        sharding: ShardingPreference = ShardingPreference.AUTO,
        instance_type: InstanceTypePreference = InstanceTypePreference.AUTO,
        nodes: Sequence[str] | None = None,
        *,
        additional: bool = False,
        timeout_seconds: int | None = None,
        attempts: int | None = None,
        idempotency_key: str | None = None,
        by: str | None = None,
    ) -> Operation | OperationError:
        """Loads a model, or adopts the healthy instance that it has. `nodes` means exactly these.

        `by` names the caller, here and below.
        """
        request = OperationRequest(
            OperationKind.LOAD,
            load=(model,),
            min_nodes=min_nodes,
            sharding=sharding,
            instance_type=instance_type,
            nodes=None if nodes is None else tuple(nodes),
            additional=additional,
            timeout_seconds=timeout_seconds,
            attempts=attempts,
        )
        return await self._admission.admit(request, idempotency_key, by)

    async def unload(
        self,
        model: str,
        instance: str | None = None,
        drain_seconds: int = 30,
        idempotency_key: str | None = None,
        by: str | None = None,
    ) -> Operation | OperationError:
        """Unloads all instances of a model, or the one named."""
        request = OperationRequest(
            OperationKind.UNLOAD, unload=(model,), instance=instance, drain_seconds=drain_seconds
        )
        return await self._admission.admit(request, idempotency_key, by)

    async def swap(
        self,
        unload: Sequence[str],
        load: Sequence[str],
        min_nodes: int = 1,
        sharding: ShardingPreference = ShardingPreference.AUTO,
        instance_type: InstanceTypePreference = InstanceTypePreference.AUTO,
        nodes: Sequence[str] | None = None,
        drain_seconds: int = 30,
        timeout_seconds: int | None = None,
        attempts: int | None = None,
        idempotency_key: str | None = None,
        by: str | None = None,
    ) -> Operation | OperationError:
        """Unloads some models and loads others; if a later step fails, what was unloaded is restored."""
        request = OperationRequest(
            OperationKind.SWAP,
            load=tuple(load),
            unload=tuple(unload),
            min_nodes=min_nodes,
            sharding=sharding,
            instance_type=instance_type,
            nodes=None if nodes is None else tuple(nodes),
            drain_seconds=drain_seconds,
            timeout_seconds=timeout_seconds,
            attempts=attempts,
        )
        return await self._admission.admit(request, idempotency_key, by)

    async def reconcile(self, request: OperationRequest, key: str) -> Operation | OperationError:
        """Performs a deployment's request. It never comes before a person's that touches the same models."""
        return await self._admission.admit(request, key)

    async def plan(self, request: OperationRequest, snapshot: Snapshot) -> Plan | OperationError:
        """A dry run: what the request would do now, or why it would be rejected. Nothing is started or reserved."""
        resolved = resolve(snapshot, request)
        return (
            resolved
            if isinstance(resolved, OperationError)
            else await self._admission.plan(request, snapshot, resolved)
        )

    async def propose(self, request: OperationRequest, offload: Offload = in_thread) -> Proposal:
        """What a person's request would do, with the hash by which `apply` does exactly that. Changes nothing."""
        return await self._admission.propose(request, offload)

    async def apply(
        self, plan: str, idempotency_key: str | None = None, by: str | None = None
    ) -> Operation | OperationError:
        """Does exactly what the plan of this hash says, once, or is rejected with `PlanOutdated`."""
        shown = decode(plan)
        if shown is None:
            return _no_hash()
        return await self._admission.admit(shown.request, idempotency_key or key_of(shown), by, shown)

    async def plan_again(self, plan: str, offload: Offload = in_thread) -> Proposal:
        """What the request of this hash would do now."""
        shown = decode(plan)
        if shown is None:
            return rejected_proposal(_no_hash(), None, None, ())
        return replace(await self.propose(shown.request, offload), applied=self.by_key(key_of(shown)))

    def by_key(self, key: str) -> Operation | None:
        """The operation that this idempotency key led to, while it is remembered."""
        known = self._manager.repository.key(key)
        return None if known is None else self.get(known.operation_id)

    def noted(self, key: str) -> str | None:
        """What `note` has kept under this key, within a day."""
        known = self._manager.repository.key(key)
        return None if known is None else known.operation_id

    async def note(self, key: str, value: str) -> None:
        """Keeps a value as the id of an operation is kept under its idempotency key; in memory where that fails."""
        noted = Key(key, "", value, self._now().timestamp())
        self._manager.repository.remember(noted)
        with suppress(StoreError):
            await self._manager.repository.add_key(noted)

    def leaving(self, operation_id: str) -> frozenset[str]:
        """The instances that an operation under way unloads."""
        run = self._manager.run(operation_id)
        return frozenset() if run is None else frozenset(d.instance.id for d in run.saga_state.removals)

    def placed(self, operation_id: str) -> tuple[tuple[str, str], ...]:
        """Model and instance id of what an operation under way has placed or restored so far."""
        run = self._manager.run(operation_id)
        return () if run is None else run.saga_state.placed

    def at_work(self) -> list[Operation]:
        """Operations that act now or will by themselves, oldest first; not the parked ones."""
        return self._manager.at_work()

    def free(self, snapshot: Snapshot) -> dict[str, int]:
        """Free memory by node, in bytes, that no operation has reserved, now or when those under way have ended."""
        return unreserved(snapshot, self._manager.reservations())

    def fitting(self, snapshot: Snapshot) -> frozenset[str]:
        """The ids of the models that could be loaded now, each by itself, another copy of a loaded one included."""
        known = self._fitting
        if known is None or known[0] is not snapshot or known[1] != self.version:
            known = snapshot, self.version, fitting_models(snapshot, self.free(snapshot), EVERY_KIND)
            self._fitting = known
        return known[2]

    async def cancel(self, operation_id: str, by: str | None = None) -> Operation | OperationError:
        """Stops an operation and undoes it. Nothing changes where it is being undone already."""
        run = self._manager.run(operation_id)
        if run is not None and run.operation.active:
            try:
                await run.cancel(by)
            except StoreError as error:
                return JournalUnavailable.because(error)
            return run.shown
        try:
            unreadable = await self._manager.repository.discard(operation_id)
        except StoreError as error:
            return JournalUnavailable.because(error)
        if unreadable is not None:
            return unreadable
        return self._ended(operation_id, "To reverse it, request the opposite.")

    async def resume(self, operation_id: str) -> Operation | OperationError:
        """Lets a parked operation continue on the current cluster."""
        run = self._manager.run(operation_id)
        if run is None:
            if self._manager.repository.is_unreadable(operation_id):
                return InvalidArgument(
                    message="The journal's entry of this operation cannot be read, so it cannot be resumed.",
                    suggestion="Cancel it to discard it, then request what is missing.",
                    argument="id",
                )
            return self._ended(operation_id, "Only a parked operation can be resumed.")
        if not self._manager.leads:
            return JournalUnavailable.because(NotLeader("This server does not lead any more. Nothing was changed."))
        if run.operation.state is OperationState.PARKED:
            rival = conflict(run.operation.model_ids, self._manager.at_work())
            if rival is not None:
                return rival
            run.resume()
        # An operation that is not parked continues already: that is the requested state.
        return run.shown

    def _ended(self, operation_id: str, suggestion: str) -> OperationError:
        if self.get(operation_id) is None:
            return OperationNotFound(
                message=f"No operation {operation_id!r} is known.", suggestion="List the operations."
            )
        return OperationFinished(message="The operation has ended.", suggestion=suggestion, operation_id=operation_id)

    async def placements(
        self,
        model: str,
        min_nodes: int | None = None,
        nodes: Sequence[str] | None = None,
        unload: Sequence[str] | None = None,
        offload: Offload = in_thread,
    ) -> tuple[placements.PlacementView, ...] | OperationError:
        """Where the model would go, for each sharding and instance type, or why it would not fit.

        `offload` runs the search, which may take long.
        """
        return await placements.views(
            self._upstream, self._manager.reservations(), model, min_nodes, nodes, unload, offload
        )

    async def search_hub(self, query: str, limit: int) -> tuple[HubModel, ...] | OperationError:
        """Models on the hub that exo downloads from."""
        return await custom_models.search(self._upstream, query, limit)

    async def add_model(self, model_id: str) -> ModelCard | OperationError:
        """Adds a model of the hub to the catalogue."""
        return await custom_models.add(self._upstream, model_id)

    async def remove_model(self, model: str) -> str | OperationError:
        """Removes a custom model from the catalogue; its id."""
        return await custom_models.remove(self._upstream, model, self._manager.at_work())

    async def start_download(self, model: str, nodes: Sequence[str] | None = None) -> downloads.DownloadsResult:
        """Fetches the weights onto these nodes, or onto every node."""
        return await downloads.start(self._upstream, model, nodes)

    async def cancel_download(self, model: str, nodes: Sequence[str] | None = None) -> downloads.DownloadsResult:
        """Stops the download on these nodes, or on every node where it runs; what has arrived stays."""
        await self._precedence.clear_weights(self._upstream.snapshot, model)
        return await downloads.cancel(self._upstream, model, nodes, self._manager.at_work())

    async def delete_download(self, model: str, nodes: Sequence[str] | None = None) -> downloads.DownloadsResult:
        """Removes the weights from these nodes, or from every node that has some."""
        await self._precedence.clear_weights(self._upstream.snapshot, model)
        return await downloads.delete(self._upstream, model, nodes, self._manager.at_work())

    async def cancel_task(self, task_id: str) -> Task | OperationError:
        """Cancels an inference under way."""
        return await tasks.cancel(self._upstream, task_id)


def _no_hash() -> InvalidArgument:
    return InvalidArgument(
        message="This is not the hash of a plan, or not the whole of it.",
        suggestion="Query a plan, and copy its hash unchanged.",
        argument="hash",
    )
