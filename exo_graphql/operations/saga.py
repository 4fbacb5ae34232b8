"""Load, unload and swap are one saga. Each step may be repeated after a crash.

load first, when new and old fit together:  place, load - drain, unload, memory
else:                                       download - drain, unload, memory - place, load

What a step has established is an invariant of all steps after it. `Observation` checks it on every snapshot that any
step sees; where something is about to be destroyed, and before the end, `confirm` waits for a snapshot read after
the last act that shows it. For example B is ready, A drains for 30 s, and after 10 s B's node dies: the drain ends at
once, A was not touched, and the operation turns back.
"""

from exo_graphql.operations import result, weights
from exo_graphql.operations.abort import Abort
from exo_graphql.operations.fetch import Reservations
from exo_graphql.operations.load import load
from exo_graphql.operations.run import Run
from exo_graphql.operations.unload import comes_back, confirm, delete, unload


async def forward(run: Run, reservations: Reservations) -> str:
    """Takes every step that has not been taken; returns what has been reached, as a sentence. Raises `Abort`."""
    saga_state = run.saga_state
    if saga_state.side_by_side:
        for target in saga_state.targets:
            await load(run, target, reservations)
        await unload(run)
    else:
        await _download(run)
        await unload(run)
        for target in saga_state.targets:
            await load(run, target, reservations)
    for _ in range(run.rules.max_rounds):
        snapshot = await confirm(run, run.operation.steps[-1].name)
        if not any(removal.instance.id in snapshot.state.instances for removal in saga_state.removals):
            return result.reached(run.operation, saga_state, snapshot)
        # A lost master has returned, and with it the instances that had been deleted.
        await delete(run)
    raise Abort(comes_back(run))


async def _download(run: Run) -> None:
    if run.is_done("download"):
        return
    pairs = [(node_id, t.model_id) for t in run.saga_state.targets if t.adopts is None for node_id in t.takes]
    await run.begin("download", "Looking for the weights on the chosen nodes.")
    await run.finish("download", await weights.fetch(run, pairs, "download"))
    run.saga_state.fetching = []
