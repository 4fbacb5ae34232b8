"""Losses while no server runs: each is reported once, by the next one, with its cause."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from exo_graphql.cluster.history import LOST_WITH_MASTER
from exo_graphql.deployments.service import Deployments
from exo_graphql.events import EventKind, Severity
from exo_graphql.events.log import EventLog
from exo_graphql.events.serving import decode, encode
from exo_graphql.exo.poller import Poller
from exo_graphql.observability.recorder import Recorder
from exo_graphql.operations import Operations
from exo_graphql.simulator import tiny_scenario
from exo_graphql.storage import Collection, Entry
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.polled_cluster import loop_moment, loop_now
from tests.support.simulated_cluster import A, B, SimulatedCluster, world
from tests.support.threaded_time import ThreadedTimeLoop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": ThreadedTimeLoop}


@asynccontextmanager
async def recording(
    w: SimulatedCluster, path: Path, *, answers: bool = True
) -> AsyncIterator[tuple[EventLog, SimulatedCluster]]:
    """A server on the store at `path`, with everything that makes events."""
    poller = Poller(["http://exo"], transport=httpx.ASGITransport(w.sim.app), now=loop_moment)
    store = SQLiteStore(path)
    operations = Operations(poller, store, now=loop_now)
    deployments = Deployments(poller, operations, store, now=loop_moment)
    events = EventLog(store, now=loop_now)
    async with AsyncExitStack() as started:
        await started.enter_async_context(poller)
        await store.open()
        started.push_async_callback(store.close)
        for part in (events, operations, deployments):
            await started.enter_async_context(part)
        started.enter_context(Recorder(events, poller, operations, deployments))
        if answers:
            await poller.fresh(0.0)
        yield events, SimulatedCluster(w.sim, poller, operations)


def kinds(events: EventLog) -> list[EventKind]:
    """Of all that happened, oldest first."""
    return [event.kind for event in events.in_memory]


Act = Callable[[SimulatedCluster, str], object]


def _deleted(w: SimulatedCluster, instance_id: str) -> None:
    w.sim.control.delete_instance(instance_id)


def _exo_restarted(w: SimulatedCluster, _: str) -> None:
    w.sim.control.restart(1.0)


def _node_died(w: SimulatedCluster, _: str) -> None:
    w.sim.control.kill_node("node-2")


def _master_died(w: SimulatedCluster, _: str) -> None:
    w.sim.control.kill_master()


CAUSES: dict[str, tuple[Act, str]] = {
    "deleted": (_deleted, "exo does not list it any more; another client of exo may have unloaded it."),
    "exo restarted": (_exo_restarted, "exo was restarted on all nodes, and does not place its instances again."),
    "its node died": (_node_died, "node-2 has left the cluster or was restarted, and exo removed the instance."),
    "master died": (_master_died, LOST_WITH_MASTER),
}


@pytest.mark.parametrize("cause", CAUSES)
async def test_a_loss_while_no_server_ran_is_reported_once_with_its_cause(cause: str, tmp_path: Path) -> None:
    act, message = CAUSES[cause]
    path = tmp_path / "store"
    async with world(tiny_scenario(3)) as w:
        instance = w.sim.control.place(A, ["node-2"])
        assert instance is not None
        await w.until(lambda snapshot: snapshot.status(A).ready)
        async with recording(w, path) as (events, _):
            # It was loaded before this server saw it: that makes no event.
            assert kinds(events) == []
        act(w, instance)
        await asyncio.sleep(120)
        async with recording(w, path) as (events, first):
            (lost,) = [event for event in events.in_memory if event.kind is EventKind.MODEL_LOST]
            assert (lost.model_id, lost.severity) == (A, Severity.ERROR)
            assert lost.message == f"Model {A} was lost while this server did not run: {message}"
            assert (await first.snapshot()).unhealthy_reasons == (f"{lost.message} Since {lost.at:%H:%M} UTC.",)
        async with recording(w, path) as (events, _):
            assert len(events.in_memory) == 1


async def test_what_still_serves_after_a_restart_is_no_event(tmp_path: Path) -> None:
    async with world() as w:
        await w.given(A)
        for _ in range(3):
            async with recording(w, tmp_path / "store") as (events, _):
                await asyncio.sleep(5)
                assert kinds(events) == []


async def test_a_loss_and_an_unload_that_were_reported_are_not_reported_again(tmp_path: Path) -> None:
    async with world() as w:
        await w.given(A, B)
        async with recording(w, tmp_path / "store") as (events, server):
            server.sim.control.delete_instance(next(iter((await server.snapshot()).instances_of(A))).id)
            await server.until(lambda snapshot: not snapshot.instances_of(A))
            await server.end(await server.ops.unload(B))
            reported = kinds(events)
            assert reported.count(EventKind.MODEL_UNLOADED) == 2
        async with recording(w, tmp_path / "store") as (events, _):
            assert kinds(events) == reported


async def test_a_node_that_lacks_events_is_given_time_before_a_model_counts_as_lost(tmp_path: Path) -> None:
    async with world() as w:
        await w.given(A)
        path = tmp_path / "store"
        async with recording(w, path):
            pass
        store = SQLiteStore(path)
        await store.open()
        noted = decode(await store.entries(Collection.SERVING))
        assert noted is not None
        (copy,) = noted.copies.values()
        ahead = replace(noted, index=10**6, copies={"not-replayed-yet": copy})
        await store.save(Collection.SERVING, encode(ahead))
        await store.close()
        async with recording(w, path) as (events, _):
            await asyncio.sleep(55)
            assert kinds(events) == []
            await asyncio.sleep(15)
            assert kinds(events) == [EventKind.MODEL_LOST]


async def test_what_another_cluster_served_is_not_lost(tmp_path: Path) -> None:
    async with world() as w:
        await w.given(A)
        async with recording(w, tmp_path / "store"):
            pass
    scenario = tiny_scenario()
    machines = tuple(replace(machine, name=f"other-{machine.name}") for machine in scenario.machines)
    names = {before.name: after.name for before, after in zip(scenario.machines, machines, strict=True)}
    other = replace(
        scenario,
        machines=machines,
        api=names[scenario.api],
        master=names[scenario.master],
        weights={model: tuple(names[name] for name in nodes) for model, nodes in scenario.weights.items()},
    )
    async with world(other, seed=2) as w, recording(w, tmp_path / "store") as (events, _):
        await asyncio.sleep(70)
        assert kinds(events) == []


async def test_exo_that_does_not_answer_when_the_server_starts_is_reported_once(tmp_path: Path) -> None:
    async with world() as w:
        w.sim.control.drop_connections = True
        async with recording(w, tmp_path / "store", answers=False) as (events, server):
            await asyncio.sleep(9)
            assert kinds(events) == []
            await asyncio.sleep(60)
            assert kinds(events) == [EventKind.EXO_UNREACHABLE]
            w.sim.control.drop_connections = False
            await server.snapshot()
            assert kinds(events) == [EventKind.EXO_UNREACHABLE, EventKind.EXO_BACK]


@pytest.mark.parametrize("note", [b"{}", b"not json"])
async def test_a_note_that_cannot_be_read_is_replaced(note: bytes, tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = SQLiteStore(path)
    await store.open()
    await store.save(Collection.SERVING, Entry(1, "serving", active=True, record=note))
    await store.close()
    async with world() as w:
        await w.given(A)
        async with recording(w, path) as (events, _):
            assert kinds(events) == []
        w.sim.control.restart(1.0)
        await asyncio.sleep(120)
        async with recording(w, path) as (events, _):
            assert kinds(events) == [EventKind.MODEL_LOST]
