"""The half of undoing that restores: what was there before the operation is placed again and followed to ready.

Restoring repeats the old placement under new ids (`rekeyed`): the same nodes and layers, so the weights are there.
The old ids must not be used again, since exo never forgets a runner. For example A was ready as runner r1, and was
deleted. Created again as r1, exo lists r1 as RunnerReady for a second before its process has even started; read in
that second, A would count as restored. Under the new id r2 it is ready only when r2 itself says so.
"""

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Instance, InstanceType, Sharding
from exo_graphql.cluster.upstream import Refused
from exo_graphql.operations.abort import Abort
from exo_graphql.operations.choice import Chosen
from exo_graphql.operations.errors import LoadFailed
from exo_graphql.operations.fetch import Reservations, choose
from exo_graphql.operations.membership import present_ids
from exo_graphql.operations.operation import OperationKind, StepState
from exo_graphql.operations.place import create, follow, node_ids, was_created
from exo_graphql.operations.plan import is_healthy
from exo_graphql.operations.planner import placement_request
from exo_graphql.operations.requests import InstanceTypePreference, OperationRequest, ShardingPreference
from exo_graphql.operations.reservations import free_now
from exo_graphql.operations.result import missing
from exo_graphql.operations.run import Run
from exo_graphql.operations.saga_state import Removal, rekeyed
from exo_graphql.operations.settle import settled


class NoMemory(Abort):
    """What is missing fits nowhere, even after the wait for memory: trying again at once would change nothing."""


class MemoryDeadline:
    """Until when undoing waits for memory: once for all, since what was freed is reported late only once.

    For example three models are restored, and other programs have taken the memory of all three. With 20 s for each
    (`memory_seconds`) it would take a minute to say so.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._until: float | None = None
        """In seconds of the observation; None until the first wait."""

    @property
    def is_over(self) -> bool:
        """Whether the time is over. It begins when this is first read."""
        if self._until is None:
            self._until = self._run.observation.seconds + self._run.rules.memory_seconds
        return self._run.observation.seconds >= self._until


async def restore(run: Run, reservations: Reservations, deadline: MemoryDeadline) -> None:
    """Places what is missing and waits until it is ready. Raises `Abort` where that fails; it may be called again."""
    old = [removal for removal in run.saga_state.removals if removal.healthy]
    snapshot = await _gone_or_kept(run, [removal for removal in old if removal.deletion_requested])
    _adopt(run, snapshot)
    lost = missing(run.saga_state, snapshot)
    under_way = [d for d in old if d.restored is not None and d.restored.id in snapshot.state.instances]
    if not lost and not under_way:
        if any(removal.deletion_requested for removal in old) and not run.is_done("restore"):
            names = ", ".join(sorted({removal.instance.model_id for removal in old}))
            await run.finish("restore", f"{names} was still loaded.", StepState.SKIPPED)
        return
    names = ", ".join(sorted({removal.instance.model_id for removal in [*lost, *under_way]}))
    await run.begin("restore", f"Restoring {names}.")
    # Once for all: each of three models waiting for its own nodes, one after the other, would take three minutes.
    needed = {node_id for removal in lost for node_id in node_ids(removal.instance)}
    snapshot = await settled(run, snapshot, needed, "restore")
    for removal in lost:
        await _make(run, removal, reservations, deadline)
    for removal in [*under_way, *lost]:
        await _follow(run, removal)
    run.deleting.clear()
    await run.finish("restore", f"{names} is ready again.")


def _adopt(run: Run, snapshot: Snapshot) -> None:
    """A model that another client has loaded again meanwhile needs no second copy.

    The other client may have been this server, killed while its journal could not be written.
    """
    if run.saga_state.only_instances is not None:
        return
    known = {instance.id for instance, _ in run.saga_state.own_instances()}
    for removal in missing(run.saga_state, snapshot):
        for instance in snapshot.instances_of(removal.instance.model_id):
            if instance.id not in known and is_healthy(snapshot, instance):
                removal.restored = instance
                known.add(instance.id)
                break


async def _gone_or_kept(run: Run, leaving: list[Removal]) -> Snapshot:
    """Waits for the effect of a deletion that was requested, or was about to be.

    What another process has sent may be on its way for as long as that would have waited for the answer.
    """
    snapshot = await run.read_now()
    begun_at = run.observation.seconds
    while listed := [d.instance for d in leaving if d.instance.id in snapshot.state.instances]:
        inherited = [instance for instance in listed if instance.id in run.inherited_deletions]
        seconds = run.rules.command_seconds if inherited else run.rules.settle_seconds
        if run.observation.seconds - begun_at >= seconds:
            break
        if inherited:
            names = ", ".join(sorted({instance.model_id for instance in inherited}))
            run.report("restore", f"Waiting whether exo still removes {names}, as it was asked to.")
            run.progressed()
        snapshot = await run.next(snapshot)
    snapshot = await run.read_now()
    for removal in leaving:
        if removal.instance.id in snapshot.state.instances:
            run.deleting.pop(removal.instance.id, None)
    return snapshot


async def _make(run: Run, removal: Removal, reservations: Reservations, deadline: MemoryDeadline) -> None:
    """Places it as it was if its nodes are members, else where it fits."""
    snapshot = await run.read_now()
    before = removal.restored
    if removal.restored is not None:
        here = all(id_ in snapshot.state.nodes for id_ in node_ids(removal.restored))
        if not here:
            removal.restored = None
        elif was_created(snapshot, removal.restored):
            # It was listed and is lost again: under its old ids exo would list it as ready before it is.
            removal.restored = rekeyed(removal.restored)
    if removal.restored is None:
        removal.restored = await _placement(run, removal, reservations, deadline)
        snapshot = await run.read_now()
    if removal.restored is not before:
        # Its id was drawn here. One that was adopted was drawn by another client.
        run.saga_state.requested.append(removal.restored.id)
    await run.save()
    while True:
        try:
            await create(run, removal.restored, "restore", snapshot)
        except Abort as abort:
            if isinstance(abort.error, LoadFailed):
                # It was listed and is gone again: `_follow` sees it so.
                return
            if not isinstance(abort.__cause__, Refused):
                raise
            # exo goes by the last memory reports; what the failed model held is reported free within seconds.
            if deadline.is_over:
                if removal.retried:
                    raise NoMemory(abort.error) from abort
                # Its own nodes have no memory left: others may.
                removal.restored, removal.retried = None, True
                raise
            snapshot = await run.next(await run.read_now())
        else:
            return


async def _follow(run: Run, removal: Removal) -> None:
    """Follows what was restored. Where exo gives up on it, another placement is tried in the next round, once."""
    if removal.restored is None:
        return
    try:
        await follow(run, removal.restored, "restore")
    except Abort as abort:
        if isinstance(abort.error, LoadFailed) and abort.error.attempts:
            removal.restored = None
            if not removal.retried:
                run.report("restore", f"{abort.error.message} Trying once more.")
                removal.retried = True
                await run.save()
            else:
                removal.unrestorable = True
        raise


async def _placement(run: Run, removal: Removal, reservations: Reservations, deadline: MemoryDeadline) -> Instance:
    """Where it is to be placed. Raises `Abort` once nothing has fitted for a while: memory is reported late."""
    instance = removal.instance
    while True:
        snapshot = await run.read_now()
        ids = present_ids(run.saga_state.members, snapshot, node_ids(instance))
        same_nodes = None if removal.retried or len(ids) < len(node_ids(instance)) else tuple(ids.values())
        if same_nodes is not None and all(then == now for then, now in ids.items()):
            return rekeyed(instance)
        found = await _chosen(run, snapshot, instance, same_nodes, reservations)
        if isinstance(found, Chosen):
            removal.takes = found.takes
            return found.instance
        if deadline.is_over:
            raise NoMemory(
                LoadFailed(
                    message=f"{instance.model_id} could not be restored: {found}",
                    suggestion=f"Load {instance.model_id} again when its nodes are back.",
                    model_id=instance.model_id,
                )
            )
        run.report("restore", f"Waiting for memory for {instance.model_id}: {found}")
        await run.next(snapshot)


async def _chosen(
    run: Run, snapshot: Snapshot, instance: Instance, same_nodes: tuple[str, ...] | None, reservations: Reservations
) -> Chosen | str:
    """On the same nodes in the same way if possible, else anywhere in the same way, else in any way; or why not."""
    card = snapshot.models.get(instance.model_id)
    if card is None:
        return "The cluster does not know the model any more."
    free = free_now(snapshot, reservations())
    kind = run.operation.kind
    ways = [] if same_nodes is None else [placement_request(card, _same_way(kind, instance), same_nodes)]
    ways += [placement_request(card, request, None) for request in (_same_way(kind, instance), OperationRequest(kind))]
    reason = ""
    for wanted in ways:
        try:
            found = await run.call_exo(lambda wanted=wanted: choose(run.upstream, snapshot, wanted, free))  # type: ignore[misc]  # mypy types no default of a lambda
        except Refused as error:
            reason = str(error)
            continue
        if isinstance(found, Chosen):
            return found
        reason = found.reason
    return reason


def _same_way(kind: OperationKind, instance: Instance) -> OperationRequest:
    sharding = ShardingPreference.TENSOR if instance.sharding is Sharding.TENSOR else ShardingPreference.PIPELINE
    jaccl = instance.instance_type is InstanceType.MLX_JACCL
    return OperationRequest(
        kind=kind,
        sharding=sharding,
        instance_type=InstanceTypePreference.MLX_JACCL if jaccl else InstanceTypePreference.MLX_RING,
    )
