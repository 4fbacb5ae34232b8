"""How one spec differs from another, argument by argument, as `applyDeployment` names them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from exo_graphql.deployments.deployment import Spec
from exo_graphql.deployments.schedule import Window


@dataclass(frozen=True, slots=True)
class Difference:
    """One argument. `before` and `after` are JSON; `before` is None for a deployment that is new."""

    argument: str
    before: str | None
    after: str


def differences(before: Spec | None, after: Spec) -> tuple[Difference, ...]:
    """The arguments that change; for a new deployment (`before` None) those that are not their defaults."""
    earlier = arguments(before) if before is not None else arguments(Spec(""))
    return tuple(
        Difference(name, None if before is None else _json(earlier[name]), _json(value))
        for name, value in arguments(after).items()
        if value != earlier[name]
    )


def arguments(spec: Spec) -> Mapping[str, Any]:
    """The spec as the arguments of `applyDeployment`, all of them, as JSON values."""
    return {
        "model": spec.model_id,
        "replicas": spec.replicas,
        "minNodes": spec.min_nodes,
        "sharding": spec.sharding.value,
        "instanceType": spec.instance_type.value,
        "nodes": None if spec.nodes is None else list(spec.nodes),
        "priority": spec.priority,
        "schedule": [_window(window) for window in spec.schedule],
        "idleUnloadSeconds": spec.idle_unload_seconds,
        "drainSeconds": spec.drain_seconds,
    }


def _window(window: Window) -> dict[str, Any]:
    return {
        "cron": window.cron,
        "durationMinutes": window.duration_minutes,
        "timeZone": window.time_zone,
        "readyBy": window.ready_by,
    }


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
