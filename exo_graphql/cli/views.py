"""Renders the data of the commands as tables and text. With `wide`: all columns, and ids in full."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from exo_graphql.cli.format import UNKNOWN, age, ago, count, duration, label, number, percent, short
from exo_graphql.cli.layout import Column, Grid, Page, Prose, facts, section
from exo_graphql.cli.progress_view import operation_title
from exo_graphql.cli.tables import (
    catalogue_grid,
    download_grid,
    full_node_grid,
    loaded_grid,
    node_grid,
    operation_grid,
    styled,
    task_grid,
)

Json = Mapping[str, Any]

_YES_NO = {None: UNKNOWN, True: "yes", False: "no"}


def status(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`status.graphql`."""
    cluster = data["cluster"]
    yield from overview(cluster)
    yield from _servers(cluster["replicas"])
    yield from _out_of_date(cluster)
    yield section("Nodes", node_grid(cluster["nodes"], wide=wide))
    yield section("Models", loaded_grid(cluster["models"], wide=wide))
    if data["operations"]:
        yield section("Operations", operation_grid(data["operations"], wide=wide))


def overview(cluster: Json) -> Iterator[Prose]:
    """The cluster in a few lines."""
    word = "healthy" if cluster["healthy"] else "unhealthy"
    parts = [
        f"{cluster['onlineNodeCount']} of {count(cluster['nodeCount'], 'node')} online",
        f"{count(cluster['loadedModelCount'], 'model')} loaded",
        f"{count(cluster['activeTaskCount'], 'task')} active",
        f"{count(cluster['activeDownloadCount'], 'download')} under way",
    ]
    free, total = number(cluster["ramAvailableGb"], digits=1), number(cluster["ramTotalGb"], " GiB", 1)
    yield Prose.of("Cluster ", styled(word), "  ", ", ".join(parts), hanging=2)
    yield Prose.of(f"Memory  {free} of {total} free ({percent(cluster['ramUsedPercent'])} used)", hanging=2)
    for reason in cluster["unhealthyReasons"]:
        yield Prose.of(("  " + reason, "red"), hanging=4)


def _servers(replicas: Sequence[Json]) -> Iterator[Prose]:
    """The servers that share a database, where there are several."""
    if len(replicas) > 1:
        names = [
            f"{each['name']} (leader for {age(each['since'])})" if each["leader"] else each["name"] for each in replicas
        ]
        nobody = "" if any(each["leader"] for each in replicas) else ": none of them leads"
        yield Prose.of(f"Servers {', '.join(names)}{nobody}", hanging=2)


def health(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`health.graphql`."""
    cluster = data["cluster"]
    word = "healthy" if cluster["healthy"] else "unhealthy"
    yield Prose.of(styled(word), f": {cluster['onlineNodeCount']} of {count(cluster['nodeCount'], 'node')} online")
    yield from _out_of_date(cluster)


def _out_of_date(cluster: Json) -> Iterator[Prose]:
    """How old the values are, unless they are current: nodes that were online then may not be now."""
    if cluster["stale"]:
        since = f"Not current: this is the cluster as it was {ago(cluster['staleSince'])}."
        yield Prose.of((since, "yellow"), hanging=2)


def nodes(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`nodes.graphql`."""
    yield full_node_grid(data["nodes"], wide=wide)


def node(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`node.graphql`."""
    node = data["node"]
    yield Prose.of((label(node), "bold"), "  ", styled(node["status"]))
    yield facts(
        {
            "id": node["id"],
            "machine": " ".join(filter(None, (node["hardware"], node["chip"]))) or UNKNOWN,
            "system": node["osVersion"] or UNKNOWN,
            "last seen": ago(node["lastSeen"]),
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
    )
    if node["downloads"]:
        yield section("Downloads", download_grid(node["downloads"], wide=wide))
    ways = [
        [label(way["node"]), way["ipAddress"] or f"RDMA {way['rdmaInterface'] or UNKNOWN}"]
        for way in node["connections"]
    ]
    if ways:
        yield section("Connections", Grid([Column("TO"), Column("BY")], ways))


def models(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`models.graphql`."""
    yield catalogue_grid(data["models"], wide=wide)
    if data["downloads"]:
        yield section("Downloads", download_grid(data["downloads"], wide=wide))


def model(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`model.graphql`."""
    model = data["model"]
    status = model["status"]
    yield Prose.of((model["id"], "bold"), "  ", styled(status["phase"]))
    yield Prose.of(status["message"])
    yield facts(
        {
            "size": number(model["storageSizeGb"], " GiB", 1),
            "quantization": model["quantization"] or UNKNOWN,
            "family": model["family"] or UNKNOWN,
            "base model": model["baseModel"] or UNKNOWN,
            "layers": number(model["layerCount"]),
            "context": number(model["contextLength"], " tokens"),
            "can do": _listed(model["capabilities"]),
            "tensor": _YES_NO[model["supportsTensor"]],
            "custom": _YES_NO[model["isCustom"]],
            "tasks": _listed([f"{task['kind']} ({task['status']})" for task in model["tasks"]]),
        }
    )
    yield from _instances(model["instances"], wide)
    if model["downloads"]:
        yield section("Downloads", download_grid(model["downloads"], wide=wide))


def model_status(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`model_status.graphql`."""
    status = data["modelStatus"]
    old = "  (not current)" if status["stale"] else ""
    yield Prose.of((status["modelId"], "bold"), "  ", styled(status["phase"]), old)
    yield Prose.of(status["message"])
    values = {}
    if status["progressPercent"] is not None and not status["ready"]:
        values["done"] = percent(status["progressPercent"])
    if status["etaSeconds"] is not None:
        values["to go"] = duration(status["etaSeconds"])
    failure = status["failure"]
    if failure is not None:
        where = f" on {label(failure['node'])}" if failure["node"] else ""
        attempt = f" (attempt {failure['attempt']})" if failure["attempt"] else ""
        values["last failure"] = f"{failure['message']}{where}{attempt}, {ago(failure['at'])}"
    if values:
        yield facts(values)
    yield from _instances(status["instances"], wide)


def _instances(instances: Sequence[Json], wide: bool) -> Page:  # noqa: FBT001  # as every view
    columns = [
        Column("NODE"),
        Column("RUNNER"),
        Column("LAYERS", drop=1),
        Column("PHASE", drop=3),
        Column("PLACED", drop=2),
        Column("INSTANCE", wide=len(instances) < 2),
    ]
    rows: list[list[str | Text]] = [
        [
            label(shard["node"]),
            styled(shard["runnerStatus"] or UNKNOWN),
            _span(shard["startLayer"], shard["endLayer"]),
            styled(instance["phase"]),
            " ".join(filter(None, (instance["sharding"], instance["instanceType"]))) or UNKNOWN,
            short(instance["id"], wide=wide),
        ]
        for instance in instances
        for shard in instance["shards"]
    ]
    if rows:
        yield section("Instances", Grid(columns, rows, whole=wide))


def downloads(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`downloads.graphql`."""
    yield download_grid(data["downloads"], wide=wide)


def tasks(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`tasks.graphql`."""
    yield task_grid(data["tasks"], wide=wide)


def operations(data: Json, wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`operations.graphql`."""
    yield operation_grid(data["operations"], wide=wide)


def operation(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`operation.graphql`."""
    operation = data["operation"]
    yield Prose.of((operation_title(operation), "bold"), "  ", styled(operation["state"]))
    yield Prose.of(operation["message"])
    values = {"id": operation["id"], "began": ago(operation["startedAt"])}
    if operation["by"] is not None:
        values["requested by"] = operation["by"]
    if operation["finishedAt"] is not None:
        values["ended"] = ago(operation["finishedAt"])
    yield facts(values)
    rows = [[step["name"], styled(step["state"]), step["message"] or ""] for step in operation["steps"]]
    if rows:
        yield section("Steps", Grid([Column("STEP"), Column("STATE"), Column("MESSAGE", sentence=True)], rows))


def accepted(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    """Any load, unload or swap that was accepted."""
    (payload,) = data.values()
    operation = payload["operation"]
    yield Prose.of(styled(operation["state"]), f"  {operation['message']}")
    yield Prose.of(f"Follow it with: exo-graphql operations {operation['id']} --wait", hanging=2)


def hub(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`search_hub.graphql`."""
    columns = [Column("MODEL"), Column("DOWNLOADS", 2), Column("LIKES", 3), Column("IN THE CATALOGUE", 1)]
    rows = [
        [model["id"], number(model["downloads"]), number(model["likes"]), _YES_NO[model["known"]]]
        for model in data["searchHub"]
    ]
    yield Grid(columns, rows, "The hub has no such model.")


def added(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`add_model.graphql`."""
    model = data["addModel"]["model"]
    yield Prose.of((model["id"], "bold"), f"  {number(model['storageSizeGb'], ' GiB', 1)}  is in the catalogue.")


def removed(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`remove_model.graphql`."""
    yield Prose.of((data["removeModel"]["modelId"], "bold"), "  is not in the catalogue any more.")


def applied_deployment(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`apply_plan.graphql`, of a deployment's plan."""
    deployment = data["applyPlan"]["deployment"]
    yield Prose.of((deployment["name"], "bold"), "  ", styled(deployment["state"]), f"  {deployment['reason']}")


def cancelled(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`cancel_operation.graphql`."""
    operation = data["cancelOperation"]["operation"]
    yield Prose.of(styled(operation["state"]), f"  {operation['message']}")


def task_cancelled(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`cancel_task.graphql`."""
    task = data["cancelTask"]["task"]
    model = f" of {task['model']['name']}" if task["model"] else ""
    yield Prose.of(f"Asked exo to cancel {task['kind']}{model}.")


def asked(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    """The result for each node: the start, the stop or the deletion of a download."""
    (payload,) = data.values()
    rows = [
        [label(result["node"]), styled("yes" if result["accepted"] else "no"), result["error"] or ""]
        for result in payload["results"]
    ]
    yield Grid([Column("NODE"), Column("ACCEPTED"), Column("ERROR", sentence=True)], rows, "No node has any of it.")


def plan(data: Json, _wide: bool) -> Page:  # noqa: FBT001  # as every view
    """`plan.graphql`."""
    found = data["plan"]
    for number_, step in enumerate(found["steps"], 1):
        yield Prose.of((f"{number_:3}. ", "dim"), step, hanging=5)
    for each in found["pauses"]:
        yield Prose.of("This pauses the deployment ", (each["name"], "bold"), ".", hanging=2)
    if found["placements"]:
        yield section("Placements", _placements(found["placements"]))
    if found["fits"]:
        yield Prose.of("Apply it with: exo-graphql models apply --wait ", found["hash"], hanging=2)


def _placements(placements: Sequence[Json]) -> Grid:
    several = len({placement["model"]["id"] for placement in placements}) > 1
    columns = [
        Column("PLACEMENT"),
        Column("FITS"),
        Column("NODES", sentence=True),
        Column("WHY NOT", sentence=True),
    ]
    rows = [
        [
            f"{placement['sharding']} {placement['instanceType']}"
            + (f" {placement['model']['id']}" if several else ""),
            styled(_YES_NO[placement["fits"]]),
            ", ".join(f"{label(part['node'])} +{number(part['addedGb'], ' GiB', 1)}" for part in placement["nodes"]),
            placement["reason"] or "",
        ]
        for placement in placements
    ]
    return Grid(columns, rows)


def _listed(values: Sequence[str] | None) -> str:
    if values is None:
        return UNKNOWN
    return ", ".join(values) or "none"


def _span(start: int | None, end: int | None) -> str:
    return UNKNOWN if start is None or end is None else f"{start} to {end - 1}"
