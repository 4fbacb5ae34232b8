"""From a `GET /state` document to a `State`, tolerantly.

exo changes from release to release and a node is half-known in its first seconds. Whatever is missing, null, of
another type or tagged with a name unknown here becomes None, UNKNOWN or absent; nothing but a document that is no
state at all raises. Plain functions over plain dicts: a strict model would refuse a whole document for one field, and
98 % of a document is download entries, so an entry has to cost microseconds.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson

from exo_graphql.cluster.readiness import names_no_cause
from exo_graphql.cluster.state import (
    INFERENCE,
    Connection,
    Download,
    DownloadKind,
    Instance,
    InstanceType,
    ModelCard,
    Node,
    Runner,
    RunnerStatus,
    Shard,
    Sharding,
    State,
    Task,
    TaskKind,
    TaskStatus,
)
from exo_graphql.cluster.units import at_most

Json = Mapping[str, Any]

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
SHARD_TAGS = {
    "PipelineShardMetadata": Sharding.PIPELINE,
    "TensorShardMetadata": Sharding.TENSOR,
    "CfgShardMetadata": Sharding.CFG,
}
INSTANCE_TAGS = {
    "MlxRingInstance": InstanceType.MLX_RING,
    "MlxJacclInstance": InstanceType.MLX_JACCL,
}
DOWNLOAD_TAGS = {
    "DownloadPending": DownloadKind.PENDING,
    "DownloadOngoing": DownloadKind.ONGOING,
    "DownloadCompleted": DownloadKind.COMPLETED,
    "DownloadFailed": DownloadKind.FAILED,
}
TASK_TAGS = {
    "TextGeneration": TaskKind.TEXT_GENERATION,
    "ChatCompletion": TaskKind.TEXT_GENERATION,  # until v1.0.68
    "ImageGeneration": TaskKind.IMAGE_GENERATION,
    "ImageEdits": TaskKind.IMAGE_EDIT,
    "CreateRunner": TaskKind.CREATE_RUNNER,
    "DownloadModel": TaskKind.DOWNLOAD_MODEL,
    "ConnectToGroup": TaskKind.CONNECT_TO_GROUP,
    "LoadModel": TaskKind.LOAD_MODEL,
    "StartWarmup": TaskKind.START_WARMUP,
    "CancelTask": TaskKind.CANCEL_TASK,
    "Shutdown": TaskKind.SHUTDOWN,
}
TASK_STATUSES = {
    "Pending": TaskStatus.PENDING,
    "Running": TaskStatus.RUNNING,
    "Complete": TaskStatus.COMPLETE,
    "TimedOut": TaskStatus.TIMED_OUT,
    "Failed": TaskStatus.FAILED,
    "Cancelled": TaskStatus.CANCELLED,
}
# Any one of these makes a JSON object exo's state; without all of them it is something else's answer.
_STATE_KEYS = frozenset({"topology", "instances", "runners", "downloads", "lastSeen", "nodeIdentities"})


class NotAState(ValueError):
    """The body is no state of exo: HTML, truncated JSON, a list, or the state of a release too old to read."""


def parse_state(body: bytes, before: State | None = None) -> State:
    """Reads the body of `GET /state`. Raises `NotAState` for a body that is none. `before`: see `read_state`."""
    with _collector_paused():
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise NotAState(f"not JSON: {error}") from error
        return read_state(document, before)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keeps Python's collector of cycles from looking, again and again, at what has none.

    It looks whenever so many objects have been made, and each time at more of them: of a state of 128 nodes, that took
    two fifths of the time, and it grew faster than the state.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read_state(document: object, before: State | None = None) -> State:
    """Reads a decoded document. Raises `NotAState` for one that is none.

    What has not changed since the state `before` is taken from it where exo piles it up: tasks are never cleaned away.
    """
    if not isinstance(document, dict):
        raise NotAState(f"a JSON {type(document).__name__} instead of an object")
    if "nodeProfiles" in document and "nodeIdentities" not in document:
        raise NotAState("the state of an exo older than v1.0.65; update exo to read it")
    if not _STATE_KEYS & document.keys():
        raise NotAState("a JSON object with none of the keys of exo's state")
    cards: dict[str, ModelCard] = {}
    nodes = _nodes(document)
    return State(
        instances={i.id: i for i in _instances(_map(document, "instances"), cards)},
        runners={id_: _runner(raw) for id_, raw in _map(document, "runners").items()},
        downloads=_downloads(_map(document, "downloads"), cards, nodes),
        tasks=_tasks(_map(document, "tasks"), {} if before is None else before.tasks),
        nodes=nodes,
        cards=_custom_cards(_map(document, "customModelCards"), cards),
        custom_ids=_custom_ids(_map_or_none(document, "customModelCards")),
        index=_whole(document, "lastEventAppliedIdx"),
    )


# Nodes


def _nodes(document: Json) -> dict[str, Node]:
    topology = _map(document, "topology")
    members = dict.fromkeys(_strings(topology, "nodes") or ())
    last_seen = {id_: _moment(_map(document, "lastSeen"), id_) for id_ in members}
    newest = max((seen for seen in last_seen.values() if seen is not None), default=None)
    edges = _map(topology, "connections")
    maps = {
        name: _map(document, name)
        for name in (
            "nodeIdentities",
            "nodeMemory",
            "nodeDisk",
            "nodeSystem",
            "nodeNetwork",
            "nodeThunderbolt",
            "nodeRdmaCtl",
        )
    }
    backends = _map(document, "nodeBackends")
    return {
        id_: _node(
            id_,
            {name: _map_or_none(by_node, id_) for name, by_node in maps.items()},
            _strings(backends, id_),
            tuple(_connections(id_, _map(edges, id_))),
            last_seen[id_],
            newest,
        )
        for id_ in members
    }


def _node(
    id_: str,
    told: Mapping[str, Json | None],
    backends: tuple[str, ...] | None,
    connections: tuple[Connection, ...],
    last_seen: datetime | None,
    newest: datetime | None,
) -> Node:
    identity = told["nodeIdentities"] or {}
    memory = told["nodeMemory"] or {}
    disk = told["nodeDisk"] or {}
    system = told["nodeSystem"] or {}
    ram_total = _size(memory, "ramTotal")
    ram_available = _size(memory, "ramAvailable")
    disk_total = _size(disk, "total")
    interfaces = _interfaces(told["nodeNetwork"])
    types = None if interfaces is None else tuple(dict.fromkeys(kind for _, kind in interfaces if kind))
    return Node(
        id=id_,
        friendly_name=_told(identity, "friendlyName"),
        hardware=_told(identity, "modelId"),
        chip=_told(identity, "chipId"),
        os_version=_told(identity, "osVersion"),
        # A machine without memory does not run exo: 0 is exo's default for "not measured".
        ram_total_bytes=ram_total or None,
        ram_available_bytes=at_most(ram_available, ram_total) if ram_total or ram_available else None,
        disk_total_bytes=disk_total or None,
        disk_available_bytes=at_most(_size(disk, "available"), disk_total) if disk_total else None,
        gpu_share=_number(system, "gpuUsage"),
        cpu_p_share=_number(system, "pcpuUsage"),
        cpu_e_share=_number(system, "ecpuUsage"),
        # The same for a die at exactly 0 °C and a machine that draws exactly 0 W.
        temperature_c=_number(system, "temp") or None,
        power_watts=_number(system, "sysPower") or None,
        ip_addresses=None if interfaces is None else tuple(dict.fromkeys(ip for ip, _ in interfaces if ip)),
        connection_types=types,
        has_thunderbolt=_has_thunderbolt(told["nodeThunderbolt"], types),
        rdma_enabled=_boolean(told["nodeRdmaCtl"] or {}, "enabled"),
        backends=backends,
        connections=connections,
        last_seen=last_seen,
        seconds_since_seen=None
        if last_seen is None or newest is None
        else round((newest - last_seen).total_seconds(), 3),
    )


def _interfaces(network: Json | None) -> list[tuple[str | None, str | None]] | None:
    interfaces = _list_or_none(network, "interfaces")
    if interfaces is None:
        return None
    return [(_string(raw, "ipAddress"), _string(raw, "interfaceType")) for raw in interfaces if isinstance(raw, dict)]


def _has_thunderbolt(thunderbolt: Json | None, types: tuple[str, ...] | None) -> bool | None:
    ports = _list_or_none(thunderbolt, "interfaces")
    if ports or "thunderbolt" in (types or ()):
        return True
    return None if ports is None and types is None else False


def _connections(source: str, by_sink: Json) -> Iterator[Connection]:
    for sink in by_sink:
        for edge in _list_or_none(by_sink, sink) or ():
            if not isinstance(edge, dict):
                continue
            address = _map_or_none(edge, "sinkMultiaddr")
            yield Connection(
                source_id=source,
                sink_id=sink,
                ip_address=_string(address or {}, "ip_address"),
                rdma_interface=_string(edge, "sourceRdmaIface"),
            )


# Models, instances, runners


def read_card(raw: object) -> ModelCard | None:
    """A model card; None for what has no model id."""
    if not isinstance(raw, dict):
        return None
    id_ = _string(raw, "modelId")
    if not id_:
        return None
    return ModelCard(
        id=id_,
        family=_string(raw, "family") or None,
        quantization=_string(raw, "quantization") or None,
        base_model=_string(raw, "baseModel") or None,
        storage_bytes=_size(raw, "storageSize") or None,
        layer_count=_integer(raw, "nLayers") or None,
        context_length=_integer(raw, "contextLength") or None,
        capabilities=_strings(raw, "capabilities") or (),
        supports_tensor=_boolean(raw, "supportsTensor"),
        is_custom=_boolean(raw, "isCustom"),
        document=raw,
    )


def read_instance(raw: object, cards: dict[str, ModelCard] | None = None, key: str | None = None) -> Instance | None:
    """A tagged instance document, as `/state` and `/instance/placement` hold it; None for what is none.

    A card that is met on the way is added to `cards`. `key` is the id under which `/state` lists it.
    """
    tag, body = _tagged(raw)
    id_ = key or _string(body, "instanceId")
    assignments = _map(body, "shardAssignments")
    if id_ is None:
        return None
    model_id = _string(assignments, "modelId")
    shards, node_of = _assigned(assignments)
    runners = [*shards, *(runner for runner in node_of if runner not in shards)]
    read = tuple(_shard(id_, node_of.get(runner), runner, shards.get(runner)) for runner in runners)
    for shard in shards.values():
        card = _add_card(_tagged(shard)[1], cards if cards is not None else {})
        model_id = model_id or card
    if not model_id:
        return None
    return Instance(
        id=id_,
        model_id=model_id,
        sharding=next((shard.sharding for shard in read if shard.sharding is not None), None),
        instance_type=INSTANCE_TAGS.get(tag),
        shards=read,
        document=raw if isinstance(raw, dict) else None,
    )


def _assigned(assignments: Json) -> tuple[Json, Mapping[str, str]]:
    """The shard of each runner, and its node.

    Releases write two maps. exo's branches `zenoh-*` write one list of `[node, runner, shard]`, the first rank first.
    """
    listed = _list_or_none(assignments, "shards")
    if listed is None:
        by_node = _map(assignments, "nodeToRunner")
        node_of = {runner: node for node, runner in by_node.items() if isinstance(runner, str)}
        return _map(assignments, "runnerToShard"), node_of
    shards: dict[str, Any] = {}
    nodes: dict[str, str] = {}
    for entry in listed:
        if isinstance(entry, list) and len(entry) >= 3 and isinstance(entry[1], str):
            shards[entry[1]] = entry[2]
            if isinstance(entry[0], str):
                nodes[entry[1]] = entry[0]
    return shards, nodes


def _instances(raw: Json, cards: dict[str, ModelCard]) -> Iterator[Instance]:
    for id_, document in raw.items():
        instance = read_instance(document, cards, id_)
        if instance is not None:
            yield instance


def _shard(instance_id: str, node_id: str | None, runner_id: str, raw: object) -> Shard:
    tag, body = _tagged(raw)
    return Shard(
        instance_id=instance_id,
        node_id=node_id,
        runner_id=runner_id,
        start_layer=_integer(body, "startLayer"),
        end_layer=_integer(body, "endLayer"),
        model_layers=_integer(body, "nLayers"),
        rank=_integer(body, "deviceRank"),
        world_size=_integer(body, "worldSize"),
        sharding=SHARD_TAGS.get(tag),
    )


def _runner(raw: object) -> Runner:
    tag, body = _tagged(raw)
    # exo keeps the runners of every instance there ever was; those have nothing more to say.
    if not body and tag in _BARE_RUNNERS:
        return _BARE_RUNNERS[tag]
    return Runner(
        status=RUNNER_TAGS.get(tag, RunnerStatus.UNKNOWN),
        layers_loaded=_integer(body, "layersLoaded"),
        total_layers=_integer(body, "totalLayers") or None,
        error=_cause(body),
    )


_BARE_RUNNERS = {tag: Runner(status) for tag, status in RUNNER_TAGS.items()}


def _cause(failed: Json) -> str | None:
    """exo's message. One that only names a signal or an exit code comes after what exo's diagnostics say of it.

    exo main reads them off the runner's output: `{"RunnerMetalGpuTimeout": {"message": …, "evidence": […]}}`.
    """
    message = _string(failed, "errorMessage")
    found = (_string(_tagged(raw)[1], "message") for raw in _list_or_none(failed, "diagnostics") or ())
    causes = dict.fromkeys(cause.strip() for cause in found if cause and not cause.isspace())
    if not causes:
        return message
    told = "; ".join(causes)
    return told if not message else f"{told}\n{message}" if names_no_cause(message) else f"{message}\n{told}"


def _custom_ids(raw: Json | None) -> frozenset[str] | None:
    if raw is None:
        return None
    cards = (read_card(document) for document in raw.values())
    return frozenset(card.id for card in cards if card is not None)


def _custom_cards(raw: Json, cards: dict[str, ModelCard]) -> dict[str, ModelCard]:
    for document in raw.values():
        card = read_card(document)
        if card is not None:
            cards.setdefault(card.id, card)
    return cards


def _add_card(shard: Json, cards: dict[str, ModelCard]) -> str | None:
    """The model id of a shard; its card is read at its first sight alone, since each node repeats every card."""
    raw = shard.get("modelCard")
    if not isinstance(raw, dict):
        return None
    id_ = raw.get("modelId")
    if not isinstance(id_, str) or not id_:
        return None
    if id_ not in cards:
        card = read_card(raw)
        if card is not None:
            cards[id_] = card
    return id_


# Downloads and tasks


def _downloads(raw: Json, cards: dict[str, ModelCard], nodes: Mapping[str, Node]) -> dict[str, dict[str, Download]]:
    found: dict[str, dict[str, Download]] = {}
    for node_id in raw:
        node = nodes.get(node_id)
        entries: dict[str, Download] = {}
        for entry in _list_or_none(raw, node_id) or ():
            tag, body = _tagged(entry)
            model_id = _add_card(_tagged(body.get("shardMetadata"))[1], cards)
            if model_id is None:
                continue
            download = _download(node_id, node, cards[model_id], tag, body)
            other = entries.get(model_id)
            entries[model_id] = download if other is None else max(other, download, key=_advance)
        found[node_id] = entries
    return found


def _advance(download: Download) -> tuple[object, ...]:
    """How far a download is. Until v1.0.68 exo keeps an entry for each way to shard a model: a shard's that is on its
    way, and the whole model's that never begins, in any order.
    """
    return (
        _ADVANCE.index(download.kind),
        download.progress_percent or 0.0,
        download.downloaded_bytes or 0,
        download.total_bytes or 0,
        download.eta_ms is not None,
        download.error or "",
    )


# A kind unknown here says less than any other.
_ADVANCE = (
    DownloadKind.UNKNOWN,
    DownloadKind.PENDING,
    DownloadKind.FAILED,
    DownloadKind.ONGOING,
    DownloadKind.COMPLETED,
)


def _download(node_id: str, node: Node | None, model: ModelCard, tag: str, body: Json) -> Download:
    kind = DOWNLOAD_TAGS.get(tag, DownloadKind.UNKNOWN)
    if kind is DownloadKind.PENDING:
        possible = _first_size(body, "total", "totalBytes") or None
        return Download(
            node_id,
            model.id,
            kind,
            at_most(_first_size(body, "downloaded", "downloadedBytes"), possible),
            possible,
            node=node,
            model=model,
        )
    progress = _map(body, "downloadProgress") if kind is DownloadKind.ONGOING else body
    total = _first_size(progress, "total", "totalBytes")
    if not total and kind in (DownloadKind.ONGOING, DownloadKind.COMPLETED):
        total = model.storage_bytes
    return Download(
        node_id=node_id,
        model_id=model.id,
        kind=kind,
        downloaded_bytes=total
        if kind is DownloadKind.COMPLETED
        else at_most(_first_size(progress, "downloaded", "downloadedBytes"), total),
        total_bytes=total or None,
        # exo computes both from sizes that may exceed each other: what is negative is unknown.
        speed=_not_negative(progress, "speed"),
        # exo writes 0 until it has an estimate.
        eta_ms=_not_negative(progress, "etaMs") or None,
        completed_files=_integer(progress, "completedFiles"),
        total_files=_integer(progress, "totalFiles"),
        error=_string(body, "errorMessage"),
        node=node,
        model=model,
    )


def _tasks(raw: Json, before: Mapping[str, Task]) -> dict[str, Task]:
    tasks = {}
    for id_, document in raw.items():
        tag, body = _tagged(document)
        status = _string(body, "taskStatus")
        known = before.get(id_)
        # The status is all that ever changes in a task that is no inference.
        if (
            known is not None
            and known.status is TASK_STATUSES.get(status or "")
            and known.kind is TASK_TAGS.get(tag)
            and known.kind not in INFERENCE
        ):
            tasks[id_] = known
            continue
        bound = _map(body, "boundInstance")
        tasks[id_] = Task(
            id=id_,
            kind=TASK_TAGS.get(tag, TaskKind.UNKNOWN),
            status=TASK_STATUSES.get(status, TaskStatus.UNKNOWN) if status else TaskStatus.UNKNOWN,
            instance_id=_string(body, "instanceId"),
            command_id=_string(body, "commandId"),
            runner_id=_string(body, "runnerId") or _string(bound, "boundRunnerId"),
            error_type=_string(body, "errorType"),
            error_message=_string(body, "errorMessage"),
        )
    return tasks


# JSON, without trust


def _tagged(raw: object) -> tuple[str, Json]:
    """exo's unions are one-key objects; an untagged or empty one reads as the tag ''."""
    if isinstance(raw, dict) and len(raw) == 1:
        ((tag, body),) = raw.items()
        return tag, body if isinstance(body, dict) else {}
    return "", {}


def _map(raw: Json, key: str) -> Json:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _map_or_none(raw: Json, key: str) -> Json | None:
    value = raw.get(key)
    return value if isinstance(value, dict) else None


def _list_or_none(raw: Json | None, key: str) -> list[Any] | None:
    value = None if raw is None else raw.get(key)
    return value if isinstance(value, list) else None


def _strings(raw: Json, key: str) -> tuple[str, ...] | None:
    value = raw.get(key)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else None


def _string(raw: Json, key: str) -> str | None:
    value = raw.get(key)
    return value if isinstance(value, str) else None


def _told(raw: Json, key: str) -> str | None:
    """A string that was really told: exo fills in "Unknown", "Unknown Chip" and the like until a node has."""
    value = raw.get(key)
    return value if isinstance(value, str) and value and not value.startswith("Unknown") else None


def _number(raw: Json, key: str) -> float | None:
    """A number that can be meant: what no counter or sensor reaches would only overflow further on."""
    value = raw.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18 else None


def _not_negative(raw: Json, key: str) -> float | None:
    value = _number(raw, key)
    return value if value is not None and value >= 0 else None


def _integer(raw: Json, key: str) -> int | None:
    """A whole number that GraphQL's Int can hold (32 bits): a larger one counts no layers, files, ranks or tokens."""
    value = _whole(raw, key)
    return value if value is not None and -(1 << 31) <= value < 1 << 31 else None


def _whole(raw: Json, key: str) -> int | None:
    value = raw.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _boolean(raw: Json, key: str) -> bool | None:
    value = raw.get(key)
    return value if isinstance(value, bool) else None


def _size(raw: Json, key: str) -> int | None:
    """A size in bytes: `{"inBytes": n}`."""
    value = raw.get(key)
    size = value.get("inBytes") if isinstance(value, dict) else None
    return size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None


def _first_size(raw: Json, *keys: str) -> int | None:
    return next((size for size in (_size(raw, key) for key in keys) if size is not None), None)


def _moment(raw: Json, key: str) -> datetime | None:
    value = _string(raw, key)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
