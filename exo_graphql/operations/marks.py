"""What the operations contribute to the snapshots: what is being unloaded and loaded, and which loads have failed."""

from collections.abc import Collection, Iterable, Mapping

from exo_graphql.cluster.loads import NO_LOADS, FailedLoad, Loads
from exo_graphql.cluster.upstream import Upstream
from exo_graphql.operations import failed_loads
from exo_graphql.operations.late_instances import LateInstances
from exo_graphql.operations.operation import Operation
from exo_graphql.operations.run import Run


class Marks:
    """Passes it on where it differs from what was passed last."""

    def __init__(self, upstream: Upstream, late: LateInstances) -> None:
        self._upstream = upstream
        self._late = late
        self._unloading: Mapping[str, str] = {}
        self._loads = NO_LOADS

    def begin(self, ended: Iterable[Operation], runs: Collection[Run]) -> None:
        """After the store was read: `ended` are the operations that have, oldest first."""
        failed: Mapping[str, FailedLoad] = {}
        for operation in ended:
            failed = failed_loads.after(failed, operation)
        self._mark(failed, runs)

    def show(self, runs: Collection[Run], ended: Iterable[Operation] = ()) -> None:
        """After any change of these; `ended` have just ended and are none of them any more."""
        failed = self._loads.failed
        for operation in ended:
            failed = failed_loads.after(failed, operation)
        for run in runs:
            if not run.shown.active:
                failed = failed_loads.after(failed, run.shown)
        self._mark(failed, runs)

    def _mark(self, failed: Mapping[str, FailedLoad], runs: Collection[Run]) -> None:
        unloading = {id_: model for run in runs for id_, model in run.deleting.items()}
        unloading |= self._late.deleting
        if unloading != self._unloading:
            self._unloading = unloading
            self._upstream.mark_unloading(unloading)
        loads = Loads(failed_loads.under_way(run.shown for run in runs), failed)
        if loads != self._loads:
            self._loads = loads
            self._upstream.mark_loads(loads)
