"""Load, unload and swap are one saga. Each step may be repeated after a crash.

load first, when new and old fit together:  place, load - drain, unload, memory
else:                                       download - drain, unload, memory - place, load

What a step has established is an invariant of all steps after it. `Run` checks it on every snapshot that any step
sees; where something is about to be destroyed, and before the verdict, `_confirm` waits for a snapshot read after
the last act that shows it. For example B is ready, A drains for 30 s, and after 10 s B's node dies: the drain ends at
once, A was not touched, and the operation turns back.
"""

from collections.abc import Iterable
from functools import partial

from exo_graphql.cluster.memory import less
from exo_graphql.cluster.names import label
from exo_graphql.cluster.placement_request import NoFit, PlacementRequest
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Refused
from exo_graphql.operations import remove, verdict, weights
from exo_graphql.operations.choice import Chosen
from exo_graphql.operations.errors import InsufficientMemory, NodeNotFound, PlacementRefused, UnloadFailed
from exo_graphql.operations.fetch import Reservations, choose
from exo_graphql.operations.losses import not_ready
from exo_graphql.operations.membership import present_id, todays
from exo_graphql.operations.operation import StepState
from exo_graphql.operations.place import create, follow, node_ids, was_created
from exo_graphql.operations.plan import is_healthy, removals_of, step_names
from exo_graphql.operations.planner import placement_request
from exo_graphql.operations.requests import resolve_nodes
from exo_graphql.operations.reservations import free_now
from exo_graphql.operations.run import Abort, Run
from exo_graphql.operations.saga_state import Removal, Target
from exo_graphql.operations.settle import settled


async def forward(run: Run, reservations: Reservations) -> str:
    """Takes every step that has not been taken; returns what has been reached, as a sentence. Raises `Abort`."""
    saga_state = run.saga_state
    if saga_state.side_by_side:
        for target in saga_state.targets:
            await _load(run, target, reservations)
        await _unload(run)
    else:
        await _download(run)
        await _unload(run)
        for target in saga_state.targets:
            await _load(run, target, reservations)
    for _ in range(run.rules.max_rounds):
        snapshot = await _confirm(run, run.operation.steps[-1].name)
        if not any(removal.instance.id in snapshot.state.instances for removal in saga_state.removals):
            return verdict.reached(run.operation, saga_state, snapshot)
        # A master that was away has come back, and with it what had been deleted.
        await _delete(run)
    raise Abort(_comes_back(run))


async def _confirm(run: Run, step: str) -> Snapshot:
    """A snapshot read after the last act in which everything serves that the operation has made ready.

    What is out of reach is waited for; `Run` raises `Abort` for what is gone or has failed.
    """
    snapshot = await run.look()
    while waited := not_ready(run.saga_state, snapshot):
        names = ", ".join(dict.fromkeys(waited))
        run.report(step, f"Waiting for {names}, which was ready, to be ready again.")
        snapshot = await run.next(snapshot)
    return snapshot


# Loading


async def _download(run: Run) -> None:
    if run.is_done("download"):
        return
    pairs = [(node_id, t.model_id) for t in run.saga_state.targets if t.adopts is None for node_id in t.takes]
    await run.begin("download", "Looking for the weights on the chosen nodes.")
    await run.finish("download", await weights.fetch(run, pairs, "download"))
    run.saga_state.fetching = []


async def _load(run: Run, target: Target, reservations: Reservations) -> None:
    place, load = step_names(run.saga_state, target)
    if run.is_done(load):
        return
    if not run.is_done(place):
        await _place(run, target, place, reservations)
    await run.begin(load, f"Waiting for {target.model_id} to be ready.")
    instance = target.instance
    if instance is None:
        snapshot = await run.look()
        instance = snapshot.state.instances.get(target.adopts or "")
    if instance is None:
        raise Abort(
            PlacementRefused(
                message=f"The instance of {target.model_id} that was adopted has been removed.",
                suggestion="Ask again: it will be placed anew.",
                reason="The instance is gone.",
            )
        )
    snapshot = await follow(run, instance, load, _attempts(run))
    target.ready = True
    await run.finish(load, f"{target.model_id} is ready on {_where(snapshot, node_ids(instance))}.")


def _attempts(run: Run) -> int | None:
    """Failed attempts of exo's that are waited for; None: all. Without the old model, every second counts."""
    if run.request.attempts is not None:
        return run.request.attempts
    unloaded = any(removal.asked for removal in run.saga_state.removals)
    return run.rules.turn_back_attempts if unloaded else None


async def _place(run: Run, target: Target, step: str, reservations: Reservations) -> None:
    begun = run.operation.step(step)
    asked = target.instance is not None and begun is not None and begun.state is not StepState.PENDING
    snapshot = await run.look()
    if not asked and target.adopts is None:
        target.adopts = _loaded_meanwhile(run, snapshot, target)
    if target.adopts is not None:
        target.instance = None
        await run.finish(
            step, f"{target.model_id} has a healthy instance: using it, placing nothing.", StepState.SKIPPED
        )
        return
    if not asked:
        # exo was started again since it was planned: its nodes have new ids, and may not all be back yet.
        planned = set(target.takes if target.instance is None else node_ids(target.instance))
        if not planned <= snapshot.state.nodes.keys():
            snapshot = await settled(run, snapshot, planned, step)
            if not planned <= snapshot.state.nodes.keys():
                target.instance = None
    target.takes = todays(run.saga_state.members, snapshot, target.takes)
    if target.instance is None:
        await run.begin(step, f"Asking exo where {target.model_id} fits.")
        chosen, snapshot = await _choose(run, target, step, snapshot, reservations)
        target.instance, target.takes = chosen.instance, chosen.takes
    where = _where(run.upstream.snapshot or snapshot, target.takes)
    # From here on the instance is known by its id, whatever happens before exo lists it.
    await run.begin(step, f"Placing {target.model_id} on {where}.")
    await create(run, target.instance, step, snapshot)
    await run.finish(step, f"{target.model_id} is placed on {where}.")


def _loaded_meanwhile(run: Run, snapshot: Snapshot, target: Target) -> str | None:
    """A healthy instance that somebody has placed since the plan was made; None where another copy is wanted."""
    if run.request.additional or (target.instance is not None and was_created(snapshot, target.instance)):
        return None
    own = {instance.id for instance, _ in run.saga_state.own_instances()}
    healthy = [i for i in snapshot.instances_of(target.model_id) if i.id not in own and is_healthy(snapshot, i)]
    return healthy[0].id if healthy else None


async def _choose(
    run: Run, target: Target, step: str, snapshot: Snapshot, reservations: Reservations
) -> tuple[Chosen, Snapshot]:
    """Plans again with what is really free, for a while: nodes report their memory a little late."""
    until = run.live + run.rules.place_seconds
    while True:
        ids = None
        if run.request.nodes is not None:
            snapshot = await _pinned(run, snapshot, step)
            found = resolve_nodes(snapshot, _todays(run, snapshot, run.request.nodes))
            if not isinstance(found, tuple):
                raise Abort(found)
            ids = found
        card = snapshot.models.get(target.model_id)
        if card is None:
            raise Abort(_refused(target, "The cluster does not know the model any more."))
        chosen = await _chosen(run, target, placement_request(card, run.request, ids), snapshot, reservations)
        if isinstance(chosen, Chosen):
            return chosen, snapshot
        if run.live >= until or not chosen.about_memory:
            raise Abort(_no_memory(snapshot, target, chosen))
        run.report(step, f"Waiting for memory for {target.model_id}: {chosen.reason}")
        snapshot = await run.next(snapshot)


async def _pinned(run: Run, snapshot: Snapshot, step: str) -> Snapshot:
    """Waits for nodes that were named and are coming back, after an election for example."""
    if isinstance(resolve_nodes(snapshot, _todays(run, snapshot, run.request.nodes or ())), NodeNotFound):
        return await settled(run, snapshot, run.saga_state.members, step)
    return snapshot


def _todays(run: Run, snapshot: Snapshot, names: Iterable[str]) -> tuple[str, ...]:
    """Ids that were drawn anew since the operation was planned, by the name that their node still has."""
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

    async def ask(memory: dict[str, int]) -> Chosen | NoFit:
        return await run.ask(lambda: choose(run.upstream, snapshot, wanted, memory, tuple(target.takes)))

    try:
        chosen = await ask(spared)
        return chosen if isinstance(chosen, Chosen) or spared == free else await ask(free)
    except Refused as error:
        raise Abort(_refused(target, str(error))) from error


# Unloading


async def _unload(run: Run) -> None:
    saga_state = run.saga_state
    if not run.operation.step("drain") or run.is_done("memory"):
        return
    if not run.is_done("drain"):
        await run.begin("drain", "Looking for running requests.")
        _note_newcomers(run, await _confirm(run, "drain"))
        if saga_state.removals:
            done = await remove.drain(run, lambda s: _note_newcomers(run, s), "drain", run.request.drain_seconds)
            await run.finish("drain", done)
        else:
            await run.finish("drain", _nothing(run), StepState.SKIPPED)
    if not run.is_done("unload"):
        await _delete(run)
    if not saga_state.removals:
        await run.finish("memory", _nothing(run), StepState.SKIPPED)
        return
    run.deleting = {d.instance.id: d.instance.model_id for d in saga_state.removals if d.asked}
    await run.begin("memory", "Waiting for the memory to be free again.")
    saga_state.memory_note = await remove.memory_back(run, saga_state.baseline, "memory")
    run.deleting.clear()
    await run.finish("memory", saga_state.memory_note or "The memory is free again.")


async def _delete(run: Run) -> None:
    """Deletes one instance after the other, until a snapshot shows none; before each, what was loaded must serve."""
    saga_state = run.saga_state
    asked: dict[str, str] = {}
    for _ in range(run.rules.max_rounds * max(1, len(saga_state.removals))):
        snapshot = await _confirm(run, "unload")
        known = {removal.instance.id for removal in saga_state.removals}
        listed = _note_newcomers(run, snapshot)
        if late := listed - known:
            # It came after the others were drained: its requests are waited for as well.
            await run.begin("unload", "Waiting for the requests of a copy that came late.")
            await remove.drain(run, partial(_listed, late), "unload", run.request.drain_seconds)
            continue
        leaving = next((d for d in saga_state.removals if d.instance.id in listed), None)
        if leaving is None:
            break
        if not leaving.asked:
            leaving.asked = True
            remove.include(saga_state.baseline, remove.measure(snapshot, [leaving.instance]))
        asked[leaving.instance.id] = leaving.instance.model_id
        run.deleting = {**run.deleting, **asked}
        await run.begin("unload", f"Asking exo to remove {leaving.instance.model_id}.")
        await remove.delete(run, [leaving.instance])
    else:
        raise Abort(_comes_back(run))
    if not saga_state.removals:
        await run.finish("unload", _nothing(run), StepState.SKIPPED)
        return
    ours = sorted({d.instance.model_id for d in saga_state.removals if d.asked})
    gone = sum(not d.asked for d in saga_state.removals)
    note = f" {gone} had been removed by somebody else." if gone else ""
    await run.finish("unload", f"{', '.join(ours)} removed.{note}" if ours else "Somebody else had removed it already.")


def _note_newcomers(run: Run, snapshot: Snapshot) -> set[str]:
    """The listed instances that are to leave, those that somebody has placed since the plan was made included."""
    saga_state = run.saga_state
    known = {removal.instance.id for removal in saga_state.removals}
    if saga_state.only_instances is None:
        own = {target.instance_id for target in saga_state.targets}
        newcomers: list[Removal] = [
            removal
            for model_id in run.operation.unload_ids
            for removal in removals_of(snapshot, model_id, None)
            if removal.instance.id not in known | own
        ]
        for newcomer in newcomers:
            newcomer.newcomer = True
        saga_state.removals.extend(newcomers)
    return {d.instance.id for d in saga_state.removals} & snapshot.state.instances.keys()


def _listed(ids: set[str], snapshot: Snapshot) -> set[str]:
    return ids & snapshot.state.instances.keys()


def _comes_back(run: Run) -> UnloadFailed:
    names = ", ".join(run.operation.unload_ids)
    return UnloadFailed(
        message=f"{names} is loaded again whenever it has been removed.",
        suggestion="Find out who loads it.",
        model_id=run.operation.unload_ids[0],
    )


# Messages


def _nothing(run: Run) -> str:
    names = ", ".join(run.saga_state.unloaded_already)
    return f"Nothing to unload: {names} is not loaded." if names else "Nothing to unload."


def _no_memory(snapshot: Snapshot, target: Target, no_fit: NoFit) -> PlacementRefused | InsufficientMemory:
    if no_fit.shortfall_bytes is None or no_fit.available_bytes is None:
        return _refused(target, no_fit.reason)
    card = snapshot.models[target.model_id]
    return InsufficientMemory(
        message=f"{target.model_id} does not fit into what is really free now.",
        suggestion="See which models and other programs use the nodes' memory.",
        needed_bytes=card.storage_bytes or 0,
        available_bytes=no_fit.available_bytes,
        shortfall_bytes=no_fit.shortfall_bytes,
        loaded_ids=tuple(loaded.id for loaded in snapshot.loaded_models),
    )


def _refused(target: Target, reason: str) -> PlacementRefused:
    return PlacementRefused(
        message=f"{target.model_id} cannot be placed: {reason}",
        suggestion="Ask for the placements of the model to see what would fit now.",
        reason=reason,
    )


def _where(snapshot: Snapshot, ids: Iterable[str]) -> str:
    nodes = snapshot.state.nodes
    return ", ".join(label(nodes[id_]) if id_ in nodes else id_ for id_ in ids)
