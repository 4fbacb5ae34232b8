"""The shape of a state document: which keys each object has and of which types its values are."""

from typing import Any

# Objects whose keys are data (ids, file names), not fields.
_MAPS = frozenset(
    [
        "instances",
        "runners",
        "downloads",
        "tasks",
        "lastSeen",
        "nodeIdentities",
        "nodeMemory",
        "nodeDisk",
        "nodeSystem",
        "nodeNetwork",
        "nodeThunderbolt",
        "nodeThunderboltBridge",
        "nodeRdmaCtl",
        "nodeBackends",
        "runnerToShard",
        "nodeToRunner",
        "hostsByNode",
        "files",
        "connections",
        "jacclCoordinators",
        "customModelCards",
        "prefillServerPorts",
        "instanceLinks",
        "image_hashes",
    ]
)

# Cards and instances are the same at every place.
_SAME_ANYWHERE = ("/modelCard", "/instance")

Shapes = dict[str, set[str]]


def shapes(document: Any) -> Shapes:
    """By path: the sorted keys of an object, or the type of a value."""
    found: Shapes = {}
    _walk(document, "", found, is_map=False)
    return found


def _walk(value: Any, path: str, found: Shapes, *, is_map: bool) -> None:
    if path.endswith(_SAME_ANYWHERE):
        path = path.rpartition("/")[2]
    if path == "/instances/*":
        path = "instance"
    if isinstance(value, dict) and is_map:
        for one in value.values():
            _walk(one, f"{path}/*", found, is_map=path.endswith("/connections"))
    elif isinstance(value, dict):
        found.setdefault(path, set()).add(" ".join(sorted(value)))
        for key, one in value.items():
            _walk(one, f"{path}/{key}", found, is_map=key in _MAPS)
    elif isinstance(value, list):
        for one in value:
            _walk(one, f"{path}/[]", found, is_map=False)
    else:
        found.setdefault(path, set()).add(type(value).__name__)
