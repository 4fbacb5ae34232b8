"""What --wait shows of one message: the view of an operation, or of a model that is being loaded.

The speed and the remaining time are not left to rich's own columns: for downloads exo reports both, over all nodes; for
layers they must start anew with each of exo's attempts, and lines in a log need them too, where rich draws nothing.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exo_graphql.cli.format import duration, number

Json = Mapping[str, Any]

# In these phases the status of the model says more than the running step.
_MOVING = (
    "WAITING", "DOWNLOADING", "CONNECTING", "LOADING", "WARMING_UP", "READY", "RUNNING", "FAILED", "UNREACHABLE",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProgressView:
    """One view. `stage` is the phase of the model or the name of the step; `percent` is 0 to 100, None if unknown;
    `pace` is the speed and the remaining time, "" if unknown.
    """

    title: str
    stage: str
    message: str
    percent: float | None
    pace: str
    steps: Sequence[Json] = ()


class Pace:
    """Measures the speed of a load: exo reports the number of layers, but not how fast they are loaded.

    From 20 % to 50 % in 10 s is 3 % a second.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key: object = None
        self._began = (0.0, 0.0)
        self._last = 0.0

    def per_second(self, key: object, percent: float) -> float | None:
        """Percents a second since `key` was first seen; None before there is something to measure.

        After a step back it is measured anew: the time before says nothing about the rest.
        """
        now = self._clock()
        if key != self._key or percent < self._last:
            self._key, self._began = key, (now, percent)
        self._last = percent
        seconds, moved = now - self._began[0], percent - self._began[1]
        return moved / seconds if seconds > 0 and moved > 0 else None


def operation_view(operation: Json, pace: Pace) -> ProgressView:
    """The view of a load, unload or swap: its own message, or the status of the model being loaded, which is newer."""
    step = next((step["name"] for step in operation["steps"] if step["state"] == "RUNNING"), None)
    model = _being_loaded(operation["loads"], step) if operation["state"] == "RUNNING" else None
    speed = _pace(model, model["status"], pace) if model is not None else ""
    status = model["status"] if model is not None and model["status"]["phase"] in _MOVING else None
    return ProgressView(
        title=operation_title(operation),
        stage=status["phase"] if status is not None else step or operation["state"],
        message=f"{model['name']}: {status['message']}" if model and status else operation["message"],
        percent=status["progressPercent"] if status is not None else operation["progressPercent"],
        pace=speed,
        steps=operation["steps"],
    )


def _being_loaded(loads: Sequence[Json], step: str | None) -> Json | None:
    unready = next((model for model in loads if not model["status"]["ready"]), None)
    # The model is ready a moment before the step that waits for it has ended.
    return unready or (loads[-1] if loads and (step or "").startswith("load") else None)


def operation_title(operation: Json) -> str:
    """What an operation does, in a few words."""
    loads = ", ".join(model["name"] for model in operation["loads"])
    unloads = ", ".join(model["name"] for model in operation["unloads"])
    if operation["kind"] == "SWAP":
        return f"Swap {unloads or 'nothing'} for {loads or 'nothing'}"
    return f"Load {loads}" if operation["kind"] == "LOAD" else f"Unload {unloads}"


def status_view(status: Json, pace: Pace) -> ProgressView:
    """The view of a model that is awaited."""
    model = status["model"]
    return ProgressView(
        title=f"{status['modelId']}",
        stage=status["phase"],
        message=status["message"],
        percent=status["progressPercent"],
        pace=_pace(model, status, pace) if model is not None else "",
    )


def _pace(model: Json, status: Json, pace: Pace) -> str:
    if status["phase"] == "LOADING" and status["progressPercent"] is not None:
        return _layers_pace(model["id"], status, pace)
    nodes = {node["id"] for node in status["nodes"]}
    # Before the model is placed its nodes are unknown: then all nodes that download it count.
    fetching = [entry for entry in model["downloads"] if not nodes or entry["node"]["id"] in nodes]
    if not fetching or status["phase"] not in ("NOT_LOADED", "WAITING", "DOWNLOADING"):
        return ""
    speed = sum(entry["speedMbS"] or 0 for entry in fetching)
    left = [entry["etaSeconds"] for entry in fetching if entry["etaSeconds"] is not None]
    eta = status["etaSeconds"] if status["etaSeconds"] is not None else max(left, default=None)
    return number(speed, " MiB/s", 1) + _to_go(eta)


def _layers_pace(model_id: str, status: Json, pace: Pace) -> str:
    # A new attempt is measured anew, even if it starts no lower than the failed one ended.
    failure = status.get("failure")
    rate = pace.per_second((model_id, failure and failure["attempt"]), status["progressPercent"])
    if rate is None:
        return ""
    loading = next((entry for entry in status["instances"] if entry["phase"] == "LOADING"), None)
    # A layer that is divided counts on each node that has a slice of it, as in the message.
    layers = [shard["layerCount"] for shard in loading["shards"]] if loading is not None else []
    speed = (
        number(rate * sum(layers) / 100, " layers/s", 1) if layers and None not in layers else number(rate, " %/s", 1)
    )
    return speed + _to_go((100 - status["progressPercent"]) / rate)


def _to_go(seconds: float | None) -> str:
    return "" if seconds is None else f", {duration(seconds)} to go"
