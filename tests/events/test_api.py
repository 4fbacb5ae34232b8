"""Events as clients see them: query, push and acknowledgement, over a real server and a simulated exo."""

import logging
import threading
from typing import Any

import httpx
import pytest

from exo_graphql.engine import budget, execution
from exo_graphql.engine.execution import Executor
from exo_graphql.events import EventKind, Occurrence, Severity, published
from tests.support.running import A, Running, running, until

pytestmark = pytest.mark.anyio

EVENTS = "{ events { id kind severity message modelId model { id } node { id } operation { id state } acknowledged } }"


async def asked(server: Running, query: str, token: str | None = None, **variables: object) -> Any:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient() as client:
        answer = await client.post(server.url, json={"query": query, "variables": variables}, headers=headers)
        return answer.json()


async def kinds(server: Running) -> list[str]:
    return [event["kind"] for event in (await asked(server, "{ events { kind } }"))["data"]["events"]]


async def test_what_an_operation_did_is_reported_by_query_and_push() -> None:
    async with running() as server, server.socket() as socket:
        assert await kinds(server) == []
        id_ = await socket.subscribe("subscription { events { kind modelId operation { id } } }")
        started = await asked(server, f'mutation {{ loadModel(model: "{A}") {{ operation {{ id }} }} }}')
        operation = started["data"]["loadModel"]["operation"]["id"]
        server.exo.control.advance(60)
        received = [(await socket.data(id_))["events"]]
        while received[-1]["kind"] != "OPERATION_ENDED":
            received.append((await socket.data(id_))["events"])
        assert [event["kind"] for event in received if event["kind"] != "OPERATION_STEP"] == [
            "OPERATION_ACCEPTED",
            "MODEL_READY",
            "OPERATION_ENDED",
        ]
        assert {event["modelId"] for event in received} == {A}
        for event in received:
            assert event["operation"] == (None if event["kind"] == "MODEL_READY" else {"id": operation})
        listed = (await asked(server, EVENTS))["data"]["events"]
        assert [event["kind"] for event in listed] == [event["kind"] for event in reversed(received)]
        assert listed[0]["operation"]["state"] == "SUCCEEDED"
        assert listed[0]["model"] == {"id": A}


ENDS = {"OPERATION_ACCEPTED", "OPERATION_ENDED"}
ALICE, NAMELESS = "secret-of-alice", "secret-of-nobody"


async def test_events_name_the_caller_and_never_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running(tokens=f"alice=operate:{ALICE},operate:{NAMELESS}") as server:
        act = f'mutation {{ loadModel(model: "{A}") {{ operation {{ id by }} }} }}'
        async with server.socket({"token": ALICE}) as socket:
            operation = (await socket.data(await socket.subscribe(act)))["loadModel"]["operation"]
        assert operation["by"] == "alice"
        stop = f'mutation {{ cancelOperation(id: "{operation["id"]}") {{ operation {{ by }} }} }}'
        # It was cancelled by somebody else than the one who requested it.
        assert (await asked(server, stop, NAMELESS))["data"]["cancelOperation"]["operation"]["by"] == "alice"
        server.exo.control.advance(60)
        await until(lambda: not server.components.operations.all(active=True))
        events = (await asked(server, "{ events { kind by } }", NAMELESS))["data"]["events"]
        acts = [(event["kind"], event["by"]) for event in reversed(events) if event["kind"] in ENDS]
        assert acts == [("OPERATION_ACCEPTED", "alice"), ("OPERATION_ENDED", None)]
        assert {event["by"] for event in events if not event["kind"].startswith("OPERATION_")} == {None}
    assert "alice" in [getattr(record, "by", None) for record in caplog.records]
    assert not [record for record in caplog.records if "secret-of" in str(record.__dict__)]


async def test_events_of_a_deployment_name_who_declared_paused_resumed_and_deleted_it() -> None:
    async with running(tokens=f"alice=operate:{ALICE},bob=operate:{NAMELESS}") as server:
        for token, act in [
            (ALICE, f'applyDeployment(name: "day", model: "{A}")'),
            (NAMELESS, f'applyDeployment(name: "day", model: "{A}", priority: 3)'),
            (ALICE, 'pauseDeployment(name: "day")'),
            (NAMELESS, 'resumeDeployment(name: "day")'),
            (ALICE, 'deleteDeployment(name: "day")'),
        ]:
            answer = await asked(server, f"mutation {{ it: {act} {{ error {{ message }} }} }}", token)
            assert answer["data"]["it"]["error"] is None, answer
        changes = [each for each in server.components.events.in_memory if each.kind is EventKind.DEPLOYMENT_CHANGED]
        said = [(each.message.partition(":")[0], each.by) for each in changes]
        assert said[0] == (f"Deployment day of {A} is declared by alice.", "alice")
        assert ("Deployment day is changed by bob (generation 2).", "bob") in said
        paused = said.index(("Deployment day is PAUSED by alice", "alice"))
        resumed, by = said[paused + 1]
        assert resumed.startswith("Deployment day was resumed by bob and is ")
        assert by == "bob"
        assert said[-1] == ("Deployment day is deleted by alice.", "alice")
        server.exo.control.advance(60)
        await until(lambda: not server.components.operations.all(active=True))
        acts = [e for e in server.components.events.in_memory if e.kind is EventKind.OPERATION_ACCEPTED]
        assert {(act.deployment, act.by) for act in acts} == {("day", None)}


async def test_a_subscription_gets_what_it_asks_for_and_what_it_missed() -> None:
    async with running() as server, server.socket() as socket:
        await asked(server, f'mutation {{ loadModel(model: "{A}") {{ operation {{ id }} }} }}')
        server.exo.control.advance(60)
        await until(lambda: not server.components.operations.all(active=True))
        missed = await socket.subscribe(
            "subscription ($since: DateTime) { ...Received } fragment Received on Subscription "
            "{ events(since: $since, kind: [MODEL_READY, MODEL_UNLOADED]) { kind } }",
            since="2020-01-01T00:00:00Z",
        )
        assert await socket.data(missed) == {"events": {"kind": "MODEL_READY"}}
        await asked(server, f'mutation {{ unloadModel(model: "{A}") {{ operation {{ id }} }} }}')
        server.exo.control.advance(60)
        assert await socket.data(missed) == {"events": {"kind": "MODEL_UNLOADED"}}


async def test_an_event_is_acknowledged() -> None:
    acknowledge = (
        "mutation ($id: ID!) { acknowledge(event: $id) { event { id acknowledged } error { code suggestion } } }"
    )
    async with running() as server:
        await asked(server, f'mutation {{ loadModel(model: "{A}") {{ operation {{ id }} }} }}')
        (event,) = (await asked(server, "{ events { id acknowledged } }"))["data"]["events"][-1:]
        assert not event["acknowledged"]
        seen = (await asked(server, acknowledge, id=event["id"]))["data"]["acknowledge"]
        assert seen == {"event": {"id": event["id"], "acknowledged": True}, "error": None}
        assert (await asked(server, "{ events { acknowledged } }"))["data"]["events"][-1] == {"acknowledged": True}
        unknown = (await asked(server, acknowledge, id="event-99999"))["data"]["acknowledge"]
        assert unknown["event"] is None
        assert unknown["error"]["code"] == "EVENT_NOT_FOUND"


async def test_the_cluster_lists_what_was_lost_until_it_is_acknowledged() -> None:
    query = "subscription { cluster { healthy losses { id kind modelId message } lastEvent { id } } }"
    async with running() as server, server.socket() as socket:
        watched = await socket.subscribe(query)
        assert (await socket.data(watched))["cluster"] == {"healthy": True, "losses": [], "lastEvent": None}
        assert server.exo.control.place(A) is not None
        server.exo.control.advance(60)
        while (cluster := (await socket.data(watched))["cluster"])["lastEvent"] is None:
            pass
        (ready,) = (await asked(server, "{ events { id kind } }"))["data"]["events"]
        assert cluster == {"healthy": True, "losses": [], "lastEvent": {"id": ready["id"]}}
        server.exo.control.restart(1.0)
        server.exo.control.advance(30)
        while not (cluster := (await socket.data(watched))["cluster"])["losses"]:
            pass
        (loss,) = cluster["losses"]
        assert (loss["kind"], loss["modelId"], cluster["healthy"]) == ("MODEL_LOST", A, False)
        await asked(server, "mutation ($id: ID!) { acknowledge(event: $id) { event { id } } }", id=loss["id"])
        while (cluster := (await socket.data(watched))["cluster"])["losses"]:
            pass
        assert cluster["healthy"]


async def test_an_expensive_message_is_made_on_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_COST_AT_ONCE", 0.5)
    monkeypatch.setattr(budget, "MAX_COMPILED_COST_AT_ONCE", 0.5)
    threads = []

    def execute(executor: Executor, *arguments: Any) -> Any:
        if arguments[1].event is not None:
            threads.append(threading.current_thread())
        return usual(executor, *arguments)

    usual = Executor.execute
    monkeypatch.setattr(Executor, "execute", execute)
    async with running() as server, server.socket() as socket:
        id_ = await socket.subscribe("subscription { events { kind } }")
        await asked(server, f'mutation {{ loadModel(model: "{A}") {{ operation {{ id }} }} }}')
        assert await socket.data(id_) == {"events": {"kind": "OPERATION_ACCEPTED"}}
    assert threads
    assert threading.main_thread() not in threads


async def test_a_long_list_of_events_is_completed_on_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_COST_AT_ONCE", 0.5)
    monkeypatch.setattr(budget, "MAX_COMPILED_COST_AT_ONCE", 0.5)
    threads = []

    def encode(*arguments: Any) -> Any:
        threads.append(threading.current_thread())
        return usual(*arguments)

    usual = execution.encode
    monkeypatch.setattr(execution, "encode", encode)
    async with running() as server:
        assert await asked(server, "{ events { id } }") == {"data": {"events": []}}
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


async def test_how_long_events_and_losses_count_is_set() -> None:
    lost = Occurrence(kind=EventKind.MODEL_LOST, severity=Severity.ERROR, message="Model x/y was lost.", model_id="x/y")
    health = "{ cluster { healthy unhealthyReasons losses { modelId } } }"
    for seconds, reasons in ((3600, 1), (0, 0)):
        async with running(loss_seconds=seconds, max_events=100) as server:
            server.components.events.record([lost] * 150)
            server.components.events.on_acknowledged()  # as after each snapshot with events
            cluster = (await asked(server, health))["data"]["cluster"]
            assert (cluster["healthy"], len(cluster["unhealthyReasons"]), len(cluster["losses"])) == (
                not reasons,
                reasons,
                reasons,
            )
            await server.components.events._write_waiting()
            await server.components.events._forget()
            events = (await asked(server, "{ events(last: 500) { id } }"))["data"]["events"]
            assert [events[0]["id"], events[-1]["id"]] == ["event-150", "event-51"]


ELECTION = Occurrence(kind=EventKind.ELECTION, severity=Severity.INFO, message="An election.")


async def test_an_event_is_listed_and_pushed_although_the_snapshot_is_the_same() -> None:
    once: dict[str, Any] = {
        "max_age": 3600,
        "normal_pause": 3600,
        "fast_pause": 3600,
        "idle_pause": 3600,
        "unseen_after": 7200,
    }
    async with running(**once) as server, server.socket() as socket:
        live = await socket.subscribe("subscription { cluster { eventsVersion lastEvent { kind acknowledged } } }")
        assert await socket.data(live) == {"cluster": {"eventsVersion": 0, "lastEvent": None}}
        # Stored from the second answer on, and encoded parts from the third.
        assert [await kinds(server) for _ in range(4)] == [[]] * 4
        snapshot = server.components.poller.snapshot
        server.components.events.record([ELECTION])
        assert [await kinds(server) for _ in range(4)] == [["ELECTION"]] * 4
        newest = {"kind": "ELECTION", "acknowledged": False}
        assert await socket.data(live) == {"cluster": {"eventsVersion": 1, "lastEvent": newest}}
        await server.components.events.acknowledge("event-1")
        newest = {"kind": "ELECTION", "acknowledged": True}
        assert await socket.data(live) == {"cluster": {"eventsVersion": 2, "lastEvent": newest}}
        assert snapshot is server.components.poller.snapshot


async def test_a_compiled_query_leaves_it_to_graphql_core_to_wait_for_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(published, "IN_MEMORY", 2)
    async with running() as server:
        server.components.events.record([ELECTION] * 5)
        for last in (2, 4):
            events = (await asked(server, "query ($last: Int) { events(last: $last) { id } }", last=last))["data"][
                "events"
            ]
            assert [event["id"] for event in events] == [f"event-{5 - number}" for number in range(last)]


async def test_subscriptions_to_events_count_towards_the_cost_of_all() -> None:
    async with running(max_live_cost=100) as server, server.socket() as socket:
        fields = "id at kind severity message modelId nodeId nodeName by acknowledged"
        for _ in range(10):
            last = await socket.subscribe(f"subscription {{ events {{ {fields} }} }}")
        message = await socket.receive()
        assert (message["id"], message["type"]) == (last, "error")
        assert message["payload"][0]["extensions"]["limit"] == "max_live_cost"
        assert server.components.service.live.cost == 9 * 11
        assert server.components.service.live.subscriber_count == 9
    await until(lambda: server.components.service.live.cost == 0)


@pytest.mark.parametrize("arguments", ["last: 0", "last: 501"])
async def test_a_number_of_events_that_cannot_be(arguments: str) -> None:
    async with running() as server:
        (error,) = (await asked(server, f"{{ events({arguments}) {{ id }} }}"))["errors"]
        assert error["extensions"]["code"] == "INVALID_ARGUMENT"
        assert error["extensions"]["suggestion"] == "Request 1 to 500 events."


async def test_a_name_that_nobody_knows_any_more_is_no_error() -> None:
    async with running() as server:
        answer = await asked(server, '{ events(model: "gone/for-good", node: "mac-gone") { id } }')
        assert answer == {"data": {"events": []}}


async def test_each_state_of_a_deployment_is_an_event_once() -> None:
    async with running() as server:
        apply = f'mutation {{ applyDeployment(name: "day", model: "{A}") {{ error {{ message }} }} }}'
        await asked(server, apply)

        def is_ready() -> bool:
            server.exo.control.advance(0.5)
            return any("is READY" in event.message for event in server.components.events.in_memory)

        await until(is_ready)
        received = [event for event in server.components.events.in_memory if event.deployment == "day"]
        assert [event.kind.value for event in received].count("OPERATION_ACCEPTED") == 1
        messages = [event.message for event in received if event.kind.value == "DEPLOYMENT_CHANGED"]
        assert messages[0] == f"Deployment day of {A} is declared."
        assert len(messages) == len(set(messages))
        await asked(server, 'mutation { deleteDeployment(name: "day") { error { message } } }')
        events = server.components.events
        await until(lambda: any(event.message.startswith("Accepted: unload") for event in events.in_memory))
        messages = [event.message for event in events.in_memory]
        deleted = messages.index("Deployment day is deleted.")
        assert messages[deleted + 1] == f"Accepted: unload {A} for the deployment day."


async def test_a_lost_model_is_why_the_cluster_is_not_healthy_until_somebody_says_that_they_know() -> None:
    health = "{ cluster { healthy unhealthyReasons loadedModelCount } }"
    async with running() as server:
        await asked(server, f'mutation {{ loadModel(model: "{A}") {{ operation {{ id }} }} }}')
        server.exo.control.advance(60)
        await until(lambda: not server.components.operations.all(active=True))
        assert (await asked(server, health))["data"]["cluster"]["healthy"]
        server.exo.control.kill_master()

        def is_gone() -> bool:
            server.exo.control.advance(1)
            return any(event.kind.value == "MODEL_LOST" for event in server.components.events.in_memory)

        await until(is_gone)
        server.exo.control.advance(30)
        lost = (await asked(server, health))["data"]["cluster"]
        assert lost["loadedModelCount"] == 0
        assert [reason for reason in lost["unhealthyReasons"] if f"Model {A} was lost" in reason]
        (event,) = (await asked(server, "{ events(kind: [MODEL_LOST]) { id } }"))["data"]["events"]
        await asked(server, f'mutation {{ acknowledge(event: "{event["id"]}") {{ event {{ id }} }} }}')
        reasons = (await asked(server, health))["data"]["cluster"]["unhealthyReasons"]
        assert not [reason for reason in reasons if "was lost" in reason]
