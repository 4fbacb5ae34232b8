"""Placing an instance and following it: success is seen in exo's state, never assumed from an answer."""

import re
from collections.abc import Mapping

from exo_graphql.cluster.error_text import NO_MESSAGE, one_line
from exo_graphql.cluster.history import REMOVED_UNREADY
from exo_graphql.cluster.names import label
from exo_graphql.cluster.readiness import Failure, Phase
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import DownloadKind, Instance, RunnerStatus
from exo_graphql.cluster.upstream import Refused
from exo_graphql.operations.abort import Abort
from exo_graphql.operations.errors import DownloadFailed, LoadFailed, PlacementRefused
from exo_graphql.operations.run import Run

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


async def create(run: Run, instance: Instance, step: str, snapshot: Snapshot) -> Snapshot:
    """Requests exactly this instance until exo lists it, and returns the snapshot that lists it.

    `snapshot` has just been read. The instance's ids make a second request for it harmless. Raises `Abort` when exo
    refuses, never lists it, or has listed and lost it already.
    """
    run.begins_with(instance, snapshot)
    sent_at: float | None = None
    send_at = run.clock()
    urgent = False
    while instance.id not in snapshot.state.instances:
        if was_created(snapshot, instance):
            raise Abort(gone(run, snapshot, instance))
        if sent_at is not None and run.observation.seconds - sent_at >= run.rules.appear_seconds:
            raise Abort(
                PlacementRefused(
                    message=f"exo accepted the placement of {instance.model_id} but never listed the instance.",
                    suggestion="Try again; see exo's log if it happens again.",
                    reason="The instance did not appear.",
                )
            )
        if run.clock() >= send_at and not snapshot.stale:
            absent = [id_ for id_ in node_ids(instance) if id_ not in snapshot.state.nodes]
            if absent:
                # exo would create it even on nodes that are not there.
                raise Abort(_left(run, instance, absent))
            try:
                await run.call_exo(lambda: run.upstream.create(instance))
            except Refused as error:
                # exo may have performed an earlier request whose answer was lost: then only the repetition is refused.
                snapshot = await run.read_now()
                if not was_created(snapshot, instance):
                    raise Abort(
                        PlacementRefused(
                            message=f"exo refused to place {instance.model_id}: {error}",
                            suggestion="Query its placements to see what would fit now.",
                            reason=str(error),
                        )
                    ) from error
                continue
            # A command sent during an election is lost without an error.
            send_at = run.clock() + run.rules.resend_seconds
            sent_at = sent_at if sent_at is not None else run.observation.seconds
            run.report(step, f"Requested {instance.model_id} from exo; waiting for the instance to appear.")
            snapshot = await run.read_now()
            urgent = True
            continue
        snapshot = await run.next(snapshot, urgent=urgent)
        urgent = False
    run.progressed()
    return snapshot


def node_ids(instance: Instance) -> list[str]:
    """The nodes that hold a shard, without repeats."""
    return list(dict.fromkeys(shard.node_id for shard in instance.shards if shard.node_id is not None))


def _left(run: Run, instance: Instance, absent: list[str]) -> PlacementRefused:
    names = ", ".join(run.saga_state.members.get(id_) or id_ for id_ in absent)
    return PlacementRefused(
        message=f"{instance.model_id} cannot be placed where it was planned: {names} left the cluster.",
        suggestion="Try again when its nodes are back, or name other nodes.",
        reason=f"{names} left the cluster.",
    )


async def follow(run: Run, instance: Instance, step: str, attempts: int | None = None) -> Snapshot:
    """Waits until every runner is ready, and returns the snapshot that shows it.

    Raises `Abort` when exo gives up, the instance is removed, or `attempts` of exo's have failed
    (None: exo decides).
    """
    snapshot = await run.read_now()
    run.begins_with(instance, snapshot)
    causes: dict[int, Failure] = {}
    while True:
        if instance.id not in snapshot.state.instances:
            raise Abort(gone(run, snapshot, instance, causes))
        instance_status = snapshot.instance_status(instance.id)
        if instance_status.ready:
            return snapshot
        failure = _failure(run, snapshot, instance)
        if failure is not None and failure.attempt is not None:
            causes[failure.attempt] = failure
            # exo would try five times, over up to 112 s; while the old model is unloaded, none serves for as long.
            if attempts is not None and failure.attempt >= attempts:
                raise Abort(_failed(snapshot, instance, causes))
        if instance.id in snapshot.given_up:
            # exo may call it pending, or under way, by now.
            reason = instance_status.message if failure is None else failure.message
            raise Abort(
                DownloadFailed(
                    message=f"The weights of {instance.model_id} could not be fetched: {reason}",
                    suggestion="Check that the nodes can reach the model's source and have free disk space.",
                    model_id=instance.model_id,
                )
            )
        run.progressed(_metric(snapshot, instance, instance_status.phase))
        attempt = max(causes, default=0) + 1
        run.report(step, f"{instance.model_id}: {instance_status.message}", instance_status.progress_percent, attempt)
        snapshot = await run.next(snapshot)


def most_informative(failures: Mapping[int, Failure]) -> Failure | None:
    """The newest that names a cause: exo's last attempt may say only "Terminated (signal=9 (Killed))"."""
    newest_first = [failures[attempt] for attempt in sorted(failures, reverse=True)]
    return next((f for f in newest_first if not _BARE.match(f.message)), newest_first[0] if newest_first else None)


_BARE = re.compile(r"(Terminated\b|The runner failed without a message)")


def _failed(snapshot: Snapshot, instance: Instance, causes: Mapping[int, Failure]) -> LoadFailed:
    times = f"{max(causes)} failed attempts" if max(causes) > 1 else "1 failed attempt"
    cause = most_informative(causes)
    node = snapshot.state.nodes.get(cause.node_id) if cause is not None and cause.node_id is not None else None
    where = f" on {label(node)}" if node is not None else ""
    return LoadFailed(
        message=f"{instance.model_id} could not be loaded, after {times}{where}: {cause.message if cause else ''}",
        suggestion="See the failure's message; another placement or quantization may work.",
        model_id=instance.model_id,
        attempts=max(causes),
    )


def gone(run: Run, snapshot: Snapshot, instance: Instance, causes: Mapping[int, Failure] | None = None) -> LoadFailed:
    """Why a listed instance has disappeared, as far as is known. `causes` are failures by attempt."""
    last = _failure(run, snapshot, instance)
    removed = f"The instance of {instance.model_id} was removed"
    known = dict(causes or {})
    if last is not None and last.attempt is not None:
        known[last.attempt] = last
    cause = last if last is not None and last.attempt is None else most_informative(known)
    if cause is None:
        return LoadFailed(
            message=f"{removed} before it was ready, by another client or by exo.",
            suggestion="Find out which other client changes the cluster, then try again.",
            model_id=instance.model_id,
        )
    node = snapshot.state.nodes.get(cause.node_id) if cause.node_id is not None else None
    where = f" on {label(node)}" if node is not None else ""
    tries = max(known, default=None)
    if tries is None:
        what = f"exo gave up on {instance.model_id}{where}"
    elif tries >= EXO_TRIES:
        what = f"exo gave up on {instance.model_id} after {tries} attempts{where}"
    else:
        # Fewer attempts than exo makes: perhaps another client deleted it.
        times = "1 failed attempt" if tries == 1 else f"{tries} failed attempts"
        what = f"{removed}, by another client or by exo, after {times}{where}"
    return LoadFailed(
        message=f"{what}: {cause.message}",
        suggestion="See the failure's message; another placement or quantization may work.",
        model_id=instance.model_id,
        attempts=tries or 0,
    )


def _failure(run: Run, snapshot: Snapshot, instance: Instance) -> Failure | None:
    """What has gone wrong with this load: a model's failure stays readable, and may be that of an earlier one."""
    failure = snapshot.status(instance.model_id).failure
    if failure is not None and failure.message == REMOVED_UNREADY:
        return None  # that it is gone is known; it does not say why
    if failure is not None and run.is_new(instance, failure):
        return failure
    # A server that was down when it happened: exo never forgets a runner.
    for shard in instance.shards:
        runner = snapshot.state.runners.get(shard.runner_id)
        if runner is not None and runner.status is RunnerStatus.FAILED:
            return Failure(run.now(), one_line(runner.error or NO_MESSAGE), shard.node_id)
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
