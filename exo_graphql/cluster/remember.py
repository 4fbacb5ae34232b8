"""The history after another state, and the transitions that the state shows. Pure: the time is passed in."""

from collections.abc import Mapping, Set
from dataclasses import replace

from exo_graphql.cluster.downloads import needed_downloads
from exo_graphql.cluster.error_text import NO_DOWNLOAD_MESSAGE, NO_MESSAGE, names_no_cause, one_line
from exo_graphql.cluster.history import (
    KEPT_MODELS,
    LOST_WITH_MASTER,
    LOST_WITH_NODE,
    NEVER_LOADED,
    REMOVED_UNREADY,
    UNLOADED_UNREADY,
    DownloadHistory,
    History,
    InstanceHistory,
    ModelHistory,
)
from exo_graphql.cluster.loads import NO_LOADS, Loads
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.readiness import (
    RANK,
    READY_RUNNERS,
    Failure,
    InstanceStatus,
    Phase,
)
from exo_graphql.cluster.state import DownloadKind, Instance, RunnerStatus, State, TaskKind
from exo_graphql.cluster.transitions import RemovedInstance, Transitions


def remember(
    history: History,
    state: State,
    instance_statuses: Mapping[str, InstanceStatus],
    unloading: Mapping[str, str],
    now: Moment,
    *,
    first: bool,
    loads: Loads = NO_LOADS,
) -> tuple[History, Transitions]:
    """The history after `state`, whose instances have these statuses, and what has changed.

    `unloading` maps the instances that this server has asked exo to delete to their models; `loads` is about its
    operations. With `first`, the state is the first one ever read: it shows no changes.
    """
    failures: dict[str, Failure] = {}
    instances = {
        instance.id: _instance_history(history, instance, state, instance_statuses[instance.id], failures, now)
        for instance in state.instances.values()
    }
    downloads = _download_histories(history, state, failures, now)
    gone = [(id_, was) for id_, was in history.instances.items() if id_ not in instances]
    went_back = history.went_back(state)
    # A restart rather than a rewind: see `history`.
    started_again = (
        history.emptied
        # A rewind that has lasted for `behind_grace` is none: no node replays its log for ever.
        or (history.behind_since is not None and history.is_behind(state))
        or (went_back and not history.members <= state.nodes.keys())
        # Node ids are new at each start, and the new session may already have a higher index.
        or (bool(history.members) and bool(state.nodes) and history.members.isdisjoint(state.nodes))
    )
    removed = tuple(
        _removed(history, id_, was, state, unloading, now, started_again=started_again) for id_, was in gone
    )
    failures |= {one.model_id: one.failure for one in removed if one.failure is not None}
    ended = {one.model_id for one in removed if one.lost or not one.was_ready}
    models = _model_histories(history, instances, unloading, failures, ended, loads, now, first=first)
    after = History(
        models=models,
        instances=instances,
        downloads=downloads,
        behind_since=history.behind_since,
        lag=history.lag,
        empty_since=history.empty_since,
        index=state.index,
        members=frozenset(state.nodes),
        # Kept until a state with nodes shows which instances are left.
        emptied=history.emptied and (history.empty_since is not None or not state.nodes),
        loading=loads.under_way,
    )
    if first:
        return after, Transitions()
    # A model beyond `KEPT_MODELS` is missing in `models`: that is no change of phase.
    phases = {
        model_id: (was.phase, model.phase)
        for model_id, model in models.items()
        for was in [history.models.get(model_id, NEVER_LOADED)]
        if was.phase is not model.phase
    }
    # `started_again` is reported with the first state that has nodes.
    return after, Transitions(phases, failures, removed, started_again and not after.emptied)


def _removed(
    history: History,
    id_: str,
    was: InstanceHistory,
    state: State,
    unloading: Mapping[str, str],
    now: Moment,
    *,
    started_again: bool,
) -> RemovedInstance:
    failure, lost = _end(history, id_, was, state, unloading, now, started_again=started_again)
    unloaded = id_ in unloading or was.phase is Phase.UNLOADING
    return RemovedInstance(id_, was.model_id, was.was_ready, unloaded, lost, failure)


def _end(
    history: History,
    id_: str,
    was: InstanceHistory,
    state: State,
    unloading: Mapping[str, str],
    now: Moment,
    *,
    started_again: bool,
) -> tuple[Failure | None, bool]:
    """Why an instance is gone (None if nothing went wrong or it was reported before), and whether exo lost it."""
    had_failed = was.failure is not None or any(
        download.error is not None
        for node_id in was.nodes.values()
        if node_id is not None and (download := history.downloads.get((node_id, was.model_id))) is not None
    )
    if id_ in unloading or was.phase is Phase.UNLOADING:
        return None if was.was_ready or had_failed else Failure(now.at, UNLOADED_UNREADY), False
    if started_again:
        return Failure(now.at, LOST_WITH_MASTER), True
    # Both the node and its instance may have disappeared between two reads.
    left = (node_id for node_id in was.nodes.values() if node_id is not None and node_id not in state.nodes)
    lost_node = was.node_id if was.phase is Phase.UNREACHABLE and was.node_id is not None else next(left, None)
    if lost_node is not None:
        return Failure(now.at, LOST_WITH_NODE, lost_node), True
    # The last attempt may have failed and the instance have been removed between two reads.
    for runner_id, node_id in was.nodes.items():
        attempt = _attempt(state, id_, runner_id, was)
        if attempt is not None and attempt != was.attempts.get(runner_id, 0):
            return _runner_failure(state, runner_id, node_id, attempt, was, now), False
    return None if was.was_ready or had_failed else Failure(now.at, REMOVED_UNREADY), False


def model_phase(model_id: str, instances: Mapping[str, InstanceHistory], unloading: Mapping[str, str]) -> Phase:
    """The best phase of the model's instances, those included that exo no longer lists but that still hold memory."""
    phases = [was.phase for was in instances.values() if was.model_id == model_id]
    if any(model == model_id and id_ not in instances for id_, model in unloading.items()):
        phases.append(Phase.UNLOADING)
    return min(phases, key=RANK.__getitem__, default=Phase.NOT_LOADED)


def _instance_history(
    history: History,
    instance: Instance,
    state: State,
    instance_status: InstanceStatus,
    failures: dict[str, Failure],
    now: Moment,
) -> InstanceHistory:
    was = history.instances.get(instance.id)
    attempts = dict(was.attempts) if was is not None else {}
    runners = [state.runners.get(shard.runner_id) for shard in instance.shards]
    failed = set()
    failure = was.failure if was is not None else None
    for shard, runner in zip(instance.shards, runners, strict=True):
        if runner is None or runner.status is not RunnerStatus.FAILED:
            if was is None:
                attempts[shard.runner_id] = shutdowns(state, instance.id, shard.runner_id)
            continue
        failed.add(shard.runner_id)
        attempt = _attempt(state, instance.id, shard.runner_id, was)
        if attempt is not None and attempt != attempts.get(shard.runner_id, 0):
            attempts[shard.runner_id] = attempt
            failure = _runner_failure(state, shard.runner_id, shard.node_id, attempt, was, now)
            failures[instance.model_id] = failure
    # Not by `instance_status`: UNREACHABLE and UNLOADING hide that the runners are ready.
    is_ready = bool(runners) and all(runner is not None and runner.status in READY_RUNNERS for runner in runners)
    return InstanceHistory(
        model_id=instance.model_id,
        phase=instance_status.phase,
        was_ready=is_ready or (was is not None and was.was_ready and not failed),
        node_id=instance_status.node_id,
        attempts=attempts,
        failed=frozenset(failed),
        nodes={shard.runner_id: shard.node_id for shard in instance.shards},
        failure=failure,
    )


def _attempt(state: State, instance_id: str, runner_id: str, was: InstanceHistory | None) -> int | None:
    """The number of the failed attempt; None if the runner is not failed now."""
    runner = state.runners.get(runner_id)
    if runner is None or runner.status is not RunnerStatus.FAILED:
        return None
    seen = 1 if was is None else was.attempts.get(runner_id, 0) + (runner_id not in was.failed)
    # exo keeps a Shutdown task for each failed attempt. Three of them and one failure seen: two attempts failed between
    # two reads, or before this server started.
    return max(seen, shutdowns(state, instance_id, runner_id))


def _runner_failure(
    state: State, runner_id: str, node_id: str | None, attempt: int, was: InstanceHistory | None, now: Moment
) -> Failure:
    error = state.runners[runner_id].error or NO_MESSAGE
    message = one_line(error)
    earlier = was.failure.cause if was is not None and was.failure is not None else None
    return Failure(now.at, message, node_id, attempt, earlier if names_no_cause(error) else message)


def shutdowns(state: State, instance_id: str, runner_id: str) -> int:
    """How many failed attempts of a runner exo still shows."""
    return sum(
        task.kind is TaskKind.SHUTDOWN and task.instance_id == instance_id and task.runner_id == runner_id
        for task in state.tasks.values()
    )


def _download_histories(
    history: History, state: State, failures: dict[str, Failure], now: Moment
) -> Mapping[tuple[str, str], DownloadHistory]:
    downloads: dict[tuple[str, str], DownloadHistory] = {}
    for pair in needed_downloads(state):
        node_id, model_id = pair
        download = state.download(node_id, model_id)
        if download is None or download.kind is DownloadKind.COMPLETED:
            continue
        past = history.downloads.get(pair, DownloadHistory()).seen(download, now)
        if download.kind is DownloadKind.FAILED:
            error = one_line(download.error or NO_DOWNLOAD_MESSAGE)
            if error != past.error:
                failures[model_id] = Failure(now.at, error, node_id)
            past = replace(past, error=error, quiet_since=now.elapsed if past.quiet_since is None else past.quiet_since)
        downloads[pair] = past
    return downloads


def _model_histories(
    history: History,
    instances: Mapping[str, InstanceHistory],
    unloading: Mapping[str, str],
    failures: Mapping[str, Failure],
    ended: Set[str],
    loads: Loads,
    now: Moment,
    *,
    first: bool,
) -> Mapping[str, ModelHistory]:
    present = {was.model_id for was in instances.values()}
    models: dict[str, ModelHistory] = {}
    requested_again = loads.under_way - history.loading
    expected = present | loads.under_way
    for model_id in {*history.models, *present, *unloading.values(), *failures, *ended, *loads.failed}:
        was = history.models.get(model_id, NEVER_LOADED)
        phase = model_phase(model_id, instances, unloading)
        failure = failures.get(model_id, was.failure)
        gave_up = model_id in ended or (was.gave_up and model_id not in requested_again)
        failed = loads.failed.get(model_id)
        # exo may have lost the command without a trace: then only the failed operation shows that nothing will come.
        unseen = failed is not None and failed.operation_id != was.failed_operation_id
        if failed is not None and unseen and not gave_up and model_id not in expected:
            gave_up, failure = True, Failure(failed.at, failed.message)
        changed = phase is not was.phase and not first
        models[model_id] = ModelHistory(
            phase=phase,
            changed_at=now.at if changed else was.changed_at,
            changed_elapsed=now.elapsed if changed else was.changed_elapsed,
            failure=failure,
            gave_up=gave_up and model_id not in present,
            failed_operation_id=failed.operation_id if failed is not None else None,
        )
    if len(models) > KEPT_MODELS:
        newest = sorted(models, key=lambda m: (m in present, models[m].changed_elapsed), reverse=True)
        models = {model_id: models[model_id] for model_id in newest[:KEPT_MODELS]}
    return models
