"""The way of every operation: load, unload and swap are one saga. Each step may be begun again after a crash.

load first, when new and old fit together:  place, follow to ready - drain, unload, memory
else:                                       download - drain, unload, memory - place, follow to ready
"""

from collections.abc import Callable, Iterable, Sequence

from exo_graphql.cluster.capacity import less
from exo_graphql.cluster.groups import Demand, Misfit
from exo_graphql.cluster.names import label
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.upstream import Refused
from exo_graphql.operations import remove, weights
from exo_graphql.operations.claims import Claim, free_now
from exo_graphql.operations.memo import Departure, Target
from exo_graphql.operations.operation import StepState
from exo_graphql.operations.place import create, follow
from exo_graphql.operations.plan import departing, step_names
from exo_graphql.operations.planner import Chosen, choose, demand
from exo_graphql.operations.problems import InsufficientMemory, PlacementRefused
from exo_graphql.operations.run import Halt, Run
from exo_graphql.operations.wishes import resolve_nodes

Claims = Callable[[], Sequence[Claim]]


async def forward(run: Run, claims: Claims) -> str:
    """Takes every step that has not been taken; returns what has been reached, as a sentence. Raises `Halt`."""
    memo = run.memo
    if memo.side_by_side:
        for target in memo.targets:
            await _load(run, target, claims)
        await _unload(run)
    else:
        await _download(run)
        await _unload(run)
        for target in memo.targets:
            await _load(run, target, claims)
    return _verdict(run)


async def _download(run: Run) -> None:
    if run.is_done("download"):
        return
    pairs = [(node_id, t.model_id) for t in run.memo.targets if t.follows is None for node_id in t.takes]
    await run.begin("download", "Looking for the weights on the chosen nodes.")
    await run.finish("download", await weights.fetch(run, pairs, "download"))
    run.memo.fetching = []


async def _load(run: Run, target: Target, claims: Claims) -> None:
    place, load = step_names(run.memo, target)
    if run.is_done(load):
        return
    if not run.is_done(place):
        await _place(run, target, place, claims)
    await run.begin(load, f"Waiting for {target.model_id} to be ready.")
    snapshot = await run.look()
    instance = target.instance or snapshot.state.instances.get(target.follows or "")
    if instance is None:
        raise Halt(
            PlacementRefused(
                message=f"The instance of {target.model_id} that was to be followed has been removed.",
                suggestion="Ask again: it will be placed anew.",
                reason="The instance is gone.",
            )
        )
    await follow(run, instance, load)
    target.done = True
    nodes = dict.fromkeys(shard.node_id for shard in instance.shards if shard.node_id is not None)
    await run.finish(load, f"{target.model_id} is ready on {_where(snapshot, nodes)}.")


async def _place(run: Run, target: Target, step: str, claims: Claims) -> None:
    if target.follows is not None:
        await run.finish(
            step, f"{target.model_id} has a sound instance: following it, placing nothing.", StepState.SKIPPED
        )
        return
    if target.instance is None:
        await run.begin(step, f"Asking exo where {target.model_id} fits.")
        chosen = await _choose(run, target, step, claims)
        target.instance, target.takes = chosen.instance, chosen.takes
    snapshot = await run.look()
    where = _where(snapshot, target.takes)
    # From here on the instance is known by its id, whatever happens before exo lists it.
    await run.begin(step, f"Placing {target.model_id} on {where}.")
    await create(run, target.instance, step)
    await run.finish(step, f"{target.model_id} is placed on {where}.")


async def _choose(run: Run, target: Target, step: str, claims: Claims) -> Chosen:
    """Plans again with what is really free, for a while: nodes report their memory a little late."""
    until = run.clock() + run.rules.place_seconds
    snapshot = await run.look()
    while True:
        node_ids = None if run.wish.nodes is None else resolve_nodes(snapshot, run.wish.nodes)
        if node_ids is not None and not isinstance(node_ids, tuple):
            raise Halt(node_ids)
        card = snapshot.models.get(target.model_id)
        if card is None:
            raise Halt(_refused(target, "The cluster does not know the model any more."))
        chosen = await _offered(run, target, demand(card, run.wish, node_ids), snapshot, claims)
        if isinstance(chosen, Chosen):
            return chosen
        if run.clock() >= until or not chosen.about_memory:
            raise Halt(_no_room(snapshot, target, chosen))
        run.report(step, f"Waiting for room for {target.model_id}: {chosen.reason}")
        snapshot = await run.next(snapshot)


async def _offered(run: Run, target: Target, wanted: Demand, snapshot: Snapshot, claims: Claims) -> Chosen | Misfit:
    """What exo offers, if possible without taking the room planned for the targets that come after."""
    free = free_now(snapshot, claims())
    spared = free
    for other in run.memo.targets:
        if other is not target and other.follows is None and other.instance is None:
            spared = less(spared, other.takes)

    async def ask(room: dict[str, int]) -> Chosen | Misfit:
        return await run.ask(lambda: choose(run.upstream, snapshot, wanted, room, tuple(target.takes)))

    try:
        chosen = await ask(spared)
        return chosen if isinstance(chosen, Chosen) or spared == free else await ask(free)
    except Refused as error:
        raise Halt(_refused(target, str(error))) from error


async def _unload(run: Run) -> None:
    memo = run.memo
    if not run.operation.step("drain") or run.is_done("memory"):
        return
    if not run.is_done("drain"):
        await run.begin("drain", "Looking for what is being served.")
        await _note_newcomers(run)
        instances = [departure.instance for departure in memo.departures]
        done = await remove.drain(run, instances, "drain", run.wish.drain_seconds) if instances else _nothing(run)
        await run.finish("drain", done, StepState.SUCCEEDED if instances else StepState.SKIPPED)
    leaving = memo.departures
    if not leaving:
        await run.finish("unload", _nothing(run), StepState.SKIPPED)
        await run.finish("memory", _nothing(run), StepState.SKIPPED)
        return
    if not run.is_done("unload"):
        await _delete(run)
    run.deleting = {d.instance.id: d.instance.model_id for d in memo.departures if d.asked}
    await run.begin("memory", "Waiting for the memory to be free again.")
    memo.memory_note = await remove.memory_back(run, memo.baseline, "memory")
    run.deleting.clear()
    await run.finish("memory", memo.memory_note or "The memory is free again.")


async def _delete(run: Run) -> None:
    memo = run.memo
    snapshot = await run.look()
    for departure in memo.departures:
        if not departure.asked and departure.instance.id not in snapshot.state.instances:
            # Somebody else was first: nothing of ours to do, and nothing of ours to restore.
            departure.sound = False
        elif not departure.asked:
            departure.asked = True
    asked = [departure.instance for departure in memo.departures if departure.asked]
    if not memo.baseline:
        memo.baseline = remove.measure(snapshot, asked)
    run.deleting = {instance.id: instance.model_id for instance in asked}
    names = ", ".join(sorted({instance.model_id for instance in asked}))
    await run.begin("unload", f"Asking exo to remove {names}." if asked else "It is gone already.")
    await remove.delete(run, asked)
    gone = len(memo.departures) - len(asked)
    note = f" {gone} had been removed by somebody else." if gone else ""
    await run.finish("unload", f"{names} removed.{note}" if asked else "Somebody else had removed it already.")


async def _note_newcomers(run: Run) -> None:
    """Instances of these models that somebody has placed since the plan was made leave too."""
    memo = run.memo
    if memo.only_instance is not None:
        return
    snapshot = await run.look()
    known = {departure.instance.id for departure in memo.departures}
    own = {target.instance.id for target in memo.targets if target.instance is not None}
    for model_id in run.operation.unload_ids:
        newcomers: list[Departure] = [
            d for d in departing(snapshot, model_id, None) if d.instance.id not in known | own
        ]
        memo.departures.extend(newcomers)


def _nothing(run: Run) -> str:
    names = ", ".join(run.memo.unloaded_already)
    return f"Nothing to unload: {names} is not loaded." if names else "Nothing to unload."


def _no_room(snapshot: Snapshot, target: Target, misfit: Misfit) -> PlacementRefused | InsufficientMemory:
    if misfit.shortfall_bytes is None or misfit.available_bytes is None:
        return _refused(target, misfit.reason)
    card = snapshot.models[target.model_id]
    return InsufficientMemory(
        message=f"{target.model_id} does not fit into what is really free now.",
        suggestion="See which models and other programs use the nodes' memory.",
        needed_bytes=card.storage_bytes or 0,
        available_bytes=misfit.available_bytes,
        shortfall_bytes=misfit.shortfall_bytes,
        loaded_ids=tuple(loaded.id for loaded in snapshot.loaded_models),
    )


def _refused(target: Target, reason: str) -> PlacementRefused:
    return PlacementRefused(
        message=f"{target.model_id} cannot be placed: {reason}",
        suggestion="Ask for the placements of the model to see what would fit now.",
        reason=reason,
    )


def _where(snapshot: Snapshot, node_ids: Iterable[str]) -> str:
    nodes = snapshot.state.nodes
    return ", ".join(label(nodes[id_]) if id_ in nodes else id_ for id_ in node_ids)


def _verdict(run: Run) -> str:
    operation, memo = run.operation, run.memo
    told = []
    if operation.load_ids:
        told.append(f"{', '.join(operation.load_ids)} ready.")
    left = {departure.instance.model_id for departure in memo.departures}
    unloaded = [id_ for id_ in operation.unload_ids if id_ in left]
    if unloaded:
        told.append(f"{', '.join(unloaded)} unloaded.")
    told += [f"{id_} was not loaded." for id_ in operation.unload_ids if id_ not in left]
    if memo.memory_note:
        told.append(memo.memory_note)
    return " ".join(told) or "Nothing had to be done."
