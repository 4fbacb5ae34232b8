"""The half of the saga that loads a target: place an instance of it, then follow that until it is ready.

The plan said where the target would go, but what is free may have changed since, by a download or another program for
example. So it is placed by what the nodes report now, at first without the memory that later targets of the same
operation need.
"""

from collections.abc import Iterable

from exo_graphql.cluster.memory import less
from exo_graphql.cluster.names import label
from exo_graphql.cluster.placement_request import NoFit, PlacementRequest
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Refused
from exo_graphql.operations.abort import Abort
from exo_graphql.operations.choice import Chosen
from exo_graphql.operations.errors import InsufficientMemory, NodeNotFound, PlacementRefused
from exo_graphql.operations.fetch import Reservations, choose
from exo_graphql.operations.membership import by_present_id, present_id
from exo_graphql.operations.operation import StepState
from exo_graphql.operations.place import create, follow, node_ids, was_created
from exo_graphql.operations.plan import is_healthy, step_names
from exo_graphql.operations.planner import placement_request
from exo_graphql.operations.requests import resolve_nodes
from exo_graphql.operations.reservations import free_now
from exo_graphql.operations.run import Run
from exo_graphql.operations.saga_state import Target
from exo_graphql.operations.settle import settled


async def load(run: Run, target: Target, reservations: Reservations) -> None:
    """Places the target unless that is done, and waits until it is ready. Raises `Abort`."""
    place_step, load_step = step_names(run.saga_state, target)
    if run.is_done(load_step):
        return
    if not run.is_done(place_step):
        await _place(run, target, place_step, reservations)
    await run.begin(load_step, f"Waiting for {target.model_id} to be ready.")
    instance = target.instance
    if instance is None:
        snapshot = await run.read_now()
        instance = snapshot.state.instances.get(target.adopts or "")
    if instance is None:
        raise Abort(
            PlacementRefused(
                message=f"The instance of {target.model_id} that was adopted has been removed.",
                suggestion="Try again: it will be placed anew.",
                reason="The instance is gone.",
            )
        )
    snapshot = await follow(run, instance, load_step, _attempts(run))
    target.ready = True
    await run.finish(load_step, f"{target.model_id} is ready on {_where(snapshot, node_ids(instance))}.")


def _attempts(run: Run) -> int | None:
    """exo's failed attempts after which the load gives up; None: it leaves that to exo.

    Fewer once a model has been unloaded, because then perhaps none serves.
    """
    if run.request.attempts is not None:
        return run.request.attempts
    unloaded = any(removal.deletion_requested for removal in run.saga_state.removals)
    return run.rules.turn_back_attempts if unloaded else None


async def _place(run: Run, target: Target, step: str, reservations: Reservations) -> None:
    begun = run.operation.step(step)
    requested = target.instance is not None and begun is not None and begun.state is not StepState.PENDING
    snapshot = await run.read_now()
    if not requested and target.adopts is None:
        target.adopts = _loaded_meanwhile(run, snapshot, target)
    if target.adopts is not None:
        target.instance = None
        await run.finish(
            step, f"{target.model_id} has a healthy instance: using it, placing nothing.", StepState.SKIPPED
        )
        return
    if not requested:
        # exo was started again since it was planned: its nodes have new ids, and may not all be back yet.
        planned = set(target.takes if target.instance is None else node_ids(target.instance))
        if not planned <= snapshot.state.nodes.keys():
            snapshot = await settled(run, snapshot, planned, step)
            if not planned <= snapshot.state.nodes.keys():
                target.instance = None
    target.takes = by_present_id(run.saga_state.members, snapshot, target.takes)
    if target.instance is None:
        await run.begin(step, f"Asking exo where {target.model_id} fits.")
        chosen, snapshot = await _choose(run, target, step, snapshot, reservations)
        target.instance, target.takes = chosen.instance, chosen.takes
    where = _where(run.upstream.snapshot or snapshot, target.takes)
    # From here on the instance is known by its id, even before exo lists it.
    if target.instance.id not in run.saga_state.requested:
        run.saga_state.requested.append(target.instance.id)
    await run.begin(step, f"Placing {target.model_id} on {where}.")
    await create(run, target.instance, step, snapshot)
    await run.finish(step, f"{target.model_id} is placed on {where}.")


def _loaded_meanwhile(run: Run, snapshot: Snapshot, target: Target) -> str | None:
    """A healthy instance that others have placed since the plan was made; None where a further copy is wanted."""
    if run.request.additional or (target.instance is not None and was_created(snapshot, target.instance)):
        return None
    own = {instance.id for instance, _ in run.saga_state.own_instances()}
    healthy = [i for i in snapshot.instances_of(target.model_id) if i.id not in own and is_healthy(snapshot, i)]
    return healthy[0].id if healthy else None


async def _choose(
    run: Run, target: Target, step: str, snapshot: Snapshot, reservations: Reservations
) -> tuple[Chosen, Snapshot]:
    """Chooses again by the memory that is free now, for up to `place_seconds`: nodes report it a little late."""
    until = run.observation.seconds + run.rules.place_seconds
    while True:
        ids = None
        if run.request.nodes is not None:
            snapshot = await _pinned(run, snapshot, step)
            found = resolve_nodes(snapshot, _present_names(run, snapshot, run.request.nodes))
            if not isinstance(found, tuple):
                raise Abort(found)
            ids = found
        card = snapshot.models.get(target.model_id)
        if card is None:
            raise Abort(_refused(target, "The cluster does not know the model any more."))
        chosen = await _chosen(run, target, placement_request(card, run.request, ids), snapshot, reservations)
        if isinstance(chosen, Chosen):
            return chosen, snapshot
        if run.observation.seconds >= until or not chosen.about_memory:
            raise Abort(_no_memory(snapshot, target, chosen))
        run.report(step, f"Waiting for memory for {target.model_id}: {chosen.reason}")
        snapshot = await run.next(snapshot)


async def _pinned(run: Run, snapshot: Snapshot, step: str) -> Snapshot:
    """Waits for nodes that were named and are coming back, after an election for example."""
    if isinstance(resolve_nodes(snapshot, _present_names(run, snapshot, run.request.nodes or ())), NodeNotFound):
        return await settled(run, snapshot, run.saga_state.members, step)
    return snapshot


def _present_names(run: Run, snapshot: Snapshot, names: Iterable[str]) -> tuple[str, ...]:
    """The present ids of nodes that were started again since the plan was made, found by their names."""
    return tuple(present_id(run.saga_state.members, snapshot, name) or name for name in names)


async def _chosen(
    run: Run, target: Target, wanted: PlacementRequest, snapshot: Snapshot, reservations: Reservations
) -> Chosen | NoFit:
    """A placement, if possible without taking the memory planned for the targets that come after."""
    free = free_now(snapshot, reservations())
    spared = free
    for other in run.saga_state.targets:
        if other is not target and other.adopts is None and other.instance is None:
            spared = less(spared, other.takes)

    async def choose_within(memory: dict[str, int]) -> Chosen | NoFit:
        return await run.call_exo(lambda: choose(run.upstream, snapshot, wanted, memory, tuple(target.takes)))

    try:
        chosen = await choose_within(spared)
        return chosen if isinstance(chosen, Chosen) or spared == free else await choose_within(free)
    except Refused as error:
        raise Abort(_refused(target, str(error))) from error


def _no_memory(snapshot: Snapshot, target: Target, no_fit: NoFit) -> PlacementRefused | InsufficientMemory:
    if no_fit.shortfall_bytes is None or no_fit.available_bytes is None:
        return _refused(target, no_fit.reason)
    card = snapshot.models[target.model_id]
    return InsufficientMemory(
        message=f"{target.model_id} does not fit into the memory that is free now.",
        suggestion="See which models and other programs use the nodes' memory.",
        needed_bytes=card.storage_bytes or 0,
        available_bytes=no_fit.available_bytes,
        shortfall_bytes=no_fit.shortfall_bytes,
        loaded_ids=tuple(loaded.id for loaded in snapshot.loaded_models),
    )


def _refused(target: Target, reason: str) -> PlacementRefused:
    return PlacementRefused(
        message=f"{target.model_id} cannot be placed: {reason}",
        suggestion="Query the placements of the model to see what would fit now.",
        reason=reason,
    )


def _where(snapshot: Snapshot, ids: Iterable[str]) -> str:
    nodes = snapshot.state.nodes
    return ", ".join(label(nodes[id_]) if id_ in nodes else id_ for id_ in ids)
