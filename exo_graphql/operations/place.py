"""Placing an instance and following it: success is seen in exo's state, never taken from an answer."""

from exo_graphql.cluster.names import label
from exo_graphql.cluster.readiness import Failure, Phase, one_line
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import DownloadKind, Instance, RunnerStatus
from exo_graphql.cluster.upstream import Refused
from exo_graphql.operations.problems import DownloadFailed, LoadFailed, PlacementRefused
from exo_graphql.operations.run import Halt, Run

EXO_TRIES = 5
"""How often exo starts a failing runner before it deletes the instance (its `EXO_MAX_INSTANCE_RETRIES`)."""

_AHEAD = (
    Phase.UNREACHABLE,
    Phase.FAILED,
    Phase.WAITING,
    Phase.DOWNLOADING,
    Phase.CONNECTING,
    Phase.LOADING,
    Phase.WARMING_UP,
)


def was_created(snapshot: Snapshot, instance: Instance) -> bool:
    """Whether exo ever listed it: exo never forgets a runner, nor the tasks that made it."""
    runners = {shard.runner_id for shard in instance.shards}
    return (
        instance.id in snapshot.state.instances
        or not runners.isdisjoint(snapshot.state.runners)
        or any(task.instance_id == instance.id for task in snapshot.state.tasks.values())
    )


async def create(run: Run, instance: Instance, step: str) -> None:
    """Asks for exactly this instance until it is listed. Its ids make a second request for it harmless.

    Raises `Halt` when exo refuses, never lists it, or has listed and lost it already.
    """
    snapshot = await run.look()
    asked_at: float | None = None
    send_at = run.clock()
    while instance.id not in snapshot.state.instances:
        if was_created(snapshot, instance):
            raise Halt(gone(run, snapshot, instance, step))
        if asked_at is not None and run.clock() - asked_at >= run.rules.appear_seconds:
            raise Halt(
                PlacementRefused(
                    message=f"exo accepted the placement of {instance.model_id} and never made the instance.",
                    suggestion="Ask again; see exo's log if it happens again.",
                    reason="The instance did not appear.",
                )
            )
        if run.clock() >= send_at and not snapshot.stale:
            try:
                await run.ask(lambda: run.upstream.create(instance))
            except Refused as error:
                # An earlier request may have been done and its answer lost: what has no room any more is its double.
                snapshot = await run.look()
                if not was_created(snapshot, instance):
                    raise Halt(
                        PlacementRefused(
                            message=f"exo refused to place {instance.model_id}: {error}",
                            suggestion="Ask for its placements to see what would fit now.",
                            reason=str(error),
                        )
                    ) from error
                continue
            # A command sent into an election is lost without a word.
            send_at = run.clock() + run.rules.resend_seconds
            asked_at = asked_at if asked_at is not None else run.clock()
            run.report(step, f"Asked exo for {instance.model_id}; waiting for the instance to appear.")
        snapshot = await run.next(snapshot)
    run.progressed()


async def follow(run: Run, instance: Instance, step: str) -> None:
    """Waits until every runner is ready. Raises `Halt` when exo gives up or somebody removes the instance."""
    snapshot = await run.look()
    while True:
        if not snapshot.stale:
            if instance.id not in snapshot.state.instances:
                raise Halt(gone(run, snapshot, instance, step))
            reading = snapshot.reading(instance.id)
            if reading.ready:
                return
            if instance.id in snapshot.given_up:
                # exo may call it pending, or under way, by now.
                failure = _failure(run, snapshot, instance, step)
                reason = reading.message if failure is None else failure.message
                raise Halt(
                    DownloadFailed(
                        message=f"The weights of {instance.model_id} could not be fetched: {reason}",
                        suggestion="See that the nodes reach the model's source and have room on disk.",
                        model_id=instance.model_id,
                    )
                )
            run.progressed(_metric(snapshot, instance, reading.phase))
            run.report(step, f"{instance.model_id}: {reading.message}", reading.progress_percent)
        snapshot = await run.next(snapshot)


def gone(run: Run, snapshot: Snapshot, instance: Instance, step: str) -> LoadFailed:
    """Why an instance that was listed is not any more, as far as can be told."""
    failure = _failure(run, snapshot, instance, step)
    removed = f"The instance of {instance.model_id} was removed"
    if failure is None:
        return LoadFailed(
            message=f"{removed} before it was ready, by somebody else or by exo.",
            suggestion="Find out who else changes the cluster, then ask again.",
            model_id=instance.model_id,
        )
    node = snapshot.state.nodes.get(failure.node_id) if failure.node_id is not None else None
    where = f" on {label(node)}" if node is not None else ""
    tries = failure.attempt
    if tries is None:
        told = f"exo gave up on {instance.model_id}{where}"
    elif tries >= EXO_TRIES:
        told = f"exo gave up on {instance.model_id} after {tries} attempts{where}"
    else:
        # Fewer than exo makes: somebody may have had enough of it.
        times = "1 failed attempt" if tries == 1 else f"{tries} failed attempts"
        told = f"{removed}, by somebody else or by exo, after {times}{where}"
    return LoadFailed(
        message=f"{told}: {failure.message}",
        suggestion="See the failure's message; another placement or quantization may do.",
        model_id=instance.model_id,
    )


def _failure(run: Run, snapshot: Snapshot, instance: Instance, step: str) -> Failure | None:
    """What went wrong since the step began: a model's failure stays readable, and may be an earlier load's."""
    failure = snapshot.status(instance.model_id).failure
    begun = run.operation.step(step)
    if failure is not None and begun is not None and begun.started_at is not None and failure.at >= begun.started_at:
        return failure
    # A server that was down when it happened: exo never forgets a runner.
    for shard in instance.shards:
        runner = snapshot.state.runners.get(shard.runner_id)
        if runner is not None and runner.status is RunnerStatus.FAILED:
            return Failure(run.now(), one_line(runner.error or "The runner failed without a message."), shard.node_id)
    return None


def _metric(snapshot: Snapshot, instance: Instance, phase: Phase) -> tuple[object, ...]:
    """Moves exactly when the instance does. Bytes, since a percent of a large model may take longer than patience."""
    nodes = [shard.node_id for shard in instance.shards if shard.node_id is not None]
    downloads = [snapshot.state.download(node_id, instance.model_id) for node_id in nodes]
    runners = [snapshot.state.runners.get(shard.runner_id) for shard in instance.shards]
    return (
        instance.id,
        _AHEAD.index(phase) if phase in _AHEAD else -1,
        tuple(d.downloaded_bytes for d in downloads if d is not None and d.kind is not DownloadKind.PENDING),
        tuple((r.status, r.layers_loaded) for r in runners if r is not None),
    )
