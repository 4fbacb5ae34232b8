"""A server that is started again knows what the one before it knew, and writes nothing while nothing changes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from exo_graphql.cluster.readiness import Phase
from exo_graphql.cluster.status import ModelStatus
from exo_graphql.exo.past_keeper import PastKeeper
from exo_graphql.exo.poller import Poller
from exo_graphql.operations import Operations
from exo_graphql.simulator import tiny_scenario
from exo_graphql.storage import Collection, Entry, StoreError
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.polled_cluster import loop_moment, loop_now
from tests.support.simulated_cluster import A, SimulatedCluster, world
from tests.support.threaded_time import ThreadedTimeLoop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": ThreadedTimeLoop}


class Counted(SQLiteStore):
    """Counts the writes of what is known, and writes nothing more once its server is killed."""

    writes = 0
    killed = False

    async def save(self, collection: Collection, entry: Entry) -> None:
        self._write(collection)
        await super().save(collection, entry)

    async def forget(self, collection: Collection, ids: Sequence[str], keys: Sequence[str] = ()) -> None:
        self._write(collection)
        await super().forget(collection, ids, keys)

    def _write(self, collection: Collection) -> None:
        if self.killed:
            raise StoreError("Killed.")
        self.writes += collection is Collection.PAST


class Server(SimulatedCluster):
    store: Counted
    keeper: PastKeeper

    def status(self) -> ModelStatus:
        assert self.poller.snapshot is not None
        return self.poller.snapshot.status(A)


@asynccontextmanager
async def server(w: SimulatedCluster, path: Path, *, killed: bool = False) -> AsyncIterator[Server]:
    """A server on the store at `path`; `killed`: what it has not written yet is lost."""
    poller = Poller(["http://exo"], transport=httpx.ASGITransport(w.sim.app), now=loop_moment, awaits_past=True)
    store = Counted(path)
    operations = Operations(poller, store, now=loop_now)
    keeper = PastKeeper(poller, store, now=loop_moment)
    async with AsyncExitStack() as started:
        await started.enter_async_context(poller)
        await store.open()
        started.push_async_callback(store.close)
        await started.enter_async_context(operations)
        started.push_async_callback(keeper.rest)
        await keeper.lead()
        await poller.fresh(0.0)
        found = Server(w.sim, poller, operations)
        found.store, found.keeper = store, keeper
        with poller.subscriber():
            yield found
            store.killed = killed


@pytest.mark.parametrize("killed", [False, True])
async def test_a_restart_changes_nothing_that_is_said_of_a_model(tmp_path: Path, killed: bool) -> None:
    async with world() as w:
        async with server(w, tmp_path / "store", killed=killed) as first:
            w.fault(f"load-fails:{A}")
            w.sim.control.place(A)
            await first.until(lambda snapshot: snapshot.status(A).failure is not None)
            w.sim.control.clear()
            await first.until(lambda snapshot: snapshot.status(A).ready)
            await asyncio.sleep(1.5)
            before = first.status()
            assert before.failure is not None
            assert before.changed_at is not None
        await asyncio.sleep(60)
        async with server(w, tmp_path / "store") as second:
            after = second.status()
            assert (after.phase, after.changed_at, after.failure) == (Phase.READY, before.changed_at, before.failure)


async def test_a_change_that_is_alone_is_stored_at_once(tmp_path: Path) -> None:
    async with world() as w:
        await w.given(A)
        async with server(w, tmp_path / "store", killed=True) as first:
            await asyncio.sleep(5)
            w.sim.control.delete_instance(next(iter((await first.snapshot()).instances_of(A))).id)
            await first.until(lambda snapshot: not snapshot.instances_of(A))
            await asyncio.sleep(0.01)
            changed_at = first.status().changed_at
        await asyncio.sleep(60)
        async with server(w, tmp_path / "store") as second:
            assert (second.status().phase, second.status().changed_at) == (Phase.NOT_LOADED, changed_at)


async def test_nothing_is_written_while_nothing_changes(tmp_path: Path) -> None:
    async with world() as w:
        await w.given(A)
        async with server(w, tmp_path / "store") as first:
            await asyncio.sleep(5)
            written = first.store.writes
            await asyncio.sleep(60)
            assert first.store.writes == written
        async with server(w, tmp_path / "store") as second:
            await asyncio.sleep(60)
            assert second.store.writes == 0


async def test_an_instance_whose_unload_was_under_way_was_not_lost(tmp_path: Path) -> None:
    async with world() as w:
        await w.given(A)
        async with server(w, tmp_path / "store", killed=True) as first:
            operation = await first.ops.unload(A)
            await first.until(lambda snapshot: snapshot.status(A).phase is Phase.UNLOADING)
        async with server(w, tmp_path / "store") as second:
            assert second.status().phase is Phase.UNLOADING
            await second.end(operation)
            assert (second.status().phase, second.status().failure) == (Phase.NOT_LOADED, None)


async def test_a_load_is_written_no_more_often_than_once_a_second(tmp_path: Path) -> None:
    async with world() as w, server(w, tmp_path / "store") as first:
        began = loop_moment().elapsed
        phases = Counter[Phase]()
        with first.poller.listen(lambda snapshot: phases.update([snapshot.status(A).phase])):
            await first.end(await first.ops.load(A))
        assert len(phases) > 2
        # Each write is of the model and of the cluster.
        assert first.store.writes <= 2 * (loop_moment().elapsed - began + 2)


async def test_what_was_seen_while_exo_elected_a_master_is_stored_afterwards(tmp_path: Path) -> None:
    async with world(tiny_scenario(3)) as w:
        await w.given(A)
        async with server(w, tmp_path / "store", killed=True) as first:
            await asyncio.sleep(5)
            w.sim.control.kill_master()
            held = await first.until(lambda snapshot: snapshot.held)
            await asyncio.sleep(2)
            await first.until(lambda snapshot: not snapshot.held)
            assert held.status(A).ready
            await asyncio.sleep(2)
            before = first.status()
            assert before.failure is not None
        async with server(w, tmp_path / "store") as second:
            assert (second.status().changed_at, second.status().failure) == (before.changed_at, before.failure)


async def test_one_that_begins_to_lead_keeps_what_it_has_seen_since_the_last_leader_wrote(tmp_path: Path) -> None:
    async with world() as w, server(w, tmp_path / "store") as one:
        await w.given(A)
        await asyncio.sleep(3)
        old = await one.store.entries(Collection.PAST)
        w.sim.control.delete_instance(next(iter((await one.snapshot()).instances_of(A))).id)
        await one.until(lambda snapshot: not snapshot.instances_of(A))
        await w.given(A)
        await asyncio.sleep(3)
        seen, new = one.status(), await one.store.entries(Collection.PAST)
        await one.keeper.rest()
        for entry in old:
            await one.store.save(Collection.PAST, entry)
        await one.keeper.lead()
        await asyncio.sleep(3)
        assert one.status().changed_at == seen.changed_at
        rewritten = await one.store.some(Collection.PAST, [f"model:{A}"])
        assert rewritten == [entry for entry in new if entry.id == f"model:{A}"]


async def test_one_that_follows_takes_over_what_the_leader_saw_earlier(tmp_path: Path) -> None:
    async with world() as w, server(w, tmp_path / "store") as one:
        await w.given(A)
        await asyncio.sleep(3)
        seen, (entry,) = one.status(), await one.store.some(Collection.PAST, [f"model:{A}"])
        assert seen.changed_at is not None
        await one.keeper.rest()
        # The leader saw it while this server was stopped for a minute.
        earlier = seen.changed_at - timedelta(minutes=1)
        record = entry.record.replace(_text(seen.changed_at), _text(earlier))
        await one.store.save(Collection.PAST, replace(entry, record=record))
        await one.keeper.changed({Collection.PAST: None})
        assert one.status().changed_at == earlier


def _text(moment: datetime) -> bytes:
    return moment.isoformat().removesuffix("+00:00").encode()
