"""GraphQL over HTTP: what is answered to whom, with which status, and which code each error carries."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from exo_graphql.simulator import SimulatedExo, tiny_scenario
from tests.support.own_time import OWN_TIME, Backend
from tests.support.running import PHASE, Running, running

pytestmark = pytest.mark.anyio

GRAPHQL_JSON = "application/graphql-response+json"
COUNT = "{ cluster { nodeCount } }"
AUTHORIZED = {"authorization": "Bearer reading-secret"}


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return OWN_TIME  # as everywhere, but for the whole module: nothing that these tests ask changes the server


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


@pytest.fixture
async def client(server: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url.removesuffix("/graphql"), trust_env=False) as client:
        yield client


async def _ask(client: httpx.AsyncClient, query: str, accept: str = GRAPHQL_JSON, **more: Any) -> httpx.Response:
    return await client.post("/graphql", json={"query": query, **more}, headers={"accept": accept})


async def test_a_query_by_post_is_answered(client: httpx.AsyncClient) -> None:
    answer = await _ask(client, COUNT)
    assert (answer.status_code, answer.json()) == (200, {"data": {"cluster": {"nodeCount": 2}}})
    assert answer.headers["content-type"] == f"{GRAPHQL_JSON}; charset=utf-8"


async def test_a_query_by_get_is_answered(client: httpx.AsyncClient) -> None:
    query = "query Q($id: ID!) { model(id: $id) { id } }"
    parameters = {"query": query, "operationName": "Q", "variables": '{"id": "tiny-a"}', "extensions": "{}"}
    answer = await client.get("/graphql", params=parameters)
    assert answer.json() == {"data": {"model": {"id": "test/tiny-a"}}}


VARIED = "query ($n: Int!, $status: [TaskStatus!]) { operations(active: true) { id } tasks(status: $status) { id } "
VARIED += 'placements(model: "test/tiny-a", minNodes: $n) { fits } }'


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"query": "{ cluster { nodeCount }"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": ""}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ cluster { nodeCont } }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "{ model(id: {}) { id } }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": VARIED}, "BAD_USER_INPUT"),
        ({"query": VARIED, "variables": {"n": "many"}}, "BAD_USER_INPUT"),
        ({"query": VARIED, "variables": {"n": 1, "status": ["BUSY"]}}, "BAD_USER_INPUT"),
        ({"query": f"query A {COUNT} query B {COUNT}"}, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": f"query A {COUNT}", "operationName": "B"}, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": "fragment F on Cluster { nodeCount }"}, "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_what_graphql_refuses_has_a_code_and_no_data(
    client: httpx.AsyncClient, request_: dict[str, Any], code: str
) -> None:
    answer = await _ask(client, **request_)
    body = answer.json()
    assert answer.status_code == 400
    assert "data" not in body
    assert {error["extensions"]["code"] for error in body["errors"]} == {code}


async def test_older_clients_read_what_graphql_refuses_in_a_200(client: httpx.AsyncClient) -> None:
    answer = await _ask(client, "{ nope }", accept="application/json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert "data" not in answer.json()


async def test_the_error_of_a_misspelt_field_suggests_the_right_name(client: httpx.AsyncClient) -> None:
    (error,) = (await _ask(client, "{ cluster { nodeCont } }")).json()["errors"]
    assert "Did you mean 'nodeCount'" in error["message"]
    assert error["locations"] == [{"line": 1, "column": 13}]


async def test_a_missing_runtime_argument_is_bad_input_beside_answered_siblings(client: httpx.AsyncClient) -> None:
    query = 'query ($id: ID = "x") { node(id: $id) { id } cluster { nodeCount } }'
    answer = await _ask(client, query, variables={"id": None})
    body = answer.json()
    assert answer.status_code == 200
    assert body["data"] == {"node": None, "cluster": {"nodeCount": 2}}
    assert [(error["path"], error["extensions"]["code"]) for error in body["errors"]] == [(["node"], "BAD_USER_INPUT")]


async def test_an_error_that_names_itself_keeps_its_name(client: httpx.AsyncClient) -> None:
    body = (await _ask(client, '{ node(id: "nobody") { id } cluster { nodeCount } }')).json()
    assert body["data"] == {"node": None, "cluster": {"nodeCount": 2}}
    (error,) = body["errors"]
    assert error["extensions"]["code"] == "NODE_NOT_FOUND"
    assert error["extensions"]["available"]


async def test_an_internal_error_shows_only_an_id(
    server: Running, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> object:
        raise KeyError("/secret/path")

    monkeypatch.setattr(server.components.operations, "all", broken)
    answer = await _ask(client, "{ operations { id } cluster { nodeCount } }")
    assert answer.status_code == 200
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL_ERROR"
    assert "secret" not in answer.text
    assert error["extensions"]["errorId"] in caplog.text
    assert "/secret/path" in caplog.text


async def test_a_fault_in_the_executor_is_a_500_that_still_speaks_graphql(
    server: Running, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> object:
        raise KeyError("/secret/path")

    monkeypatch.setattr(type(server.components.service._executor), "execute_compiled", broken)
    answer = await _ask(client, "{ nodes { id chip } }")  # asked nowhere else: no stored result answers it
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["extensions"]["code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in answer.text
    assert error["extensions"]["errorId"] in caplog.text


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'"query"', "JSON object"),
        (b"[]", "Batched"),
        (b'[{"query": "{ cluster { nodeCount } }"}]', "Batched"),
        (b"{}", "'query'"),
        (b'{"query": 1}', "'query'"),
        (b'{"query": "{ x }", "variables": []}', "'variables'"),
        (b'{"query": "{ x }", "operationName": 1}', "'operationName'"),
        (b'{"query": "{ x }", "extensions": 1}', "'extensions'"),
        (b'{"query": "\\ud800"}', "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
    ],
)
async def test_a_malformed_request_is_refused(client: httpx.AsyncClient, body: bytes, reported: str) -> None:
    answer = await client.post("/graphql", content=body, headers={"content-type": "application/json"})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["extensions"]["code"]) == (400, "BAD_REQUEST")
    assert reported in error["message"]


@pytest.mark.parametrize("variables", ["{", "[]", '"x"', "1"])
async def test_malformed_variables_in_a_url_are_refused(client: httpx.AsyncClient, variables: str) -> None:
    answer = await client.get("/graphql", params={"query": COUNT, "variables": variables})
    assert answer.status_code == 400
    assert "'variables'" in answer.json()["errors"][0]["message"]


async def test_a_url_of_many_parameters_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/graphql", params={"query": COUNT, **{f"p{n}": "" for n in range(30)}})
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", None]
)
async def test_a_content_type_that_a_foreign_page_may_send_is_refused(
    client: httpx.AsyncClient, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = await client.post("/graphql", content=b'{"query": "{ cluster { nodeCount } }"}', headers=headers)
    assert answer.status_code == 415


@pytest.mark.parametrize(("coding", "status"), [("gzip", 415), ("deflate", 415), ("identity", 200), ("", 200)])
async def test_a_compressed_body_is_refused_by_that_name(client: httpx.AsyncClient, coding: str, status: int) -> None:
    headers = {"content-type": "application/json", "content-encoding": coding}
    answer = await client.post("/graphql", content=b'{"query": "{ cluster { nodeCount } }"}', headers=headers)
    assert answer.status_code == status
    assert status == 200 or "Content-Encoding" in answer.text


async def test_a_mutation_by_get_is_refused_and_does_nothing(server: Running, client: httpx.AsyncClient) -> None:
    query = 'mutation { loadModel(model: "test/tiny-a") { operation { id } } }'
    answer = await client.get("/graphql", params={"query": query})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert server.components.operations.all() == ()


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_other_methods_are_refused(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, "/graphql", params={"query": COUNT})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


async def test_a_head_request_is_not_left_waiting_for_a_stream(server: Running, client: httpx.AsyncClient) -> None:
    answer = await client.head("/graphql", params={"query": PHASE}, headers={"accept": "text/event-stream"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert server.components.service.live.subscriber_count == 0


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "application/json; charset=utf-8"),
        ("*/*", "application/json; charset=utf-8"),
        ("application/*", "application/json; charset=utf-8"),
        ("text/html, */*;q=0.1", "application/json; charset=utf-8"),
        (f"{GRAPHQL_JSON}, application/json;q=0.9", f"{GRAPHQL_JSON}; charset=utf-8"),
        (f"application/json;q=0.5, {GRAPHQL_JSON};q=0.6", f"{GRAPHQL_JSON}; charset=utf-8"),
        (f"multipart/mixed, {GRAPHQL_JSON}, text/event-stream;q=0.8", f"{GRAPHQL_JSON}; charset=utf-8"),
        ("text/event-stream", "text/event-stream; charset=utf-8"),
    ],
)
async def test_the_content_type_is_what_the_client_likes_best(
    client: httpx.AsyncClient, accept: str | None, content_type: str
) -> None:
    client.headers.pop("accept")
    headers = {} if accept is None else {"accept": accept}
    answer = await client.post("/graphql", json={"query": COUNT}, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)


@pytest.mark.parametrize("accept", ["text/csv", "application/json;q=0", "image/*"])
async def test_a_client_that_accepts_no_media_type_of_the_server_gets_an_error(
    client: httpx.AsyncClient, accept: str
) -> None:
    answer = await _ask(client, COUNT, accept=accept)
    assert answer.status_code == 406
    assert "text/event-stream" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("accept", ["application/json", "*/*"])
async def test_a_subscription_without_a_stream_gets_an_error_that_says_how_to_subscribe(
    client: httpx.AsyncClient, accept: str
) -> None:
    answer = await _ask(client, PHASE, accept=accept)
    assert answer.status_code == 406
    assert "text/event-stream" in answer.json()["errors"][0]["message"]


async def test_a_body_larger_than_the_limit_is_refused_before_it_is_read_whole() -> None:
    async with running(max_body_bytes=2000) as server, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(server.url, json={"query": COUNT + " " * 2000})
        assert answer.status_code == 413
        assert "2000 bytes" in answer.json()["errors"][0]["message"]
        assert (await client.post(server.url, json={"query": COUNT})).status_code == 200


async def test_a_body_that_never_ends_is_given_up_on() -> None:
    async with running(body_timeout=0.1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b'Content-Length: 100\r\n\r\n{"query"'
        )
        status = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
    assert status.startswith(b"HTTP/1.1 408 ")


async def test_without_a_token_nothing_is_answered() -> None:
    async with running(tokens="read:reading-secret") as server, httpx.AsyncClient(trust_env=False) as client:
        refused = await client.post(server.url, json={"query": COUNT})
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert refused.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        answered = await client.post(server.url, json={"query": COUNT}, headers=AUTHORIZED)
        assert answered.json() == {"data": {"cluster": {"nodeCount": 2}}}


async def test_who_may_only_read_does_not_operate() -> None:
    async with running(tokens="read:reading-secret") as server, httpx.AsyncClient(trust_env=False) as client:
        query = 'mutation { loadModel(model: "test/tiny-a") { operation { id } } }'
        answer = await client.post(server.url, json={"query": query}, headers=AUTHORIZED)
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (403, "FORBIDDEN")
        assert server.components.operations.all() == ()


def _silent_exo() -> tuple[socket.socket, str]:
    """Something that accepts connections and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_before_the_first_snapshot_a_query_waits_five_seconds_then_says_so() -> None:
    listener, url = _silent_exo()
    with listener:
        async with running(demo=False, exo_url=url) as server, httpx.AsyncClient(trust_env=False, timeout=20) as client:
            poller = server.components.poller
            assert poller.rules.first_wait == 5.0  # tests/exo/test_poller.py waits for them, under virtual time
            poller.rules = replace(poller.rules, first_wait=0.5)
            began = asyncio.get_running_loop().time()
            answer = await client.post(server.url, json={"query": COUNT})
            took = asyncio.get_running_loop().time() - began
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "CLUSTER_UNAVAILABLE"
    (tried,) = error["extensions"]["exoErrors"]
    assert (tried["url"], tried["message"]) == (url, "no answer so far.")
    assert 0.4 < took < 1.5


async def test_before_the_first_snapshot_what_is_wrong_or_about_the_schema_is_answered_at_once() -> None:
    listener, url = _silent_exo()
    with listener:
        async with running(demo=False, exo_url=url) as server, httpx.AsyncClient(trust_env=False, timeout=20) as client:
            began = asyncio.get_running_loop().time()
            wrong = await client.post(server.url, json={"query": "{ nope }"})
            schema = await client.post(server.url, json={"query": "{ __schema { queryType { name } } }"})
            took = asyncio.get_running_loop().time() - began
    assert wrong.json()["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert schema.json() == {"data": {"__schema": {"queryType": {"name": "Query"}}}}
    assert took < 2.0


async def test_while_exo_hangs_a_query_is_answered_from_the_last_snapshot_after_a_second_at_most() -> None:
    exo = SimulatedExo(tiny_scenario(), seed=1)
    async with running(exo, max_age=0.0) as server, httpx.AsyncClient(trust_env=False) as client:
        exo.control.latency = 30.0
        began = asyncio.get_running_loop().time()
        answer = await client.post(server.url, json={"query": COUNT})
        took = asyncio.get_running_loop().time() - began
    assert answer.json() == {"data": {"cluster": {"nodeCount": 2}}}
    assert took < 1.5
