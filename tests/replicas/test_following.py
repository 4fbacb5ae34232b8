"""What a server shows that follows another one, and how it goes on with what that one has begun."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from exo_graphql.cluster.readiness import Phase
from exo_graphql.deployments.errors import DeploymentNotFound
from exo_graphql.deployments.validation import Declaration
from exo_graphql.events import EventKind
from exo_graphql.operations import JournalUnavailable, Operation, OperationState
from exo_graphql.storage import Collection
from tests.support.replica_parts import Server, servers
from tests.support.simulated_cluster import HALF, OTHER_HALF, A, B, begun, steps
from tests.support.threaded_time import InlineTimeLoop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": InlineTimeLoop}


def phase(server: Server, model: str) -> Phase:
    snapshot = server.poller.snapshot
    assert snapshot is not None
    return snapshot.status(model).phase


async def test_a_follower_shows_an_operation_with_its_progress_and_its_end() -> None:
    async with servers() as s:
        leader, follower = s.each
        operation = begun(await leader.operations.load(A))
        shown: list[Operation] = []
        late: list[float] = []
        now = asyncio.get_running_loop().time
        changed_at = [0.0]
        leader.operations.listen(lambda: changed_at.__setitem__(0, now()))

        def look() -> None:
            found = follower.operations.get(operation.id)
            if found is not None and (not shown or found != shown[-1]):
                shown.append(found)
                late.append(now() - changed_at[0])

        follower.operations.listen(look)
        ended = await follower.end(operation.id)
        assert ended == leader.operations.get(operation.id)
        assert ended.state is OperationState.SUCCEEDED
        assert {each.progress_percent for each in shown} > {None, 100.0}, "its progress, not only its steps"
        assert max(late) <= 1.0
        order = [list(steps(each).values()).count("SUCCEEDED") for each in shown]
        assert order == sorted(order)
        assert follower.operations.all() == leader.operations.all()
        assert {name for name, _ in s.state.writes} == {"server-0"}


async def test_a_follower_plans_with_what_the_leader_has_reserved_and_shows_what_is_unloaded() -> None:
    async with servers() as s:
        leader, follower = s.each
        await s.cluster.given(HALF)
        operation = begun(await leader.operations.swap([HALF], [OTHER_HALF]))
        await follower.until(lambda: follower.operations.get(operation.id) is not None)
        snapshot = await follower.poller.fresh(0.0)
        assert follower.operations.free(snapshot) == leader.operations.free(snapshot)
        await follower.until(lambda: phase(follower, HALF) is Phase.UNLOADING)
        assert phase(leader, HALF) is Phase.UNLOADING
        await follower.end(operation.id)
        await s.settled()
        for server in s.each:
            assert phase(server, HALF) is Phase.NOT_LOADED
            assert [each.kind for each in server.seen if each.model_id == HALF][-1] is EventKind.MODEL_UNLOADED


async def test_each_event_reaches_the_subscribers_of_each_server_once_through_several_changes_of_the_role() -> None:
    async with servers(3) as s:
        await s.cluster.given(HALF)
        operation = begun(await s.each[0].operations.swap([HALF], [OTHER_HALF]))
        for leader in (1, 0, 2, None, 2):
            await asyncio.sleep(1.5)
            await s.lead(leader)
        ended = await s.each[2].end(operation.id)
        assert ended.state is OperationState.SUCCEEDED
        await s.settled()
        stored = [entry.id for entry in await s.state.sqlite.entries(Collection.EVENTS)]
        for server in s.each:
            assert server.ids == stored
            assert server.operations.get(operation.id) == ended
        assert stored == [f"event-{number}" for number in range(1, len(stored) + 1)]
        kinds = [event.kind for event in s.each[0].seen]
        assert kinds.count(EventKind.OPERATION_ACCEPTED) == kinds.count(EventKind.OPERATION_ENDED) == 1
        assert kinds.count(EventKind.MODEL_UNLOADED) == 1
        assert [event.model_id for event in s.each[0].seen if event.kind is EventKind.MODEL_READY] == [HALF, OTHER_HALF]
        assert EventKind.MODEL_LOST not in kinds


@pytest.mark.parametrize("step", ["drain", "unload", "memory", "place", "load"])
async def test_another_server_goes_on_with_a_swap_at_each_step_and_places_nothing_twice(step: str) -> None:
    async with servers() as s:
        first, second = s.each
        await s.cluster.given(HALF)
        operation = begun(await first.operations.swap([HALF], [OTHER_HALF]))
        await second.until(lambda: steps(second.operations.get(operation.id) or operation).get(step) == "RUNNING")
        await s.lead(None)
        waiting = s.sim.control.requests.copy()
        await asyncio.sleep(3)
        commands = {what: count for what, count in s.sim.control.requests.items() if what[0] != "GET"}
        assert commands == {what: count for what, count in waiting.items() if what[0] != "GET"}
        held = second.operations.get(operation.id)
        assert held is not None
        assert held.active
        await s.lead(1)
        ended = await first.end(operation.id)
        assert ended.state is OperationState.SUCCEEDED
        assert await s.cluster.serving() == [OTHER_HALF]
        assert s.sim.control.requests["POST", "/instance"] == 1


async def test_a_server_that_leads_again_goes_on_with_what_it_had_begun_itself() -> None:
    async with servers() as s:
        first, _ = s.each
        operation = begun(await first.operations.load(A))
        await first.until(lambda: steps(first.operations.get(operation.id) or operation).get("load") == "RUNNING")
        await s.lead(None)
        await s.lead(0)
        assert (await first.end(operation.id)).state is OperationState.SUCCEEDED
        assert s.sim.control.requests["POST", "/instance"] == 1


async def test_an_idempotency_key_and_an_applied_plan_are_known_to_the_next_leader() -> None:
    async with servers() as s:
        first, second = s.each
        operation = begun(await first.operations.load(A, idempotency_key="k"))
        proposal = (await first.deployments.apply(Declaration("d", B), dry_run=True)).proposal
        assert proposal is not None
        assert proposal.hash is not None
        applied = await first.deployments.apply_plan(proposal.hash)
        assert applied is not None
        assert applied.error is None
        await first.deployments.pause("d")
        await s.lead(1)
        again = begun(await second.operations.load(A, idempotency_key="k"))
        assert again.id == operation.id
        sent_again = await second.deployments.apply_plan(proposal.hash)
        assert sent_again is not None
        assert sent_again.assessment is not None
        assert sent_again.assessment.deployment.pause is not None, "a person has paused it since"


async def test_while_nobody_leads_each_server_says_that_an_operation_is_paused() -> None:
    async with servers() as s:
        first, second = s.each
        operation = begun(await first.operations.load(A))
        shown: dict[str, list[Operation]] = {"first": [], "second": []}

        def look(server: Server, seen: list[Operation]) -> None:
            found = server.operations.get(operation.id)
            if found is not None:
                assert found in server.operations.all()
                seen.append(found)

        for server, seen in zip(s.each, shown.values(), strict=True):
            server.operations.listen(partial(look, server, seen))
        await second.until(lambda: shown["second"] and steps(shown["second"][-1]).get("load") == "RUNNING")
        s.state.lead(None)
        for seen in shown.values():
            assert seen[-1].state is OperationState.RUNNING
            assert seen[-1].message == f"Paused. No server leads now. It was at: {seen[-2].message}"
        await s.settled(30)
        assert all(seen[-1].message.startswith("Paused. No server leads now.") for seen in shown.values())
        s.state.lead(second.store)
        assert not any("Paused" in seen[-1].message for seen in shown.values())
        for server in s.each:
            assert (await server.end(operation.id)).state is OperationState.SUCCEEDED
            assert not any("Paused" in event.message for event in server.seen)


async def test_a_follower_begins_nothing() -> None:
    async with servers() as s:
        _, follower = s.each
        assert isinstance(await follower.operations.load(A), JournalUnavailable)
        assert follower.operations.all() == ()
        await s.settled()
        assert s.sim.control.requests["POST", "/instance"] == 0


async def test_a_request_that_is_being_stored_when_the_lead_is_lost_is_answered() -> None:
    """Nobody knows yet whether it was stored: the caller is told that, and how to find out."""
    async with servers() as s:
        first, _ = s.each
        reached, never = asyncio.Event(), asyncio.Event()

        async def hangs(*_: object) -> None:
            reached.set()
            await never.wait()

        first.store.admit = hangs  # type: ignore[method-assign,assignment]
        asked = asyncio.create_task(first.operations.load(A))
        await reached.wait()
        await s.lead(1)
        answer = await asked
        assert isinstance(answer, JournalUnavailable)
        assert "may have been begun" in answer.message
        assert first.operations.all() == ()


async def test_a_server_stops_to_act_at_once_though_the_store_does_not_answer() -> None:
    async with servers() as s:
        first, _ = s.each
        await first.deployments.apply(Declaration("d", B))
        operation = begun(await first.operations.load(A))
        await first.until(lambda: steps(first.operations.get(operation.id) or operation).get("load") == "RUNNING")
        s.state.hangs = True
        await s.settled()
        began = asyncio.get_running_loop().time()
        s.state.lead(None)
        await first.until(lambda: not first.roles.leading)
        assert asyncio.get_running_loop().time() == began
        await s.settled()
        assert first.operations.at_work() != [], "it is shown as it was"
        s.state.hangs = False
        await s.lead(1)
        assert (await first.end(operation.id)).state is OperationState.SUCCEEDED


async def test_a_deployment_is_shown_and_kept_by_whoever_leads() -> None:
    async with servers() as s:
        first, second = s.each
        await first.deployments.apply(Declaration("d", A))
        await second.until(lambda: (found := second.deployments.get("d")) is not None and found.ready)
        await s.settled()
        one, other = first.deployments.get("d"), second.deployments.get("d")
        assert one == other
        assert first.deployments.changed_at("d") == second.deployments.changed_at("d")
        changed_at = first.deployments.changed_at("d")
        await s.lead(1)
        await s.settled()
        assert second.deployments.changed_at("d") == changed_at, "it was ready all the time"
        for model in await s.cluster.listed():
            assert model == A
        assert s.sim.control.requests["POST", "/instance"] == 1
        snapshot = await second.poller.fresh(0.0)
        (instance,) = snapshot.instances_of(A)
        await s.lead(None)
        s.sim.control.delete_instance(instance.id)
        await s.settled(5)
        await s.lead(1)
        await second.until(lambda: (found := second.deployments.get("d")) is not None and found.deployment.pause)
        await first.until(lambda: (found := first.deployments.get("d")) is not None and found.deployment.pause)


async def test_what_happens_while_nobody_leads_is_recorded_by_the_next_leader_with_its_time() -> None:
    async with servers() as s:
        first, second = s.each
        await s.cluster.given(A)
        await s.settled()
        await s.lead(None)
        before = len(second.seen)
        snapshot = await second.poller.fresh(0.0)
        (instance,) = snapshot.instances_of(A)
        s.sim.control.delete_instance(instance.id)
        await asyncio.sleep(30)
        assert len(second.seen) == before
        await s.lead(1)
        await s.settled()
        (event,) = second.seen[before:]
        assert event.model_id == A
        assert (second.events.now() - event.at).total_seconds() > 25
        assert first.ids == second.ids


async def test_an_event_that_could_not_be_stored_is_passed_on_by_nobody_until_it_is() -> None:
    async with servers() as s:
        first, second = s.each
        await s.settled()
        s.state.answers = False
        s.sim.control.place(A)
        await first.until(lambda: phase(first, A) is Phase.READY)
        await s.settled()
        assert [event for event in first.seen if event.kind is EventKind.MODEL_READY] == []
        s.state.answers = True
        await s.lead(1)
        await s.settled()
        for server in s.each:
            ready = [event for event in server.seen if event.kind is EventKind.MODEL_READY]
            assert len(ready) == 1
        assert first.ids == second.ids


async def test_a_restart_forgets_neither_since_when_a_deployment_is_ready_nor_what_was_applied() -> None:
    async with servers(1) as s:
        (server,) = s.each
        proposal = (await server.deployments.apply(Declaration("d", A), dry_run=True)).proposal
        assert proposal is not None
        assert proposal.hash is not None
        await server.deployments.apply_plan(proposal.hash)
        await server.until(lambda: (found := server.deployments.get("d")) is not None and found.ready)
        await s.settled()
        changed_at = server.deployments.changed_at("d")
        await asyncio.sleep(60)
        server = await s.restart(0)
        await server.until(lambda: (found := server.deployments.get("d")) is not None and found.ready)
        assert server.deployments.changed_at("d") == changed_at
        await s.settled()
        assert server.seen == [], "nothing has happened"
        await server.deployments.delete("d")
        again = await server.deployments.apply_plan(proposal.hash)
        assert again is not None
        assert isinstance(again.error, DeploymentNotFound), "it is not declared anew"


async def test_at_rest_nothing_is_written() -> None:
    async with servers() as s:
        await s.each[0].deployments.apply(Declaration("d", A))
        await s.each[0].until(lambda: (found := s.each[0].deployments.get("d")) is not None and found.ready)
        await s.settled(700)
        written = len(s.state.writes)
        await s.settled(60)
        assert s.state.writes[written:] == []


@pytest.mark.parametrize("change_at", [-3.0, -0.3, 0.3, 3.0])
async def test_what_happens_around_a_take_over_is_recorded_once(change_at: float) -> None:
    """The old leader may have recorded it, or not; the new one may have seen it before, or not yet."""
    async with servers() as s:
        first, second = s.each
        await s.cluster.given(A)
        await s.settled(10)
        before = len(first.seen)
        node = max(node.friendly_name or "" for node in (await first.poller.fresh(0.0)).nodes)
        s.sim.control.kill_node(node)
        left = asyncio.create_task(first.until(lambda: first.seen[before:], seconds=120))
        if change_at > 0:
            await left
            await asyncio.sleep(change_at)
        else:
            # Nothing has been recorded: exo itself notices a while later.
            await asyncio.sleep(max(0.0, 3 + change_at))
        await s.lead(1)
        await asyncio.sleep(120)
        await left
        s.sim.control.drop_connections = True
        await asyncio.sleep(20)
        await s.lead(0)
        await asyncio.sleep(20)
        s.sim.control.drop_connections = False
        await asyncio.sleep(20)
        assert first.ids == second.ids
        kinds = [event.kind for event in first.seen[before:]]
        for kind in (EventKind.NODE_LEFT, EventKind.EXO_UNREACHABLE, EventKind.EXO_BACK):
            assert kinds.count(kind) == 1, kinds
        assert kinds.count(EventKind.NODE_STALE) <= 1
        assert kinds.count(EventKind.MODEL_LOST) <= 1


async def test_a_failed_load_and_an_acknowledged_loss_are_the_same_on_each_server() -> None:
    async with servers() as s:
        first, second = s.each
        s.cluster.fault(f"load-fails:{B}")
        operation = begun(await first.operations.load(B))
        ended = await second.end(operation.id)
        assert ended.state is not OperationState.SUCCEEDED
        await s.settled(10)  # here each reads exo by itself, rarely
        one, other = [await server.poller.fresh(0.0) for server in s.each]
        assert one.status(B).failure is not None
        assert replace(one.status(B), observed_at=None) == replace(other.status(B), observed_at=None)
        await s.cluster.given(A)
        await s.settled()
        snapshot = await first.poller.fresh(0.0)
        (node_id,) = snapshot.status(A).node_ids
        s.sim.control.kill_node(snapshot.state.nodes[node_id].friendly_name or "")
        await second.until(second.events.open_losses)
        (lost,) = first.events.open_losses()
        await first.events.acknowledge(lost.id)
        await second.until(lambda: not second.events.open_losses())
        assert second.events.newest(500) == first.events.newest(500)
