"""Makes of a document's data what the routes answer, where aliases are not enough.

- An alias that begins with `_` is an object whose fields belong to its parent; of a list, the first one's do.
- `{ value }` alone is that value, and `{ values }` in a list as many items: `models { value: name }` lists names.
- The PR's fields have no null, with few exceptions: what is unknown is 0, "Unknown", "", false or empty there.
- Enum values are in lower case, a time is in seconds since 1970, and an instance's shards are three fields.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

Data = Mapping[str, Any]

INSTANCE_TYPES = {"MLX_RING": "MlxRing", "MLX_JACCL": "MlxJaccl"}
LOWERED = frozenset({"status", "sharding", "task_type"})
MERGED = "_"
# Endings of the names of numbers that are 0 where they are unknown.
NUMBERS = ("_gb", "_percent", "_c", "_watts", "_mb_s")
UNKNOWN: Mapping[str, object] = {
    **dict.fromkeys(("friendly_name", "node_name", "chip", "os_version"), "Unknown"),
    **dict.fromkeys(("sharding", "instance_type"), "unknown"),
    **dict.fromkeys(("model_id", "instance_id", "master_node_id"), ""),
    **dict.fromkeys(("has_thunderbolt", "rdma_enabled"), False),
    **dict.fromkeys(("ip_addresses", "connection_types"), ()),
}
# Within a list of names, one that is unknown.
_UNKNOWN_NAME = "Unknown"


def shaped(data: Data) -> dict[str, Any]:
    """The body of the answer that holds this data."""
    body = _fields(data)
    layers, final = body.pop("_layers", ""), body.pop("_final", False)
    if layers:
        body["progress"] = f"{body['progress']} {layers}"
    if final and not body["ready"]:
        # PR #1728's command line waits for `ready` or `failed`. A model that exo has given up is NOT_LOADED here, and
        # was so before it was loaded: `final` tells the two apart.
        body["status"] = "failed"
    return body


def _fields(data: Data) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in data.items():
        if key in _TABLES:
            fields.update(_TABLES[key](value))
        elif key.startswith(MERGED):
            inner = next(iter(value), None) if isinstance(value, list) else value
            fields.update({} if inner is None else _fields(inner))
        else:
            fields[key] = _value(key, value)
    return fields


def _value(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return _value(key, value["value"]) if value.keys() == {"value"} else _fields(value)
    if isinstance(value, list):
        return [item for element in value for item in _items(element)]
    if value is None:
        return unknown(key)
    if key in LOWERED:
        return value.lower()
    if key == "instance_type":
        return INSTANCE_TYPES.get(value, value.lower())
    return datetime.fromisoformat(value).timestamp() if key == "timestamp" else value


def unknown(key: str) -> Any:
    """What the field is where its value is unknown; None where it may be null."""
    return 0.0 if key.endswith(NUMBERS) else UNKNOWN.get(key)


def _items(element: Any) -> list[Any]:
    if not isinstance(element, dict):
        return [element]
    if element.keys() == {"values"}:
        return [item for inner in element["values"] for item in _items(inner)]
    if element.keys() == {"value"}:
        return [_UNKNOWN_NAME if element["value"] is None else element["value"]]
    return [_fields(element)]


def _shards(shards: list[Data]) -> dict[str, Any]:
    """A node that has left the cluster has no id any more: its shard is left out."""
    present = [shard for shard in shards if shard["node"] is not None]
    return {
        "nodes": [shard["node"]["id"] for shard in present],
        "node_names": [shard["node"]["friendlyName"] or _UNKNOWN_NAME for shard in present],
        "runner_statuses": {shard["node"]["id"]: (shard["runnerStatus"] or "UNKNOWN").lower() for shard in present},
    }


def _loading(shards: list[Data]) -> dict[str, Any]:
    """`Atlas: 12/48 layers (25%).` for each node that is loading."""
    texts = [
        f"{(shard['node'] or {}).get('friendlyName') or _UNKNOWN_NAME}: {shard['layersLoaded']}/{shard['totalLayers']} "
        f"layers ({round(100 * shard['layersLoaded'] / shard['totalLayers'])}%)."
        for shard in shards
        if shard["layersLoaded"] is not None and shard["totalLayers"]
    ]
    return {"_layers": " ".join(texts)}


_TABLES: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "_shards": _shards,
    "_loading": _loading,
    "_final": lambda final: {"_final": final},
}
