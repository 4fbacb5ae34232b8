"""Which of exo's tasks may be under way. exo never completes some, and keeps those of failed attempts.

A DownloadModel task stays "Running" for ever, one for each attempt at a download, and so does a Shutdown task; a
LoadModel task whose runner failed stays "Running" while the next attempt loads. So a task of exo's own work counts only
while a runner of its instance has a status that goes with it, and never more of a kind than the instance has runners:
of three LoadModel tasks of an instance on two nodes, the newest two.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set

from exo_graphql.cluster.state import INFERENCE, Instance, RunnerStatus, State, Task, TaskKind, TaskStatus

_NOT_ENDED = frozenset({TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.UNKNOWN})

# The statuses of a runner while a task of the kind is under way; None before its first report.
_DURING: Mapping[TaskKind, Set[RunnerStatus | None]] = {
    TaskKind.CREATE_RUNNER: {None, RunnerStatus.UNKNOWN, RunnerStatus.FAILED, RunnerStatus.SHUTTING_DOWN},
    TaskKind.CONNECT_TO_GROUP: {None, RunnerStatus.UNKNOWN, RunnerStatus.IDLE, RunnerStatus.CONNECTING},
    TaskKind.LOAD_MODEL: {
        None,
        RunnerStatus.UNKNOWN,
        RunnerStatus.IDLE,
        RunnerStatus.CONNECTED,
        RunnerStatus.LOADING,
    },
    TaskKind.START_WARMUP: {RunnerStatus.UNKNOWN, RunnerStatus.LOADED, RunnerStatus.WARMING_UP},
    # exo never completes these.
    TaskKind.DOWNLOAD_MODEL: frozenset(),
    TaskKind.SHUTDOWN: frozenset(),
}


def tasks_under_way(state: State) -> tuple[Task, ...]:
    """The tasks of existing instances that may be under way, in exo's order."""
    by_instance: defaultdict[str, list[Task]] = defaultdict(list)
    for task in state.tasks.values():
        # An old session has hundreds of tasks, nearly all of them ended.
        instance = state.instances.get(task.instance_id or "") if task.status in _NOT_ENDED else None
        if instance is not None:
            by_instance[instance.id].append(task)
    shown = {
        task.id for id_, tasks in by_instance.items() for task in _may_be_under_way(tasks, state.instances[id_], state)
    }
    return tuple(task for task in state.tasks.values() if task.id in shown)


def _may_be_under_way(tasks: Sequence[Task], instance: Instance, state: State) -> list[Task]:
    """Of an instance's tasks that have not ended, those that may be under way, in exo's order (oldest first)."""
    reports = [state.runners.get(shard.runner_id) for shard in instance.shards]
    statuses = {None if runner is None else runner.status for runner in reports}
    own_work: defaultdict[TaskKind, list[Task]] = defaultdict(list)
    counted = []
    for task in tasks:
        during = _DURING.get(task.kind)
        if task.kind in INFERENCE or during is None:
            counted.append(task)
        elif not during.isdisjoint(statuses):
            own_work[task.kind].append(task)
    runners = max(1, len(instance.shards))
    return counted + [task for of_kind in own_work.values() for task in of_kind[-runners:]]
