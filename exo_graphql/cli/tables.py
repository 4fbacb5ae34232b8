"""The tables that several commands show."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.text import Text

from exo_graphql.cli.format import UNKNOWN, age, duration, label, labels, names, number, part, percent, short
from exo_graphql.cli.layout import Cell, Column, Grid
from exo_graphql.cli.progress_view import operation_title

Json = Mapping[str, Any]

_STYLES = {
    **dict.fromkeys(("ONLINE", "READY", "RUNNING", "COMPLETED", "SUCCEEDED", "COMPLETE", "healthy", "yes"), "green"),
    **dict.fromkeys(("FAILED", "UNREACHABLE", "STALE", "ROLLED_BACK", "TIMED_OUT", "unhealthy", "no"), "red"),
    **dict.fromkeys(("UNSATISFIABLE", "RETRYING"), "red"),
    "PROGRESSING": "yellow",
    "WARNING": "yellow",
    "ERROR": "red",
    "INFO": "dim",
    "WORKING": "green",
    "FAILING": "red",
    "GONE": "red",
    **dict.fromkeys(
        ("DOWNLOADING", "LOADING", "CONNECTING", "WARMING_UP", "WAITING", "UNLOADING", "PENDING", "PARKED"), "yellow"
    ),
    **dict.fromkeys(("NOT_LOADED", "NOT_STARTED", "UNKNOWN", "CANCELLED", "PAUSED", "OFF", "IDLE"), "dim"),
}


def styled(word: str) -> Text:
    """A status in its colour."""
    return Text(word, _STYLES.get(word, ""))


_NODE = (
    Column("NODE"),
    Column("STATUS"),
    Column("CHIP", drop=6),
    Column("MEMORY FREE", drop=1),
    Column("GPU", drop=2),
    Column("TEMP", drop=4),
    Column("POWER", drop=5),
)


def _node_cells(node: Json) -> list[Cell]:
    return [
        label(node),
        styled(node["status"]),
        node["chip"] or UNKNOWN,
        part(node["ramAvailableGb"], node["ramTotalGb"]),
        percent(node["gpuUsagePercent"]),
        number(node["temperatureC"], " °C"),
        number(node["powerWatts"], " W"),
    ]


def node_grid(nodes: Iterable[Json], *, wide: bool = False, brief: bool = False) -> Grid:
    """Nodes, with the fields that every document selects."""
    rows = [[*_node_cells(node), node["id"]] for node in nodes]
    return Grid([*_NODE, Column("ID", wide=True)], rows, "No nodes.", wide, brief=brief)


def full_node_grid(nodes: Iterable[Json], *, wide: bool) -> Grid:
    """Nodes, with what they hold."""
    rows = [
        [*_node_cells(node), number(node["diskAvailableGb"], " GiB"), names(node["models"]), node["id"]]
        for node in nodes
    ]
    more = Column("DISK FREE", drop=7), Column("MODELS", drop=3, sentence=True), Column("ID", wide=True)
    return Grid([*_NODE, *more], rows, "No nodes.", wide)


def loaded_grid(models: Iterable[Json], *, wide: bool = False, brief: bool = False) -> Grid:
    """Loaded models."""
    columns = [
        Column("MODEL"),
        Column("PHASE"),
        Column("DONE", drop=1),
        Column("NODES", drop=2, sentence=True),
        Column("MESSAGE", drop=3, sentence=True),
        Column("ID", wide=True),
    ]
    rows = [
        [
            model["name"],
            styled(model["status"]["phase"]),
            percent(model["status"]["progressPercent"]),
            labels(model["nodes"]),
            model["status"]["message"],
            model["id"],
        ]
        for model in models
    ]
    return Grid(columns, rows, "No model is loaded.", wide, brief=brief)


def catalogue_grid(models: Iterable[Json], *, wide: bool) -> Grid:
    """Models of the catalogue, loaded or not."""
    columns = [
        Column("MODEL"),
        Column("PHASE"),
        Column("DONE", drop=2),
        Column("SIZE", drop=1),
        Column("QUANT", drop=4),
        Column("NODES", drop=3, sentence=True),
        Column("ID", wide=True),
    ]
    rows = [
        [
            model["name"],
            styled(model["status"]["phase"]),
            percent(model["status"]["progressPercent"]),
            number(model["storageSizeGb"], " GiB", 1),
            model["quantization"] or UNKNOWN,
            labels(model["nodes"]),
            model["id"],
        ]
        for model in models
    ]
    return Grid(columns, rows, "No models.", wide)


def download_grid(downloads: Iterable[Json], *, wide: bool = False, brief: bool = False) -> Grid:
    """Downloads; of one node, or with their nodes."""
    columns = [
        Column("MODEL"),
        Column("NODE"),
        Column("STATUS", drop=1),
        Column("DONE"),
        Column("SIZE", drop=3),
        Column("SPEED", drop=4),
        Column("TO GO", drop=2),
        Column("ERROR", sentence=True),
        Column("ID", wide=True),
    ]
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
            entry["model"]["id"],
        ]
        for entry in downloads
    ]
    return Grid(columns, rows, "No downloads.", wide, brief=brief)


def operation_grid(operations: Iterable[Json], *, wide: bool = False, brief: bool = False) -> Grid:
    """Operations."""
    columns = [
        Column("OPERATION", sentence=True),
        Column("STATE"),
        Column("DONE", drop=2),
        Column("AGE", drop=1),
        Column("ID"),
        Column("BY", wide=True),
        Column("MESSAGE", drop=3, sentence=True),
    ]
    rows = [
        [
            operation_title(entry),
            styled(entry["state"]),
            percent(entry["progressPercent"]),
            age(entry["startedAt"]),
            short(entry["id"], wide=wide),
            entry.get("by") or UNKNOWN,
            entry["message"],
        ]
        for entry in operations
    ]
    return Grid(columns, rows, "No operations.", wide, brief=brief)


def task_grid(tasks: Iterable[Json], *, wide: bool = False) -> Grid:
    """Tasks."""
    columns = [
        Column("TASK"),
        Column("STATUS"),
        Column("MODEL", drop=1),
        Column("ID"),
        Column("ERROR", sentence=True),
    ]
    rows = [
        [
            task["kind"],
            styled(task["status"]),
            task["model"]["name"] if task["model"] else UNKNOWN,
            short(task["id"], wide=wide),
            task["errorMessage"] or "",
        ]
        for task in tasks
    ]
    return Grid(columns, rows, "No tasks.", wide)
