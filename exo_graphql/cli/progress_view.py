"""What there is to show of something under way, read off one message: an operation, or a model on its way."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exo_graphql.cli.format import duration, number

Json = Mapping[str, Any]

# Phases that say more than the step does.
_MOVING = (
    "WAITING", "DOWNLOADING", "CONNECTING", "LOADING", "WARMING_UP", "READY", "RUNNING", "FAILED", "UNREACHABLE",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProgressView:
    """One picture. `stage` is the model's phase or the step's name; `percent` is 0 to 100, None if it cannot be told;
    `pace` says how fast it goes and how long it will take, "" if unknown.
    """

    title: str
    stage: str
    message: str
    percent: float | None
    pace: str
    steps: Sequence[Json] = ()


class Pace:
    """How fast percents go by, as seen from here: of layers exo tells how many there are, not how fast they come."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key: object = None
        self._began = (0.0, 0.0)
        self._last = 0.0

    def per_second(self, key: object, percent: float) -> float | None:
        """Percents a second since `key` was first seen; None before there is something to measure.

        A step back is another beginning: what came before says nothing of how long the rest will take.
        """
        now = self._clock()
        if key != self._key or percent < self._last:
            self._key, self._began = key, (now, percent)
        self._last = percent
        seconds, moved = now - self._began[0], percent - self._began[1]
        return moved / seconds if seconds > 0 and moved > 0 else None


def operation_frame(operation: Json, pace: Pace) -> ProgressView:
    """A load, unload or swap: what it says of itself, or of the model on its way, which is told sooner."""
    step = next((step["name"] for step in operation["steps"] if step["state"] == "RUNNING"), None)
    model = _on_its_way(operation["loads"], step) if operation["state"] == "RUNNING" else None
    told = _pace(model, model["status"], pace) if model is not None else ""
    status = model["status"] if model is not None and model["status"]["phase"] in _MOVING else None
    return ProgressView(
        title=operation_title(operation),
        stage=status["phase"] if status is not None else step or operation["state"],
        message=f"{model['name']}: {status['message']}" if model and status else operation["message"],
        percent=status["progressPercent"] if status is not None else operation["progressPercent"],
        pace=told,
        steps=operation["steps"],
    )


def _on_its_way(loads: Sequence[Json], step: str | None) -> Json | None:
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


def status_frame(status: Json, pace: Pace) -> ProgressView:
    """A model that somebody waits for."""
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
    # Before it is placed nobody says which nodes it is for; then all that fetch it count.
    fetching = [entry for entry in model["downloads"] if not nodes or entry["node"]["id"] in nodes]
    if not fetching or status["phase"] not in ("NOT_LOADED", "WAITING", "DOWNLOADING"):
        return ""
    speed = sum(entry["speedMbS"] or 0 for entry in fetching)
    left = [entry["etaSeconds"] for entry in fetching if entry["etaSeconds"] is not None]
    eta = status["etaSeconds"] if status["etaSeconds"] is not None else max(left, default=None)
    return number(speed, " MiB/s", 1) + _to_go(eta)


def _layers_pace(model_id: str, status: Json, pace: Pace) -> str:
    # An attempt that failed may have come no further than where the next one begins.
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
