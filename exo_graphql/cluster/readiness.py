"""Why is this model not ready? The rules of readiness, in the order in which they hold.

One function derives the phase of an instance for query, push, command line, metrics and operations alike. The rules
are those of the public contract (the description of `Phase` in the schema repeats them); what exo does that makes
them necessary is told beside each.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, unique

from exo_graphql.cluster.rules import Rules
from exo_graphql.cluster.state import Download, DownloadKind, Instance, Runner, RunnerStatus, State
from exo_graphql.cluster.units import at_most, gib, percent


@unique
class Phase(Enum):
    """Where a model or an instance stands."""

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
# What exo does anew after a failure.
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

# How far a runner has come, and the phase of an instance whose least advanced runner has come so far. A runner that
# is shutting down in a listed instance is about to be tried again; what an unknown tag means nobody knows, so it is
# never taken for readiness.
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
_BEGUN = 2
READY_RUNNERS = frozenset({RunnerStatus.READY, RunnerStatus.RUNNING})


@unique
class NodeStatus(Enum):
    """Whether a node is still heard of."""

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
    """The most telling message of the attempts at the same instance: the last may only say how the runner ended."""


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """What the rules say of one instance now."""

    phase: Phase
    message: str
    progress_percent: float | None = None
    eta_seconds: float | None = None
    node_id: str | None = None
    """The node that failed or is out of reach; else None."""
    error: str | None = None
    """exo's whole message, where the phase is FAILED."""
    attempt: int | None = None
    """Which of exo's attempts at the runners this is, from 1 (exo makes up to 5); None where none is under way."""

    def of_attempt(self, attempt: int) -> "InstanceStatus":
        """The same as the phase of an attempt; from the second on, the message says so."""
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
    """STALE after `rules.unseen_after`, by exo's own clock; UNKNOWN for a node that exo never stamped."""
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
    """Rule 0. exo goes on calling the runners of a dead node ready for up to 45 s."""
    if unknown_because is not None:
        return InstanceStatus(Phase.UNREACHABLE, unknown_because)
    for shard in instance.shards:
        if shard.node_id is None:
            return InstanceStatus(Phase.UNREACHABLE, "exo does not say which node holds a shard.")
        node = state.nodes.get(shard.node_id)
        if node is None:
            return InstanceStatus(
                Phase.UNREACHABLE, "A node that holds a shard has left the cluster.", node_id=shard.node_id
            )
        if node_status(node.seconds_since_seen, rules) is NodeStatus.STALE:
            name = node.friendly_name or node.id
            return InstanceStatus(
                Phase.UNREACHABLE,
                f"Node {name} has not been seen for {rules.unseen_after:g} s or more.",
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
            error = download.error or "The download failed without a message."
            return InstanceStatus(
                Phase.FAILED, f"Download failed: {one_line(error)}", node_id=download.node_id, error=error
            )
    return None


def _unloading(instance: Instance, unloading: Set[str]) -> InstanceStatus | None:
    """Rule 2. exo's state never shows it: a deleted instance is gone at once, its memory is not."""
    if instance.id not in unloading:
        return None
    return InstanceStatus(Phase.UNLOADING, "Asked exo to delete the instance; its memory is not yet free.")


def _lacking_weights(instance: Instance, state: State) -> InstanceStatus | None:
    """Rule 3. A `DownloadPending` alone means nothing: exo lists one for every model card it knows."""
    if all_begun(instance, state):
        return None
    downloads = [d for d in _downloads(instance, state) if d.kind is not DownloadKind.UNKNOWN]
    if all(d.kind is DownloadKind.COMPLETED for d in downloads):
        return None
    under_way = [d for d in downloads if d.kind is DownloadKind.ONGOING]
    if not under_way:
        return InstanceStatus(Phase.WAITING, "Waiting for exo to start the download of the weights.")
    # A node that has not begun may not say how much it needs: the card does.
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
    """Rule 4. An instance is as far as the runner that has come least far."""
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
    # Every layer is there by then: a measure that has come to 100 stays there until the model is ready.
    return InstanceStatus(phase, _MESSAGES[phase], progress_percent=100.0 if phase is Phase.WARMING_UP else None)


_MESSAGES = {
    Phase.WAITING: "Waiting for a runner to start.",
    Phase.CONNECTING: "The runners are connecting to each other.",
    Phase.WARMING_UP: "Loaded; warming up.",
    Phase.FAILED: "A runner failed.",
}


def _loading(instance: Instance, runners: list[Runner | None]) -> InstanceStatus:
    """Layers summed over the runners. exo counts 0 … total-1 and never reports the last one: `Loaded` says it."""
    loaded = total = 0
    for shard, runner in zip(instance.shards, runners, strict=True):
        own = (runner.total_layers if runner is not None else None) or shard.layer_count
        if runner is None or own is None:
            return InstanceStatus(Phase.LOADING, "Loading layers.")
        total += own
        # Past loading a runner reports no layers: all of them are there. Before v1.0.69 it reported none at all.
        arrived = runner.layers_loaded if runner.status is RunnerStatus.LOADING else own
        if arrived is None:
            return InstanceStatus(Phase.LOADING, "Loading layers.")
        loaded += arrived
    return InstanceStatus(
        Phase.LOADING, f"Loading layers: {loaded} of {total}.", progress_percent=percent(loaded, total)
    )


def all_begun(instance: Instance, state: State) -> bool:
    """Whether every runner has begun to load: until then exo waits for the weights on every assigned node."""
    return bool(instance.shards) and all(_has_begun(state.runners.get(s.runner_id)) for s in instance.shards)


def _downloads(instance: Instance, state: State) -> list[Download]:
    """What the assigned nodes have said about the weights; a node that said nothing is not known to lack them."""
    found = (state.download(shard.node_id, instance.model_id) for shard in instance.shards if shard.node_id is not None)
    return [download for download in found if download is not None]


def _sum_known(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


# exo's word for a process that ended: a signal or an exit code, and no reason.
_BARE = re.compile(r"Terminated( \(.*\))?\.?")


def names_no_cause(error: str) -> bool:
    """Whether exo's message tells how the runner ended and not why: `Terminated (signal=9 (Killed))`."""
    return not error.strip() or error == NO_MESSAGE or _BARE.fullmatch(error.strip()) is not None


NO_MESSAGE = "The runner failed without a message."


def one_line(error: str) -> str:
    """The line of exo's message (often a whole traceback) that says what happened, at most 300 characters."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith("Runner error:")), lines[0] if lines else error)
    return told if len(told) <= 300 else told[:299] + "…"
