"""What a careful programmer would write instead: one ASGI route that makes the overview by hand, for `orjson.dumps`.

No framework, no models, no validation: the fields are read off the same snapshot and put into dictionaries, with the
names that the GraphQL overview gives them (`scenario.FIELDS`); the benchmark checks that both answers are equal.
"""

from collections.abc import Callable
from typing import Any

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from exo_graphql.cluster.error_text import one_line
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.state import Download, Instance, ModelCard, Node, Shard, Task

PATH = "/bare"


def application(newest: Callable[[], Snapshot], other: ASGIApp) -> ASGIApp:
    """Answers `PATH` itself, and leaves every other path to `other`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await other(scope, receive, send)
            return
        body = orjson.dumps(overview(newest()))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def overview(snapshot: Snapshot) -> dict[str, Any]:
    """The `data` of the overview."""
    return {
        "cluster": {
            "nodeCount": snapshot.node_count,
            "ramTotalGb": snapshot.ram_total_gb,
            "ramAvailableGb": snapshot.ram_available_gb,
            "ramUsedGb": snapshot.ram_used_gb,
            "ramUsedPercent": snapshot.ram_used_percent,
            "loadedModelCount": snapshot.loaded_model_count,
            "activeTaskCount": snapshot.active_task_count,
            "activeDownloadCount": snapshot.active_download_count,
            "apiNodeId": snapshot.api_node_id,
            "observedAt": snapshot.observed_at,
            "nodes": [_node(snapshot, node) for node in snapshot.nodes],
            "models": [_model(snapshot, card) for card in snapshot.loaded_models],
            "tasks": [_task(snapshot, task) for task in snapshot.tasks],
        },
        "downloads": [
            _download(snapshot, download)
            for node_id, entries in snapshot.state.downloads.items()
            if node_id in snapshot.state.nodes
            for download in entries.values()
        ],
    }


def _node(snapshot: Snapshot, node: Node) -> dict[str, Any]:
    return {
        "id": node.id,
        "friendlyName": node.friendly_name,
        "chip": node.chip,
        "osVersion": node.os_version,
        "ramTotalGb": node.ram_total_gb,
        "ramAvailableGb": node.ram_available_gb,
        "ramUsedGb": node.ram_used_gb,
        "ramUsedPercent": node.ram_used_percent,
        "diskTotalGb": node.disk_total_gb,
        "diskAvailableGb": node.disk_available_gb,
        "gpuUsagePercent": node.gpu_usage_percent,
        "cpuPUsagePercent": node.cpu_p_usage_percent,
        "cpuEUsagePercent": node.cpu_e_usage_percent,
        "temperatureC": node.temperature_c,
        "powerWatts": node.power_watts,
        "ipAddresses": node.ip_addresses,
        "connectionTypes": node.connection_types,
        "hasThunderbolt": node.has_thunderbolt,
        "rdmaEnabled": node.rdma_enabled,
        "models": [{"id": card.id} for card in snapshot.models_on(node.id)],
        "status": snapshot.node_statuses[node.id].value,
        "secondsSinceSeen": node.seconds_since_seen,
    }


def _model(snapshot: Snapshot, card: ModelCard) -> dict[str, Any]:
    return {
        "id": card.id,
        "name": card.name,
        "storageSizeGb": card.storage_size_gb,
        "instances": [_instance(snapshot, instance) for instance in snapshot.instances_of(card.id)],
    }


def _instance(snapshot: Snapshot, instance: Instance) -> dict[str, Any]:
    status = snapshot.instance_status(instance.id)
    return {
        "id": instance.id,
        "sharding": instance.sharding and instance.sharding.value,
        "instanceType": instance.instance_type and instance.instance_type.value,
        "ready": status.ready,
        "phase": status.phase.value,
        "shards": [_shard(snapshot, shard) for shard in instance.shards],
    }


def _shard(snapshot: Snapshot, shard: Shard) -> dict[str, Any]:
    node = snapshot.state.nodes.get(shard.node_id or "")
    runner = snapshot.state.runners.get(shard.runner_id)
    return {
        "node": node and {"id": node.id, "friendlyName": node.friendly_name},
        "runnerStatus": runner and runner.status.value,
    }


def _task(snapshot: Snapshot, task: Task) -> dict[str, Any]:
    instance = snapshot.state.instances.get(task.instance_id or "")
    return {
        "id": task.id,
        "kind": task.kind.value,
        "status": task.status.value,
        "model": instance and {"id": instance.model_id},
        "instance": instance and {"id": instance.id},
    }


def _download(snapshot: Snapshot, download: Download) -> dict[str, Any]:
    node = snapshot.state.nodes[download.node_id]
    return {
        "node": {"id": node.id, "friendlyName": node.friendly_name},
        "model": {"id": download.model_id},
        "status": snapshot.download_status(download).value,
        "downloadedGb": download.downloaded_gb,
        "totalGb": download.total_gb,
        "progressPercent": download.progress_percent,
        "speedMbS": download.speed_mb_s,
        "etaSeconds": download.eta_seconds,
        "error": None if download.error is None else one_line(download.error),
    }
