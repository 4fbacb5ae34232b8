"""Whole servers that share a store: exo is read by the one that leads, whichever that is."""

import asyncio
from itertools import pairwise
from unittest.mock import patch

import pytest

from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.cluster.status import ModelStatus
from exo_graphql.exo.past_records import CLUSTER
from exo_graphql.serve import run
from exo_graphql.settings import SettingsError
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from exo_graphql.storage import Collection, Entry
from tests.support.replicated import replicated
from tests.support.running import A, Running, running, settings, until
from tests.support.shared_store import SharedState

pytestmark = pytest.mark.anyio


def copies(server: Running) -> bool:
    return server.components.poller.has_a_copy


async def test_the_one_that_leads_reads_exo_and_the_others_read_it_from_there() -> None:
    exo = SimulatedExo(tiny_scenario(), seed=1)
    async with replicated({"exo": exo}, {"exo": exo}, tokens="read:only-for-readers", normal_pause=0.1) as pair:
        first, second = pair.servers
        seen: list[Snapshot] = []
        poller = second.components.poller
        with first.components.poller.subscriber(), poller.subscriber(), poller.listen(seen.append):
            await until(lambda: copies(second))
            assert not copies(first)
            assert second.components.poller.snapshot is not None
            assert second.components.poller.snapshot.exo_url == f"http://127.0.0.1:{first.port}/exo"
            # Nobody leads: each reads exo itself.
            pair.lead(None)
            await until(lambda: not copies(second))
            # The other one does.
            pair.lead(1)
            await until(lambda: copies(first))
            exo.control.place(A)
            exo.control.advance(5.0)
            await until(lambda: first.components.poller.snapshot and first.components.poller.snapshot.state.instances)
            assert copies(first)
            assert not copies(second)
            assert all(one.state.index <= other.state.index for one, other in pairwise(seen))  # type: ignore[operator]
            assert not any(snapshot.stale for snapshot in seen)


async def test_what_the_leader_knows_of_a_model_is_taken_over_where_its_copy_cannot_be_read() -> None:
    exo = SimulatedExo(tiny_scenario(), seed=1)
    async with replicated({"exo": exo}, {"exo": exo}, url="http://127.0.0.1:9", normal_pause=0.1) as pair:
        pollers = [server.components.poller for server in pair]
        with pollers[0].subscriber(), pollers[1].subscriber():
            exo.control.place(A)
            for _ in range(20):
                exo.control.advance(2.0)
                await asyncio.sleep(0.05)

            def statuses() -> list[ModelStatus]:
                return [poller.snapshot.status(A) for poller in pollers if poller.snapshot is not None]

            await until(lambda: all(status.ready for status in statuses()))
            assert not any(copies(server) for server in pair)
            # Each has seen it at a moment of its own.
            await until(lambda: len({status.changed_at for status in statuses()}) == 1)
            assert statuses()[1].changed_at is not None


async def test_a_server_of_another_cluster_ends_at_its_start() -> None:
    state = SharedState()
    store = state.store("of another office")
    state.leader = store
    await store.open()
    await store.save(Collection.PAST, Entry(1, CLUSTER, active=False, record=b'{"members": {"m": "mini"}, "index": 9}'))
    try:
        async with running(SimulatedExo(tiny_scenario(), seed=1)) as exo:
            given = settings(port=0, exo_url=(f"http://127.0.0.1:{exo.port}/exo",))
            with (
                patch("exo_graphql.app.store_of", return_value=store),
                pytest.raises(SettingsError, match="another --namespace") as refused,
            ):
                await run(given)
        assert (refused.value.setting, refused.value.exit_code) == ("exo_url", 1)
    finally:
        await state.sqlite.close()
