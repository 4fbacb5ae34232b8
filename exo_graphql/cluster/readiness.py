"""Why is this model not ready? The rules of readiness, in the order in which they are applied.

One function derives the phase of an instance for queries, subscriptions, the command line, metrics and operations. The
rules are those of the public contract (the description of `Phase` in the schema repeats them); each function says which
behaviour of exo makes its rule necessary.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, unique

from exo_graphql.cluster.error_text import NO_DOWNLOAD_MESSAGE, NO_MESSAGE, one_line
from exo_graphql.cluster.rules import Rules
from exo_graphql.cluster.state import Download, DownloadKind, Instance, Runner, RunnerStatus, State
from exo_graphql.cluster.units import at_most, gib, percent


@unique
class Phase(Enum):
    """The phase of a model or an instance."""

    NOT_LOADED = "NOT_LOADED"
    WAITING = "WAITING"
    DOWNLOADING = "DOWNLOADING"
    CONNECTING = "CONNECTING"
    LOADING = "LOADING"
    WARMING_UP = "WARMING_UP"
    READY = "READY"
    RUNNING = "RUNNING"
    UNLOADING = "UNLOADING"
    UNREACHABLE = "UNREACHABLE"
    FAILED = "FAILED"


READY = frozenset({Phase.READY, Phase.RUNNING})
BROKEN = frozenset({Phase.UNREACHABLE, Phase.FAILED})
IN_TRANSITION = frozenset(
    {Phase.WAITING, Phase.DOWNLOADING, Phase.CONNECTING, Phase.LOADING, Phase.WARMING_UP, Phase.UNLOADING}
)
# The phases that exo repeats after a failure: those of an attempt.
_ATTEMPTED = IN_TRANSITION - {Phase.UNLOADING} | {Phase.FAILED}

# A model with several instances takes its best one's phase.
BEST_FIRST = (
    Phase.RUNNING,
    Phase.READY,
    Phase.WARMING_UP,
    Phase.LOADING,
    Phase.CONNECTING,
    Phase.DOWNLOADING,
    Phase.WAITING,
    Phase.UNLOADING,
    Phase.UNREACHABLE,
    Phase.FAILED,
    Phase.NOT_LOADED,
)
RANK = {phase: rank for rank, phase in enumerate(BEST_FIRST)}

# How far a runner has come, and the phase of an instance whose least advanced runner is there. exo starts a runner that
# is shutting down in a listed instance again. An unknown tag counts as the earliest stage, so that a status of a future
# exo never makes an instance ready.
_ADVANCE: Mapping[RunnerStatus | None, tuple[int, Phase]] = {
    None: (0, Phase.WAITING),
    RunnerStatus.UNKNOWN: (0, Phase.WAITING),
    RunnerStatus.FAILED: (0, Phase.FAILED),
    RunnerStatus.SHUTTING_DOWN: (0, Phase.WAITING),
    RunnerStatus.IDLE: (0, Phase.WAITING),
    RunnerStatus.CONNECTING: (1, Phase.CONNECTING),
    RunnerStatus.CONNECTED: (1, Phase.CONNECTING),
    RunnerStatus.LOADING: (2, Phase.LOADING),
    RunnerStatus.LOADED: (2, Phase.LOADING),
    RunnerStatus.WARMING_UP: (3, Phase.WARMING_UP),
    RunnerStatus.READY: (4, Phase.READY),
    RunnerStatus.RUNNING: (4, Phase.READY),
}
# From here on a runner has its weights.
_BEGUN = 2
READY_RUNNERS = frozenset({RunnerStatus.READY, RunnerStatus.RUNNING})


@unique
class NodeStatus(Enum):
    """Whether a node still sends heartbeats."""

    ONLINE = "ONLINE"
    STALE = "STALE"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Failure:
    """The last thing that went wrong with a model. `attempt` counts from 1; None where exo does not retry."""

    at: datetime
    message: str
    node_id: str | None = None
    attempt: int | None = None
    cause: str | None = field(default=None, compare=False)
    """The newest message that names a cause, of all attempts at the instance: the last one may be a bare exit code."""


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """The readiness of one instance in one snapshot."""

    phase: Phase
    message: str
    progress_percent: float | None = None
    eta_seconds: float | None = None
    node_id: str | None = None
    """The node that failed or is out of reach; else None."""
    error: str | None = None
    """exo's whole message, where the phase is FAILED."""
    attempt: int | None = None
    """The number of exo's attempt to start the runners, from 1 (exo makes up to 5); None if none is under way."""

    def of_attempt(self, attempt: int) -> "InstanceStatus":
        """The same with the number of the attempt, which the message names from the second on."""
        if self.phase not in _ATTEMPTED:
            return self
        failed = " failed" if self.phase is Phase.FAILED else ""
        message = f"Attempt {attempt}{failed}: {self.message}" if attempt > 1 else self.message
        return replace(self, attempt=attempt, message=message)

    @property
    def ready(self) -> bool:
        """Serving, or able to serve at once."""
        return self.phase in READY


def node_status(seconds_since_seen: float | None, rules: Rules) -> NodeStatus:
    """STALE after `rules.unseen_after`, by exo's own clock; UNKNOWN for a node without a `lastSeen`."""
    if seconds_since_seen is None:
        return NodeStatus.UNKNOWN
    return NodeStatus.STALE if seconds_since_seen >= rules.unseen_after else NodeStatus.ONLINE


def _has_begun(runner: Runner | None) -> bool:
    return runner is not None and _ADVANCE[runner.status][0] >= _BEGUN


def read_instance(
    instance: Instance, state: State, rules: Rules, *, unloading: Set[str], unknown_because: str | None = None
) -> InstanceStatus:
    """The phase of one instance: the first rule that holds.

    `unloading` holds the instances that this server has asked exo to delete; `unknown_because` says, in a
    sentence, why there is no recent state of any instance (exo does not answer, or its master hangs).
    """
    return (
        _unreachable(instance, state, rules, unknown_because=unknown_because)
        or _failed(instance, state)
        or _unloading(instance, unloading)
        or _lacking_weights(instance, state)
        or _least_advanced(instance, state)
    )


def _unreachable(
    instance: Instance, state: State, rules: Rules, *, unknown_because: str | None
) -> InstanceStatus | None:
    """Rule 0. exo reports the runners of a dead node as ready for up to 45 s more."""
    if unknown_because is not None:
        return InstanceStatus(Phase.UNREACHABLE, unknown_because)
    for shard in instance.shards:
        if shard.node_id is None:
            return InstanceStatus(Phase.UNREACHABLE, "exo does not report which node holds a shard.")
        node = state.nodes.get(shard.node_id)
        if node is None:
            return InstanceStatus(
                Phase.UNREACHABLE, "A node that holds a shard has left the cluster.", node_id=shard.node_id
            )
        if node_status(node.seconds_since_seen, rules) is NodeStatus.STALE:
            name = node.friendly_name or node.id
            return InstanceStatus(
                Phase.UNREACHABLE,
                f"Node {name} has sent no heartbeat for {rules.unseen_after:g} s or more.",
                node_id=node.id,
            )
    return None


def _failed(instance: Instance, state: State) -> InstanceStatus | None:
    """Rule 1. Neither is final by itself: exo retries a failed runner up to 5 times."""
    for shard in instance.shards:
        runner = state.runners.get(shard.runner_id)
        if runner is not None and runner.status is RunnerStatus.FAILED:
            error = runner.error or NO_MESSAGE
            return InstanceStatus(Phase.FAILED, one_line(error), node_id=shard.node_id, error=error)
    if all_begun(instance, state):
        return None
    for download in _downloads(instance, state):
        if download.kind is DownloadKind.FAILED:
            error = download.error or NO_DOWNLOAD_MESSAGE
            return InstanceStatus(
                Phase.FAILED, f"Download failed: {one_line(error)}", node_id=download.node_id, error=error
            )
    return None


def _unloading(instance: Instance, unloading: Set[str]) -> InstanceStatus | None:
    """Rule 2. exo's state never shows it: a deleted instance is gone at once, but its memory is freed later."""
    if instance.id not in unloading:
        return None
    return InstanceStatus(
        Phase.UNLOADING, "Unloading: exo was asked to delete the instance; its memory is not free yet."
    )


def _lacking_weights(instance: Instance, state: State) -> InstanceStatus | None:
    """Rule 3. A `DownloadPending` alone is no sign of a download: exo lists one for every model card it knows."""
    if all_begun(instance, state):
        return None
    downloads = [d for d in _downloads(instance, state) if d.kind is not DownloadKind.UNKNOWN]
    if all(d.kind is DownloadKind.COMPLETED for d in downloads):
        return None
    under_way = [d for d in downloads if d.kind is DownloadKind.ONGOING]
    if not under_way:
        return InstanceStatus(Phase.WAITING, "Waiting for exo to start the download.")
    # Before a download begins, exo may not report its size: the card does.
    needed = [d.total_bytes or (d.model.storage_bytes if d.model is not None else None) for d in downloads]
    done = _sum_known([at_most(d.downloaded_bytes, total) for d, total in zip(downloads, needed, strict=True)])
    total = _sum_known(needed)
    etas = [d.eta_seconds for d in under_way if d.eta_seconds is not None]
    speed = sum(d.speed or 0.0 for d in under_way)
    return InstanceStatus(
        Phase.DOWNLOADING,
        f"Downloading: {gib(done) or 0:g} of {gib(total) or 0:g} GiB at {speed / (1 << 20):.1f} MiB/s."
        if done is not None and total is not None
        else "Downloading the weights.",
        progress_percent=percent(done, total),
        eta_seconds=max(etas, default=None),
    )


def _least_advanced(instance: Instance, state: State) -> InstanceStatus:
    """Rule 4. An instance is as far as its least advanced runner."""
    if not instance.shards:
        return InstanceStatus(Phase.WAITING, "exo has assigned no runner yet.")
    runners = [state.runners.get(shard.runner_id) for shard in instance.shards]
    _, phase = min((_ADVANCE[None if r is None else r.status] for r in runners), key=lambda pair: pair[0])
    if phase is Phase.READY:
        if any(r is not None and r.status is RunnerStatus.RUNNING for r in runners):
            return InstanceStatus(Phase.RUNNING, "Serving requests.", progress_percent=100.0)
        return InstanceStatus(Phase.READY, "Ready to serve.", progress_percent=100.0)
    if phase is Phase.LOADING:
        return _loading(instance, runners)
    # All layers are loaded by then. Progress that has reached 100 stays there until the model is ready.
    return InstanceStatus(phase, _MESSAGES[phase], progress_percent=100.0 if phase is Phase.WARMING_UP else None)


_MESSAGES = {
    Phase.WAITING: "Waiting for a runner to start.",
    Phase.CONNECTING: "The runners are connecting to each other.",
    Phase.WARMING_UP: "Loaded; warming up.",
    Phase.FAILED: "A runner failed.",
}


def _loading(instance: Instance, runners: list[Runner | None]) -> InstanceStatus:
    """Layers summed over the runners. exo counts 0 … total-1: of 32 layers it reports at most 31, then `Loaded`."""
    loaded = total = 0
    for shard, runner in zip(instance.shards, runners, strict=True):
        own = (runner.total_layers if runner is not None else None) or shard.layer_count
        if runner is None or own is None:
            return InstanceStatus(Phase.LOADING, "Loading layers.")
        total += own
        # After loading a runner reports no layers: it has all of them. Before v1.0.69 it never reported any.
        arrived = runner.layers_loaded if runner.status is RunnerStatus.LOADING else own
        if arrived is None:
            return InstanceStatus(Phase.LOADING, "Loading layers.")
        loaded += arrived
    return InstanceStatus(
        Phase.LOADING, f"Loading layers: {loaded} of {total}.", progress_percent=percent(loaded, total)
    )


def all_begun(instance: Instance, state: State) -> bool:
    """Whether every runner has begun to load. Before, exo waits until every assigned node has the weights."""
    return bool(instance.shards) and all(_has_begun(state.runners.get(s.runner_id)) for s in instance.shards)


def _downloads(instance: Instance, state: State) -> list[Download]:
    """The downloads that the assigned nodes have reported; one without a report does not count as lacking them."""
    found = (state.download(shard.node_id, instance.model_id) for shard in instance.shards if shard.node_id is not None)
    return [download for download in found if download is not None]


def _sum_known(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
