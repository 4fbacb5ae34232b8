"""Mutations at a server that does not lead: by whatever way they come, the leader carries them out, once."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from typing import Any
from unittest.mock import patch

import httpx
import orjson
import pytest

from exo_graphql.documents import document
from exo_graphql.engine.rights import Caller, Rights
from exo_graphql.operations import Operation
from exo_graphql.storage import Collection, Entry, Key
from exo_graphql.transports.mcp import EngineGraph
from tests.support.leaders import break_off, executed, leading
from tests.support.leaderships import Directed, directed, replica
from tests.support.replicated import Replicated, ask, replicated
from tests.support.running import A, B, Running, running, until

pytestmark = pytest.mark.anyio

TOKENS = "cron=operate:operating-secret,screen=read:reading-secret"
OPERATE, READ = "operating-secret", "reading-secret"
LOAD = f'mutation {{ loadModel(model: "{A}") {{ operation {{ id by }} error {{ code message }} }} }}'


def operations(server: Running) -> list[Operation]:
    """Those that this server has carried out or has read."""
    return list(server.components.operations.all())


def forwarded(server: Running) -> dict[str, int]:
    """How those that it passed on have ended."""
    passing_on = server.components.service._passing_on
    assert passing_on is not None
    forwarder: Any = passing_on._forwarder
    return dict(forwarder.ended)


@pytest.fixture
async def pair() -> AsyncIterator[Replicated]:
    async with replicated({}, {}, tokens=TOKENS) as made:
        yield made


async def by_http(server: Running) -> None:
    answer = await ask(server, LOAD, OPERATE)
    assert (answer.status_code, answer.json()["data"]["loadModel"]["error"]) == (200, None)


async def by_id(server: Running) -> None:
    async with httpx.AsyncClient(trust_env=False, headers={"authorization": f"Bearer {OPERATE}"}) as client:
        answer = await client.post(f"{server.url}/load_model", json={"variables": {"model": A}})
        assert answer.json()["data"]["loadModel"]["error"] is None


async def by_registered_hash(server: Running) -> None:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": sha256(LOAD.encode()).hexdigest()}}
    async with httpx.AsyncClient(trust_env=False, headers={"authorization": f"Bearer {OPERATE}"}) as client:
        first = await client.post(server.url, json={"extensions": extensions})
        assert first.json()["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
        answer = await client.post(server.url, json={"query": LOAD, "extensions": extensions})
        assert answer.json()["data"]["loadModel"]["error"] is None


async def by_event_stream(server: Running) -> None:
    headers = {"authorization": f"Bearer {OPERATE}", "accept": "text/event-stream"}
    async with httpx.AsyncClient(trust_env=False, headers=headers) as client:
        answer = await client.post(server.url, json={"query": LOAD})
        assert '"error":null' in answer.text
        assert answer.text.endswith("event: complete\ndata:\n\n")


async def by_websocket(server: Running) -> None:
    async with server.socket({"authorization": f"Bearer {OPERATE}"}) as socket:
        id_ = await socket.subscribe(LOAD)
        assert (await socket.data(id_))["loadModel"]["error"] is None
        assert await socket.receive() == {"id": id_, "type": "complete"}


async def by_rest(server: Running) -> None:
    async with httpx.AsyncClient(trust_env=False, headers={"authorization": f"Bearer {OPERATE}"}) as client:
        answer = await client.post(server.url.replace("/graphql", "/v1/cluster/models/load"), json={"model_id": A})
        assert answer.status_code == 200, answer.text


async def by_mcp(server: Running) -> None:
    graph = EngineGraph(server.components.service, Caller(Rights.OPERATE, "cron"), read_only=False)
    answer = await graph.ask(document("load_model"), {"model": A})
    assert answer["data"]["loadModel"]["error"] is None


WAYS: list[Callable[[Running], Awaitable[None]]] = [
    by_http,
    by_id,
    by_registered_hash,
    by_event_stream,
    by_websocket,
    by_rest,
    by_mcp,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_whichever_way_it_comes_the_leader_carries_it_out_for_the_same_caller(
    pair: Replicated, way: Callable[[Running], Awaitable[None]]
) -> None:
    leader, follower = pair
    await way(follower)
    (operation,) = operations(leader)
    assert (operation.kind.value, operation.by) == ("LOAD", "cron")
    assert forwarded(follower) == {"answered": 1}
    assert forwarded(leader) == {}
    text = leader.components.service.metrics.text().decode()
    assert 'exo_graphql_requests_total{outcome="answered",transport="replica"} 1.0' in text
    text = follower.components.service.metrics.text().decode()
    assert 'exo_graphql_forwarded_mutations_total{outcome="answered"} 1.0' in text


async def test_the_answer_is_the_leaders_byte_for_byte_with_its_status(pair: Replicated) -> None:
    leader, follower = pair
    for query, variables in (
        ('mutation { loadModel(model: "none") { operation { id } error { code message suggestion } } }', {}),
        ("mutation($n: String!) { loadModel(model: $n) { error { code } } }", {}),  # a variable is missing
        ("mutation($n: String!) { loadModel(model: $n) { error { code } } }", {"n": 1}),
    ):
        directly, passed = (
            await ask(leader, query, OPERATE, **variables),
            await ask(follower, query, OPERATE, **variables),
        )
        assert (passed.status_code, passed.content) == (directly.status_code, directly.content)


async def test_who_may_only_read_is_refused_before_anything_is_sent(pair: Replicated) -> None:
    leader, follower = pair
    answer = await ask(follower, LOAD, READ)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (403, "FORBIDDEN")
    assert (await ask(follower, LOAD)).status_code == 401
    assert (operations(leader), forwarded(follower)) == ([], {})


async def test_what_a_client_says_of_itself_is_ignored(pair: Replicated) -> None:
    leader, follower = pair
    headers = {"authorization": f"Bearer {OPERATE}", "exo-graphql-by": "root"}
    async with httpx.AsyncClient(trust_env=False, headers=headers) as client:
        body = {"query": LOAD, "by": "root", "rights": "OPERATE", "trusted": True, "to": "id-of-server-1"}
        await client.post(follower.url, json=body)
    assert [operation.by for operation in operations(leader)] == ["cron"]


async def test_the_limits_of_this_server_are_checked_before_anything_is_sent() -> None:
    async with replicated({}, {"max_mutation_cost": 3}) as pair:
        _, follower = pair
        answer = await ask(
            follower, f'mutation {{ loadModel(model: "{B}") {{ operation {{ id kind state message }} }} }}'
        )
        assert answer.json()["errors"][0]["extensions"]["limit"] == "max_mutation_cost"
        assert forwarded(follower) == {}


@pytest.mark.parametrize("trusting", [0, 1], ids=["the leader", "the follower"])
async def test_a_document_that_is_not_trusted_is_refused_where_either_server_trusts_known_ones_alone(
    trusting: int,
) -> None:
    each: list[dict[str, Any]] = [{}, {}]
    each[trusting] = {"trusted_documents": True}
    async with replicated(*each) as pair:
        leader, follower = pair
        answer = await ask(follower, LOAD)
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (403, "DOCUMENT_NOT_TRUSTED")
        assert operations(leader) == []
        await by_rest_without_token(follower)  # the package's own
        assert len(operations(leader)) == 1


async def by_rest_without_token(server: Running) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(server.url.replace("/graphql", "/v1/cluster/models/load"), json={"model_id": A})
        assert answer.status_code == 200, answer.text


async def test_a_mutation_is_carried_out_though_its_caller_goes(pair: Replicated) -> None:
    leader, follower = pair
    leader.exo.control.latency = 0.2
    body = orjson.dumps({"query": LOAD})
    _, writer = await asyncio.open_connection("127.0.0.1", follower.port)
    head = f"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    writer.write(f"{head}\r\nauthorization: Bearer {OPERATE}\r\n\r\n".encode() + body)
    service = follower.components.service
    await until(lambda: service._changing)
    writer.transport.abort()
    await until(lambda: operations(leader))
    await until(lambda: not service._changing)
    assert forwarded(follower) == {"answered": 1}


async def test_while_nobody_leads_it_waits_and_then_says_that_nothing_was_changed() -> None:
    async with replicated({}, {}, lease_seconds=0.5, take_over=0.0) as pair:
        leader, follower = pair
        pair.lead(None)
        async with httpx.AsyncClient(trust_env=False) as client:
            url = follower.url.replace("/graphql", "/v1/cluster/models/load")
            answers = await asyncio.gather(
                ask(follower, LOAD),
                ask(leader, LOAD),
                client.post(follower.url, json={"query": LOAD}),
                client.post(url, json={"model_id": A}),
            )
        assert [answer.status_code for answer in answers] == [503] * 4
        rest = answers[3].json()["error"]
        for error in [answer.json()["errors"][0] for answer in answers[:3]]:
            assert error["extensions"]["code"] == rest["reason"] == "CLUSTER_UNAVAILABLE"
            assert "Nothing was changed." in error["message"]
            assert error["extensions"]["suggestion"]
        assert operations(leader) == operations(follower) == []


async def test_while_the_database_is_away_that_is_the_reason() -> None:
    async with replicated({}, {}, lease_seconds=0.5, take_over=0.0) as pair:
        pair.lead(None)
        pair.state.answers = False
        for answer in await asyncio.gather(*(ask(server, LOAD) for server in pair)):
            (error,) = answer.json()["errors"]
            assert (answer.status_code, error["extensions"]["code"]) == (503, "JOURNAL_UNAVAILABLE")
        pair.state.answers = True


async def test_what_waits_is_carried_out_by_the_server_that_takes_over_be_it_this_one_or_another() -> None:
    async with replicated({}, {}, {}, take_over=5) as three:
        first, second, third = three
        three.lead(None)
        waiting = [asyncio.create_task(ask(server, LOAD)) for server in (second, third)]
        await until(lambda: len(second.components.service._changing) + len(third.components.service._changing) == 2)
        three.lead(2)
        answers = [(await each).json() for each in waiting]
        (operation,) = operations(third)
        assert [answer["data"]["loadModel"]["operation"]["id"] for answer in answers] == [operation.id] * 2
        await until(lambda: [each.id for each in operations(first)] == [operation.id])
        assert (forwarded(second), forwarded(third)) == ({"answered": 1}, {})


async def test_what_its_server_cannot_store_since_it_has_lost_the_lead_is_done_by_the_next_one() -> None:
    load = f'loadModel(model: "{A}", idempotencyKey: $k) {{ operation {{ id }} error {{ code }} }}'
    async with replicated({}, {}) as pair:
        first, second = pair
        store = pair.store(0)
        admit = store.admit

        async def too_late(collection: Collection, entry: Entry, key: Key | None = None) -> None:
            pair.lead(1)
            await admit(collection, entry, key)

        with patch.object(store, "admit", too_late):
            for given in (None, "k"):
                pair.lead(0)
                await until(lambda: first.components.roles.leading)
                loaded = (await ask(first, f"mutation($k: String) {{ {load} }}", k=given)).json()["data"]["loadModel"]
                if given is None:
                    assert loaded["error"]["code"] == "JOURNAL_UNAVAILABLE"
                else:
                    assert [operation.id for operation in operations(second)] == [loaded["operation"]["id"]]


async def test_many_at_once_reach_the_leader_each_once(pair: Replicated) -> None:
    _, follower = pair
    async with httpx.AsyncClient(trust_env=False, headers={"authorization": f"Bearer {OPERATE}"}, timeout=60) as client:
        requests = [
            {"query": f'mutation {{ cancelTask(id: "no-{number}") {{ error {{ code }} }} }}'} for number in range(80)
        ]
        answers = await asyncio.gather(*(client.post(follower.url, json=request) for request in requests))
    assert {answer.json()["data"]["cancelTask"]["error"]["code"] for answer in answers} == {"TASK_NOT_FOUND"}
    assert forwarded(follower) == {"answered": 80}


async def test_two_servers_that_each_take_the_other_for_the_leader_answer_in_bounded_time() -> None:
    given: dict[str, Any] = {"lease_seconds": 0.5, "take_over": 0.0}
    with directed(Directed("a", replica("b", leads=True))) as first:
        async with running(**given) as a:
            with directed(Directed("b", replica("a", f"http://127.0.0.1:{a.port}", leads=True))):
                async with running(**given) as b:
                    first.set("b", replica("b", f"http://127.0.0.1:{b.port}"))
                    answers = await asyncio.gather(*(ask(server, LOAD) for server in (a, b, a, b)))
                    for answer in answers:
                        (error,) = answer.json()["errors"]
                        assert (answer.status_code, error["extensions"]["code"]) == (503, "CLUSTER_UNAVAILABLE")
                    assert operations(a) == operations(b) == []
                    text = b.components.service.metrics.text().decode()
                    (passed_on,) = re.findall(r'requests_total{outcome="refused",transport="replica"} (\d+)', text)
                    assert 2 <= int(passed_on) <= 8  # twice in each quarter of a second, and nothing came back


async def test_who_asks_is_told_when_nobody_knows_what_became_of_it_and_how_to_find_out() -> None:
    async with leading(break_off) as leader:
        with directed(Directed("b", replica("a", leader.url, leads=True))):
            async with running() as server:
                answer = await ask(server, LOAD)
                (error,) = answer.json()["errors"]
                assert (answer.status_code, error["extensions"]["code"]) == (504, "OUTCOME_UNKNOWN")
                assert error["extensions"]["suggestion"].endswith("{ operations { id kind state startedAt } }")
                url = server.url.replace("/graphql", "/v1/cluster/models/load")
                async with httpx.AsyncClient(trust_env=False) as client:
                    rest = await client.post(url, json={"model_id": A})
                assert (rest.status_code, rest.json()["error"]["reason"]) == (504, "OUTCOME_UNKNOWN")
                async with server.socket() as socket:
                    id_ = await socket.subscribe(LOAD)
                    message = await socket.receive()
                    assert (message["id"], message["type"]) == (id_, "error")
                    assert message["payload"][0]["extensions"]["code"] == "OUTCOME_UNKNOWN"
    assert len(leader.arrived) == 3


async def test_a_query_right_after_it_at_the_same_server_shows_what_it_did(pair: Replicated) -> None:
    _, follower = pair
    loaded = (await ask(follower, LOAD, OPERATE)).json()["data"]["loadModel"]["operation"]
    shown = (await ask(follower, "{ operations { id by } }", READ)).json()["data"]["operations"]
    assert shown == [loaded]
    text = f'mutation {{ applyDeployment(name: "day", model: "{A}") {{ deployment {{ name generation }} }} }}'
    applied = (await ask(follower, text, OPERATE)).json()["data"]["applyDeployment"]["deployment"]
    shown = (await ask(follower, "{ deployments { name generation } }", READ)).json()["data"]["deployments"]
    assert shown == [applied]
    paused = 'mutation { pauseDeployment(name: "day") { deployment { state } } }'
    applied = (await ask(follower, paused, OPERATE)).json()["data"]["pauseDeployment"]["deployment"]
    shown = (await ask(follower, "{ deployments { state } }", READ)).json()["data"]["deployments"]
    assert shown == [applied] == [{"state": "PAUSED"}]
    await ask(follower, 'mutation { deleteDeployment(name: "day") { error { code } } }', OPERATE)
    assert (await ask(follower, "{ deployments { name } }", READ)).json()["data"]["deployments"] == []


async def test_the_catalogue_shows_at_once_what_was_added_or_removed_through_this_server(pair: Replicated) -> None:
    leader, follower = pair
    await until(lambda: follower.components.poller.stats.reads and leader.components.poller.stats.reads)
    model = "mlx-community/SmolLM3-3B-4bit"
    for _ in range(2):
        for change in ("addModel", "removeModel"):
            mutation = f"mutation($id: ID!) {{ a: {change}(id: $id) {{ error {{ code }} }} }}"
            assert (await ask(follower, mutation, OPERATE, id=model)).json()["data"]["a"]["error"] is None
            shown = (await ask(follower, f'{{ model(id: "{model}") {{ id }} }}', READ)).json()
            assert ("errors" in shown) is (change == "removeModel")


async def test_a_fault_of_ours_on_the_way_is_an_answer_with_its_id_alone(caplog: pytest.LogCaptureFixture) -> None:
    text = 'mutation { addModel(id: "a/b") { error { code } } }'
    async with leading(executed(b'{"data": ["no object"]}')) as leader:
        with directed(Directed("b", replica("a", leader.url, leads=True))):
            async with running() as server:
                answer = await ask(server, text)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["extensions"]["code"]) == (500, "INTERNAL_ERROR")
    assert error["extensions"]["errorId"] in caplog.text
