"""`/schema.graphql` and `/llms.txt`: what they hold is true, and HTTP's means to read them cheaply work."""

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import build_schema, lexicographic_sort_schema, print_schema

from exo_graphql.simulator import SimulatedExo
from exo_graphql.transports.compression import accepts_gzip
from exo_graphql.transports.texts import LLMS_TXT
from tests.support.own_time import OWN_TIME, Backend
from tests.support.running import Running, running

pytestmark = pytest.mark.anyio

SCHEMA_FILE = (Path(__file__).parents[2] / "schema.graphql").read_text(encoding="utf-8")
DOCUMENTS = re.findall(r"```graphql\n(.*?)\n```", LLMS_TXT.read_text(encoding="utf-8"), re.DOTALL)
TOKENS = "read:reading-secret,operate:operating-secret"


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return OWN_TIME


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Running]:
    async with running(SimulatedExo(speed=100)) as server:
        yield server


def client_of(server: Running, **headers: str) -> httpx.AsyncClient:
    """A client that accepts no compression unless `headers` say so."""
    base = server.url.removesuffix("/graphql")
    return httpx.AsyncClient(base_url=base, trust_env=False, headers={"accept-encoding": "identity", **headers})


async def test_the_schema_is_the_printed_one(server: Running) -> None:
    async with client_of(server) as client:
        answer = await client.get("/schema.graphql")
        compact = (await client.get("/schema.graphql?compact=1")).text
    assert answer.text == SCHEMA_FILE
    assert '"""' not in compact
    assert len(compact) < len(SCHEMA_FILE) / 3
    described = build_schema(re.sub(r'"""(?:.|\n)*?"""', "", SCHEMA_FILE))
    assert print_schema(lexicographic_sort_schema(build_schema(compact))) == print_schema(described)


@pytest.mark.parametrize("path", ["/schema.graphql", "/schema.graphql?compact=1", "/llms.txt"])
async def test_each_text_is_read_again_for_nothing(server: Running, path: str) -> None:
    async with client_of(server) as client:
        whole = await client.get(path)
        head = await client.head(path)
        again = await client.get(path, headers={"if-none-match": f'"other", {whole.headers["etag"]}'})
        other = await client.get(path, headers={"if-none-match": '"other"'})
        posted = await client.post(path)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert (head.content, head.headers["etag"]) == (b"", whole.headers["etag"])
    assert head.headers["content-length"] == str(len(whole.content))
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", whole.headers["etag"])
    assert (other.status_code, other.content) == (200, whole.content)
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")


async def test_the_schema_is_compressed_for_who_reads_gzip(server: Running) -> None:
    async with client_of(server, **{"accept-encoding": "gzip"}) as client:
        async with client.stream("GET", "/schema.graphql") as answer:
            raw = b"".join([chunk async for chunk in answer.aiter_raw()])
        assert answer.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in answer.headers["vary"]
        assert gzip.decompress(raw).decode() == SCHEMA_FILE
        assert len(raw) < len(SCHEMA_FILE) / 3
        small = await client.get("/llms.txt")
    assert "content-encoding" not in small.headers


async def test_llms_txt_is_short_and_each_of_its_documents_works(server: Running) -> None:
    assert LLMS_TXT.stat().st_size <= 2_000
    assert len(DOCUMENTS) == 5
    async with client_of(server, accept="text/event-stream") as client:
        for document in DOCUMENTS:
            answer = (await client.post("/graphql", json={"query": document}, timeout=30)).text
            assert "errors" not in answer, (document, answer)
            assert answer.endswith("event: complete\ndata:\n\n")
    assert '"ready":true' in answer, "the last document waits for what the one before has begun"


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({"read_only": True}, "> This server only reads: no mutations."),
        (
            {"introspection": False},
            "> No `searchSchema`, no `schema.graphql`.",
        ),
        ({"trusted_documents": True}, "> Only this server's own documents: see the end."),
    ],
)
async def test_llms_txt_says_what_does_not_hold_for_this_server(settings: dict[str, Any], note: str) -> None:
    async with running(**settings) as server, client_of(server) as client:
        text = (await client.get("/llms.txt")).text
    assert text.splitlines()[:4] == ["# exo-graphql", "", note, ""]
    assert LLMS_TXT.read_text(encoding="utf-8") == text.replace(f"\n{note}\n", "")
    assert len(text.encode()) <= 2_000


async def test_llms_txt_is_short_also_where_much_is_left_out() -> None:
    async with (
        running(read_only=True, introspection=False, trusted_documents=True) as server,
        client_of(server) as client,
    ):
        text = (await client.get("/llms.txt")).text
    assert text.count("\n> ") == 3
    assert len(text.encode()) <= 2_048


async def test_what_llms_txt_names_exists(server: Running) -> None:
    async with client_of(server) as client:
        for path in re.findall(r"GET `([\w./?=]+)`", LLMS_TXT.read_text()):
            answer = await client.get(f"/{path}")
            assert answer.status_code == 200, path


async def test_the_schema_needs_the_token_that_introspection_needs() -> None:
    async with running(tokens=TOKENS) as server, client_of(server) as client:
        refused = await client.get("/schema.graphql")
        wrong = await client.get("/schema.graphql", headers={"authorization": "Bearer of-nothing"})
        read = await client.get("/schema.graphql", headers={"authorization": "Bearer reading-secret"})
        open_ = await client.get("/llms.txt")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert (wrong.status_code, read.status_code, open_.status_code) == (401, 200, 200)
    assert refused.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_without_introspection_the_schema_is_not_described() -> None:
    async with running(introspection=False) as server, client_of(server) as client:
        text = await client.get("/schema.graphql")
        found = await client.post("/graphql", json={"query": '{ searchSchema(query: "model") { coordinate } }'})
    assert text.status_code == 403
    for answer in (text, found):
        (error,) = answer.json()["errors"]
        assert error["extensions"]["code"] == "INTROSPECTION_DISABLED"
        assert "--no-introspection" in error["extensions"]["suggestion"]


LARGE = "{ models { id name family description: baseModel downloads(status: [NOT_STARTED, COMPLETED]) { id status } } }"


@pytest.mark.parametrize(
    ("request_", "tagged"),
    [
        ({"method": "POST", "url": "/graphql", "json": {"query": LARGE}}, False),
        ({"method": "GET", "url": "/graphql", "params": {"query": LARGE}}, True),
    ],
)
async def test_a_large_answer_is_compressed_and_what_is_read_by_get_has_an_etag(
    server: Running, request_: dict[str, Any], tagged: bool
) -> None:
    async with client_of(server) as client:
        plain = await client.request(**request_)
        for _ in range(2):  # the second one may be a stored one
            compressed = await client.request(**request_, headers={"accept-encoding": "br, gzip;q=0.5"})
            assert compressed.headers["content-encoding"] == "gzip"
            assert int(compressed.headers["content-length"]) < len(plain.content) / 5
            assert compressed.json() == plain.json()
    assert len(plain.content) > 16_384
    assert ("etag" in plain.headers) is tagged


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, False),
        (b"", False),
        (b"gzip", True),
        (b"deflate, GZIP;q=0.1".lower(), True),
        (b"gzip;q=0", False),
        (b"*", True),
        (b"*;q=0", False),
        (b"identity, *;q=0.5, gzip;q=0", False),
        (b"br", False),
        (b"gzip;q=nonsense", False),
        (b"x-gzip-like", False),
    ],
)
def test_gzip_is_sent_to_who_accepts_it(header: bytes | None, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted
