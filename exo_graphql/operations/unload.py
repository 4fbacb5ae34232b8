"""The half of the saga that unloads: drain, delete, and wait until the memory is free again.

What the operation has made ready must serve before anything is destroyed: `confirm` waits for a snapshot that shows it,
before each deletion. While instances are unloaded, others may place new ones of the same model; these are drained and
deleted as well, since the request was that the model is unloaded.
"""

from functools import partial

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.operations import remove
from exo_graphql.operations.abort import Abort
from exo_graphql.operations.errors import UnloadFailed
from exo_graphql.operations.losses import not_ready
from exo_graphql.operations.operation import StepState
from exo_graphql.operations.plan import removals_of
from exo_graphql.operations.run import Run
from exo_graphql.operations.saga_state import Removal


async def confirm(run: Run, step: str) -> Snapshot:
    """A snapshot read after the last act in which everything serves that the operation has made ready.

    What is unreachable is waited for; `Abort` is raised for what is gone or has failed.
    """
    snapshot = await run.read_now()
    while waited := not_ready(run.saga_state, snapshot):
        names = ", ".join(dict.fromkeys(waited))
        run.report(step, f"Waiting for {names}, which was ready, to be ready again.")
        snapshot = await run.next(snapshot)
    return snapshot


async def unload(run: Run) -> None:
    """Drains and deletes what the operation is to unload, then waits for the memory. Raises `Abort`."""
    saga_state = run.saga_state
    if not run.operation.step("drain") or run.is_done("memory"):
        return
    if not run.is_done("drain"):
        await run.begin("drain", "Looking for running requests.")
        _note_newcomers(run, await confirm(run, "drain"))
        if saga_state.removals:
            done = await remove.drain(run, lambda s: _note_newcomers(run, s), "drain", run.request.drain_seconds)
            await run.finish("drain", done)
        else:
            await run.finish("drain", _nothing(run), StepState.SKIPPED)
    if not run.is_done("unload"):
        await delete(run)
    if not saga_state.removals:
        await run.finish("memory", _nothing(run), StepState.SKIPPED)
        return
    run.deleting = {d.instance.id: d.instance.model_id for d in saga_state.removals if d.deletion_requested}
    await run.begin("memory", "Waiting for the memory to be free again.")
    saga_state.memory_note = await remove.memory_back(run, saga_state.baseline, "memory")
    run.deleting.clear()
    await run.finish("memory", saga_state.memory_note or "The memory is free again.")


async def delete(run: Run) -> None:
    """Deletes one instance after the other, until a snapshot shows none; before each, what was loaded must serve.

    Raises `Abort`.
    """
    saga_state = run.saga_state
    requested: dict[str, str] = {}
    for _ in range(run.rules.max_rounds * max(1, len(saga_state.removals))):
        snapshot = await confirm(run, "unload")
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
        if not leaving.deletion_requested:
            leaving.deletion_requested = True
            remove.include(saga_state.baseline, remove.measure(snapshot, [leaving.instance]))
        requested[leaving.instance.id] = leaving.instance.model_id
        run.deleting = {**run.deleting, **requested}
        await run.begin("unload", f"Asking exo to remove {leaving.instance.model_id}.")
        await remove.delete(run, [leaving.instance])
    else:
        raise Abort(comes_back(run))
    if not saga_state.removals:
        await run.finish("unload", _nothing(run), StepState.SKIPPED)
        return
    ours = sorted({d.instance.model_id for d in saga_state.removals if d.deletion_requested})
    gone = sum(not d.deletion_requested for d in saga_state.removals)
    note = f" {gone} had been removed by another client." if gone else ""
    await run.finish(
        "unload", f"{', '.join(ours)} removed.{note}" if ours else "Another client had removed it already."
    )


def _note_newcomers(run: Run, snapshot: Snapshot) -> set[str]:
    """The listed instances to unload, including those that others have placed since the plan was made."""
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


def comes_back(run: Run) -> UnloadFailed:
    """The error where what was deleted has been listed again `max_rounds` times."""
    names = ", ".join(run.operation.unload_ids)
    return UnloadFailed(
        message=f"{names} is loaded again whenever it has been removed.",
        suggestion="Find out which client loads it.",
        model_id=run.operation.unload_ids[0],
    )


def _nothing(run: Run) -> str:
    names = ", ".join(run.saga_state.unloaded_already)
    return f"Nothing to unload: {names} is not loaded." if names else "Nothing to unload."
