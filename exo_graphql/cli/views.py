"""The commands' data in the words of people: tables and a few lines."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from exo_graphql.cli.frame import operation_title
from exo_graphql.cli.words import UNKNOWN, count, duration, label, labels, names, number, part, percent

Json = Mapping[str, Any]

_YES_NO = {None: UNKNOWN, True: "yes", False: "no"}
_STYLES = {
    **dict.fromkeys(("ONLINE", "READY", "RUNNING", "COMPLETED", "SUCCEEDED", "COMPLETE", "healthy"), "green"),
    **dict.fromkeys(("FAILED", "UNREACHABLE", "STALE", "ROLLED_BACK", "TIMED_OUT", "unhealthy"), "red"),
    **dict.fromkeys(
        ("DOWNLOADING", "LOADING", "CONNECTING", "WARMING_UP", "WAITING", "UNLOADING", "PENDING"), "yellow"
    ),
    **dict.fromkeys(("NOT_LOADED", "NOT_STARTED", "UNKNOWN", "CANCELLED", "PAUSED"), "dim"),
}


def status(console: Console, data: Json) -> None:
    """`status.graphql`."""
    cluster = data["cluster"]
    console.print(overview(cluster))
    console.print(section("Nodes", node_table(cluster["nodes"])))
    console.print(section("Models", loaded_table(cluster["models"])))
    if data["operations"]:
        console.print(section("Operations", operation_table(data["operations"])))


def overview(cluster: Json) -> RenderableType:
    """The cluster in a few lines."""
    word = "healthy" if cluster["healthy"] else "unhealthy"
    facts = [
        f"{cluster['onlineNodeCount']} of {count(cluster['nodeCount'], 'node')} online",
        f"{count(cluster['loadedModelCount'], 'model')} loaded",
        f"{count(cluster['activeTaskCount'], 'task')} active",
        f"{count(cluster['activeDownloadCount'], 'download')} under way",
    ]
    free, total = number(cluster["ramAvailableGb"], digits=1), number(cluster["ramTotalGb"], " GiB", 1)
    lines = [
        Text.assemble("Cluster ", styled(word), "  ", ", ".join(facts)),
        Text(f"Memory  {free} of {total} free ({percent(cluster['ramUsedPercent'])} used)"),
    ]
    lines += [Text(f"  {reason}", "red") for reason in cluster["unhealthyReasons"]]
    return Group(*lines)


def health(console: Console, data: Json) -> None:
    """`health.graphql`."""
    cluster = data["cluster"]
    word = "healthy" if cluster["healthy"] else "unhealthy"
    online = f": {cluster['onlineNodeCount']} of {count(cluster['nodeCount'], 'node')} online"
    console.print(Text.assemble(styled(word), online))


def nodes(console: Console, data: Json) -> None:
    """`nodes.graphql`."""
    rows = [
        [*_node_cells(node), number(node["diskAvailableGb"], " GiB"), names(node["models"]), node["id"]]
        for node in data["nodes"]
    ]
    console.print(table([*_NODE_HEADS, "DISK FREE", "MODELS", "ID"], rows))


def node(console: Console, data: Json) -> None:
    """`node.graphql`."""
    node = data["node"]
    console.print(Text.assemble((label(node), "bold"), "  ", styled(node["status"])))
    told = {
        "id": node["id"],
        "machine": " ".join(filter(None, (node["hardware"], node["chip"]))) or UNKNOWN,
        "system": node["osVersion"] or UNKNOWN,
        "last seen": node["lastSeen"] or UNKNOWN,
        "memory": f"{number(node['ramAvailableGb'], digits=1)} of {number(node['ramTotalGb'], ' GiB', 1)} free",
        "disk": f"{number(node['diskAvailableGb'])} of {number(node['diskTotalGb'], ' GiB')} free",
        "gpu": percent(node["gpuUsagePercent"]),
        "cpu": f"{percent(node['cpuPUsagePercent'])} performance, {percent(node['cpuEUsagePercent'])} efficiency",
        "temperature": number(node["temperatureC"], " °C", 1),
        "power": number(node["powerWatts"], " W", 1),
        "addresses": _listed(node["ipAddresses"]),
        "interfaces": _listed(node["connectionTypes"]),
        "thunderbolt": _YES_NO[node["hasThunderbolt"]],
        "rdma": _YES_NO[node["rdmaEnabled"]],
        "engines": _listed(node["backends"]),
        "models": _listed([f"{model['name']} ({model['status']['phase']})" for model in node["models"]]),
        "tasks": _listed([f"{task['kind']} ({task['status']})" for task in node["tasks"]]),
    }
    console.print(facts(told))
    if node["downloads"]:
        console.print(section("Downloads", download_table(node["downloads"])))
    ways = [
        [label(way["node"]), way["ipAddress"] or f"RDMA {way['rdmaInterface'] or UNKNOWN}"]
        for way in node["connections"]
    ]
    if ways:
        console.print(section("Connections", table(["TO", "BY"], ways)))


def models(console: Console, data: Json) -> None:
    """`models.graphql`."""
    rows = [
        [
            model["id"],
            styled(model["status"]["phase"]),
            percent(model["status"]["progressPercent"]),
            number(model["storageSizeGb"], " GiB", 1),
            model["quantization"] or UNKNOWN,
            labels(model["nodes"]),
        ]
        for model in data["models"]
    ]
    console.print(table(["MODEL", "PHASE", "DONE", "SIZE", "QUANT", "NODES"], rows, empty="No models."))
    if data["downloads"]:
        console.print(section("Downloads", download_table(data["downloads"])))


def model_status(console: Console, data: Json) -> None:
    """`model_status.graphql`."""
    status = data["modelStatus"]
    old = "  (an older picture: exo does not answer)" if status["stale"] else ""
    console.print(Text.assemble((status["modelId"], "bold"), "  ", styled(status["phase"]), old))
    console.print(Text(status["message"]))
    told = {}
    if status["progressPercent"] is not None and not status["ready"]:
        told["done"] = percent(status["progressPercent"])
    if status["etaSeconds"] is not None:
        told["to go"] = duration(status["etaSeconds"])
    failure = status["failure"]
    if failure is not None:
        where = f" on {label(failure['node'])}" if failure["node"] else ""
        attempt = f" (attempt {failure['attempt']})" if failure["attempt"] else ""
        told["last failure"] = f"{failure['message']}{where}{attempt}, {failure['at']}"
    if told:
        console.print(facts(told))
    rows = [
        [
            instance["id"],
            styled(instance["phase"]),
            " ".join(filter(None, (instance["sharding"], instance["instanceType"]))) or UNKNOWN,
            label(shard["node"]),
            shard["runnerStatus"] or UNKNOWN,
            _span(shard["startLayer"], shard["endLayer"]),
        ]
        for instance in status["instances"]
        for shard in instance["shards"]
    ]
    if rows:
        console.print(table(["INSTANCE", "PHASE", "PLACED", "NODE", "RUNNER", "LAYERS"], rows))


def downloads(console: Console, data: Json) -> None:
    """`downloads.graphql`."""
    console.print(download_table(data["downloads"]))


def tasks(console: Console, data: Json) -> None:
    """`tasks.graphql`."""
    rows = [
        [
            task["id"],
            task["kind"],
            styled(task["status"]),
            task["model"]["name"] if task["model"] else UNKNOWN,
            task["errorMessage"] or "",
        ]
        for task in data["tasks"]
    ]
    console.print(table(["TASK", "KIND", "STATUS", "MODEL", "ERROR"], rows, empty="No tasks."))


def operations(console: Console, data: Json) -> None:
    """`operations.graphql`."""
    rows = [
        [
            operation["id"],
            styled(operation["state"]),
            operation_title(operation),
            operation["startedAt"],
            operation["message"],
        ]
        for operation in data["operations"]
    ]
    console.print(table(["OPERATION", "STATE", "WHAT", "BEGAN", "MESSAGE"], rows, empty="No operations."))


def operation(console: Console, data: Json) -> None:
    """`operation.graphql`."""
    operation = data["operation"]
    title = operation_title(operation)
    console.print(Text.assemble((title, "bold"), "  ", styled(operation["state"]), f"  {operation['id']}"))
    console.print(Text(operation["message"]))
    rows = [[step["name"], styled(step["state"]), step["message"] or ""] for step in operation["steps"]]
    console.print(table(["STEP", "STATE", "MESSAGE"], rows))


def accepted(console: Console, data: Json) -> None:
    """Any wish that was accepted."""
    (payload,) = data.values()
    operation = payload["operation"]
    console.print(Text.assemble(styled(operation["state"]), f"  {operation['message']}"))
    console.print(Text(f"Follow it with: exo-graphql operations {operation['id']} --wait"))


def cancelled(console: Console, data: Json) -> None:
    """`cancel_operation.graphql`."""
    operation = data["cancelOperation"]["operation"]
    console.print(Text.assemble(styled(operation["state"]), f"  {operation['message']}"))


_NODE_HEADS = ["NODE", "STATUS", "CHIP", "MEMORY FREE", "GPU", "TEMP", "POWER"]


def node_table(nodes: Iterable[Json]) -> RenderableType:
    """Nodes, a row each."""
    return table(_NODE_HEADS, [_node_cells(node) for node in nodes], empty="No nodes.")


def _node_cells(node: Json) -> list[str | Text]:
    return [
        label(node),
        styled(node["status"]),
        node["chip"] or UNKNOWN,
        part(node["ramAvailableGb"], node["ramTotalGb"]),
        percent(node["gpuUsagePercent"]),
        number(node["temperatureC"], " °C"),
        number(node["powerWatts"], " W"),
    ]


def loaded_table(models: Iterable[Json]) -> RenderableType:
    """Loaded models, a row each."""
    rows = [
        [
            model["name"],
            styled(model["status"]["phase"]),
            percent(model["status"]["progressPercent"]),
            labels(model["nodes"]),
            model["status"]["message"],
        ]
        for model in models
    ]
    return table(["MODEL", "PHASE", "DONE", "NODES", "MESSAGE"], rows, empty="No model is loaded.")


def download_table(downloads: Iterable[Json]) -> RenderableType:
    """Downloads, a row each."""
    rows = [
        [
            entry["model"]["name"],
            label(entry.get("node")),
            styled(entry["status"]),
            percent(entry["progressPercent"]),
            part(entry["downloadedGb"], entry["totalGb"]),
            number(entry["speedMbS"], " MiB/s", 1),
            duration(entry["etaSeconds"]),
            entry.get("error") or "",
        ]
        for entry in downloads
    ]
    heads = ["MODEL", "NODE", "STATUS", "DONE", "SIZE", "SPEED", "TO GO", "ERROR"]
    return table(heads, rows, empty="No downloads.")


def operation_table(operations: Iterable[Json]) -> RenderableType:
    """Operations, a row each, by what every document asks of them."""
    rows = [
        [entry["id"], entry["kind"], styled(entry["state"]), percent(entry["progressPercent"]), entry["message"]]
        for entry in operations
    ]
    return table(["OPERATION", "KIND", "STATE", "DONE", "MESSAGE"], rows, empty="No operations.")


def table(heads: Sequence[str], rows: Sequence[Sequence[str | Text]], empty: str = "") -> RenderableType:
    """Columns under heads, without lines; columns in which there is nothing at all are left out."""
    if not rows:
        return Text(empty or "Nothing.", "dim")
    kept = [index for index in range(len(heads)) if any(str(row[index]) not in ("", UNKNOWN) for row in rows)]
    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index in kept:
        drawn.add_column(heads[index], overflow="fold")
    for row in rows:
        drawn.add_row(*(row[index] for index in kept))
    return drawn


def section(title: str, content: RenderableType) -> RenderableType:
    """Something under a title, after an empty line."""
    return Group("", Text(title, "bold underline"), content)


def facts(told: Mapping[str, str]) -> RenderableType:
    """Names and values."""
    drawn = Table.grid(padding=(0, 2))
    for name, value in told.items():
        drawn.add_row(Text(name, "dim"), Text(value))
    return drawn


def styled(word: str) -> Text:
    """A status in its colour."""
    return Text(word, _STYLES.get(word, ""))


def _listed(values: Sequence[str] | None) -> str:
    if values is None:
        return UNKNOWN
    return ", ".join(values) or "none"


def _span(start: int | None, end: int | None) -> str:
    return UNKNOWN if start is None or end is None else f"{start} to {end - 1}"
