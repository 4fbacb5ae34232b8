"""Undoing: what was placed is removed, what was there before is restored. Begun again after a crash, like every step.

What is restored is what a snapshot lacks, not what the steps say was unloaded: a model that was lost with the master
while the operation ran is missing just as much as one that the operation deleted.
"""

from collections import Counter

from exo_graphql.cluster.memory import with_margin
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance
from exo_graphql.operations import remove, weights
from exo_graphql.operations.abort import Abort
from exo_graphql.operations.errors import TimedOut
from exo_graphql.operations.fetch import Reservations
from exo_graphql.operations.membership import by_present_id
from exo_graphql.operations.place import was_created
from exo_graphql.operations.restore import MemoryDeadline, NoMemory, restore
from exo_graphql.operations.result import missing, undone
from exo_graphql.operations.run import Run


async def undo(run: Run, reservations: Reservations) -> None:
    """Restores the cluster to what it was, confirmed by a last snapshot. Raises `Abort` where that fails."""
    await weights.stop(run)
    failed: Abort | None = None
    deadline = MemoryDeadline(run)
    for _ in range(run.rules.max_rounds):
        await _remove(run)
        try:
            await restore(run, reservations, deadline)
        except Abort as abort:
            if (
                isinstance(abort, NoMemory)
                or isinstance(abort.error, TimedOut)
                or any(removal.unrestorable for removal in run.saga_state.removals)
            ):
                raise
            # What was lost meanwhile is looked at anew: exo may have been started again while it restored.
            failed = abort
            continue
        snapshot = await _serving(run)
        if not missing(run.saga_state, snapshot) and not _left(run, snapshot):
            return
        failed = None
    if failed is not None:
        raise failed


def _left(run: Run, snapshot: Snapshot) -> list[Instance]:
    placed = [t.instance for t in run.saga_state.targets if t.instance is not None]
    return [instance for instance in placed if instance.id in snapshot.state.instances]


async def _remove(run: Run) -> None:
    undoing = run.saga_state.undoing
    placed = [t.instance for t in run.saga_state.targets if t.instance is not None]
    if undoing is None or not placed:
        return
    snapshot = await run.read_now() if run.is_done("remove") else await _settled(run, placed)
    listed = _left(run, snapshot)
    if not listed and (not undoing.removing or run.is_done("remove")):
        # exo gave up on it, or never created it.
        return
    if listed:
        remove.include(undoing.removing, remove.measure(snapshot, listed))
    run.deleting.update({instance.id: instance.model_id for instance in listed})
    await run.begin("remove", f"Removing {', '.join(instance.model_id for instance in placed)} again.")
    snapshot = await remove.delete(run, placed)
    enough: Counter[str] = Counter()
    for removal in missing(run.saga_state, snapshot):
        enough.update(
            {id_: with_margin(n) for id_, n in by_present_id(run.saga_state.members, snapshot, removal.takes).items()}
        )
    note = await remove.memory_back(run, undoing.removing, "remove", enough)
    await run.finish("remove", note or "Removed; the memory is free again.")


async def _settled(run: Run, placed: list[Instance]) -> Snapshot:
    """A snapshot read `settle_seconds` later, so that a request which may have reached exo shows its effect."""
    snapshot = await run.read_now()
    until = run.observation.seconds + run.rules.settle_seconds
    while run.observation.seconds < until and any(not was_created(snapshot, instance) for instance in placed):
        snapshot = await run.next(snapshot)
    return await run.read_now()


async def _serving(run: Run) -> Snapshot:
    """A last snapshot. What was ready and is unreachable, or is being started again by exo, is waited for.

    A node that died takes its instances with it after 45 s: then they are missing, and the next round restores them.
    """
    snapshot = await run.read_now()
    until = run.observation.seconds + run.rules.return_seconds
    while run.observation.seconds < until and undone(run.saga_state, snapshot).waiting:
        run.progressed()
        snapshot = await run.next(snapshot)
    return await run.read_now()
