"""Tokens: which are known, what they allow over each transport, and that no secret is reported or logged."""

import hmac
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from exo_graphql.app import build
from exo_graphql.engine.rights import ANYONE, Caller, Rights
from exo_graphql.loopback import is_loopback
from exo_graphql.settings import Settings, SettingsError
from exo_graphql.transports.auth import Access, BadToken, Unauthorized, authorization_in, parse_tokens
from tests.support.own_time import OWN_TIME, Backend
from tests.support.running import Running, running

pytestmark = pytest.mark.anyio

READER, OPERATOR = "reading-secret", "operating-secret"
LOAD = 'mutation { loadModel(model: "no-such-model") { error { code } } }'


@pytest.fixture(scope="module")
def anyio_backend() -> Backend:
    return OWN_TIME


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Running]:
    async with running(tokens=f"read:{READER},operate:{OPERATOR}") as server:
        yield server


@pytest.fixture(scope="module")
async def client(server: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        yield client


def _access(text: str = f"read:{READER}\noperate:{OPERATOR}") -> Access:
    return Access(parse_tokens(text))


@pytest.mark.parametrize(
    ("authorization", "rights"),
    [
        (f"Bearer {READER}", Rights.READ),
        (f"Bearer {OPERATOR}", Rights.OPERATE),
        (f"bearer  {OPERATOR} ", Rights.OPERATE),
        (f"BEARER {OPERATOR}", Rights.OPERATE),
    ],
)
def test_the_bearer_of_a_token_has_its_rights(authorization: str, rights: Rights) -> None:
    assert _access().caller(authorization).rights is rights


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        OPERATOR,
        f"Basic {OPERATOR}",
        f"Bearer {OPERATOR[:-1]}",
        f"Bearer {OPERATOR}x",
        f"Bearer {OPERATOR.upper()}",
        f"Bearer operate:{OPERATOR}",
        f"Bearer {READER},{OPERATOR}",
        f"Bearer {READER} {OPERATOR}",
        "Bearer \x00",
        "Bearer " + "x" * 100_000,
        "Bearer é",
    ],
)
def test_anything_else_is_unauthorized(authorization: str | None) -> None:
    with pytest.raises(Unauthorized) as refused:
        _access().caller(authorization)
    assert OPERATOR not in str(refused.value)


def test_without_tokens_everybody_may_operate() -> None:
    assert Access(()).caller(None) == ANYONE


def test_a_secret_that_is_given_both_rights_has_the_greater() -> None:
    for text in ("read:the-same-secret,operate:the-same-secret", "operate:the-same-secret,read:the-same-secret"):
        assert _access(text).caller("Bearer the-same-secret").rights is Rights.OPERATE


def test_every_token_is_compared_whichever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    compare = hmac.compare_digest

    def counting(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    access = _access()
    for secret in (READER, OPERATOR):
        access.caller(f"Bearer {secret}")
    with pytest.raises(Unauthorized):
        access.caller("Bearer x")
    assert compared == [(32, 32)] * 6


def test_tokens_are_separated_by_commas_or_lines_and_comments_are_none() -> None:
    text = f"# who may do what\r\n read : {READER} , operate:{OPERATOR},\n\nREAD:another-secret\n"
    assert [token.caller.rights for token in parse_tokens(text)] == [Rights.READ, Rights.OPERATE, Rights.READ]


def test_a_token_may_have_a_name_and_a_secret_any_character() -> None:
    text = f"alice=operate:{OPERATOR}, ci-1.night@mini = read : name=operate:x\nread:{READER}"
    assert [token.caller for token in parse_tokens(text)] == [
        Caller(Rights.OPERATE, "alice"),
        Caller(Rights.READ, "ci-1.night@mini"),
        Caller(Rights.READ),
    ]
    assert _access(text).caller("Bearer name=operate:x") == Caller(Rights.READ, "ci-1.night@mini")


@pytest.mark.parametrize(
    "text",
    [
        "secret-without-scope",
        "admin:long-enough",
        "read:short",
        "read:",
        ":long-enough",
        "read:a secret",
        "read:sécret-é",
        "=read:long-enough",
        "two words=read:long-enough",
        "a:b=read:long-enough",
        f"{'n' * 64}=operate:long-enough",
    ],
)
def test_a_malformed_token_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(BadToken) as refused:
        parse_tokens(text)
    assert "token 1" in str(refused.value)
    assert text not in str(refused.value)


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ({"Authorization": "Bearer x"}, "Bearer x"),
        ({"authorization": "Bearer x"}, "Bearer x"),
        ({"token": "x"}, "Bearer x"),
        ({"token": 1, "Authorization": ["Bearer x"]}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_token_in_a_connection_init(payload: dict[str, object] | None, found: str | None) -> None:
    assert authorization_in(payload) == found


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.2", "localhost.evil", "127.0.0.1.evil", "studio"])
def test_what_others_may_reach_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def _settings(**given: object) -> Settings:
    return Settings.model_validate({"demo": True, **given})


@pytest.mark.parametrize(
    ("given", "reported"),
    [
        ({"host": "0.0.0.0"}, "--no-auth"),
        ({"host": "::"}, "--no-auth"),
        ({"host": ""}, "--no-auth"),
        ({"tokens": " , \n# nothing\n"}, "holds any"),
        ({"tokens": "operate:short"}, "at least 8 characters"),
    ],
)
def test_what_would_be_open_by_mistake_does_not_start(given: dict[str, object], reported: str) -> None:
    with pytest.raises(SettingsError, match=reported):
        build(_settings(**given))


def test_no_auth_or_a_token_lets_it_listen_to_others() -> None:
    build(_settings(host="0.0.0.0", no_auth=True))
    build(_settings(host="0.0.0.0", tokens=f"read:{READER}"))


def test_a_tokens_file_without_a_token_does_not_start(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# operate:commented-out\n")
    file.chmod(0o600)
    with pytest.raises(SettingsError, match="holds any"):
        build(_settings(tokens_file=file))
    with pytest.raises(SettingsError, match="No such file"):
        build(_settings(tokens_file=tmp_path / "absent"))


def test_a_tokens_file_that_others_can_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"\ufeffoperate:{OPERATOR}\n", encoding="utf-8")
    file.chmod(0o600)
    build(_settings(tokens_file=file))
    assert not caplog.records
    file.chmod(0o644)
    build(_settings(tokens_file=file))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert OPERATOR not in record.getMessage()


@pytest.mark.parametrize("authorization", [None, "Bearer wrong-secret", f"Basic {OPERATOR}"])
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_http_and_event_streams_refuse_by_401(
    client: httpx.AsyncClient, authorization: str | None, accept: str
) -> None:
    headers = {"accept": accept, **({} if authorization is None else {"authorization": authorization})}
    for answer in (
        await client.post("/graphql", json={"query": "{ nodes { id } }"}, headers=headers),
        await client.get("/graphql", params={"query": "{ nodes { id } }"}, headers=headers),
    ):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        (error,) = answer.json()["errors"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"
        assert "data" not in answer.json()


async def test_a_reader_reads_and_may_not_operate(client: httpx.AsyncClient) -> None:
    headers = {"authorization": f"Bearer {READER}"}
    read = await client.post("/graphql", json={"query": "{ cluster { nodeCount } }"}, headers=headers)
    assert read.json() == {"data": {"cluster": {"nodeCount": 2}}}
    refused = await client.post("/graphql", json={"query": LOAD}, headers=headers)
    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["extensions"]["code"]) == (403, "FORBIDDEN")


async def test_an_operator_operates(client: httpx.AsyncClient) -> None:
    answer = await client.post("/graphql", json={"query": LOAD}, headers={"authorization": f"Bearer {OPERATOR}"})
    assert answer.json()["data"]["loadModel"]["error"]["code"] == "MODEL_NOT_FOUND"


async def test_a_result_stored_for_one_is_not_given_to_another_without_its_rights(client: httpx.AsyncClient) -> None:
    body = {"query": "{ cluster { nodeCount nodes { id } } }"}
    allowed = await client.post("/graphql", json=body, headers={"authorization": f"Bearer {READER}"})
    assert allowed.status_code == 200
    assert (await client.post("/graphql", json=body)).status_code == 401


@pytest.mark.parametrize("payload", [None, {}, {"Authorization": "Bearer wrong-secret"}, {"token": OPERATOR[:-1]}])
async def test_a_websocket_without_its_token_is_closed_by_4403(
    server: Running, payload: dict[str, object] | None
) -> None:
    async with server.bare() as connection:
        message = '{"type":"connection_init"}' if payload is None else _init(payload)
        await connection.send(message)
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert connection.close_code == 4403


async def test_a_websockets_header_is_as_good_as_its_payload(server: Running) -> None:
    async with server.bare(additional_headers={"authorization": f"Bearer {READER}"}) as connection:
        await connection.send('{"type":"connection_init"}')
        assert await connection.recv() == '{"type":"connection_ack"}'


async def test_secrets_are_neither_answered_nor_logged(
    server: Running, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with caplog.filtering(_ours := _Ours()):
        for authorization in (f"Bearer {OPERATOR}", f"Basic {OPERATOR}", f"Bearer {OPERATOR}x"):
            answer = await client.post("/graphql", json={"query": "{ nope }"}, headers={"authorization": authorization})
            assert OPERATOR not in answer.text
        async with server.bare() as connection:
            await connection.send(_init({"token": f"{OPERATOR}x"}))
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
            assert OPERATOR not in str(closed.value)
    assert OPERATOR not in caplog.text
    assert OPERATOR not in repr(server.components) + repr(Settings.model_validate({"tokens": f"operate:{OPERATOR}"}))
    assert _ours.seen


class _Ours(logging.Filter):
    """Leaves out the clients of this test, which log what they send."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def filter(self, record: logging.LogRecord) -> bool:
        self.seen += 1
        return not record.name.startswith(("httpcore", "httpx", "websockets"))


def _init(payload: dict[str, object]) -> str:
    return json.dumps({"type": "connection_init", "payload": payload})


async def test_read_only_leaves_nothing_to_operate_with() -> None:
    async with (
        running(read_only=True) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client,
    ):
        answer = await client.post("/graphql", json={"query": LOAD})
        (error,) = answer.json()["errors"]
        assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        kinds = await client.post("/graphql", json={"query": "{ __schema { mutationType { name } } }"})
        assert kinds.json() == {"data": {"__schema": {"mutationType": None}}}


async def test_introspection_can_be_switched_off_and_everything_else_continues() -> None:
    async with (
        running(introspection=False) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client,
    ):
        for query in ("{ __schema { types { name } } }", '{ __type(name: "Node") { name } }'):
            answer = await client.post("/graphql", json={"query": query})
            assert "introspection" in answer.json()["errors"][0]["message"]
            assert "data" not in answer.json()
        answer = await client.post("/graphql", json={"query": "{ __typename cluster { __typename } }"})
        assert answer.json() == {"data": {"__typename": "Query", "cluster": {"__typename": "Cluster"}}}
