"""The wall clock gives timestamps alone: set by an hour while exo dies, it changes no decision."""

import asyncio
from datetime import timedelta

import pytest

from exo_graphql.cluster.readiness import Phase
from exo_graphql.simulator import parse_fault
from tests.support.polled_cluster import Cluster, loop_now, running

pytestmark = pytest.mark.anyio

HOUR = 3600.0


@pytest.mark.parametrize("by", [-HOUR, 0.0, HOUR])
async def test_a_clock_that_is_set_while_exo_dies_hides_and_hastens_nothing(by: float) -> None:
    async with running() as cluster:
        exo = cluster.exos["a"].control
        model = exo.cards[0]
        assert exo.place(model) is not None
        exo.advance(30)
        with cluster.poller.subscriber():
            snapshot = await cluster.poller.read_now()
            assert snapshot.status(model).ready
            broke = cluster.time
            exo.inject(parse_fault("hang"))
            cluster.set_wall_clock(by)
            while snapshot.connected:
                snapshot = await cluster.poller.changed(snapshot)
            assert cluster.time - broke == pytest.approx(2.5, abs=0.1)
            assert snapshot.status(model).phase is Phase.READY
            while snapshot.status(model).phase is Phase.READY:
                snapshot = await cluster.poller.changed(snapshot)
            assert snapshot.status(model).phase is Phase.UNREACHABLE
            assert cluster.time - broke == pytest.approx(11.0, abs=0.6)
            # It still gives the timestamps.
            assert snapshot.status(model).changed_at == loop_now() + timedelta(seconds=by)


@pytest.mark.parametrize("by", [-HOUR, 0.0, HOUR])
async def test_a_clock_that_is_set_gives_no_download_up_early_or_late(by: float) -> None:
    async with running() as cluster:
        exo = cluster.exos["a"].control
        model = exo.cards[0]
        for node in (await cluster.poller.fresh()).nodes:
            await cluster.poller.delete_download(node.id, model)
        exo.inject(parse_fault(f"download-fails:{model}"))
        exo.advance(1.0)
        assert exo.place(model) is not None
        with cluster.poller.subscriber():
            failed = given_up = 0.0
            for _ in range(600):
                exo.advance(0.1)
                await asyncio.sleep(0.1)
                status = (await cluster.poller.fresh()).status(model)
                if status.failure is not None and not failed:
                    failed = cluster.time
                    cluster.set_wall_clock(by)
                if status.final:
                    given_up = cluster.time
                    break
        assert given_up - failed == pytest.approx(30.0, abs=1.2)


@pytest.mark.parametrize("by", [-HOUR, 0.0, HOUR])
async def test_an_election_keeps_its_grace_when_the_wall_clock_is_set(by: float) -> None:
    async with running() as cluster:
        with cluster.poller.subscriber():
            await cluster.poller.read_now()
            emptied = cluster.time
            _empty(cluster)
            snapshot = await cluster.poller.read_now()
            cluster.set_wall_clock(by)
            while snapshot.node_count:
                assert snapshot.stale
                snapshot = await cluster.poller.changed(snapshot)
            assert cluster.time - emptied == pytest.approx(60.0, abs=1.2)


def _empty(cluster: Cluster) -> None:
    """A session that no node joins."""
    simulation = cluster.exos["a"]._simulation
    simulation.cluster.state = type(simulation.cluster.state)()
