"""What a user would pick instead: a plain FastAPI endpoint with pydantic models, answering exo's PR #1727.

The shape of `GET /v1/cluster` is that pull request's; the code is this project's own, reads the same parsed state as
the GraphQL server, and leaves out no field and no download that the pull request lists (the merely possible ones
included).
"""

import time
from collections.abc import Callable
from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Download, DownloadKind, Instance, Node, Task
from exo_graphql.cluster.units import GIB


class NodeSummary(BaseModel):
    """One member."""

    node_id: str
    friendly_name: str = "Unknown"
    chip: str = "Unknown"
    os_version: str = "Unknown"
    ram_total_gb: float = 0.0
    ram_available_gb: float = 0.0
    ram_used_gb: float = 0.0
    ram_used_percent: float = 0.0
    disk_total_gb: float = 0.0
    disk_available_gb: float = 0.0
    gpu_usage_percent: float = 0.0
    cpu_p_usage_percent: float = 0.0
    cpu_e_usage_percent: float = 0.0
    temperature_c: float = 0.0
    power_watts: float = 0.0
    ip_addresses: list[str] = Field(default_factory=list)
    connection_types: list[str] = Field(default_factory=list)
    has_thunderbolt: bool = False
    rdma_enabled: bool = False
    loaded_models: list[str] = Field(default_factory=list)
    status: Literal["online", "stale", "unknown"] = "unknown"
    seconds_since_seen: float | None = None


class ModelSummary(BaseModel):
    """One instance of a loaded model."""

    instance_id: str
    model_id: str
    model_name: str
    sharding: str
    instance_type: str
    nodes: list[str]
    node_names: list[str]
    storage_size_gb: float = 0.0
    runner_statuses: dict[str, str] = Field(default_factory=dict)
    ready: bool = False
    status: str = "unknown"


class TaskSummary(BaseModel):
    """One task."""

    task_id: str
    task_type: str
    status: str
    model_id: str = ""
    instance_id: str = ""


class DownloadSummary(BaseModel):
    """The weights of one model on one node."""

    node_id: str
    node_name: str
    model_id: str
    status: Literal["pending", "downloading", "completed", "failed"]
    downloaded_gb: float = 0.0
    total_gb: float = 0.0
    progress_percent: float = 0.0
    speed_mb_s: float = 0.0
    eta_seconds: float | None = None
    error: str | None = None


class Overview(BaseModel):
    """The answer of `GET /v1/cluster`."""

    node_count: int = 0
    total_ram_gb: float = 0.0
    available_ram_gb: float = 0.0
    used_ram_gb: float = 0.0
    ram_used_percent: float = 0.0
    loaded_model_count: int = 0
    active_task_count: int = 0
    active_download_count: int = 0
    nodes: list[NodeSummary] = Field(default_factory=list)
    models: list[ModelSummary] = Field(default_factory=list)
    tasks: list[TaskSummary] = Field(default_factory=list)
    downloads: list[DownloadSummary] = Field(default_factory=list)
    master_node_id: str = ""
    timestamp: float = Field(default_factory=time.time)


class Constant(BaseModel):
    """The answer of the route that returns a constant."""

    ready: bool


def overview(snapshot: Snapshot) -> Overview:
    """The whole overview, built anew as the pull request builds it for each request."""
    nodes = [_node(snapshot, node) for node in snapshot.state.nodes.values()]
    models = [_model(snapshot, instance) for instance in snapshot.state.instances.values()]
    tasks = [_task(snapshot, task) for task in snapshot.state.tasks.values()]
    downloads = [
        _download(snapshot, node_id, download)
        for node_id, entries in snapshot.state.downloads.items()
        for download in entries.values()
    ]
    total = sum(node.ram_total_gb for node in nodes)
    available = sum(node.ram_available_gb for node in nodes)
    used = round(total - available, 1)
    return Overview(
        node_count=len(nodes),
        total_ram_gb=round(total, 1),
        available_ram_gb=round(available, 1),
        used_ram_gb=used,
        ram_used_percent=round(used / total * 100, 1) if total else 0.0,
        loaded_model_count=len(models),
        active_task_count=sum(task.status in ("pending", "running") for task in tasks),
        active_download_count=sum(download.status in ("pending", "downloading") for download in downloads),
        nodes=nodes,
        models=models,
        tasks=tasks,
        downloads=downloads,
        master_node_id=snapshot.api_node_id or "",
    )


def _gb(size: int | None) -> float:
    return round((size or 0) / GIB, 1)


def _percent(share: float | None) -> float:
    return round((share or 0.0) * 100, 1)


def _node(snapshot: Snapshot, node: Node) -> NodeSummary:
    total, available = node.ram_total_bytes or 0, node.ram_available_bytes or 0
    loaded = [
        instance.model_id
        for instance in snapshot.state.instances.values()
        if any(shard.node_id == node.id for shard in instance.shards)
    ]
    seen = node.seconds_since_seen
    return NodeSummary(
        node_id=node.id,
        friendly_name=node.friendly_name or "Unknown",
        chip=node.chip or "Unknown",
        os_version=node.os_version or "Unknown",
        ram_total_gb=_gb(total),
        ram_available_gb=_gb(available),
        ram_used_gb=_gb(total - available),
        ram_used_percent=round((total - available) / total * 100, 1) if total else 0.0,
        disk_total_gb=_gb(node.disk_total_bytes),
        disk_available_gb=_gb(node.disk_available_bytes),
        gpu_usage_percent=_percent(node.gpu_share),
        cpu_p_usage_percent=_percent(node.cpu_p_share),
        cpu_e_usage_percent=_percent(node.cpu_e_share),
        temperature_c=round(node.temperature_c or 0.0, 1),
        power_watts=round(node.power_watts or 0.0, 1),
        ip_addresses=list(node.ip_addresses or ()),
        connection_types=list(node.connection_types or ()),
        has_thunderbolt=bool(node.has_thunderbolt),
        rdma_enabled=bool(node.rdma_enabled),
        loaded_models=loaded,
        status="unknown" if seen is None else "online" if seen < 30 else "stale",
        seconds_since_seen=seen,
    )


def _model(snapshot: Snapshot, instance: Instance) -> ModelSummary:
    state = snapshot.state
    card = state.cards.get(instance.model_id)
    statuses = {
        shard.node_id or "": state.runners[shard.runner_id].status.value.lower()
        for shard in instance.shards
        if shard.runner_id in state.runners
    }
    ready = bool(statuses) and all(status in ("ready", "running") for status in statuses.values())
    return ModelSummary(
        instance_id=instance.id,
        model_id=instance.model_id,
        model_name=instance.model_id.rsplit("/", 1)[-1],
        sharding=instance.sharding.value.lower() if instance.sharding else "unknown",
        instance_type=instance.instance_type.value if instance.instance_type else "unknown",
        nodes=[shard.node_id or "" for shard in instance.shards],
        node_names=[_name(snapshot, shard.node_id or "") for shard in instance.shards],
        storage_size_gb=_gb(card.storage_bytes if card else None),
        runner_statuses=statuses,
        ready=ready,
        status="ready" if ready else next(iter(statuses.values()), "unknown"),
    )


def _task(snapshot: Snapshot, task: Task) -> TaskSummary:
    instance = snapshot.state.instances.get(task.instance_id or "")
    return TaskSummary(
        task_id=task.id,
        task_type=task.kind.value.lower(),
        status=task.status.value.lower(),
        model_id=instance.model_id if instance else "",
        instance_id=task.instance_id or "",
    )


def _download(snapshot: Snapshot, node_id: str, download: Download) -> DownloadSummary:
    name = _name(snapshot, node_id)
    model_id = download.model_id
    match download.kind:
        case DownloadKind.COMPLETED:
            size = _gb(download.total_bytes)
            return DownloadSummary(
                node_id=node_id,
                node_name=name,
                model_id=model_id,
                status="completed",
                downloaded_gb=size,
                total_gb=size,
                progress_percent=100.0,
            )
        case DownloadKind.ONGOING:
            total, done = download.total_bytes or 0, download.downloaded_bytes or 0
            return DownloadSummary(
                node_id=node_id,
                node_name=name,
                model_id=model_id,
                status="downloading",
                downloaded_gb=_gb(done),
                total_gb=_gb(total),
                progress_percent=round(done / total * 100, 1) if total else 0.0,
                speed_mb_s=round((download.speed or 0) / (1024 * 1024), 1),
                eta_seconds=round(download.eta_ms / 1000, 1) if download.eta_ms else None,
            )
        case DownloadKind.FAILED:
            return DownloadSummary(
                node_id=node_id, node_name=name, model_id=model_id, status="failed", error=download.error
            )
        case _:
            return DownloadSummary(
                node_id=node_id,
                node_name=name,
                model_id=model_id,
                status="pending",
                total_gb=_gb(download.total_bytes),
            )


def _name(snapshot: Snapshot, node_id: str) -> str:
    node = snapshot.state.nodes.get(node_id)
    return node.friendly_name if node and node.friendly_name else node_id[:8]


def application(newest: Callable[[], Snapshot]) -> FastAPI:
    """`/v1/cluster`, and `/constant` for comparison with a question that is small."""
    app = FastAPI()

    @app.get("/v1/cluster")
    async def cluster() -> Overview:
        return overview(newest())

    @app.get("/constant")
    async def constant() -> Constant:
        return Constant(ready=True)

    return app
