"""Runners: the last report of each process that holds a shard."""

from exo_graphql.cluster.error_text import names_no_cause
from exo_graphql.cluster.state import Runner, RunnerStatus
from exo_graphql.exo.parse.json_values import Json, integer, list_or_none, string, tagged

RUNNER_TAGS = {
    "RunnerIdle": RunnerStatus.IDLE,
    "RunnerConnecting": RunnerStatus.CONNECTING,
    "RunnerConnected": RunnerStatus.CONNECTED,
    "RunnerLoading": RunnerStatus.LOADING,
    "RunnerLoaded": RunnerStatus.LOADED,
    "RunnerWarmingUp": RunnerStatus.WARMING_UP,
    "RunnerReady": RunnerStatus.READY,
    "RunnerRunning": RunnerStatus.RUNNING,
    "RunnerShuttingDown": RunnerStatus.SHUTTING_DOWN,
    "RunnerShutdown": RunnerStatus.SHUTTING_DOWN,
    "RunnerFailed": RunnerStatus.FAILED,
}
# exo keeps the runners of all instances that ever existed. Those without details share one value for each status.
_BARE_RUNNERS = {tag: Runner(status) for tag, status in RUNNER_TAGS.items()}


def read_runner(raw: object) -> Runner:
    """The report of a runner; UNKNOWN if it is none."""
    tag, body = tagged(raw)
    if not body and tag in _BARE_RUNNERS:
        return _BARE_RUNNERS[tag]
    return Runner(
        status=RUNNER_TAGS.get(tag, RunnerStatus.UNKNOWN),
        layers_loaded=integer(body, "layersLoaded"),
        total_layers=integer(body, "totalLayers") or None,
        error=_cause(body),
    )


def _cause(failed: Json) -> str | None:
    """exo's message, with the cause from exo's diagnostics: before a message that only names a signal or an exit code.

    exo main extracts them from the runner's output: `{"RunnerMetalGpuTimeout": {"message": …, "evidence": […]}}`.
    """
    message = string(failed, "errorMessage")
    found = (string(tagged(raw)[1], "message") for raw in list_or_none(failed, "diagnostics") or ())
    causes = dict.fromkeys(cause.strip() for cause in found if cause and not cause.isspace())
    if not causes:
        return message
    joined = "; ".join(causes)
    return joined if not message else f"{joined}\n{message}" if names_no_cause(message) else f"{message}\n{joined}"
