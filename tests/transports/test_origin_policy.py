"""Who is answered: names that are this server's own, pages that are its own or allowed."""

from typing import Any

import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send

from exo_graphql.transports.asgi import respond
from exo_graphql.transports.origin_policy import OriginPolicy

pytestmark = pytest.mark.anyio

Headers = list[tuple[bytes, bytes]]


async def _behind(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await respond(send, 200, b"{}", b"application/json")


async def _ask(guard: OriginPolicy, headers: Headers, kind: str = "http", method: str = "POST") -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": kind, "method": method, "path": "/graphql", "headers": headers}
    await guard(scope, receive, send)
    return sent


def _guard(*hosts: str, origins: tuple[str, ...] = ()) -> OriginPolicy:
    return OriginPolicy(_behind, hosts, origins)


async def _status(guard: OriginPolicy, *headers: tuple[bytes, bytes]) -> int:
    status: int = (await _ask(guard, list(headers)))[0]["status"]
    return status


@pytest.mark.parametrize(
    "host",
    [
        b"127.0.0.1",
        b"127.0.0.1:52416",
        b"192.168.1.21:52416",
        b"[::1]",
        b"[::1]:52416",
        b"[fe80::1%25en0]:52416",
        b"localhost",
        b"LOCALHOST:52416",
        b"localhost.:52416",
        b"127.0.0.1.",
        b"tools.example",
        b"Tools.Example:443",
    ],
)
async def test_addresses_localhost_and_allowed_names_are_answered(host: bytes) -> None:
    assert await _status(_guard("tools.example"), (b"host", host)) == 200


@pytest.mark.parametrize("form", ["{}", "{}.", "{}:52416", "{}.local", "{}.local.:52416"])
async def test_the_machines_own_name_is_answered_with_and_without_local(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Studio-7.local")
    assert await _status(_guard(), (b"host", form.format("studio-7").encode())) == 200
    assert await _status(_guard(), (b"host", form.format("studio-8").encode())) == 421


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"evil.example",
        b"evil.example:52416",
        b"localhost.evil.example",
        b"127.0.0.1.evil.example",
        b"127.0.0.1:80@evil.example",
        b"evil.example@127.0.0.1",
        b"user:secret@localhost",
        b"localhost:80:80",
        b"localhost#.evil.example",
        b"localhost/",
        b"localhost\\@evil.example",
        b"localhost evil.example",
        b"localhost,evil.example",
        b"localhost\x00.evil.example",
        b"localhost:evil",
        b"http://localhost",
        b"2130706433",
        b"0x7f.1",
        b"127.1",
        b"0177.0.0.1",
        b"[::1",
        b"[localhost]",
        b"[::1].evil.example",
        b"..",
        b".",
        "löcalhost".encode(),
        b"l" * 1000,
    ],
)
async def test_any_other_host_is_refused_by_421(host: bytes) -> None:
    start, body = await _ask(_guard("tools.example"), [(b"host", host)])
    assert start["status"] == 421
    (error,) = orjson.loads(body["body"])["errors"]
    assert error["extensions"]["code"] == "HOST_NOT_ALLOWED"
    assert b"evil" not in body["body"]


async def test_a_request_without_a_host_or_with_two_is_refused() -> None:
    assert await _status(_guard()) == 421
    assert await _status(_guard(), (b"host", b"localhost"), (b"host", b"evil.example")) == 421
    assert await _status(_guard(), (b"host", b"localhost"), (b"host", b"localhost")) == 421


async def test_what_is_remembered_of_hosts_is_bounded_and_right_beyond_the_bound() -> None:
    guard = _guard()
    for number in range(1000):
        assert await _status(guard, (b"host", b"%d.evil.example" % number)) == 421
    assert len(guard._known_hosts) <= 256
    assert await _status(guard, (b"host", b"localhost")) == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (b"localhost:52416", b"http://localhost:52416"),
        (b"LOCALHOST:52416", b"HTTP://localhost:52416"),
        (b"tools.example", b"https://tools.example"),
        (b"127.0.0.1:52416", b"http://127.0.0.1:52416"),
        (b"localhost:52416", b"https://dash.example"),
        (b"localhost:52416", b"HTTPS://Dash.Example"),
    ],
)
async def test_its_own_pages_and_allowed_ones_are_heard(host: bytes, origin: bytes) -> None:
    guard = _guard("tools.example", origins=("https://dash.example/",))
    assert await _status(guard, (b"host", host), (b"origin", origin)) == 200


@pytest.mark.parametrize(
    "origin",
    [
        b"null",
        b"",
        b"http://evil.example",
        b"http://localhost:3000",
        b"http://localhost",
        b"http://127.0.0.1:52416",
        b"http://localhost:52416.evil.example",
        b"http://localhost:52416/",
        b"http://evil.example#http://localhost:52416",
        b"http://user@localhost:52416",
        b"ftp://localhost:52416",
        b"chrome-extension://localhost:52416",
        b"localhost:52416",
        b"://localhost:52416",
        b"http://dash.example",
        b"https://dash.example:8443",
        b"https://dash.example.evil.example",
        b"https://sub.dash.example",
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_any_other_page_is_refused_by_403(origin: bytes, kind: str) -> None:
    guard = _guard(origins=("https://dash.example",))
    first, *_ = await _ask(guard, [(b"host", b"localhost:52416"), (b"origin", origin)], kind)
    if kind == "http":
        assert first["status"] == 403
        assert not any(name.startswith(b"access-control") for name, _ in first["headers"])
    else:  # before the handshake a close is HTTP's 403
        assert first["type"] == "websocket.close"


async def test_a_rebound_name_is_refused_though_page_and_host_agree() -> None:
    same = [(b"host", b"evil.example:52416"), (b"origin", b"http://evil.example:52416")]
    assert (await _ask(_guard(), same))[0]["status"] == 421
    assert (await _ask(_guard(), same, "websocket"))[0]["type"] == "websocket.close"


async def test_an_allowed_page_and_its_preflight_get_cors_headers() -> None:
    guard = _guard(origins=("https://dash.example",))
    asked = [(b"host", b"localhost"), (b"origin", b"https://dash.example")]
    for method, status in (("POST", 200), ("OPTIONS", 204)):
        start, _ = await _ask(guard, asked, method=method)
        headers = dict(start["headers"])
        assert start["status"] == status
        assert headers[b"access-control-allow-origin"] == b"https://dash.example"
        assert headers[b"vary"] == b"Origin"
        assert b"access-control-allow-credentials" not in headers
        if method == "POST":  # a page may read these, to ask again with the one, and after the other
            assert {b"etag", b"retry-after"} < set(headers[b"access-control-expose-headers"].split(b", "))
    assert not {b"content-length", b"content-type"} & set(headers), "a 204 has no content (RFC 9110, section 8.6)"
    allowed = headers[b"access-control-allow-headers"].split(b", ")
    assert allowed[:3] == [b"authorization", b"content-type", b"if-none-match"]
    assert {b"mcp-session-id", b"mcp-protocol-version"} < set(allowed)


async def test_a_preflight_from_elsewhere_allows_nothing() -> None:
    start, _ = await _ask(_guard(), [(b"host", b"localhost"), (b"origin", b"http://evil.example")], method="OPTIONS")
    assert start["status"] == 403
    assert not any(name.startswith(b"access-control") for name, _ in start["headers"])
