"""The route by which servers pass mutations on, met by everybody else."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from exo_graphql.transports.replica_routes import MAX_BODY_BYTES
from tests.support.own_time import OWN_TIME, Backend
from tests.support.replicated import Replicated, replicated
from tests.support.running import A, running, until

pytestmark = pytest.mark.anyio

SECRET = "a shared secret"
TO = {"exo-graphql-to": "id-of-server-0"}
AUTHORIZED = {"authorization": f"Bearer {SECRET}", **TO}
LOAD = f'mutation {{ loadModel(model: "{A}") {{ operation {{ by }} error {{ code }} }} }}'
NAMED = LOAD.replace("mutation", "mutation M", 1)
BODY: dict[str, Any] = {"query": LOAD, "by": "cron", "rights": "OPERATE"}


@pytest.fixture
def anyio_backend() -> Backend:
    return OWN_TIME


@pytest.fixture
async def pair() -> AsyncIterator[Replicated]:
    async with replicated({}, {}, body_timeout=0.5, tokens="operate:operating-secret") as made:
        yield made


def client_of(made: Replicated, number: int = 0) -> httpx.AsyncClient:
    port = made.servers[number].port
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30)


def code(answer: httpx.Response) -> str:
    return str(answer.json()["errors"][0]["extensions"]["code"])


async def test_nobody_gets_in_without_the_secret_and_nothing_is_carried_out(pair: Replicated) -> None:
    async with client_of(pair) as client:
        for given in (
            {},
            {"authorization": "Bearer"},
            {"authorization": "Bearer another-secret"},
            {"authorization": f"Bearer {SECRET}x"},
            {"authorization": f"Basic {SECRET}"},
            {"authorization": SECRET},
            {"authorization": "Bearer operating-secret"},  # the token of a caller who may operate
        ):
            answer = await client.post("/replica/graphql", json=BODY, headers=given)
            assert (answer.status_code, code(answer)) == (401, "UNAUTHENTICATED")
            assert SECRET not in answer.text
        before = pair.store(0).leadership
        pair.store(0).leadership.secret = "the one that replaced it"
        answer = await client.post("/replica/graphql", json=BODY, headers=AUTHORIZED)
        assert (answer.status_code, code(answer)) == (401, "UNAUTHENTICATED")
        assert before is pair.store(0).leadership
    assert pair.servers[0].components.operations.all() == ()


async def test_the_secret_opens_nothing_but_this_route(pair: Replicated) -> None:
    async with client_of(pair) as client:
        answer = await client.post("/graphql", json={"query": LOAD}, headers=AUTHORIZED)
        assert (answer.status_code, code(answer)) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "header",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:{port}"},  # this server's own pages
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-mode": "no-cors"},
    ],
    ids=str,
)
async def test_no_page_may_use_it_even_with_the_secret(pair: Replicated, header: dict[str, str]) -> None:
    async with client_of(pair) as client:
        given = {name: value.format(port=pair.servers[0].port) for name, value in header.items()}
        answer = await client.post("/replica/graphql", json=BODY, headers={**AUTHORIZED, **given})
        assert answer.status_code == 403
        preflight = await client.options("/replica/graphql", headers={**AUTHORIZED, **given})
        assert preflight.status_code in (403, 405)
        assert "access-control-allow-origin" not in preflight.headers
    assert pair.servers[0].components.operations.all() == ()


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({**BODY, "query": "{ cluster { nodeCount } }"}, 400, "Only mutations"),
        ({**BODY, "query": "subscription { cluster { nodeCount } }"}, 400, "Only mutations"),
        (
            {
                **BODY,
                "query": f"query Q {{ nodes {{ id }} }} {NAMED}",
                "operationName": "Q",
            },
            400,
            "Only mutations",
        ),
        ({**BODY, "query": None}, 400, "must be a string"),
        ({**BODY, "query": 1}, 400, "must be a string"),
        ({**BODY, "variables": []}, 400, "an object"),
        ({**BODY, "operationName": {}}, 400, "a string"),
        ({**BODY, "rights": None}, 400, "READ or OPERATE"),
        ({**BODY, "rights": "ADMIN"}, 400, "READ or OPERATE"),
        ({**BODY, "rights": ["OPERATE"]}, 400, "READ or OPERATE"),
        ({**BODY, "by": ""}, 400, "name of a token"),
        ({**BODY, "by": 7}, 400, "name of a token"),
        ({**BODY, "by": "a\nERROR forged"}, 400, "name of a token"),
        ({**BODY, "by": "x" * 64}, 400, "name of a token"),
        ([BODY], 400, "an object"),
        ("text", 400, "an object"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_is_malformed_is_refused(pair: Replicated, body: object, status: int, says: str) -> None:
    async with client_of(pair) as client:
        answer = await client.post("/replica/graphql", json=body, headers=AUTHORIZED)
        assert answer.status_code == status
        assert says in answer.json()["errors"][0]["message"]
        assert "exo-graphql-outcome" not in answer.headers
    assert pair.servers[0].components.operations.all() == ()


async def test_bodies_and_methods_of_no_server_of_this_kind(pair: Replicated) -> None:
    async with client_of(pair) as client:
        huge = orjson.dumps({**BODY, "variables": {"a": "x" * MAX_BODY_BYTES}})
        typed = {**AUTHORIZED, "content-type": "application/json"}
        assert (await client.post("/replica/graphql", content=huge, headers=typed)).status_code == 413
        for content in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
            assert (await client.post("/replica/graphql", content=content, headers=typed)).status_code == 400
        for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            given = {**AUTHORIZED, "content-type": content_type}
            assert (await client.post("/replica/graphql", content=b"{}", headers=given)).status_code == 415
        for method in ("HEAD", "PUT", "DELETE", "OPTIONS"):
            answer = await client.request(method, "/replica/graphql", headers=AUTHORIZED)
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
        assert (await client.get("/replica")).status_code == 404
        assert (await client.get("/replica/graphql/load_model", headers=AUTHORIZED)).status_code == 404
    # A body that never comes is not read for ever; without the secret it is not read at all.
    for authorization, status in ((f"Bearer {SECRET}", b"408"), ("Bearer wrong", b"401")):
        reader, writer = await asyncio.open_connection("127.0.0.1", pair.servers[0].port)
        head = f"POST /replica/graphql HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}"
        head += "\r\nexo-graphql-to: id-of-server-0"
        writer.write(f"{head}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{".encode())
        async with asyncio.timeout(5):
            assert (await reader.readline()).split()[1] == status
        writer.close()


async def test_rights_are_checked_once_more_and_the_document_too(pair: Replicated) -> None:
    async with client_of(pair) as client:
        for given, outcome, expected in (
            ({"rights": "READ"}, "FORBIDDEN", "FORBIDDEN"),
            ({"query": "mutation { nonsense }"}, "REFUSED", "GRAPHQL_VALIDATION_FAILED"),
            ({"query": "mutation {"}, "REFUSED", "GRAPHQL_PARSE_FAILED"),
            ({"query": "{" * 200_000}, "REFUSED", "LIMIT_EXCEEDED"),
            ({"operationName": "Missing"}, "REFUSED", "OPERATION_RESOLUTION_FAILURE"),
            ({"variables": {"a": "x" * 200_000}}, "REFUSED", "LIMIT_EXCEEDED"),
        ):
            answer = await client.post("/replica/graphql", json={**BODY, **given}, headers=AUTHORIZED)
            assert (answer.status_code, answer.headers["exo-graphql-outcome"]) == (200, outcome)
            assert code(answer) == expected
    assert pair.servers[0].components.operations.all() == ()


async def test_a_server_that_does_not_lead_says_so_and_passes_nothing_on(pair: Replicated) -> None:
    async with client_of(pair, 1) as follower, client_of(pair) as leader:
        for client, to, role in (
            (follower, "id-of-server-1", "follower"),
            (follower, "id-of-server-0", "another"),
            (leader, "id-of-server-1", "another"),
            (leader, "", "another"),
        ):
            given = {**AUTHORIZED, "exo-graphql-to": to}
            for method in ("GET", "POST"):
                answer = await client.request(method, "/replica/graphql", json=BODY, headers=given)
                assert (answer.status_code, answer.headers["exo-graphql-role"]) == (409, role)
                assert code(answer) == "NOT_LEADING"
    assert pair.servers[0].components.operations.all() == ()
    passing_on: Any = pair.servers[1].components.service._passing_on
    assert passing_on._forwarder.ended == {}


async def test_a_server_that_loses_the_lead_while_it_carries_something_out_says_so(
    pair: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = pair.servers[0].components.service
    answer = service.answer

    async def loses(*given: Any, **more: Any) -> Any:
        reply = await answer(*given, **more)
        pair.lead(1)
        return reply

    async with client_of(pair) as leader:
        assert "exo-graphql-role" not in (await leader.post("/replica/graphql", json=BODY, headers=AUTHORIZED)).headers
        monkeypatch.setattr(service, "answer", loses)
        answered = await leader.post("/replica/graphql", json=BODY, headers=AUTHORIZED)
    assert (answered.status_code, answered.headers["exo-graphql-role"]) == (200, "follower")


async def test_whoever_has_the_secret_may_ask_whether_a_server_leads(pair: Replicated) -> None:
    async with client_of(pair, 1) as follower, client_of(pair) as leader:
        assert (await leader.get("/replica/graphql", headers=AUTHORIZED)).status_code == 204
        assert (await leader.get("/replica/graphql")).status_code == 401
        pair.lead(1)
        to = {**AUTHORIZED, "exo-graphql-to": "id-of-server-1"}
        await until(lambda: pair.servers[1].components.roles.leading)
        assert (await follower.get("/replica/graphql", headers=to)).status_code == 204
        assert (await leader.get("/replica/graphql", headers=AUTHORIZED)).status_code == 409


async def test_what_is_in_order_is_carried_out_under_its_callers_name(pair: Replicated) -> None:
    async with client_of(pair) as client:
        answer = await client.post("/replica/graphql", json=BODY, headers=AUTHORIZED)
        assert (answer.status_code, answer.headers["exo-graphql-outcome"]) == (200, "EXECUTED")
        assert answer.json() == {"data": {"loadModel": {"operation": {"by": "cron"}, "error": None}}}


async def test_where_the_store_is_not_shared_there_is_no_such_route() -> None:
    async with running() as server, httpx.AsyncClient(trust_env=False) as client:
        for given in ({}, AUTHORIZED, {"authorization": "Bearer"}, {"authorization": "Bearer None"}):
            url = server.url.replace("/graphql", "/replica/graphql")
            assert (await client.post(url, json=BODY, headers=given)).status_code == 404
        assert server.components.service._passing_on is None


async def test_a_server_answers_to_the_name_under_which_it_is_advertised() -> None:
    async with replicated({}, url="http://mini-1.lan:52416/tools") as made, client_of(made) as client:
        for host, status in (("mini-1.lan:52416", 200), ("mini-2.lan", 421)):
            answer = await client.post("/replica/graphql", json=BODY, headers={**AUTHORIZED, "host": host})
            assert answer.status_code == status
