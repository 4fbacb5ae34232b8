"""The type `History`, and the fields that answer with one."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

import strawberry
from strawberry import Parent, argument

from exo_graphql import series
from exo_graphql.cluster import state
from exo_graphql.cluster.moment import Moment
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.schema.context import Info
from exo_graphql.schema.errors import NamedError
from exo_graphql.schema.fields import field
from exo_graphql.schema.volatile import VolatileText, moment
from exo_graphql.series import MAX_MINUTES, MAX_POINTS
from exo_graphql.series.window import Window

_NOTHING = series.Series(Moment(datetime.fromtimestamp(0, UTC), 0.0))
DEFAULT_MINUTES = 60
DEFAULT_POINTS = 120

Minutes = Annotated[
    int | None,
    argument(
        description=f"How far back, 1 to {MAX_MINUTES} (30 days). Values are kept for every 5 seconds of the last "
        "hour, every minute of the last day, every 10 minutes of the last 30 days."
    ),
]
Points = Annotated[
    int | None, argument(description=f"Number of entries in each list, 1 to {MAX_POINTS}: the time is divided evenly.")
]


@lru_cache(maxsize=64)  # the nodes of one answer have the same window
def _texts(window: Window) -> Sequence[VolatileText]:
    return [VolatileText(moment(at)) for at in window.at]


def _at(root: Parent[series.History]) -> Sequence[VolatileText]:
    return _texts(root.window)


@strawberry.type(
    description="What was reported over time, as parallel lists, oldest first. Each entry is the mean of one interval; "
    "it is null if nothing was reported in it, or only stale values. `stateVersion` does not count it."
)
class History:
    """`series.History`."""

    at: list[datetime] = field(
        resolver=_at,
        description="When each interval begins (UTC); the last one includes the present. Clock field: never causes a "
        "message.",
    )
    ram_used_gb: list[float | None] = field(description="Used memory in GiB (2^30 bytes), one decimal.")
    gpu_usage_percent: list[float | None] = field(description="GPU usage, 0 to 100.")
    temperature_c: list[float | None] = field(description="Temperature in °C.")
    power_watts: list[float | None] = field(description="Power draw in watts.")
    active_tasks: list[float | None] = field(
        description="Number of pending and running inference tasks; a mean, so it may be a fraction."
    )


def node_history(
    root: Parent[state.Node], info: Info, minutes: Minutes = DEFAULT_MINUTES, points: Points = DEFAULT_POINTS
) -> series.History:
    """What the node has reported."""
    return _recorded(info).of_node(root.id, *_checked(minutes, points), info.context.sampled)


def cluster_history(
    root: Parent[Snapshot],  # noqa: ARG001  # as Strawberry hands it over
    info: Info,
    minutes: Minutes = DEFAULT_MINUTES,
    points: Points = DEFAULT_POINTS,
) -> series.History:
    """What all nodes together have reported."""
    return _recorded(info).of_cluster(*_checked(minutes, points), info.context.sampled)


def _recorded(info: Info) -> series.Series:
    return info.context.series or _NOTHING


def _checked(minutes: int | None, points: int | None) -> tuple[int, int]:
    minutes = DEFAULT_MINUTES if minutes is None else minutes
    points = DEFAULT_POINTS if points is None else points
    if not 1 <= minutes <= MAX_MINUTES:
        raise NamedError(
            "INVALID_ARGUMENT",
            f"A history of {minutes} minutes cannot be given.",
            f"Request 1 to {MAX_MINUTES} minutes (30 days).",
            argument="minutes",
        )
    if not 1 <= points <= MAX_POINTS:
        raise NamedError(
            "INVALID_ARGUMENT",
            f"A history of {points} points cannot be given.",
            f"Request 1 to {MAX_POINTS} points.",
            argument="points",
        )
    return minutes, points
