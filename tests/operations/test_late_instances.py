"""What exo creates after its operation has given it up is removed, and nothing else is."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from exo_graphql.cluster.state import Instance
from exo_graphql.operations import Operation, OperationKind, OperationRules, Operations, OperationState
from exo_graphql.operations.records import Record, decode
from exo_graphql.operations.requests import OperationRequest
from exo_graphql.operations.saga_state import SagaState
from exo_graphql.operations.unclaimed import Unclaimed
from exo_graphql.storage import Collection, Entry
from exo_graphql.storage.sqlite import SQLiteStore
from tests.support.deployed_cluster import deployed
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, B, SimulatedCluster, begun, operations, steps, world

pytestmark = pytest.mark.anyio

REMOVED = 15.0
"""Seconds within which what came late is removed."""
DELETE = ("DELETE", "/instance/{instance_id}")


class Requested:
    """Notes what operations store before they ask exo for it, and asks for that once more, too late."""

    def __init__(self, w: SimulatedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        self.w = w
        self.instances: dict[str, Instance] = {}
        """The last one by model."""
        save = SQLiteStore.save

        async def noted(store: SQLiteStore, collection: Collection, entry: Entry) -> None:
            record = decode(entry) if collection is Collection.OPERATIONS else None
            if isinstance(record, Record):
                for target in record.saga_state.targets:
                    if target.instance is not None:
                        self.instances[target.model_id] = target.instance
            await save(store, collection, entry)

        monkeypatch.setattr(SQLiteStore, "save", noted)

    async def arrive(self, model: str) -> str:
        """The request for the instance of a model arrives; its id."""
        instance = self.instances[model]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.w.sim.app), base_url="http://exo") as exo:
            answer = await exo.post("/instance", json={"instance": instance.document})
        assert answer.status_code == 200
        await self.w.until(lambda snapshot: instance.id in snapshot.state.instances)
        return instance.id

    async def is_removed(self, instance_id: str, seconds: float = REMOVED) -> bool:
        """Whether it goes within so many seconds."""
        try:
            await self.w.until(lambda snapshot: instance_id not in snapshot.state.instances, seconds)
        except TimeoutError:
            return False
        return True


async def _given_up(w: SimulatedCluster, ops: Operations | None = None) -> Operation:
    """A swap of A for B that was cancelled while B was loading."""
    ops = ops or w.ops
    await w.given(A)
    operation = begun(await ops.swap([A], [B]))
    await w.when(operation, lambda now: steps(now)["load"] == "RUNNING", ops)
    begun(await ops.cancel(operation.id))
    ended = await w.end(operation, ops)
    assert ended.state is OperationState.CANCELLED, ended
    assert await w.listed() == [A]
    return ended


async def test_an_instance_that_is_created_after_its_swap_was_undone_is_removed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world() as w:
        requested = Requested(w, monkeypatch)
        operation = await _given_up(w)
        deleted = w.sim.control.requests[DELETE]
        with caplog.at_level("WARNING"):
            assert await requested.is_removed(await requested.arrive(B))
        assert f"after operation {operation.id} had given it up" in caplog.text
        assert w.sim.control.requests[DELETE] == deleted + 1
        assert await w.serving() == [A]
        # Once more: a command may have been sent twice.
        assert await requested.is_removed(await requested.arrive(B))
        assert await w.serving() == [A]


async def test_a_load_that_was_given_up_leaves_nothing_on_an_empty_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        requested = Requested(w, monkeypatch)
        operation = begun(await w.ops.load(A))
        await w.when(operation, lambda now: steps(now)["load"] == "RUNNING")
        await w.ops.cancel(operation.id)
        await w.end(operation)
        assert await requested.is_removed(await requested.arrive(A))


async def test_it_is_removed_by_the_server_that_leads_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        requested = Requested(w, monkeypatch)
        async with operations(w.poller, tmp_path / "1.db") as ops:
            await _given_up(w, ops)
        async with operations(w.poller, tmp_path / "1.db"):
            await w.snapshot()
            assert await requested.is_removed(await requested.arrive(B))


async def test_one_that_was_there_before_this_server_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been in use for hours."""
    async with world() as w:
        requested = Requested(w, monkeypatch)
        async with operations(w.poller, tmp_path / "1.db") as ops:
            await _given_up(w, ops)
        late = await requested.arrive(B)
        async with operations(w.poller, tmp_path / "1.db"):
            assert not await requested.is_removed(late, 200)


async def test_the_only_model_that_is_ready_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        requested = Requested(w, monkeypatch)
        await _given_up(w)
        (old,) = (await w.snapshot()).state.instances
        w.sim.control.delete_instance(old)
        await w.until(lambda snapshot: not snapshot.state.instances)
        late = await requested.arrive(B)
        assert not await requested.is_removed(late, 200)
        # By now it may be in use, even though it is not the only one any more.
        await w.given(A)
        assert not await requested.is_removed(late, 60)
        assert await w.serving() == [A, B]


async def test_it_is_left_until_another_model_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        requested = Requested(w, monkeypatch)
        await _given_up(w)
        (old,) = (await w.snapshot()).state.instances
        w.sim.control.delete_instance(old)
        await w.until(lambda snapshot: not snapshot.state.instances)
        late = await requested.arrive(B)
        await w.until(lambda snapshot: snapshot.status(B).ready)
        w.sim.control.place(A)
        serving: set[bool] = set()
        with w.poller.listen(lambda s: serving.add(any(s.instance_status(i).ready for i in s.state.instances))):
            assert await requested.is_removed(late, 60)
        assert serving == {True}


@pytest.mark.parametrize("ends", [True, False])
async def test_one_that_a_person_has_adopted_is_left(ends: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        requested = Requested(w, monkeypatch)
        await _given_up(w)
        late = await requested.arrive(B)
        adopting = begun(await w.ops.load(B))
        if ends:
            assert (await w.end(adopting)).state is OperationState.SUCCEEDED
        assert not await requested.is_removed(late, 200)
        assert (await w.end(adopting)).state is OperationState.SUCCEEDED
        assert await w.serving() == [A, B]


async def test_one_that_was_adopted_is_left_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        requested = Requested(w, monkeypatch)
        async with operations(w.poller, tmp_path / "1.db") as ops:
            await _given_up(w, ops)
            late = await requested.arrive(B)
            await w.end(await ops.load(B), ops)
        w.sim.control.delete_instance(late)
        await w.until(lambda snapshot: late not in snapshot.state.instances)
        async with operations(w.poller, tmp_path / "1.db"):
            await w.snapshot()
            assert not await requested.is_removed(await requested.arrive(B), 200)


async def test_what_an_operation_has_placed_is_left_when_it_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A master that hung returns, and with it what it ran."""
    async with world() as w:
        requested = Requested(w, monkeypatch)
        await w.given(A)
        await w.loaded(B)
        w.sim.control.delete_instance(requested.instances[B].id)
        await w.until(lambda snapshot: len(snapshot.state.instances) == 1)
        assert not await requested.is_removed(await requested.arrive(B), 200)


async def test_it_is_removed_once_nobody_chats_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        requested = Requested(w, monkeypatch)
        await _given_up(w)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(w.sim.app), base_url="http://exo", timeout=3600.0
        ) as exo:
            late = await requested.arrive(B)
            body = {"model": B, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2000}
            chat = asyncio.create_task(exo.post("/v1/chat/completions", json=body))
            await w.until(lambda s: any(s.is_active(task) and task.instance_id == late for task in s.tasks))
            assert not await requested.is_removed(late, 20)
            w.sim.control.advance(600)
            await chat
            assert await requested.is_removed(late)


async def test_it_is_left_while_an_operation_acts_on_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        requested = Requested(w, monkeypatch)
        await _given_up(w)
        given_up = requested.instances[B]
        other = begun(await w.ops.load(B))
        await w.when(other, lambda now: steps(now)["load"] == "RUNNING")
        requested.instances[B] = given_up
        late = await requested.arrive(B)
        listed = set()
        with w.poller.listen(lambda snapshot: listed.add(late in snapshot.state.instances)):
            ended = await w.end(other)
        assert listed == {True}
        assert ended.state is OperationState.SUCCEEDED
        assert await requested.is_removed(late)
        assert tuple((i.model_id, i.id) for i in (await w.snapshot()).instances_of(B)) == ended.placed


async def test_a_deployment_that_lacks_a_copy_adopts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with deployed() as d:
        requested = Requested(d.w, monkeypatch)
        await _given_up(d.w)
        late = await requested.arrive(B)
        await d.applied("b", B)
        await d.until_state("b", "READY", 60)
        assert not await requested.is_removed(late, 200)
        assert d.assessment("b").deployment.owned == (late,)


async def test_a_copy_beside_that_of_a_deployment_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with deployed() as d:
        requested = Requested(d.w, monkeypatch)
        await _given_up(d.w)
        late = requested.instances[B]
        await d.applied("b", B)
        await d.until_state("b", "READY", 60)
        await asyncio.sleep(180)  # until arrivals and departures of instances are counted
        requested.instances[B] = late
        await requested.arrive(B)
        (own,) = d.assessment("b").deployment.owned
        ready: set[bool] = set()
        with d.w.poller.listen(lambda snapshot: ready.add(snapshot.instance_status(own).ready)):
            assert await requested.is_removed(late.id, 30)
            await asyncio.sleep(60)
        assert ready == {True}
        assert d.state("b").value == "READY"
        assert d.assessment("b").reason == "Ready."  # and nothing about another server
        assert len((await d.w.snapshot()).instances_of(B)) == 1


def test_ids_are_forgotten_after_a_while_and_beyond_a_number() -> None:
    now = datetime(2026, 6, 22, 12, tzinfo=UTC)
    unclaimed = Unclaimed(OperationRules(kept_unclaimed=2, unclaimed_seconds=60), lambda: now)
    for number in range(3):
        operation = Operation(f"o{number}", OperationKind.LOAD, OperationState.FAILED, "", (), now, finished_at=now)
        request = OperationRequest(OperationKind.LOAD, load=(B,))
        unclaimed.note(Record(number, operation, request, SagaState(requested=[f"i{number}"])))
    assert [unclaimed.origin(f"i{number}") is not None for number in range(3)] == [False, True, True]
    now += timedelta(seconds=61)
    assert unclaimed.origin("i2") is None


async def test_two_requests_for_a_restored_model_leave_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is created after the second, which has replaced it."""
    async with world() as w:
        await w.given(HALF)
        save = SQLiteStore.save
        restored: list[Instance] = []

        async def noted(store: SQLiteStore, collection: Collection, entry: Entry) -> None:
            record = decode(entry)
            if isinstance(record, Record):
                restored.extend(d.restored for d in record.saga_state.removals if d.restored is not None)
            await save(store, collection, entry)

        monkeypatch.setattr(SQLiteStore, "save", noted)
        w.fault(f"load-fails:{OTHER_HALF}")
        operation = begun(await w.ops.swap([HALF], [OTHER_HALF]))
        await w.when(operation, lambda now: steps(now).get("restore") == "RUNNING" and bool(restored))
        await w.until(lambda snapshot: restored[0].id in snapshot.state.instances)
        w.sim.control.delete_instance(restored[0].id)
        ended = await w.end(operation)
        assert ended.state is OperationState.ROLLED_BACK, ended
        assert restored[-1].id != restored[0].id
        w.sim.control.create_instance(dict(restored[0].document or {}))
        await w.until(lambda snapshot: restored[0].id in snapshot.state.instances)
        await w.until(lambda snapshot: restored[0].id not in snapshot.state.instances, REMOVED)
        assert list((await w.snapshot()).state.instances) == [restored[-1].id]
