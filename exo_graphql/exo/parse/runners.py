"""Runners: what each process that holds a shard last reported."""

from exo_graphql.cluster.readiness import names_no_cause
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
# exo keeps the runners of every instance there ever was; those have nothing more to say, and share one value.
_BARE_RUNNERS = {tag: Runner(status) for tag, status in RUNNER_TAGS.items()}


def read_runner(raw: object) -> Runner:
    """A runner's report; UNKNOWN for what is none."""
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
    """exo's message. One that only names a signal or an exit code comes after what exo's diagnostics say of it.

    exo main reads them off the runner's output: `{"RunnerMetalGpuTimeout": {"message": …, "evidence": […]}}`.
    """
    message = string(failed, "errorMessage")
    found = (string(tagged(raw)[1], "message") for raw in list_or_none(failed, "diagnostics") or ())
    causes = dict.fromkeys(cause.strip() for cause in found if cause and not cause.isspace())
    if not causes:
        return message
    joined = "; ".join(causes)
    return joined if not message else f"{joined}\n{message}" if names_no_cause(message) else f"{message}\n{joined}"
