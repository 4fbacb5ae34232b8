"""What clients, proxies and load balancers send that is unusual and valid: each is answered correctly."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from websockets.asyncio.client import connect

from exo_graphql.serve import base_url
from tests.support.own_time import OWN_TIME, Backend
from tests.support.process import free_port
from tests.support.running import SUBPROTOCOL, Running, running

pytestmark = pytest.mark.anyio

COUNT = "{ cluster { nodeCount } }"


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


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/graphql?query={COUNT}", {}),
        ("/graphql", {"accept": "text/html"}),
        *((path, {}) for path in ("/", "/healthz", "/readyz", "/metrics", "/graphiql/assets/examples.json")),
        ("/dashboard/assets/main.js", {}),
        ("/nothing", {}),
    ],
)
async def test_head_is_answered_on_every_path_of_get(
    client: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    got, headed = await client.get(path, headers=headers), await client.head(path, headers=headers)
    assert headed.status_code == got.status_code
    assert headed.headers["content-type"] == got.headers["content-type"]
    assert headed.content == b""
    if path != "/metrics":
        assert headed.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize("root_path", ["", "/tools/exo", "/tools/exo/"])
async def test_a_last_slash_changes_nothing_and_leads_nowhere_else(root_path: str) -> None:
    async with (
        running(root_path=root_path) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client,
    ):
        for prefix in {"", root_path.rstrip("/")}:
            for path in ("/healthz/", "/readyz/", "/metrics/"):
                assert (await client.get(prefix + path)).status_code == 200
            assert (await client.get(f"{prefix}/")).headers["content-type"].startswith("text/html")
            answer = await client.post(f"{prefix}/graphql/", json={"query": COUNT})
            assert answer.json() == {"data": {"cluster": {"nodeCount": 2}}}
            page = await client.get(f"{prefix}/graphql/", headers={"accept": "text/html"}, follow_redirects=True)
            assert (page.status_code, page.url.path) == (200, f"{prefix}/graphql")
            async with connect(
                f"ws://127.0.0.1:{server.port}{prefix}/graphql/", subprotocols=[SUBPROTOCOL], proxy=None
            ):
                pass


@pytest.mark.parametrize("path", ["/tools/exo", "/graphql/"])
async def test_a_redirect_names_neither_scheme_nor_host_nor_what_is_above(path: str) -> None:
    async with (
        running(root_path="/tools/exo") as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client,
    ):
        location = (await client.get(path, headers={"accept": "text/html"})).headers["location"]
        assert location == {"/tools/exo": "exo/", "/graphql/": "../graphql"}[path]


BOM = b"\xef\xbb\xbf"


async def test_a_mark_of_utf8_before_what_is_sent_is_skipped(server: Running, client: httpx.AsyncClient) -> None:
    json_type = {"content-type": "application/json"}
    whole = {"data": {"cluster": {"nodeCount": 2}}}
    body = BOM + orjson.dumps({"query": COUNT})
    assert (await client.post("/graphql", content=body, headers=json_type)).json() == whole
    assert (await client.post("/graphql", json={"query": BOM.decode() + COUNT})).json() == whole
    answer = await client.get("/graphql", params={"query": COUNT, "variables": BOM.decode() + "{}"})
    assert answer.json() == whole
    async with server.socket() as socket:
        payload = {"query": BOM.decode() + COUNT}
        message = orjson.dumps({"id": "1", "type": "subscribe", "payload": payload}).decode()
        await socket.connection.send(BOM.decode() + message)
        assert await socket.data("1") == whole["data"]


PERSISTED = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}}


@pytest.mark.parametrize(
    ("accept", "status"), [("application/json", 200), ("application/graphql-response+json", 400), ("*/*", 200)]
)
async def test_a_query_that_is_named_by_its_hash_is_asked_for_itself(
    client: httpx.AsyncClient, accept: str, status: int
) -> None:
    parameters = {"extensions": orjson.dumps(PERSISTED["extensions"]).decode()}
    for answer in (
        await client.post("/graphql", json=PERSISTED, headers={"accept": accept}),
        await client.get("/graphql", params=parameters, headers={"accept": accept}),
    ):
        assert answer.status_code == status
        (error,) = answer.json()["errors"]
        assert (error["message"], error["extensions"]["code"]) == (
            "PersistedQueryNotFound",
            "PERSISTED_QUERY_NOT_FOUND",
        )
    answer = await client.post("/graphql", json={"query": COUNT, **PERSISTED}, headers={"accept": accept})
    assert answer.status_code == status
    assert answer.json()["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_HASH_MISMATCH"


async def test_over_a_websocket_too(server: Running) -> None:
    async with server.socket() as socket:
        await socket.send(id="1", type="subscribe", payload=PERSISTED)
        message = await socket.receive()
        assert (message["id"], message["type"]) == ("1", "error")
        assert message["payload"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
        assert await socket.data(await socket.subscribe(COUNT)) == {"cluster": {"nodeCount": 2}}


async def _spoken(server: Running, request: str) -> bytes:
    """What is answered to a request that no library would send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(request.replace("\n", "\r\n").encode())
        async with asyncio.timeout(5):
            return await reader.readuntil(b"\r\n")
    finally:
        writer.close()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/healthz/", "/tools/exo/healthz", "/tools/exo/readyz/"])
async def test_a_probe_without_a_host_is_answered(method: str, path: str, version: str) -> None:
    async with running(root_path="/tools/exo") as server:
        assert b" 200 " in await _spoken(server, f"{method} {path} HTTP/{version}\n\n")


async def test_a_probe_by_options_says_what_one_by_get_says() -> None:
    """HAProxy's `option httpchk /readyz` sends OPTIONS, and a server that is not ready must be taken out.

    It is, before exo has ever answered, at once: a probe waits 1 or 2 s, and a query for the first state for longer.
    """
    async with (
        running(demo=False, exo_url=f"http://127.0.0.1:{free_port()}", first_wait=60.0) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client,
    ):
        for path, status in (("/healthz", 200), ("/readyz", 503)):
            for answer in (await client.get(path), await client.options(path)):
                assert answer.status_code == status
                assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    "request_",
    [
        "GET / HTTP/1.0\n\n",
        f"GET /graphql?query={COUNT.replace(' ', '%20')} HTTP/1.0\n\n",
        "GET /metrics HTTP/1.0\n\n",
        "GET /healthz/more HTTP/1.0\n\n",
        "GET /tools/exo/healthz HTTP/1.0\n\n",
        "OPTIONS / HTTP/1.0\n\n",
        "OPTIONS /graphql HTTP/1.0\n\n",
        "OPTIONS /healthz HTTP/1.0\norigin: https://evil.example\n\n",
        "POST /healthz HTTP/1.0\ncontent-length: 0\n\n",
        "GET /healthz HTTP/1.0\norigin: https://evil.example\n\n",
        "GET /healthz HTTP/1.0\nhost: evil.example\n\n",
        "GET /healthz HTTP/1.0\nhost: localhost\nhost: localhost\n\n",
    ],
)
async def test_nothing_else_is_answered_without_a_host(server: Running, request_: str) -> None:
    assert b" 421 " in await _spoken(server, request_)


@pytest.mark.parametrize(
    ("host", "base"),
    [("::1", "http://[::1]:52416"), ("127.0.0.1", "http://127.0.0.1:52416"), ("studio", "http://studio:52416")],
)
def test_the_greeting_is_an_address_that_a_browser_opens(host: str, base: str) -> None:
    assert base_url(host).format(port=52416) == base
