"""Undoing: what was placed is removed, what was there before is restored. Begun again after a crash, like every step.

What is restored is what a snapshot lacks, not what the steps say was unloaded: a model that was lost with the master
while the operation ran is missing just as much as one that the operation deleted.
"""

from collections import Counter

from exo_graphql.cluster.memory import with_margin
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance, InstanceType, Sharding
from exo_graphql.cluster.upstream import Refused
from exo_graphql.operations import remove, weights
from exo_graphql.operations.errors import LoadFailed, TimedOut
from exo_graphql.operations.membership import present_ids, todays
from exo_graphql.operations.operation import OperationKind, StepState
from exo_graphql.operations.place import create, follow, node_ids, was_created
from exo_graphql.operations.plan import is_sound
from exo_graphql.operations.planner import Chosen, choose, demand
from exo_graphql.operations.requests import InstanceTypePreference, ShardingPreference, Wish
from exo_graphql.operations.reservations import free_now
from exo_graphql.operations.run import Halt, Run
from exo_graphql.operations.saga import Claims
from exo_graphql.operations.saga_state import Departure, rekeyed
from exo_graphql.operations.settle import settled
from exo_graphql.operations.verdict import missing, undone


class NoRoom(Halt):
    """What is missing fits nowhere, also after a while: trying again at once would change nothing."""


class Patience:
    """How long it is waited for room, in all: memory that was freed is reported a little late, and only once."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._until: float | None = None

    @property
    def is_over(self) -> bool:
        """Counts from when it is first asked."""
        if self._until is None:
            self._until = self._run.live + self._run.rules.memory_seconds
        return self._run.live >= self._until


async def undo(run: Run, claims: Claims) -> None:
    """Leaves the cluster as before, as a last snapshot shows. Raises `Halt` where that fails."""
    await weights.stop(run)
    failed: Halt | None = None
    patience = Patience(run)
    for _ in range(run.rules.max_rounds):
        await _remove(run)
        try:
            await _restore(run, claims, patience)
        except Halt as halt:
            if (
                isinstance(halt, NoRoom)
                or isinstance(halt.problem, TimedOut)
                or any(departure.hopeless for departure in run.memo.departures)
            ):
                raise
            # What was lost meanwhile is looked at anew: exo may have been started again while it restored.
            failed = halt
            continue
        snapshot = await _serving(run)
        if not missing(run.memo, snapshot) and not _left(run, snapshot):
            return
        failed = None
    if failed is not None:
        raise failed


# Removing


def _left(run: Run, snapshot: Snapshot) -> list[Instance]:
    placed = [t.instance for t in run.memo.targets if t.instance is not None]
    return [instance for instance in placed if instance.id in snapshot.state.instances]


async def _remove(run: Run) -> None:
    undoing = run.memo.undoing
    placed = [t.instance for t in run.memo.targets if t.instance is not None]
    if undoing is None or not placed:
        return
    snapshot = await run.look() if run.is_done("remove") else await _settled(run, placed)
    listed = _left(run, snapshot)
    if not listed and (not undoing.removing or run.is_done("remove")):
        # exo gave up on it, or it never came to be.
        return
    if listed:
        remove.include(undoing.removing, remove.measure(snapshot, listed))
    run.deleting.update({instance.id: instance.model_id for instance in listed})
    await run.begin("remove", f"Removing {', '.join(instance.model_id for instance in placed)} again.")
    snapshot = await remove.delete(run, placed)
    enough: Counter[str] = Counter()
    for departure in missing(run.memo, snapshot):
        enough.update({id_: with_margin(n) for id_, n in todays(run.memo.members, snapshot, departure.takes).items()})
    note = await remove.memory_back(run, undoing.removing, "remove", enough)
    await run.finish("remove", note or "Removed; the memory is free again.")


async def _settled(run: Run, placed: list[Instance]) -> Snapshot:
    """A snapshot in which a request that may or may not have arrived has had the time to show."""
    snapshot = await run.look()
    until = run.live + run.rules.settle_seconds
    while run.live < until and any(not was_created(snapshot, instance) for instance in placed):
        snapshot = await run.next(snapshot)
    return await run.look()


# Restoring


async def _restore(run: Run, claims: Claims, patience: Patience) -> None:
    old = [departure for departure in run.memo.departures if departure.sound]
    snapshot = await _gone_or_kept(run, [departure for departure in old if departure.asked])
    _adopt(run, snapshot)
    lost = missing(run.memo, snapshot)
    under_way = [d for d in old if d.restored is not None and d.restored.id in snapshot.state.instances]
    if not lost and not under_way:
        if any(departure.asked for departure in old) and not run.is_done("restore"):
            names = ", ".join(sorted({departure.instance.model_id for departure in old}))
            await run.finish("restore", f"{names} was still loaded.", StepState.SKIPPED)
        return
    names = ", ".join(sorted({departure.instance.model_id for departure in [*lost, *under_way]}))
    await run.begin("restore", f"Restoring {names}.")
    # Once for all: each of three models waiting for its own nodes, one after the other, would take three minutes.
    needed = {node_id for departure in lost for node_id in node_ids(departure.instance)}
    snapshot = await settled(run, snapshot, needed, "restore")
    for departure in lost:
        await _make(run, departure, claims, patience)
    for departure in [*under_way, *lost]:
        await _follow(run, departure)
    run.deleting.clear()
    await run.finish("restore", f"{names} is ready again.")


def _adopt(run: Run, snapshot: Snapshot) -> None:
    """A model that somebody has loaded again meanwhile needs no second copy.

    It may have been this server, before it was killed while its journal could not be written.
    """
    if run.memo.only_instance is not None:
        return
    known = {instance.id for instance, _ in run.memo.own_instances()}
    for departure in missing(run.memo, snapshot):
        for instance in snapshot.instances_of(departure.instance.model_id):
            if instance.id not in known and is_sound(snapshot, instance):
                departure.restored = instance
                known.add(instance.id)
                break


async def _gone_or_kept(run: Run, leaving: list[Departure]) -> Snapshot:
    """Whether a deletion that was asked for, or was about to be, has happened shows after a moment."""
    snapshot = await run.look()
    until = run.live + run.rules.settle_seconds
    while run.live < until and any(d.instance.id in snapshot.state.instances for d in leaving):
        snapshot = await run.next(snapshot)
    snapshot = await run.look()
    for departure in leaving:
        if departure.instance.id in snapshot.state.instances:
            run.deleting.pop(departure.instance.id, None)
    return snapshot


async def _make(run: Run, departure: Departure, claims: Claims, patience: Patience) -> None:
    """Places it as it was where its nodes are there, else wherever exo would place it."""
    snapshot = await run.look()
    if departure.restored is not None:
        here = all(id_ in snapshot.state.nodes for id_ in node_ids(departure.restored))
        if not here:
            departure.restored = None
        elif was_created(snapshot, departure.restored):
            # It was there and is lost again: under its old ids exo would list it as ready before it is.
            departure.restored = rekeyed(departure.restored)
    if departure.restored is None:
        departure.restored = await _placement(run, departure, claims, patience)
        snapshot = await run.look()
    await run.save()
    while True:
        try:
            await create(run, departure.restored, "restore", snapshot)
        except Halt as halt:
            if isinstance(halt.problem, LoadFailed):
                # It was listed and is gone again: `_follow` sees it so.
                return
            if not isinstance(halt.__cause__, Refused):
                raise
            # exo counts the memory that it was told of last; what the failed model held comes back within seconds.
            if patience.is_over:
                if departure.retried:
                    raise NoRoom(halt.problem) from halt
                # Its own nodes have no room any more: others may.
                departure.restored, departure.retried = None, True
                raise
            snapshot = await run.next(await run.look())
        else:
            return


async def _follow(run: Run, departure: Departure) -> None:
    """Follows what was restored. Where exo gives up on it, another placement is tried in the next round, once."""
    if departure.restored is None:
        return
    try:
        await follow(run, departure.restored, "restore")
    except Halt as halt:
        if isinstance(halt.problem, LoadFailed) and halt.problem.attempts:
            departure.restored = None
            if not departure.retried:
                run.report("restore", f"{halt.problem.message} Trying once more.")
                departure.retried = True
                await run.save()
            else:
                departure.hopeless = True
        raise


async def _placement(run: Run, departure: Departure, claims: Claims, patience: Patience) -> Instance:
    """Where it is to be placed. Raises `Halt` once nothing has fitted for a while: memory is reported a little late."""
    instance = departure.instance
    while True:
        snapshot = await run.look()
        ids = present_ids(run.memo.members, snapshot, node_ids(instance))
        same_nodes = None if departure.retried or len(ids) < len(node_ids(instance)) else tuple(ids.values())
        if same_nodes is not None and all(then == now for then, now in ids.items()):
            return rekeyed(instance)
        found = await _chosen(run, snapshot, instance, same_nodes, claims)
        if isinstance(found, Chosen):
            departure.takes = found.takes
            return found.instance
        if patience.is_over:
            raise NoRoom(
                LoadFailed(
                    message=f"{instance.model_id} could not be restored: {found}",
                    suggestion=f"Load {instance.model_id} again when its nodes are back.",
                    model_id=instance.model_id,
                )
            )
        run.report("restore", f"Waiting for room for {instance.model_id}: {found}")
        await run.next(snapshot)


async def _chosen(
    run: Run, snapshot: Snapshot, instance: Instance, same_nodes: tuple[str, ...] | None, claims: Claims
) -> Chosen | str:
    """On the same nodes in the same way if possible, else anywhere in the same way, else in any way; or why not."""
    card = snapshot.models.get(instance.model_id)
    if card is None:
        return "The cluster does not know the model any more."
    free = free_now(snapshot, claims())
    kind = run.operation.kind
    ways = [] if same_nodes is None else [demand(card, _same_way(kind, instance), same_nodes)]
    ways += [demand(card, wish, None) for wish in (_same_way(kind, instance), Wish(kind))]
    reason = ""
    for wanted in ways:
        try:
            found = await run.ask(lambda wanted=wanted: choose(run.upstream, snapshot, wanted, free))  # type: ignore[misc]  # mypy types no default of a lambda
        except Refused as error:
            reason = str(error)
            continue
        if isinstance(found, Chosen):
            return found
        reason = found.reason
    return reason


def _same_way(kind: OperationKind, instance: Instance) -> Wish:
    sharding = ShardingPreference.TENSOR if instance.sharding is Sharding.TENSOR else ShardingPreference.PIPELINE
    jaccl = instance.instance_type is InstanceType.MLX_JACCL
    return Wish(
        kind=kind,
        sharding=sharding,
        instance_type=InstanceTypePreference.MLX_JACCL if jaccl else InstanceTypePreference.MLX_RING,
    )


async def _serving(run: Run) -> Snapshot:
    """A last snapshot. What served and is out of reach, or is being started again by exo, is given a while.

    A node that died takes its instances with it after 45 s: then they are missing, and the next round restores them.
    """
    snapshot = await run.look()
    until = run.live + run.rules.return_seconds
    while run.live < until and undone(run.memo, snapshot).waiting:
        run.progressed()
        snapshot = await run.next(snapshot)
    return await run.look()
