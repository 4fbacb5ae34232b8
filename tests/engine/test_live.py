"""Live queries, under virtual time: what is executed, what is sent, to whom, and when they end."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import orjson
import pytest

from exo_graphql import app, configured
from exo_graphql.cluster.snapshot import Snapshot
from exo_graphql.engine.execution import Answer
from exo_graphql.engine.prepared import Prepared
from exo_graphql.engine.requests import GraphQLRequest
from exo_graphql.engine.rights import Caller, Rights
from exo_graphql.engine.service import Service
from exo_graphql.engine.shared_subscription import Subscriber
from exo_graphql.exo.pacing import Mode
from exo_graphql.exo.poller import Poller
from exo_graphql.operations import Operation
from exo_graphql.simulator import SimulatedExo, tiny_scenario
from exo_graphql.simulator import clock as demo_clock
from tests.support.polled_cluster import loop_moment, loop_now
from tests.support.running import settings
from tests.support.simulated_cluster import A, B, SimulatedCluster
from tests.support.threaded_time import ThreadedTimeLoop

pytestmark = pytest.mark.anyio

STATUS = "subscription ($model: String!, $until: ModelStatusUntil) { modelStatus(model: $model, until: $until) "
PHASE = STATUS + "{ phase stale } }"
CLOCKS = "subscription { cluster { observedAt ageSeconds stateVersion loadedModelCount "
CLOCKS += "nodes { lastSeen secondsSinceSeen } } }"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": ThreadedTimeLoop}


@dataclass
class LiveService:
    """A service over a simulated cluster. `executions` are those of live queries, one for each."""

    world: SimulatedCluster
    service: Service
    executions: list[str]
    snapshots: list[Snapshot]

    @property
    def time(self) -> float:
        return asyncio.get_running_loop().time()

    @asynccontextmanager
    async def subscribe(
        self, query: str, rights: Rights = Rights.OPERATE, **variables: Any
    ) -> AsyncIterator[Subscriber]:
        prepared = await self.service.prepare(GraphQLRequest(query, None, variables))
        assert isinstance(prepared, Prepared), prepared
        async with self.service.subscribe(prepared, Caller(rights)) as subscriber:
            assert isinstance(subscriber, Subscriber)
            yield subscriber

    async def collect(self, query: str, **variables: Any) -> list[Any]:
        """Every message until the subscription completes."""
        async with self.subscribe(query, **variables) as subscriber:
            return [body(answer) async for answer in subscriber]


@asynccontextmanager
async def live_service() -> AsyncIterator[LiveService]:
    # The whole composition lives by the loop's time, so that all clocks are one.
    loop_time = SimpleNamespace(monotonic=asyncio.get_running_loop().time)
    loop_clock = SimpleNamespace(now=loop_moment, utc_now=loop_now, elapsed=asyncio.get_running_loop().time)
    with (
        patch.object(demo_clock, "time", loop_time),
        patch.object(app, "clock", loop_clock),
        patch.object(configured, "clock", loop_clock),
    ):
        exo = SimulatedExo(tiny_scenario(), seed=1)
        exo.control.latency = 0.01
        components = app.build(settings(), exo)
        cluster = SimulatedCluster(exo, components.poller, components.operations)
        snapshots: list[Snapshot] = []
        made = LiveService(cluster, components.service, [], snapshots)
        execute = components.service._executor.execute

        def counted(document: Any, context: Any, *arguments: Any) -> Any:
            made.executions.append(context.version)
            return execute(document, context, *arguments)

        counting = patch.object(components.service._executor, "execute", counted)
        async with asyncio.timeout(500), AsyncExitStack() as started:
            await components.store.open()
            started.push_async_callback(components.store.close)
            components.poller.recall(None)  # without the part of the server that reads it
            for component in (exo, components.poller, components.operations):
                await started.enter_async_context(component)
            exo.control.advance(1000)  # until the machines have cooled down and nothing moves any more
            await components.poller.fresh(0.0)
            await asyncio.sleep(1)  # the catalogue comes a moment after the first snapshot
            with components.poller.listen(snapshots.append), counting:
                async with components.service:
                    yield made


def body(answer: Answer) -> Any:
    return orjson.loads(answer.payload)


def status(answer: Answer) -> Mapping[str, Any]:
    reported: Mapping[str, Any] = body(answer)["data"]["modelStatus"]
    return reported


async def _nothing_from(subscriber: Subscriber, seconds: float) -> bool:
    """Whether nothing is sent for as long. (A subscriber whose wait was cancelled may be asked again.)"""
    try:
        async with asyncio.timeout(seconds):
            await anext(subscriber)
    except TimeoutError:
        return True
    return False


def _mode(live: LiveService) -> Mode:
    return live.world.poller.mode


async def test_the_first_value_comes_at_once() -> None:
    async with live_service() as live:
        began = live.time
        async with live.subscribe(PHASE, model=A) as subscriber:
            assert status(await anext(subscriber)) == {"phase": "NOT_LOADED", "stale": False}
        assert live.time - began < 0.05


async def test_each_change_is_sent_once_in_order() -> None:
    async with live_service() as live, live.subscribe(PHASE, model=A) as subscriber:
        phases = [status(await anext(subscriber))["phase"]]
        live.world.sim.control.place(A)
        while phases[-1] != "READY":
            phases.append(status(await anext(subscriber))["phase"])
        assert phases == ["NOT_LOADED", "WAITING", "LOADING", "WARMING_UP", "READY"]
        assert await _nothing_from(subscriber, 60)


async def test_five_hundred_identical_subscriptions_are_executed_and_encoded_once_a_snapshot() -> None:
    async with live_service() as live:
        messages: list[list[bytes]] = [[] for _ in range(500)]

        async def read(into: list[bytes]) -> None:
            async with live.subscribe(STATUS + "{ phase progressPercent } }", model=A, until="READY") as subscriber:
                into.extend([answer.payload async for answer in subscriber])

        async with asyncio.TaskGroup() as tasks:
            for into in messages:
                tasks.create_task(read(into))
            await asyncio.sleep(0.1)
            assert live.service.live.subscriber_count == 500
            assert live.service.live.share_count == 1
            live.world.sim.control.place(A)
        assert len(live.executions) == len(set(live.executions)) <= len(live.snapshots) + 1
        assert len(messages[0]) > 3
        for others in messages[1:]:
            # Not equal alone: one encoding, the very same bytes.
            assert [id(payload) for payload in others] == [id(payload) for payload in messages[0]]


async def test_another_variable_right_or_text_is_another_share() -> None:
    async with (
        live_service() as live,
        live.subscribe(PHASE, model=A),
        live.subscribe(PHASE, model=B),
        live.subscribe(PHASE, Rights.READ, model=A),
        live.subscribe(PHASE + " ", model=A),
        live.subscribe(PHASE, model=A) as same,
    ):
        assert live.service.live.share_count == 4
        assert status(await anext(same))["phase"] == "NOT_LOADED"


async def test_variables_in_another_order_are_the_same_share() -> None:
    async with (
        live_service() as live,
        live.subscribe(PHASE, model=A, until="READY"),
        live.subscribe(PHASE, until="READY", model=A),
    ):
        assert live.service.live.share_count == 1


async def test_no_message_comes_when_only_clocks_have_moved() -> None:
    async with live_service() as live, live.subscribe(CLOCKS) as subscriber:
        first = body(await anext(subscriber))["data"]["cluster"]
        read = len(live.snapshots)
        assert await _nothing_from(subscriber, 30)
        assert len(live.snapshots) - read > 20
        assert live.snapshots[-1].observed_at > live.snapshots[read].observed_at
        live.world.sim.control.place(A)
        second = body(await anext(subscriber))["data"]["cluster"]
        assert second["stateVersion"] != first["stateVersion"]
        assert second["observedAt"] > first["observedAt"]


async def test_while_nothing_changes_nothing_is_executed() -> None:
    async with live_service() as live, live.subscribe(PHASE, model=A) as subscriber:
        await anext(subscriber)
        executed = len(live.executions)
        assert await _nothing_from(subscriber, 30)
        assert len(live.executions) == executed


async def test_a_late_subscriber_is_sent_the_current_times() -> None:
    async with live_service() as live, live.subscribe(CLOCKS) as early:
        first = body(await anext(early))["data"]["cluster"]
        await asyncio.sleep(30)
        async with live.subscribe(CLOCKS) as late:
            second = body(await anext(late))["data"]["cluster"]
            assert second["observedAt"] > first["observedAt"]
            assert second["ageSeconds"] < 1.2
        assert await _nothing_from(early, 5)


async def test_a_subscriber_that_joins_while_exo_is_silent_is_sent_the_true_age() -> None:
    query = "subscription { cluster { connected ageSeconds } }"
    async with live_service() as live, live.subscribe(query) as early:
        await anext(early)
        live.world.sim.control.drop_connections = True
        assert body(await anext(early))["data"]["cluster"]["connected"] is False
        await asyncio.sleep(60)
        async with live.subscribe(query) as late:
            reported = body(await anext(late))["data"]["cluster"]
        assert reported["connected"] is False
        assert 60 < reported["ageSeconds"] < 66


async def test_the_first_value_after_a_time_without_subscribers_is_read_anew() -> None:
    async with live_service() as live:
        await live.world.given(A)
        (instance,) = (await live.world.snapshot()).state.instances
        await asyncio.sleep(4)
        assert live.world.poller.mode is Mode.IDLE
        live.world.sim.control.delete_instance(instance)
        async with live.subscribe(PHASE, model=A, until="READY") as subscriber:
            assert status(await anext(subscriber))["phase"] == "NOT_LOADED"


async def test_until_ready_completes_with_the_first_ready_status() -> None:
    async with live_service() as live:
        async with asyncio.TaskGroup() as tasks:
            collecting = tasks.create_task(live.collect(PHASE, model=A, until="READY"))
            await asyncio.sleep(3)
            live.world.sim.control.place(A)
        assert collecting.result()[0]["data"]["modelStatus"]["phase"] == "NOT_LOADED"
        assert collecting.result()[-1]["data"]["modelStatus"]["phase"] == "READY"
        again = await live.collect(PHASE, model=A, until="READY")
        assert [message["data"]["modelStatus"]["phase"] for message in again] == ["READY"]


async def test_until_ready_completes_when_exo_has_given_up() -> None:
    async with live_service() as live:
        live.world.fault(f"load-fails:{A}")
        async with asyncio.TaskGroup() as tasks:
            query = STATUS + "{ phase final failure { attempt } } }"
            collecting = tasks.create_task(live.collect(query, model=A, until="READY"))
            await asyncio.sleep(1)
            live.world.sim.control.place(A)
        reported = [message["data"]["modelStatus"] for message in collecting.result()]
        assert [each["final"] for each in reported] == [False] * (len(reported) - 1) + [True]
        assert (
            reported[-1]["failure"]["attempt"]
            == max(each["failure"]["attempt"] for each in reported if each["failure"])
            > 1
        )


async def test_until_ready_completes_when_exo_has_swallowed_the_command_of_an_operation() -> None:
    async def swallowed(_: object, __: object) -> None:
        """As in an election: "Command received.", and nothing more ever."""

    async with live_service() as live:
        query = STATUS + "{ phase final failure { message } } }"
        with patch.object(Poller, "create", swallowed):
            assert isinstance(await live.world.ops.load(A), Operation)
            reported = [message["data"]["modelStatus"] for message in await live.collect(query, model=A, until="READY")]
    assert [each["final"] for each in reported] == [False] * (len(reported) - 1) + [True]
    assert reported[-1]["phase"] == "NOT_LOADED"
    assert "never listed the instance" in reported[-1]["failure"]["message"]


async def test_a_verdict_on_an_earlier_load_does_not_end_the_wait_for_the_next() -> None:
    async with live_service() as live:
        live.world.fault(f"load-fails:{A}")
        live.world.sim.control.place(A)
        query = STATUS + "{ phase final ready } }"
        given_up = await live.collect(query, model=A, until="READY")
        assert given_up[-1]["data"]["modelStatus"]["final"] is True
        live.world.sim.control.clear()
        assert isinstance(await live.world.ops.load(A), Operation)
        reported = [message["data"]["modelStatus"] for message in await live.collect(query, model=A, until="READY")]
        assert reported[0] == {"phase": "NOT_LOADED", "final": False, "ready": False}
        assert reported[-1] == {"phase": "READY", "final": False, "ready": True}


async def test_until_settled_completes_at_once_for_a_model_that_is_not_loaded() -> None:
    async with live_service() as live:
        reported = await live.collect(PHASE, model=A, until="SETTLED")
    assert [message["data"]["modelStatus"]["phase"] for message in reported] == ["NOT_LOADED"]


async def test_a_stale_status_ends_nothing() -> None:
    async with live_service() as live:
        live.world.sim.control.drop_connections = True
        async with live.subscribe(PHASE, model=B) as subscriber:
            while not status(await anext(subscriber))["stale"]:
                pass
            async with asyncio.TaskGroup() as tasks:
                collecting = tasks.create_task(live.collect(PHASE, model=A, until="SETTLED"))
                await asyncio.sleep(30)
                live.world.sim.control.drop_connections = False
    assert [message["data"]["modelStatus"]["stale"] for message in collecting.result()] == [True, False]


async def test_before_the_first_snapshot_a_subscription_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with live_service() as live:
        # As if no state had ever arrived: what the poller's own tests hold it to.
        monkeypatch.setattr(live.world.poller, "_snapshot", None)
        live.world.sim.control.drop_connections = True
        async with live.subscribe(PHASE, model=A) as subscriber:
            assert await _nothing_from(subscriber, 30)
            live.world.sim.control.drop_connections = False
            assert status(await anext(subscriber)) == {"phase": "NOT_LOADED", "stale": False}


async def test_a_slow_reader_skips_to_the_newest_and_delays_no_other() -> None:
    async with live_service() as live, live.subscribe(PHASE, model=A) as slow, live.subscribe(PHASE, model=A) as quick:
        await anext(slow)
        await anext(quick)
        live.world.sim.control.place(A)
        seen: list[str] = []
        while not seen or seen[-1] != "READY":
            seen.append(status(await anext(quick))["phase"])
        assert len(seen) == 4
        assert status(await anext(slow))["phase"] == "READY"
        assert await _nothing_from(slow, 30)


async def test_a_subscriber_that_leaves_leaves_nothing_behind() -> None:
    async with live_service() as live:
        before = asyncio.all_tasks()
        async with live.subscribe(PHASE, model=A) as subscriber:
            await anext(subscriber)
            assert _mode(live) is Mode.NORMAL
        with pytest.raises(RuntimeError, match="mine"):
            async with live.subscribe(PHASE, model=A):
                raise RuntimeError("mine")
        assert live.service.live.share_count == live.service.live.subscriber_count == 0
        assert _mode(live) is Mode.IDLE
        assert asyncio.all_tasks() == before


async def test_a_fault_ends_its_own_share_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        live_service() as live,
        live.subscribe(PHASE, model=A) as healthy,
        live.subscribe(PHASE, model=B) as unlucky,
    ):
        await anext(healthy)
        await anext(unlucky)
        execute = live.service._executor.execute

        def stumbling(document: Any, context: Any, variables: Any, *arguments: Any) -> Any:
            if variables["model"] == B:
                raise KeyError("/secret/path")
            return execute(document, context, variables, *arguments)

        monkeypatch.setattr(live.service._executor, "execute", stumbling)
        live.world.sim.control.place(A)
        (error,) = body(await anext(unlucky))["errors"]
        with pytest.raises(StopAsyncIteration):
            await anext(unlucky)
        while status(await anext(healthy))["phase"] != "READY":
            pass
    assert error["extensions"]["code"] == "INTERNAL_ERROR"
    assert error["extensions"]["errorId"] in caplog.text
    assert "secret" not in error["message"]


async def test_a_fault_at_the_start_is_reported_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> object:
        raise KeyError("/secret/path")

    caplog.set_level(logging.CRITICAL)
    async with live_service() as live:
        monkeypatch.setattr(live.service._executor, "execute", broken)
        (message,) = await live.collect(PHASE, model=A)
        assert message["errors"][0]["extensions"]["code"] == "INTERNAL_ERROR"
        assert live.service.live.share_count == 0


async def test_what_cannot_be_subscribed_to_is_one_message_and_the_next_to_ask_is_asked_anew() -> None:
    async with live_service() as live:
        query = "subscription ($id: ID!) { operation(id: $id) { state } }"
        async with live.subscribe(query, id="x") as subscriber, live.subscribe(query, id="x") as other:
            for each in (subscriber, other):
                assert body(await anext(each))["errors"][0]["extensions"]["code"] == "OPERATION_NOT_FOUND"
                assert each.refused
                with pytest.raises(StopAsyncIteration):
                    await anext(each)


async def test_an_operation_is_followed_to_its_last_state() -> None:
    async with live_service() as live:
        operation = await live.world.ops.load(A)
        assert isinstance(operation, Operation)
        query = "subscription ($id: ID!) { operation(id: $id) { state message steps { name state } } }"
        reported = [message["data"]["operation"] for message in await live.collect(query, id=operation.id)]
        assert {each["state"] for each in reported[:-1]} == {"RUNNING"}
        assert reported[-1]["state"] == "SUCCEEDED"
        done = [sum(step["state"] == "SUCCEEDED" for step in each["steps"]) for each in reported]
        assert done == sorted(done)
        assert len(reported) > 3
        assert all(before != after for before, after in pairwise(reported))
        again = await live.collect(query, id=operation.id)
        assert [message["data"]["operation"] for message in again] == [reported[-1]]


async def test_many_expensive_shares_yield_to_others_in_between() -> None:
    async with live_service() as live, AsyncExitStack() as subscriptions:
        for number in range(20):
            await subscriptions.enter_async_context(live.subscribe(f"subscription {{ a{number}: nodes {{ id }} }}"))
        execute = live.service._executor.execute
        turns = 0
        turns_at: list[int] = []
        spinning: list[asyncio.Task[None]] = []

        async def spin() -> None:
            nonlocal turns
            while len(turns_at) < 20:
                turns += 1
                await asyncio.sleep(0)

        def expensive(*arguments: Any) -> Any:
            if not turns_at:
                spinning.append(asyncio.create_task(spin()))
            turns_at.append(turns)
            ends_at = time.perf_counter() + 0.006
            while time.perf_counter() < ends_at:
                pass
            return execute(*arguments)

        with patch.object(live.service._executor, "execute", expensive):
            live.world.sim.control.place(A)
            await live.world.poller.changed(live.world.poller.snapshot)
            await asyncio.sleep(0)  # the first of them has begun
            await asyncio.gather(*spinning)
        # Never more than two of 6 ms without a turn for the others.
        assert max(turns_at.count(turn) for turn in turns_at) <= 2
