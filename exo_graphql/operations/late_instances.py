"""Removes instances that exo created too late: operations had asked for them and given them up (see `unclaimed.py`).

Only what is certainly nobody's is removed:

- its id was drawn and stored by an operation of ours, which has ended and does not report it;
- this server has seen it appear, at most `late_seconds` ago: what was there before may be in use;
- no operation has adopted it, none acts on its model, and no deployment owns it or lacks a copy of its model;
- no inference runs on it;
- another instance is ready, unless the operation that drew the id was to unload nothing.

Where one of these does not hold in time, it is left as it is for good.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance
from exo_graphql.cluster.upstream import Upstream, UpstreamError
from exo_graphql.operations.rules import OperationRules
from exo_graphql.operations.run import Run
from exo_graphql.operations.unclaimed import Origin, Unclaimed

log = logging.getLogger(__name__)

Keeps = Callable[[Instance, Snapshot], bool]
"""Whether something beside the operations wants an instance."""


class LateInstances:
    """`note` is called with each snapshot, by every server; `run` is awaited by the one that acts, until cancelled."""

    def __init__(
        self,
        upstream: Upstream,
        unclaimed: Unclaimed,
        runs: Callable[[], Iterable[Run]],
        rules: OperationRules,
        clock: Callable[[], float],
    ) -> None:
        """`runs` gives the operations that have not ended. `clock`: seconds of this process."""
        self.deleting: Mapping[str, str] = {}
        """Model by id: exo is asked to delete these."""
        self.changed: Callable[[], None] = lambda: None
        """Called when `deleting` has changed."""
        self.keeps: Keeps = lambda _instance, _snapshot: False
        self._upstream = upstream
        self._unclaimed = unclaimed
        self._runs = runs
        self._rules = rules
        self._clock = clock
        self._appeared: dict[str, tuple[float, float]] = {}
        """By instance id: when it can have appeared at the earliest, and when it was first seen, by the clock."""
        self._noted_at = float("-inf")
        """When the last snapshot of a cluster that answers was noted."""
        self._wake = asyncio.Event()

    def note(self, snapshot: Snapshot) -> None:
        """Remembers what has appeared."""
        if snapshot.stale or not snapshot.nodes:
            return
        listed, now = snapshot.state.instances, self._clock()
        if listed.keys() != self._appeared.keys():
            self._appeared = {id_: self._appeared.get(id_, (self._noted_at, now)) for id_ in listed}
        self._noted_at = now
        if any(self._unclaimed.origin(id_) is not None for id_ in listed):
            self._wake.set()

    async def run(self) -> None:
        """Removes what comes late."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._remove()
            except UpstreamError as error:
                log.info("Instances that came late are not removed yet: %s", error)
                await asyncio.sleep(self._rules.tick_seconds)
            except Exception:
                log.exception("Instances that came late are not removed: an internal error.")
                await asyncio.sleep(self._rules.resend_seconds)
            finally:
                self._mark({})

    async def _remove(self) -> None:
        """Ends when none of these is listed any more, or is left as it is."""
        sent: dict[str, float] = {}
        if self._upstream.snapshot is None or not self._late(self._upstream.snapshot, sent):
            return
        with self._upstream.operation():
            snapshot = await self._upstream.read_now()
            while late := self._late(snapshot, sent):
                for instance, origin in late:
                    if self._clock() - sent.get(instance.id, float("-inf")) < self._rules.resend_seconds:
                        continue
                    if instance.id not in self.deleting:
                        # From here on no plan adopts it. What has been planned until now is an operation by then.
                        self._mark({**self.deleting, instance.id: instance.model_id})
                        log.warning(
                            "exo has created instance %s of %s after operation %s had given it up: it is removed.",
                            instance.id,
                            instance.model_id,
                            origin.operation_id,
                        )
                        continue
                    if self._is_free(instance, origin, snapshot):
                        sent[instance.id] = self._clock()
                        await self._upstream.delete(instance.id)
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._rules.tick_seconds):
                        await self._upstream.changed(snapshot)
                snapshot = await self._upstream.read_now()

    def _late(self, snapshot: Snapshot, sent: Mapping[str, float]) -> list[tuple[Instance, Origin]]:
        """The listed ones that are removed now or may be soon."""
        found = []
        for instance in snapshot.state.instances.values():
            origin = self._unclaimed.origin(instance.id)
            if origin is None:
                continue
            earliest, seen = self._appeared.get(instance.id, (float("-inf"), float("inf")))
            if self._clock() - earliest > self._rules.late_seconds and instance.id not in sent:
                log.info("Instance %s of %s is left as it is.", instance.id, instance.model_id)
                self._unclaimed.leave(instance.id)
            elif self._clock() - seen >= self._rules.settle_seconds and self._is_free(instance, origin, snapshot):
                found.append((instance, origin))
        return found

    def _is_free(self, instance: Instance, origin: Origin, snapshot: Snapshot) -> bool:
        """Whether nothing wants it, and the cluster keeps a model without it."""
        for run in self._runs():
            own = {each.id for each, _ in run.saga_state.own_instances()}
            own |= {target.adopts for target in run.saga_state.targets if target.adopts is not None}
            if instance.id in own or (run.operation.at_work and instance.model_id in run.operation.model_ids):
                return False
        if self.keeps(instance, snapshot):
            return False
        if any(task.instance_id == instance.id and snapshot.is_active(task) for task in snapshot.tasks):
            return False
        others = (id_ for id_ in snapshot.state.instances if id_ != instance.id)
        return not origin.unloads or any(snapshot.instance_status(id_).ready for id_ in others)

    def _mark(self, deleting: Mapping[str, str]) -> None:
        if deleting != self.deleting:
            self.deleting = deleting
            self.changed()
