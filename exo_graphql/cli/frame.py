"""What there is to show of something under way, read off one message: an operation, or a model on its way."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exo_graphql.cli.words import duration, number

Json = Mapping[str, Any]

# Phases that say more than the step does, since something moves.
_MOVING = ("WAITING", "DOWNLOADING", "CONNECTING", "LOADING", "WARMING_UP", "FAILED", "UNREACHABLE")


@dataclass(frozen=True, slots=True)
class Frame:
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

    def per_second(self, key: object, percent: float) -> float | None:
        """Percents a second since `key` was first seen; None before there is something to measure."""
        now = self._clock()
        if key != self._key or percent < self._began[1]:
            self._key, self._began = key, (now, percent)
        seconds, moved = now - self._began[0], percent - self._began[1]
        return moved / seconds if seconds > 0 and moved > 0 else None


def operation_frame(operation: Json, pace: Pace) -> Frame:
    """A load, unload or swap."""
    moving = next((model for model in operation["loads"] if not model["status"]["ready"]), None)
    step = next((step for step in operation["steps"] if step["state"] == "RUNNING"), None)
    stage = step["name"] if step is not None else str(operation["state"])
    told = ""
    if moving is not None and operation["state"] == "RUNNING":
        if moving["status"]["phase"] in _MOVING:
            stage = moving["status"]["phase"]
        told = _pace(moving, moving["status"], pace)
    return Frame(
        title=operation_title(operation),
        stage=stage,
        message=operation["message"],
        percent=operation["progressPercent"],
        pace=told,
        steps=operation["steps"],
    )


def operation_title(operation: Json) -> str:
    """What an operation does, in a few words."""
    loads = ", ".join(model["name"] for model in operation["loads"])
    unloads = ", ".join(model["name"] for model in operation["unloads"])
    if operation["kind"] == "SWAP":
        return f"Swap {unloads or 'nothing'} for {loads or 'nothing'}"
    return f"Load {loads}" if operation["kind"] == "LOAD" else f"Unload {unloads}"


def status_frame(status: Json, pace: Pace) -> Frame:
    """A model that somebody waits for."""
    model = status["model"]
    return Frame(
        title=f"{status['modelId']}",
        stage=status["phase"],
        message=status["message"],
        percent=status["progressPercent"],
        pace=_pace(model, status, pace) if model is not None else "",
    )


def _pace(model: Json, status: Json, pace: Pace) -> str:
    if status["phase"] == "LOADING":
        rate = pace.per_second((model["id"], "LOADING"), status["progressPercent"] or 0)
        if rate is None:
            return ""
        layers = model["layerCount"]
        layers_told = f"{number(rate * layers / 100, ' layers/s', 1)}, " if layers is not None else ""
        return f"{layers_told}{duration((100 - status['progressPercent']) / rate)} to go"
    nodes = {node["id"] for node in status["nodes"]}
    # Before it is placed nobody says which nodes it is for; then all that fetch it count.
    fetching = [entry for entry in model["downloads"] if not nodes or entry["node"]["id"] in nodes]
    if not fetching or status["phase"] not in ("NOT_LOADED", "WAITING", "DOWNLOADING"):
        return ""
    speed = sum(entry["speedMbS"] or 0 for entry in fetching)
    left = [entry["etaSeconds"] for entry in fetching if entry["etaSeconds"] is not None]
    eta = status["etaSeconds"] if status["etaSeconds"] is not None else max(left, default=None)
    return f"{number(speed, ' MiB/s', 1)}" + (f", {duration(eta)} to go" if eta is not None else "")
