"""Persisted documents: by name, by hash, registered by Apollo's clients; and a server that executes no others."""

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from exo_graphql.documents import document, document_names
from exo_graphql.engine import persisted
from exo_graphql.engine.persisted import PersistedDocuments
from exo_graphql.engine.requests import GraphQLRequest
from exo_graphql.settings import SettingsError
from exo_graphql.web.dashboard.documents import dashboard_documents
from tests.support.own_time import OWN_TIME, Backend
from tests.support.running import A, B, Running, running

pytestmark = pytest.mark.anyio

COUNT = "{ cluster { nodeCount } }"
GRAPHQL_JSON = {"accept": "application/graphql-response+json"}
TOKENS = "read:reading-secret,operate:operating-secret"
STATUS = document("model_status").text


def hash_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def registering(query: str | None, key: str | None = None) -> dict[str, Any]:
    """What Apollo's clients send."""
    extension = {"version": 1, "sha256Hash": key or hash_of(query or "")}
    return {"extensions": {"persistedQuery": extension}, **({} if query is None else {"query": query})}


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return OWN_TIME


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Running]:
    async with running() as server:
        yield server


@pytest.fixture
async def client(server: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(server) as client:
        yield client


def client_of(server: Running, **headers: str) -> httpx.AsyncClient:
    base = server.url.removesuffix("/graphql")
    return httpx.AsyncClient(base_url=base, trust_env=False, headers=GRAPHQL_JSON | headers)


@pytest.mark.parametrize("id_", ["model_status", hash_of(STATUS), f"sha256:{hash_of(STATUS)}"])
async def test_a_document_of_this_package_is_known_by_its_name_and_by_its_hash(
    client: httpx.AsyncClient, id_: str
) -> None:
    expected = (await client.post("/graphql", json={"query": STATUS, "variables": {"model": "tiny-a"}})).json()
    assert expected["data"]["modelStatus"]["modelId"] == A
    variables = {"variables": '{"model": "tiny-a"}'}
    assert (await client.get(f"/graphql/{id_}", params=variables)).json() == expected
    assert (await client.get("/graphql", params={"documentId": id_, **variables})).json() == expected
    body = {"variables": {"model": "tiny-a"}}
    assert (await client.post(f"/graphql/{id_}", json=body)).json() == expected
    assert (await client.post("/graphql", json={"documentId": id_, **body})).json() == expected


async def test_every_document_is_known_and_a_mutation_or_subscription_is_not_read_by_get(
    client: httpx.AsyncClient,
) -> None:
    for name in document_names():
        kind = document(name).text.partition("\n\n")[0].split("\n")
        answer = await client.get(f"/graphql/{name}")
        first = next(line for line in kind if not line.startswith("#")).split()[0]
        if first == "mutation":
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), name
        elif first == "subscription":
            assert answer.status_code == 406, name
        else:
            # Without its variables it is refused, or answered: but it is known.
            assert answer.status_code in (200, 400), name


async def test_an_unknown_id_is_answered_with_those_that_exist(client: httpx.AsyncClient) -> None:
    for answer in (
        await client.get("/graphql/modelstatus"),
        await client.post("/graphql/" + "0" * 64, json={}),
        await client.post("/graphql", json={"documentId": "x" * 500}),
    ):
        (error,) = answer.json()["errors"]
        assert answer.status_code == 404
        assert error["extensions"]["code"] == "DOCUMENT_NOT_FOUND"
        assert error["extensions"]["available"] == document_names()
        assert len(error["message"]) < 200


@pytest.mark.parametrize(
    "body",
    [
        {"documentId": "health", "query": COUNT},
        {"documentId": "health", **registering(None, "0" * 64)},
        {"documentId": 1},
        {"documentId": "nodes"},
        registering(COUNT) | {"extensions": {"persistedQuery": {"version": 2, "sha256Hash": hash_of(COUNT)}}},
        {"extensions": {"persistedQuery": {"version": 1}}},
        {"extensions": {"persistedQuery": "x"}, "query": None},
    ],
)
async def test_what_names_two_documents_or_none_is_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    at = "/graphql/health" if body == {"documentId": "nodes"} else "/graphql"
    answer = await client.post(at, json=body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


async def test_the_etag_of_an_answer_follows_what_it_holds(server: Running) -> None:
    async with client_of(server) as client:
        at = "/graphql/model_status"
        first, other = {"variables": f'{{"model": "{A}"}}'}, {"variables": f'{{"model": "{B}"}}'}
        before = await client.get(at, params=first)
        tag = {"if-none-match": before.headers["etag"]}
        unchanged = await client.get(at, params=first, headers=tag)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert (await client.head(at, params=first, headers=tag)).status_code == 304
        # Another snapshot of the same: clock fields alone have changed.
        await server.components.poller.read_now()
        assert (await client.get(at, params=first, headers=tag)).status_code == 304
        assert (await client.get(at, params=other, headers=tag)).status_code == 200
        server.exo.control.place(A)
        await server.components.poller.read_now()
        after = await client.get(at, params=first, headers=tag)
        assert after.status_code == 200
        assert after.headers["etag"] != before.headers["etag"]
        assert after.json() != before.json()


async def test_a_refusal_has_no_etag_and_is_kept_nowhere(client: httpx.AsyncClient) -> None:
    answer = await client.get("/graphql/model_status", headers={"if-none-match": "*"})
    assert answer.status_code == 400
    assert "etag" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"


async def test_a_query_is_registered_by_its_hash_and_then_known_by_it(client: httpx.AsyncClient) -> None:
    query = "{ cluster { nodeCount onlineNodeCount } }"
    unknown = await client.post("/graphql", json=registering(None, hash_of(query)))
    assert unknown.status_code == 400
    (error,) = unknown.json()["errors"]
    assert (error["message"], error["extensions"]["code"]) == ("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
    whole = await client.post("/graphql", json=registering(query))
    for known in (
        await client.post("/graphql", json=registering(None, hash_of(query))),
        await client.get(
            "/graphql",
            params={
                "extensions": httpx.Request(
                    "POST", "/", json=registering(None, hash_of(query))["extensions"]
                ).content.decode()
            },
        ),
        await client.get(f"/graphql/{hash_of(query)}"),
    ):
        assert known.json() == whole.json() == {"data": {"cluster": {"nodeCount": 2, "onlineNodeCount": 2}}}


async def test_over_a_websocket_the_same_hashes_are_known(server: Running, client: httpx.AsyncClient) -> None:
    query = "subscription { cluster { nodeCount } }"
    async with server.socket() as socket:
        await socket.send(id="1", type="subscribe", payload=registering(None, hash_of(query)))
        message = await socket.receive()
        assert (message["type"], message["payload"][0]["message"]) == ("error", "PersistedQueryNotFound")
        await socket.send(id="2", type="subscribe", payload=registering(query))
        await socket.data("2")
        await socket.send(id="3", type="subscribe", payload=registering(None, hash_of(query)))
        assert (await socket.data("3"))["cluster"] == {"nodeCount": 2}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (registering(COUNT, hash_of("other")), "PERSISTED_QUERY_HASH_MISMATCH"),
        (registering("{ nonsense }"), "GRAPHQL_VALIDATION_FAILED"),
        (registering("{"), "GRAPHQL_PARSE_FAILED"),
    ],
)
async def test_what_is_wrong_is_not_registered(client: httpx.AsyncClient, body: dict[str, Any], code: str) -> None:
    answer = await client.post("/graphql", json=body)
    assert answer.json()["errors"][0]["extensions"]["code"] == code
    again = await client.post("/graphql", json={"extensions": body["extensions"]})
    assert again.json()["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"


def test_the_register_is_bounded_in_number_and_size_and_forgets_the_least_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(persisted, "MAX_REGISTERED", 3)
    monkeypatch.setattr(persisted, "MAX_REGISTERED_CHARACTERS", 100)
    documents = PersistedDocuments()

    def register(text: str) -> None:
        documents.register(GraphQLRequest(text, sha256=hash_of(text)))

    def known(*texts: str) -> list[str]:
        return [text for text in texts if documents._by_hash(hash_of(text)) is not None]

    for text in ("a", "b", "c"):
        register(text)
    assert known("b", "c", "a") == ["b", "c", "a"]
    register("d")
    assert known("a", "b", "c", "d") == ["a", "c", "d"]
    register("e" * 99)
    assert known("a", "c", "d", "e" * 99) == ["d", "e" * 99]
    register("f" * 101)
    assert known("d", "e" * 99, "f" * 101) == []
    assert documents._characters == 0


async def test_the_same_tokens_hold_for_documents_by_their_id() -> None:
    async with running(tokens=TOKENS) as server, client_of(server) as anyone:
        assert (await anyone.get("/graphql/health")).status_code == 401
        assert (await anyone.post("/graphql", json=registering(COUNT))).status_code == 401
        reading = {"authorization": "Bearer reading-secret"}
        assert (
            await anyone.post("/graphql", json=registering(None, hash_of(COUNT)), headers=reading)
        ).status_code == 400
        assert (await anyone.get("/graphql/health", headers=reading)).status_code == 200
        load = {"variables": {"model": A}}
        answer = await anyone.post("/graphql/load_model", json=load, headers=reading)
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (403, "FORBIDDEN")
        operating = {"authorization": "Bearer operating-secret"}
        accepted = await anyone.post("/graphql/load_model", json=load, headers=operating)
        assert accepted.json()["data"]["loadModel"]["operation"]["id"]


async def test_trusted_documents_alone_are_executed(tmp_path: Path) -> None:
    own = "query Count { cluster { nodeCount } }"
    (tmp_path / "count.graphql").write_text(own, encoding="utf-8")
    async with running(trusted_documents=True, documents=tmp_path) as server, client_of(server) as client:
        names = [*document_names(), *document_names("mcp")]
        for text in (own, *dashboard_documents().values(), *(document(name).text for name in names)):
            if "subscription" not in text and "mutation" not in text:
                answer = await client.post("/graphql", json={"query": text})
                assert answer.status_code in (200, 400), text
        assert (await client.get("/graphql/count")).json() == {"data": {"cluster": {"nodeCount": 2}}}
        assert (await client.post("/graphql", json=registering(None, hash_of(own)))).status_code == 200
        for body in (
            {"query": COUNT},
            registering(COUNT),
            registering(None, hash_of(COUNT)),
            {"query": "{ __typename }"},
        ):
            refused = await client.post("/graphql", json=body)
            assert refused.status_code == 403
            (error,) = refused.json()["errors"]
            assert error["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"
            assert "count" in error["extensions"]["available"]
        async with server.socket() as socket:
            await socket.subscribe("subscription { cluster { nodeCount } }")
            assert (await socket.receive())["payload"][0]["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"
            await socket.subscribe(dashboard_documents()["WATCH"])
            assert (await socket.receive())["type"] == "next"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("mine", "query {\n  cluster { nodeCont } }", "mine.graphql, line 2: Cannot query field 'nodeCont'"),
        ("mine", "query {", "mine.graphql, line 1: Syntax Error"),
        ("health", COUNT, "health.graphql has the name of a document of this package: rename it."),
        ("mine", b"\xff", "a file is not UTF-8"),
        (None, "", "cannot be read: No such file or directory."),
    ],
)
async def test_a_directory_that_cannot_be_used_is_an_error_at_the_start(
    tmp_path: Path, name: str | None, text: str | bytes, reason: str
) -> None:
    folder = tmp_path if name is not None else tmp_path / "absent"
    if name is not None:
        (folder / f"{name}.graphql").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError) as refused:
        async with running(documents=folder):
            pass
    assert refused.value.setting == "documents"
    assert reason in refused.value.message


async def test_documents_of_the_directory_may_use_the_fragments_of_this_package(tmp_path: Path) -> None:
    text = 'mutation Load { loadModel(model: "tiny-a") { error { ...ErrorDetails } } }'
    (tmp_path / "load.graphql").write_text(text, encoding="utf-8")
    async with running(documents=tmp_path) as server, client_of(server) as client:
        assert (await client.post("/graphql/load", json={})).json() == {"data": {"loadModel": {"error": None}}}
