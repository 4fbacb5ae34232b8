"""The keys of a table: the arguments of `applyDeployment`, under the same names. A test compares both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Any

INT_RANGE = range(-(2**31), 2**31)
"""What GraphQL's Int holds."""


@unique
class Kind(Enum):
    """The type of a value. Its own value is the name of the type in messages."""

    STRING = "a string"
    INTEGER = "a whole number"
    BOOLEAN = "true or false"
    STRINGS = "an array of strings"
    WINDOWS = "an array of tables, each with cron and durationMinutes"


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `choices`: the only values, in any case. `default` None: the key is required, or has no default."""

    name: str
    kind: Kind
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()


KEYS = (
    Key("model", Kind.STRING, required=True),
    Key("replicas", Kind.INTEGER, 1),
    Key("minNodes", Kind.INTEGER, 1),
    Key("sharding", Kind.STRING, "AUTO", choices=("AUTO", "PIPELINE", "TENSOR")),
    Key("instanceType", Kind.STRING, "AUTO", choices=("AUTO", "MLX_RING", "MLX_JACCL")),
    Key("nodes", Kind.STRINGS),
    Key("priority", Kind.INTEGER, 0),
    Key("schedule", Kind.WINDOWS, ()),
    Key("idleUnloadSeconds", Kind.INTEGER),
    Key("drainSeconds", Kind.INTEGER, 30),
)
WINDOW_KEYS = (
    Key("cron", Kind.STRING, required=True),
    Key("durationMinutes", Kind.INTEGER, required=True),
    Key("timeZone", Kind.STRING),
    Key("readyBy", Kind.BOOLEAN, default=False),
)

NOT_KEYS = {
    "name": "The name is the table's: [deployments.NAME].",
    "dryRun": "Give it to the command: exo-graphql apply --dry-run -f FILE.",
    "ifGeneration": "Give it to the command: exo-graphql deploy --if-generation N.",
}
"""Arguments of `applyDeployment` that are not part of a deployment, each with what to do instead."""


@dataclass(frozen=True, slots=True)
class Table:
    """One deployment as declared: only the keys that are given. `schedule` is a list of mappings."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


def without_defaults(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without those that have their defaults, in the order of `KEYS`."""
    kept = _kept(arguments, KEYS)
    if "schedule" in kept:
        kept["schedule"] = [_kept(window, WINDOW_KEYS) for window in kept["schedule"]]
    return kept


def _kept(given: Mapping[str, Any], keys: Sequence[Key]) -> dict[str, Any]:
    values = {key.name: given.get(key.name) for key in keys}
    return {key.name: values[key.name] for key in keys if values[key.name] not in (None, [], key.default)}
