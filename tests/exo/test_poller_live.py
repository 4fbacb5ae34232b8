"""The poller in real time: real connections, and injected faults."""

import asyncio
import logging
from collections.abc import Awaitable

import pytest
import uvicorn

from exo_graphql.cluster.state import State
from exo_graphql.exo.pacing import PollerRules
from exo_graphql.exo.parse import StateReader
from exo_graphql.exo.poller import Poller
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.support.own_time import OWN_TIME, Backend
from tests.support.polled_cluster import Cluster
from tests.support.running import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> Backend:
    """Real time: these tests use sockets."""
    return OWN_TIME


async def test_a_state_on_which_our_own_code_fails_does_not_end_all_reading(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read = StateReader.read

    def fail(_: StateReader, __: bytes) -> Awaitable[State]:
        monkeypatch.setattr(StateReader, "read", read)
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(StateReader, "read", fail)
    cluster = Cluster("a", PollerRules(idle_pause=0.05), cost=0.0)
    async with cluster.poller:
        with caplog.at_level(logging.ERROR, "exo_graphql.exo"):
            assert (await cluster.poller.fresh()).node_count == 2
    assert [record.message for record in caplog.records] == ["A state of exo could not be processed."]
    assert cluster.poller.stats.failures == 1


async def test_a_served_exo_is_lost_when_it_stops() -> None:
    exo = SimulatedExo(tiny_scenario(), seed=1)
    server = uvicorn.Server(uvicorn.Config(exo.app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(PATIENCE):
        while not server.started:  # noqa: ASYNC110 (uvicorn has no event)
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        rules = PollerRules(normal_pause=0.1, lost_after=0.4, retry_every=0.1)
        async with Poller([f"http://127.0.0.1:{port}"], rules=rules) as poller:
            first = await poller.fresh()
            assert (first.connected, first.node_count) == (True, 2)
            assert first.api_node_id in first.state.nodes
            with poller.subscriber():
                server.should_exit = True
                await serving
                snapshot = first
                while snapshot.connected:
                    snapshot = await poller.changed(snapshot)
            assert snapshot.stale
            assert snapshot.node_count == 2
