"""Undoing: what was placed is removed, what was unloaded is restored. Begun again after a crash, like every step."""

from exo_graphql.cluster.groups import Misfit
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance, InstanceType, Sharding
from exo_graphql.cluster.upstream import Refused
from exo_graphql.operations import remove, weights
from exo_graphql.operations.claims import free_now
from exo_graphql.operations.memo import Departure, rekeyed
from exo_graphql.operations.operation import OperationKind, StepState
from exo_graphql.operations.place import create, follow, was_created
from exo_graphql.operations.plan import is_sound
from exo_graphql.operations.planner import choose, demand
from exo_graphql.operations.problems import LoadFailed
from exo_graphql.operations.run import Halt, Run
from exo_graphql.operations.saga import Claims
from exo_graphql.operations.wishes import InstanceTypePreference, ShardingPreference, Wish


async def undo(run: Run, claims: Claims) -> bool:
    """Leaves the cluster as before; returns whether anything had to be undone. Raises `Halt` where that fails."""
    await weights.stop(run)
    placed = [t.instance for t in run.memo.targets if t.instance is not None]
    leaving = [departure for departure in run.memo.departures if departure.asked and departure.sound]
    removed = bool(placed) and await _remove(run, placed)
    restored = bool(leaving) and await _restore(run, leaving, claims)
    return removed or restored


async def _remove(run: Run, placed: list[Instance]) -> bool:
    undoing = run.memo.undoing
    if run.is_done("remove") or undoing is None:
        return True
    snapshot = await _settled(run, placed)
    listed = [instance for instance in placed if instance.id in snapshot.state.instances]
    if not listed and not undoing.removing:
        # exo gave up on it, or it never came to be; what it had taken may still be on its way back.
        return any(was_created(snapshot, instance) for instance in placed)
    undoing.removing = undoing.removing or remove.measure(snapshot, listed)
    run.deleting.update({instance.id: instance.model_id for instance in listed})
    await run.begin("remove", f"Removing {', '.join(instance.model_id for instance in placed)} again.")
    await remove.delete(run, placed)
    note = await remove.memory_back(run, undoing.removing, "remove")
    await run.finish("remove", note or "Removed; the memory is free again.")
    return True


async def _settled(run: Run, placed: list[Instance]) -> Snapshot:
    """A picture in which a request that may or may not have arrived has had the time to show."""
    snapshot = await run.look()
    until = run.clock() + run.rules.settle_seconds
    while run.clock() < until and any(not was_created(snapshot, instance) for instance in placed):
        snapshot = await run.next(snapshot)
    return await run.look()


async def _restore(run: Run, leaving: list[Departure], claims: Claims) -> bool:
    if run.is_done("restore"):
        return True
    names = ", ".join(sorted({departure.instance.model_id for departure in leaving}))
    snapshot = await _gone_or_kept(run, leaving)
    lost = [d for d in leaving if d.instance.id not in snapshot.state.instances]
    if not lost:
        await run.finish("restore", f"{names} was still loaded.", StepState.SKIPPED)
        return False
    _adopt(run, snapshot, lost)
    await run.begin("restore", f"Restoring {names}.")
    for departure in lost:
        await _make(run, departure, claims)
    for departure in lost:
        await _follow(run, departure, claims)
    run.deleting.clear()
    await run.finish("restore", f"{names} is ready again.")
    return True


def _adopt(run: Run, snapshot: Snapshot, lost: list[Departure]) -> None:
    """A model that somebody has loaded again meanwhile needs no second copy.

    It may have been this server, before it was killed while its journal could not be written.
    """
    if run.memo.only_instance is not None:
        return
    known = {instance.id for instance, _ in run.memo.own_instances()}
    for departure in lost:
        for instance in snapshot.instances_of(departure.instance.model_id):
            if departure.restored is None and instance.id not in known and is_sound(snapshot, instance):
                departure.restored = instance
                known.add(instance.id)


async def _gone_or_kept(run: Run, leaving: list[Departure]) -> Snapshot:
    """Whether a deletion that was asked for, or was about to be, has happened shows after a moment."""
    snapshot = await run.look()
    until = run.clock() + run.rules.settle_seconds
    while run.clock() < until and any(d.instance.id in snapshot.state.instances for d in leaving):
        snapshot = await run.next(snapshot)
    snapshot = await run.look()
    for departure in leaving:
        if departure.instance.id in snapshot.state.instances:
            run.deleting.pop(departure.instance.id, None)
    return snapshot


async def _make(run: Run, departure: Departure, claims: Claims) -> None:
    """The same placement under fresh ids where its nodes are there, else wherever exo would place it."""
    if departure.restored is None:
        departure.restored = rekeyed(departure.instance) if await _nodes_are_back(run, departure.instance) else None
        if departure.restored is None:
            departure.restored = await _elsewhere(run, departure.instance, claims)
        await run.save()
    until = run.clock() + run.rules.memory_seconds
    while True:
        try:
            await create(run, departure.restored, "restore")
        except Halt as halt:
            if isinstance(halt.problem, LoadFailed):
                # It was listed and is gone again: `_follow` sees it so, and tries another placement.
                return
            # exo counts the memory that it was told of last; what the failed model held comes back within seconds.
            if run.clock() >= until or not isinstance(halt.__cause__, Refused):
                raise
            snapshot = await run.look()
            await run.next(snapshot)
        else:
            return


async def _follow(run: Run, departure: Departure, claims: Claims) -> None:
    """Follows what was restored; where exo gives up on it, one other placement is tried."""
    if departure.restored is None:
        return
    try:
        await follow(run, departure.restored, "restore")
    except Halt as halt:
        if departure.retried or not isinstance(halt.problem, LoadFailed):
            raise
        departure.retried = True
        run.report("restore", f"{halt.problem.message} Trying once more.")
        departure.restored = await _elsewhere(run, departure.instance, claims)
        await run.save()
        await create(run, departure.restored, "restore")
        await follow(run, departure.restored, "restore")


async def _nodes_are_back(run: Run, instance: Instance) -> bool:
    needed = {shard.node_id for shard in instance.shards if shard.node_id is not None}
    snapshot = await run.look()
    until = run.clock() + run.rules.return_seconds
    while not needed <= snapshot.state.nodes.keys():
        if run.clock() >= until:
            return False
        run.report("restore", f"Waiting for the nodes that held {instance.model_id} to return.")
        snapshot = await run.next(snapshot)
    return True


async def _elsewhere(run: Run, instance: Instance, claims: Claims) -> Instance:
    snapshot = await run.look()
    card = snapshot.models.get(instance.model_id)
    reason = "The cluster does not know the model any more."
    if card is not None:
        free = free_now(snapshot, claims())
        kind = run.operation.kind
        for wish in (_same_way(kind, instance), Wish(kind)):
            chosen = await run.ask(lambda wish=wish: choose(run.upstream, snapshot, demand(card, wish, None), free))  # type: ignore[misc]  # mypy types no default of a lambda
            if not isinstance(chosen, Misfit):
                return chosen.instance
            reason = chosen.reason
    raise Halt(
        LoadFailed(
            message=f"{instance.model_id} could not be restored: {reason}",
            suggestion=f"Load {instance.model_id} again when its nodes are back.",
            model_id=instance.model_id,
        )
    )


def _same_way(kind: OperationKind, instance: Instance) -> Wish:
    sharding = ShardingPreference.TENSOR if instance.sharding is Sharding.TENSOR else ShardingPreference.PIPELINE
    jaccl = instance.instance_type is InstanceType.MLX_JACCL
    return Wish(
        kind=kind,
        sharding=sharding,
        instance_type=InstanceTypePreference.MLX_JACCL if jaccl else InstanceTypePreference.MLX_RING,
    )
