"""Downloads: a result for each node."""

import pytest

from exo_graphql.cluster.state import DownloadKind
from exo_graphql.operations import (
    ClusterUnavailable,
    InvalidArgument,
    ModelNotFound,
    NodeNotFound,
    Operation,
    OperationConflict,
)
from tests.support.simulated_cluster import ABSENT, A, SimulatedCluster, world

pytestmark = pytest.mark.anyio


async def _kinds(w: SimulatedCluster, model: str) -> dict[str, DownloadKind]:
    snapshot = await w.snapshot()
    return {
        node.friendly_name or node.id: download.kind
        for node in snapshot.nodes
        for download in [snapshot.state.download(node.id, model)]
        if download is not None
    }


async def test_a_download_starts_on_the_node_that_is_named() -> None:
    async with world() as w:
        result = await w.ops.start_download("absent", ["node-2"])
        assert result.error is None
        assert [(r.node_id, r.accepted, r.error) for r in result.results] == [
            (w.sim.control.node_id("node-2"), True, None)
        ]
        await w.until(lambda snapshot: snapshot.active_download_count == 1)
        assert await _kinds(w, ABSENT) == {"node-1": DownloadKind.PENDING, "node-2": DownloadKind.ONGOING}


async def test_without_names_it_starts_on_every_node() -> None:
    async with world() as w:
        result = await w.ops.start_download(ABSENT)
        assert [r.accepted for r in result.results] == [True, True]
        await w.until(
            lambda snapshot: all(
                download.kind is DownloadKind.COMPLETED
                for node in snapshot.nodes
                for download in [snapshot.state.download(node.id, ABSENT)]
                if download is not None
            )
        )


async def test_a_cancelled_download_keeps_its_part_and_idle_nodes_are_named() -> None:
    async with world() as w:
        await w.ops.start_download(ABSENT, ["node-1"])
        await w.until(
            lambda snapshot: any(
                (d.downloaded_bytes or 0) > 0 for d in snapshot.started_downloads if d.model_id == ABSENT
            )
        )
        result = await w.ops.cancel_download(ABSENT, ["node-1", "node-2"])
        assert [r.accepted for r in result.results] == [True, False], result
        assert result.results[1].error == f"node-2 is not downloading {ABSENT}: nothing to cancel."
        await w.until(lambda snapshot: snapshot.active_download_count == 0)
        (partial,) = [
            d for d in (await w.snapshot()).started_downloads if d.model_id == ABSENT and d.kind is DownloadKind.PENDING
        ]
        assert (partial.downloaded_bytes or 0) > 0


async def test_without_names_only_the_nodes_at_work_are_cancelled() -> None:
    async with world() as w:
        await w.ops.start_download(ABSENT, ["node-2"])
        await w.until(lambda snapshot: snapshot.active_download_count == 1)
        result = await w.ops.cancel_download(ABSENT)
        assert [(r.node_id, r.accepted) for r in result.results] == [(w.sim.control.node_id("node-2"), True)]
        idle = await w.ops.cancel_download("tiny-a")
        assert [r.accepted for r in idle.results] == [False, False]


async def test_weights_are_deleted_where_they_are() -> None:
    async with world() as w:
        result = await w.ops.delete_download(A, ["node-1"])
        assert [r.accepted for r in result.results] == [True]
        await w.until(
            lambda snapshot: snapshot.state.downloads[w.sim.control.node_id("node-1")][A].kind is DownloadKind.PENDING
        )
        assert (await _kinds(w, A))["node-2"] is DownloadKind.COMPLETED
        nothing = await w.ops.delete_download(ABSENT, ["node-1"])
        assert nothing.results[0].error == f"node-1 holds nothing of {ABSENT}: nothing to delete."


async def test_a_download_that_just_failed_is_reported_with_the_name_of_its_node() -> None:
    async with world() as w:
        w.fault(f"download-fails:{ABSENT}")
        await w.ops.start_download(ABSENT, ["node-1"])
        await w.until(
            lambda snapshot: any(d.kind is DownloadKind.FAILED for d in snapshot.all_downloads if d.model_id == ABSENT)
        )
        result = await w.ops.start_download(ABSENT, ["node-1"])
        assert result.results[0].accepted is False
        assert "The last download on node-1 failed" in (result.results[0].error or "")


async def test_weights_that_an_operation_needs_are_not_deleted() -> None:
    async with world() as w:
        operation = await w.ops.load(ABSENT)
        assert isinstance(operation, Operation)
        await w.until(lambda snapshot: snapshot.active_download_count == 1)
        for result in (await w.ops.cancel_download(ABSENT), await w.ops.delete_download(ABSENT)):
            assert isinstance(result.error, OperationConflict)
            assert result.error.operation_id == operation.id


async def test_invalid_requests_are_rejected() -> None:
    async with world() as w:
        assert isinstance((await w.ops.start_download("nonesuch")).error, ModelNotFound)
        assert isinstance((await w.ops.start_download("")).error, InvalidArgument)
        assert isinstance((await w.ops.start_download(A, [])).error, InvalidArgument)
        assert isinstance((await w.ops.delete_download(A, ["node-9"])).error, NodeNotFound)


async def test_an_exo_that_fails_is_reported_for_each_node_or_as_a_whole() -> None:
    async with world() as w:
        # exo sends its state but accepts no command: each node has an error of its own.
        w.sim.control.command_latency = 20.0
        early = await w.ops.start_download(ABSENT)
        assert [result.accepted for result in early.results] == [False, False]
        assert all((result.error or "").startswith("node-") for result in early.results)
        # Without a new snapshot nothing is done, although a recent one exists.
        w.sim.control.drop_connections = True
        assert w.poller.snapshot is not None
        assert w.poller.snapshot.connected
        assert isinstance((await w.ops.start_download(ABSENT)).error, ClusterUnavailable)
