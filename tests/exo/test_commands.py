"""Every command and query that the poller sends to exo, sent to the simulated one."""

import asyncio

import pytest

from exo_graphql.cluster.state import DownloadKind, InstanceType, Sharding
from exo_graphql.cluster.upstream import Refused, Unreachable
from exo_graphql.exo.pacing import PollerRules
from exo_graphql.simulator import parse_fault
from tests.support.polled_cluster import Cluster, running

pytestmark = pytest.mark.anyio


def commands(cluster: Cluster, path: str) -> list[str]:
    """Host and method of each request whose path begins with `path`."""
    return [f"{r.host} {r.method}" for r in cluster.wire.requests if r.path.startswith(path)]


async def test_a_previewed_placement_is_created_exactly_and_deleted() -> None:
    async with running() as cluster:
        poller, exo = cluster.poller, cluster.exos["a"].control
        model = exo.cards[0]
        preview = await poller.preview(model, Sharding.PIPELINE, InstanceType.MLX_RING, 2)
        assert preview.instance is not None
        assert {shard.node_id for shard in preview.instance.shards} == {n.id for n in (await poller.fresh()).nodes}
        await poller.create(preview.instance)
        exo.advance(0.2)
        assert (await poller.fresh(0.0)).instances_of(model) == (preview.instance,)
        assert await poller.delete(preview.instance.id)
        exo.advance(1.0)
        assert (await poller.fresh(0.0)).instances_of(model) == ()
        assert not await poller.delete(preview.instance.id)


async def test_what_does_not_fit_is_a_preview_with_a_reason() -> None:
    async with running() as cluster:
        model = cluster.exos["a"].control.cards[0]
        preview = await cluster.poller.preview(model, Sharding.PIPELINE, InstanceType.MLX_RING, 9)
        assert (preview.instance, preview.reason) == (None, "No cycles found with sufficient memory")


async def test_previews_name_every_placement() -> None:
    async with running() as cluster:
        model = cluster.exos["a"].control.cards[0]
        previews = await cluster.poller.previews(model)
        assert {(o.sharding, o.instance_type) for o in previews} >= {
            (Sharding.PIPELINE, InstanceType.MLX_RING),
            (Sharding.TENSOR, InstanceType.MLX_RING),
        }
        (node, *_) = (await cluster.poller.fresh()).nodes
        for preview in await cluster.poller.previews(model, [node.id]):
            assert preview.instance is None or node.id in {shard.node_id for shard in preview.instance.shards}


async def test_a_download_is_deleted_started_and_cancelled() -> None:
    async with running() as cluster:
        poller, exo = cluster.poller, cluster.exos["a"].control
        snapshot = await poller.fresh()
        completed = [d for d in snapshot.all_downloads if d.kind is DownloadKind.COMPLETED]
        download = max(completed, key=lambda d: d.total_bytes or 0)

        async def now() -> DownloadKind | None:
            found = (await poller.fresh(0.0)).state.download(download.node_id, download.model_id)
            return found.kind if found is not None else None

        await poller.delete_download(download.node_id, download.model_id)
        exo.advance(0.5)
        assert await now() is DownloadKind.PENDING
        await poller.start_download(download.node_id, download.model_id)
        exo.advance(0.5)
        assert await now() is DownloadKind.ONGOING
        await poller.cancel_download(download.node_id, download.model_id)
        exo.advance(0.5)
        assert await now() is DownloadKind.PENDING


async def test_a_download_of_a_model_without_a_card_is_refused_here() -> None:
    async with running() as cluster:
        with pytest.raises(Refused, match="not reported enough about the model"):
            await cluster.poller.start_download("n", "nobody/knows-it")
        assert commands(cluster, "/download") == []


async def test_a_command_that_hangs_ends_and_is_not_repeated() -> None:
    async with running("ab", PollerRules(command_timeout=4.0)) as cluster:
        cluster.exos["a"].control.command_latency = 100.0
        before = cluster.time
        with pytest.raises(Unreachable, match=r"within 4\.0 s"):
            await cluster.poller.delete("x")
        assert cluster.time - before == pytest.approx(4.0)
        assert commands(cluster, "/instance") == ["a DELETE"]
        assert cluster.poller.snapshot is not None
        assert cluster.poller.snapshot.connected, "an election hangs commands, never reads"


async def test_a_command_that_was_answered_with_an_error_is_not_repeated() -> None:
    async with running("ab") as cluster:
        cluster.exos["a"].control.inject(parse_fault("error"))
        with pytest.raises(Unreachable, match="failed inside"):
            await cluster.poller.delete("x")
        assert commands(cluster, "/instance") == ["a DELETE"]


async def test_a_command_that_found_no_connection_goes_to_the_next_url() -> None:
    async with running("ab") as cluster:
        cluster.exos["a"].control.drop_connections = True
        assert not await cluster.poller.delete("x")
        assert commands(cluster, "/instance") == ["a DELETE", "b DELETE"]


async def test_a_call_that_changes_nothing_is_sent_to_the_next_url_after_any_failure() -> None:
    async with running("ab") as cluster:
        cluster.exos["a"].control.inject(parse_fault("error"))
        model = cluster.exos["b"].control.cards[0]
        assert (await cluster.poller.preview(model, Sharding.PIPELINE, InstanceType.MLX_RING, 1)).instance is not None
        assert commands(cluster, "/instance/placement") == ["a GET", "b GET"]


async def test_commands_go_to_the_url_that_last_gave_a_state() -> None:
    async with running("ab") as cluster:
        cluster.exos["a"].control.drop_connections = True
        await asyncio.sleep(2.0)
        await cluster.poller.fresh()
        cluster.exos["a"].control.drop_connections = False
        await asyncio.sleep(3.0)
        await cluster.poller.delete("x")
        assert commands(cluster, "/instance") == ["b DELETE"]


async def test_without_any_url_a_command_says_so() -> None:
    async with running("ab") as cluster:
        for exo in cluster.exos.values():
            exo.control.drop_connections = True
        with pytest.raises(Unreachable, match="cannot be reached"):
            await cluster.poller.delete("x")
        with cluster.poller.subscriber():
            await asyncio.sleep(5.0)
            with pytest.raises(Unreachable, match="No exo node answers"):
                await cluster.poller.delete("x")
            with pytest.raises(Unreachable, match="No exo node answers"):
                await cluster.poller.cancel_task("x")


async def test_a_task_is_cancelled_by_the_node_that_holds_it() -> None:
    async with running("ab") as cluster:
        assert not await cluster.poller.cancel_task("nope")
        assert commands(cluster, "/v1/cancel") == ["a POST", "b POST"]
